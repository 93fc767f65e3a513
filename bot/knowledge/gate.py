"""The refusal gate: how likely the first article answers the question.

A logistic model over a handful of features, never over ranks: ranks are the same for a question
that has an answer and for one that has none.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bot.knowledge.embeddings import Vector
from bot.knowledge.snapshots import Snapshot

if TYPE_CHECKING:
    from bot.knowledge.search import Scored

# Standardised values above this say no more than this.
CEILING = 10.0

WEIGHTS = Path(__file__).parent / "gate.json"


def features(
    snapshot: Snapshot, text: str, scored: "Scored", ranked: list[tuple[str, float, int]]
) -> dict[str, float]:
    """Return what the gate looks at: how near the best articles are, in meaning and in words.

    Nothing in it says how long the question is: "recycling days" is a good question.
    """
    places = [int(scored.at[number]) for *_, number in ranked[:3]]
    first_three = {article: number for number, (article, _, _) in enumerate(ranked[:3])}
    cosines = [0.0] * len(places)
    # An article's nearest passage is not always the one that stands out most: which languages'
    # passages are near is a matter of which models read them.
    for at in scored.at:
        place = first_three.get(snapshot.rows[at].article)
        if place is not None:
            cosines[place] = max(cosines[place], likeness(scored.question, snapshot.vector(at)))
    told = snapshot.words.told(text, places)
    first = ranked[0][2]
    foreign = snapshot.rows[places[0]].language != scored.language
    behind = ranked[4][1] if len(ranked) > 4 else 0.0
    return {
        "cosine": cosines[0],
        "nearest": max(cosines),
        "told": max(told),
        "foreign": float(foreign),
        "dense": min(float(scored.dense[first]), CEILING),
        "lead": min(ranked[0][1] - behind, CEILING),
    }


def likeness(question: Vector, passage: Vector) -> float:
    """Return the cosine of two vectors over the models that read both texts."""
    length = float(np.linalg.norm(question[passage != 0]) * np.linalg.norm(passage[question != 0]))
    return float(question @ passage) / length if length else 0.0


@cache
def model() -> dict[str, Any]:
    """Return the trained weights."""
    loaded: dict[str, Any] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return loaded


def probability(values: dict[str, float]) -> float:
    """Return the probability (0-1) that the question is answered by what was found."""
    weights: dict[str, float] = model()["weights"]
    total = float(model()["bias"]) + sum(weights[name] * values[name] for name in weights)
    return 1 / (1 + math.exp(-float(np.clip(total, -30, 30))))


def outcome(value: float) -> str:
    """Return the outcome that a probability leads to."""
    if value >= float(model()["answer_from"]):
        return "answered"
    return "clarified" if value >= float(model()["clarify_from"]) else "refused"
