"""Whether a turn says that somebody is in danger now, or may hurt themselves.

A linear model over the sentence vector that the dissatisfaction model reads as well, taught by the
sentences in `nlu_data/danger`. The hub looks for its fixed phrases first and waits for nothing:
docs/decisions/0016-danger.md says how the two share the work.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.knowledge.embeddings import Vector

MODEL = "use"
WEIGHTS = Path(__file__).parent / "danger.json"


class Kind(StrEnum):
    """What somebody is in danger of."""

    EMERGENCY = "emergency"
    SELF_HARM = "self_harm"


@dataclass(frozen=True)
class Danger:
    """A kind of danger, and how likely there is any (0-1)."""

    kind: Kind
    probability: float


def read(vector: Vector) -> Danger | None:
    """Return the danger that a turn tells of, or None where it is less likely than is acted on."""
    found = likeliest(vector)
    return found if found.probability >= float(model()["act_from"]) else None


def likeliest(vector: Vector) -> Danger:
    """Return the likelier kind of danger, and how likely there is danger of any kind."""
    totals = _heads() @ np.append(vector, 1.0)
    shares = np.exp(totals - totals.max())
    shares /= shares.sum()
    kind = Kind.EMERGENCY if shares[1] >= shares[2] else Kind.SELF_HARM
    return Danger(kind, float(shares[1] + shares[2]))


@cache
def model() -> dict[str, Any]:
    """Return the trained weights."""
    loaded: dict[str, Any] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return loaded


@cache
def _heads() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a row for nothing, emergency and self-harm: weights, then the bias."""
    weights = model()["weights"]
    return np.array([weights[name] for name in ("none", *Kind)], dtype=np.float64)
