"""Trains the assistant when its inputs have changed: `python train.py [--force] [--json]`.

The inputs are the city's intents and conversations, the domain, the configuration,
the components, Rasa's version and the brain's embedding model. A model's file name
is the hash of all of them, so an unchanged city never trains twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Dict, List

os.environ["RASA_TELEMETRY_ENABLED"] = "false"
# Its progress bars are of no use to anyone who reads a log.
os.environ["LOG_LEVEL"] = "WARNING"
# Rasa's own cache of training steps would be a second memory of the same thing.
os.environ["RASA_MAX_CACHE_SIZE"] = "0"
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
warnings.filterwarnings("ignore")

from components.brain import BrainAway, brain  # noqa: E402
from components.settings import ROOM, SettingsError, from_environment  # noqa: E402

KEPT_MODELS = 3


def main() -> None:
    """Train if need be, and say what happened in one line."""
    parser = argparse.ArgumentParser(description="Train Civicline's assistant")
    parser.add_argument("--force", action="store_true", help="train although nothing has changed")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    try:
        result = train(arguments.force)
    except (BrainAway, SettingsError) as error:
        sys.exit(str(error))
    if arguments.json:
        print(json.dumps(result))
    elif result["trained"]:
        print(f"Trained {result['model']} in {result['seconds']} s.")
    else:
        print(f"Nothing to train: {result['model']} is up to date.")


def train(force: bool = False) -> Dict[str, object]:
    """Return what was trained, or which model is up to date; raises BrainAway without a brain."""
    settings = from_environment()
    embedding = brain().fingerprint(timeout=30.0)
    words = _words(settings.city)
    settings.models.mkdir(parents=True, exist_ok=True)
    model = settings.models / f"{_digest(words, embedding)}.tar.gz"
    started = time.monotonic()
    trained = force or not model.exists()
    if trained:
        _train(words, embedding, model)
        _drop_old(settings.models)
    else:
        # The server takes the newest; going back to earlier inputs makes their model newest again.
        model.touch()
    return {
        "trained": trained,
        "model": model.name,
        "embedding": embedding,
        "seconds": round(time.monotonic() - started, 1),
    }


def _train(words: List[Path], embedding: str, model: Path) -> None:
    from components import logs

    logs.configure()
    import rasa.model_training
    import rasa.shared.utils.io

    configuration = rasa.shared.utils.io.read_yaml_file(ROOM / "config.yml")
    for step in configuration["pipeline"]:
        if step["name"].endswith("BrainFeaturizer"):
            step["embedding"] = embedding
    with tempfile.TemporaryDirectory() as folder:
        # Rasa keeps its cache and a copy of the configuration beside it.
        os.environ["RASA_CACHE_DIRECTORY"] = folder
        config = Path(folder) / "config.yml"
        rasa.shared.utils.io.write_yaml(configuration, config)
        made = rasa.model_training.train(
            domain=str(ROOM / "domain.yml"),
            config=str(config),
            training_files=[str(path) for path in words],
            output=folder,
            force_training=True,
            fixed_model_name=model.stem.removesuffix(".tar"),
        )
        if made.model is None:
            raise SettingsError("Rasa did not train a model; what is wrong stands above.")
        # Copied beside its place first, so that a server never finds half a model.
        unfinished = model.with_suffix(".part")
        unfinished.write_bytes(Path(made.model).read_bytes())
        unfinished.replace(model)


def _words(city: Path) -> List[Path]:
    # words.yml is for the actions, not for Rasa.
    conversations = [path for path in (city / "conversations").glob("*.yml") if path.name != "words.yml"]
    words = sorted([*(city / "intents").glob("*.yml"), *conversations])
    if not words:
        raise SettingsError(f"There are no intents in {city}: CIVICLINE_CITY must name the city's folder.")
    return words


def _digest(words: List[Path], embedding: str) -> str:
    digest = hashlib.sha256(embedding.encode())
    code = [ROOM / "domain.yml", ROOM / "config.yml", ROOM / "uv.lock", ROOM / "components" / "features.py"]
    for path in [*words, *code, ROOM / "components" / "intents.py"]:
        digest.update(f"\n{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _drop_old(models: Path) -> None:
    newest_first = sorted(models.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[KEPT_MODELS:]:
        old.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
