"""A logistic head on sentence vectors, with character n-grams beside them.

Two heads are trained: one on the vector together with the n-grams, and one on the
n-grams alone for the minutes in which the brain is away. How strongly they are
regularised the first is comes from cross-validation on the city's own examples.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Text, Tuple, Type

import numpy as np
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.classifiers.classifier import IntentClassifier
from rasa.shared.nlu.constants import INTENT, INTENT_NAME_KEY, PREDICTED_CONFIDENCE_KEY, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

logger = logging.getLogger(__name__)

CANDIDATES = (6.0, 20.0, 60.0)
FOLDS = 3
NGRAM_WEIGHT = 0.4
LETTERS_STRENGTH = 10.0
RANKED = 3
# Hashing keeps no vocabulary, so that the stored model is arrays and nothing that runs.
# Few buckets and dense rows: the same accuracy as 16,384 sparse ones, trained 20 times as fast.
NGRAMS = HashingVectorizer(
    analyzer="char_wb", ngram_range=(2, 4), n_features=2**10, alternate_sign=True, dtype=np.float32
)


class Head:
    """One trained head: a weight matrix over its features."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights = weights
        self.bias = bias

    @classmethod
    def train(cls, features: np.ndarray, intents: np.ndarray) -> Tuple[Head, float, float]:
        """Return the head, its regularisation and its accuracy in cross-validation."""
        best = (0.0, CANDIDATES[0])
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=7)
        names = np.unique(intents)
        for strength in CANDIDATES:
            guesses = cross_val_predict(
                _regression(strength), features, intents, cv=folds, method="predict_proba"
            )
            accuracy = float((names[guesses.argmax(axis=1)] == intents).mean())
            if accuracy > best[0]:
                best = (accuracy, strength)
        return cls.fit(features, intents, best[1]), best[1], best[0]

    @classmethod
    def fit(cls, features: np.ndarray, intents: np.ndarray, strength: float) -> Head:
        """Return the head for a given regularisation."""
        fitted = _regression(strength).fit(features, intents)
        return cls(fitted.coef_.astype(np.float32), fitted.intercept_.astype(np.float32))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each intent for one message."""
        scores = self.weights @ features + self.bias
        exponentials = np.exp(scores - scores.max())
        return exponentials / exponentials.sum()


def _regression(strength: float) -> LogisticRegression:
    # This scikit-learn sums the loss over the examples instead of averaging it, so its
    # tolerance is some thousand times what later versions mean by the same number.
    return LogisticRegression(C=strength, max_iter=200, tol=1.0, class_weight="balanced")


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class LogisticIntents(IntentClassifier, GraphComponent):
    """Names the intent of a message from its vector, or from its letters alone."""

    @classmethod
    def required_components(cls) -> List[Type]:
        """Return no components: without the brain's vectors the n-grams are enough to answer."""
        return []

    @staticmethod
    def get_default_config() -> Dict[Text, Any]:
        """Return the configuration used where config.yml says nothing."""
        return {}

    def __init__(
        self,
        config: Dict[Text, Any],
        model_storage: ModelStorage,
        resource: Resource,
        names: Optional[List[Text]] = None,
        full: Optional[Head] = None,
        letters: Optional[Head] = None,
    ) -> None:
        """Keep where to store the trained heads, and the heads themselves once there are any."""
        self._storage = model_storage
        self._resource = resource
        self._names = names or []
        self._full = full
        self._letters = letters

    @classmethod
    def create(
        cls,
        config: Dict[Text, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> LogisticIntents:
        """Return an untrained component."""
        return cls(config, model_storage, resource)

    def train(self, training_data: TrainingData) -> Resource:
        """Train both heads and store them as plain arrays."""
        examples = [message for message in training_data.intent_examples if message.get(TEXT)]
        intents = np.array([message.get(INTENT) for message in examples])
        self._names = sorted(set(intents))
        letters = _letters([message.get(TEXT) for message in examples])
        vectors = np.vstack([_vector(message) for message in examples])
        self._full, strength, accuracy = Head.train(np.hstack([vectors, letters * NGRAM_WEIGHT]), intents)
        self._letters = Head.fit(letters, intents, LETTERS_STRENGTH)
        report = {
            "examples": len(examples),
            "regularisation": strength,
            "cross_validated_accuracy": round(accuracy, 4),
        }
        logger.info("intents_trained: %s", json.dumps(report))
        with self._storage.write_to(self._resource) as folder:
            np.savez_compressed(
                Path(folder) / "heads.npz",
                full=self._full.weights,
                full_bias=self._full.bias,
                letters=self._letters.weights,
                letters_bias=self._letters.bias,
            )
            (Path(folder) / "heads.json").write_text(json.dumps({"names": self._names, **report}))
        return self._resource

    @classmethod
    def load(
        cls,
        config: Dict[Text, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **kwargs: Any,
    ) -> LogisticIntents:
        """Return the trained component."""
        with model_storage.read_from(resource) as folder:
            names = json.loads((Path(folder) / "heads.json").read_text())["names"]
            stored = np.load(Path(folder) / "heads.npz")
            full = Head(stored["full"], stored["full_bias"])
            letters = Head(stored["letters"], stored["letters_bias"])
        return cls(config, model_storage, resource, names, full, letters)

    def process(self, messages: List[Message]) -> List[Message]:
        """Set the intent and the nearest others of each message."""
        assert self._full is not None and self._letters is not None
        for message in messages:
            letters = _letters([message.get(TEXT) or ""])[0]
            vector = _vector(message)
            if vector is None:
                likely = self._letters.probabilities(letters)
            else:
                likely = self._full.probabilities(np.hstack([vector, letters * NGRAM_WEIGHT]))
            order = likely.argsort()[::-1][:RANKED]
            ranking = [
                {INTENT_NAME_KEY: self._names[at], PREDICTED_CONFIDENCE_KEY: round(float(likely[at]), 4)}
                for at in order
            ]
            message.set(INTENT, ranking[0], add_to_output=True)
            message.set("intent_ranking", ranking, add_to_output=True)
        return messages


def _vector(message: Message) -> Optional[np.ndarray]:
    _, sentence = message.get_dense_features(TEXT, [])
    return None if sentence is None else sentence.features.ravel()


def _letters(texts: List[Text]) -> np.ndarray:
    rows: np.ndarray = NGRAMS.transform(texts).toarray()
    return rows
