"""A Rasa featurizer whose sentence vectors come from the brain."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Text, Type

import numpy as np
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.constants import FEATURIZER_CLASS_ALIAS
from rasa.nlu.featurizers.dense_featurizer.dense_featurizer import DenseFeaturizer
from rasa.shared.nlu.constants import FEATURE_TYPE_SENTENCE, TEXT
from rasa.shared.nlu.training_data.features import Features
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from components.brain import brain
from components.settings import from_environment


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_FEATURIZER, is_trainable=False)
class BrainFeaturizer(DenseFeaturizer, GraphComponent):
    """Adds the brain's sentence vector to each message; none where the brain is away.

    `embedding` in its configuration is the fingerprint of the embedding model at
    training, written there by train.py, and so part of Rasa's own fingerprint.
    """

    @classmethod
    def required_components(cls) -> List[Type]:
        """Return no components: a sentence vector needs no tokens."""
        return []

    @staticmethod
    def get_default_config() -> Dict[Text, Any]:
        """Return the configuration used where config.yml says nothing."""
        return {**DenseFeaturizer.get_default_config(), "embedding": None}

    @classmethod
    def validate_config(cls, config: Dict[Text, Any]) -> None:
        """Accept every configuration: there is nothing that could contradict."""

    def __init__(self, config: Dict[Text, Any], name: Text) -> None:
        """Tell the brain's client which embedding model is expected from now on."""
        super().__init__(name, config)
        brain().expected = self._config["embedding"]

    @classmethod
    def create(
        cls,
        config: Dict[Text, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> BrainFeaturizer:
        """Return the component, both for training and for answering."""
        return cls(config, execution_context.node_name)

    def process(self, messages: List[Message]) -> List[Message]:
        """Add the vector that the turn has fetched ahead."""
        for message in messages:
            row = brain().vector(message.get(TEXT) or "")
            if row is not None:
                self._add(message, row)
        return messages

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Embed all examples in batches; training without the brain is refused."""
        examples = [message for message in training_data.training_examples if message.get(TEXT)]
        rows = self._rows([message.get(TEXT) for message in examples])
        for message, row in zip(examples, rows):
            self._add(message, row)
        return training_data

    def _rows(self, texts: List[Text]) -> np.ndarray:
        """Embed what an earlier training has not embedded: a clerk who adds a sentence waits for one."""
        file = from_environment().models / "examples.npz"
        known: Dict[Text, np.ndarray] = {}
        with contextlib.suppress(OSError, KeyError, ValueError):
            stored = np.load(file)
            if str(stored["embedding"]) == self._config["embedding"]:
                known = dict(zip(stored["texts"].tolist(), stored["rows"]))
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, brain().embed(new)))
            used = list(dict.fromkeys(texts))
            rows = np.vstack([known[text] for text in used])
            with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as aside:
                np.savez(aside, embedding=self._config["embedding"], texts=np.array(used), rows=rows)
            Path(aside.name).replace(file)
        return np.vstack([known[text] for text in texts])

    def _add(self, message: Message, row: np.ndarray) -> None:
        message.add_features(
            Features(row.reshape(1, -1), FEATURE_TYPE_SENTENCE, TEXT, self._config[FEATURIZER_CLASS_ALIAS])
        )
