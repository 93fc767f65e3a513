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

from bot.knowledge.lexical import words
from bot.knowledge.snapshots import Snapshot, searchable

if TYPE_CHECKING:
    from bot.knowledge.search import Scored

# Standardised values above this say no more than this.
CEILING = 10.0

WEIGHTS = Path(__file__).parent / "gate.json"


def features(
    snapshot: Snapshot, text: str, scored: "Scored", ranked: list[tuple[str, float, int]]
) -> dict[str, float]:
    """Return what the gate looks at: about the best article, its rivals and the question's words."""
    best = ranked[0]
    top = snapshot.rows[scored.at[best[2]]]
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    fifth = ranked[4][1] if len(ranked) > 4 else 0.0
    told = max(snapshot.words.overlap(text, searchable(snapshot.rows[scored.at[number]])) for *_, number in ranked[:3])
    return {
        "dense": min(float(scored.dense[best[2]]), CEILING),
        "peak": min(float(scored.dense.max()), CEILING),
        "cosine": float(scored.cosine[best[2]]),
        "lexical": float(scored.words[best[2]]),
        "score": min(best[1], 2 * CEILING),
        "margin": min(best[1] - second, CEILING),
        "lead": min(best[1] - fifth, CEILING),
        "overlap": snapshot.words.overlap(text, searchable(top)),
        "told": told,
        "length": math.log1p(len(words(text))),
    }


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
