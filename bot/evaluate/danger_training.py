"""Train the danger detector: `python -m bot.evaluate.danger_training [--write]`.

Examples are `nlu_data/danger/<language>.yml`, and as ordinary turns the sentences of `nlu_data/intents`.
What it says of languages never trained on is measured by leaving them out in turn.
"""

import json
import re
import unicodedata
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from bot import danger
from bot.knowledge.embeddings import Embedder
from bot.settings import city_folder

STRENGTH = 10.0  # of the weights: the inverse of their regularisation
# From which probability to act: chosen on tests/fixtures/danger.jsonl, which the model never sees.
ACT_FROM = 0.95
FOLDS = 3  # into how many groups the languages fall, each left out of training in turn
_KINDS = {"look_alikes": 0, "emergency": 1, "self_harm": 2}
_ENTITY = re.compile(r"\[([^\]]*)\](?:\{[^}]*\}|\([^)]*\))")


def taught(folder: Path) -> list[tuple[str, int, str]]:
    """Return (text, class, language) of the sentences that a clerk listed, and of parts put together."""
    found: list[tuple[str, int, str]] = []
    for path in sorted((folder / "danger").glob("*.yml")):
        lists = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = lists.pop("each_with_each", {})
        joint = "" if path.stem == "zh" else " "
        for kind, number in _KINDS.items():
            texts = [str(text) for text in lists[kind]]
            texts += [joint.join(parts) for row in rows.get(kind, ()) for parts in product(*row)]
            found += [(text, number, path.stem) for text in texts]
    return found


def ordinary(folder: Path) -> list[str]:
    """Return the sentences of all intents, without the marks of their entities."""
    return [
        _ENTITY.sub(r"\1", line[2:]).strip()
        for path in sorted((folder / "intents").glob("*.yml"))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]
        for line in str(entry.get("examples", "")).split("\n")
        if line.startswith("- ")
    ]


_BARE: dict[str, str | int | None] = {"ł": "l", "ı": "i", "'": None}


def hurried(text: str) -> str:
    """Return a text as people in a hurry type it: small letters, no accents, no apostrophes."""
    kept = (c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return "".join(kept).translate(str.maketrans(_BARE))


def fit(vectors: Any, bare: Any, truth: Any, languages: Any, plain: Any) -> dict[str, Any]:
    """Return weights, from which probability to act, and how that does on languages never trained on."""
    from sklearn.linear_model import LogisticRegression

    def model(rows: Any, stripped: Any, classes: Any) -> Any:
        logistic = LogisticRegression(C=STRENGTH, max_iter=100)
        nothing = np.zeros(len(plain), dtype=int)
        return logistic.fit(np.vstack([rows, stripped, plain]), np.concatenate([classes, classes, nothing]))

    likely = np.zeros(len(truth))
    known = sorted(set(languages))
    for group in (known[at::FOLDS] for at in range(FOLDS)):
        out = np.isin(languages, group)
        likely[out] = 1 - model(vectors[~out], bare[~out], truth[~out]).predict_proba(vectors[out])[:, 0]
    act_from = ACT_FROM
    whole = model(vectors, bare, truth)
    heads = np.hstack([whole.coef_, whole.intercept_[:, None]])
    return {
        "act_from": round(act_from, 3),
        "left_out_languages": {
            "caught": round(float((likely[truth > 0] >= act_from).mean()), 4),
            "look_alikes_alarmed": round(float((likely[truth == 0] >= act_from).mean()), 4),
        },
        "examples": {name: int((truth == at).sum()) for name, at in _KINDS.items()}
        | {"ordinary": len(plain)},
        "weights": {
            name: [round(float(value), 3) for value in row]
            for name, row in zip(("none", *danger.Kind), heads, strict=True)
        },
    }


def main(write: Annotated[bool, typer.Option(help="Replace danger.json.")] = False) -> None:
    """Train the detector on the city's own sentences, and print what it learned."""
    folder = city_folder()
    examples, embedder = taught(folder), Embedder(danger.MODEL)
    result = {
        "about": "The danger detector's weights; made by `python -m bot.evaluate.danger_training --write`.",
        "model": danger.MODEL,
        **fit(
            embedder.encode([text for text, _, _ in examples]),
            embedder.encode([hurried(text) for text, _, _ in examples]),
            np.array([kind for _, kind, _ in examples]),
            np.array([language for _, _, language in examples]),
            embedder.encode(ordinary(folder)),
        ),
    }
    typer.echo(json.dumps({**result, "weights": "..."}, indent=2))
    if write:
        danger.WEIGHTS.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
