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

if TYPE_CHECKING:
    from bot.knowledge.search import Scored
    from bot.knowledge.snapshots import Snapshot

WEIGHTS = Path(__file__).parent / "gate.json"


def features(
    snapshot: "Snapshot", text: str, scored: "Scored", ranked: list[tuple[str, float, int]]
) -> dict[str, float]:
    """Return what the gate looks at."""
    mean, spread = scored.background
    best = float(scored.cosine.max())
    top = snapshot.rows[ranked[0][2]]
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    return {
        "cosine": best,
        "lift": (best - mean) / spread,
        "margin": min(ranked[0][1] - second, 5.0),
        "overlap": snapshot.words.overlap(text, f"{top.title}\n{top.text}"),
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
