"""Whether a turn is dissatisfied, and whether it asks again what was asked before.

Everything here is a pure function of the turn and what was said before it. Sentence vectors come
from the Universal Sentence Encoder alone, whatever EMBEDDING_MODEL names: it reads all the city's
languages in one space and takes a few milliseconds. docs/decisions/0015-reading-dissatisfaction.md
holds what was measured.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.knowledge.embeddings import Vector, Vectors

MODEL = "use"
WEIGHTS = Path(__file__).parent / "satisfaction.json"
# How far back a turn is compared with what was said before it.
LONGEST_HISTORY = 12
# How much of a turn is looked at; whoever is unhappy says so before that.
LONGEST_TURN = 1_000


@dataclass(frozen=True)
class Repeats:
    """The place in the history of an earlier turn that asks the same, and how like it is (0-1)."""

    turn: int
    similarity: float


@dataclass(frozen=True)
class Feeling:
    """How likely a turn is dissatisfied (0-1), and what it repeats."""

    unhappy: float
    repeats: Repeats | None


@dataclass(frozen=True)
class Said:
    """A turn with its vector."""

    role: str
    text: str
    vector: Vector


def words(text: str, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what `feeling` needs a vector of, in its order: what was said lately, then the turn itself."""
    return [said[:LONGEST_TURN] for _, said in lately(history)[1]] + [text[:LONGEST_TURN]]


def lately(history: Sequence[Mapping[str, Any]]) -> tuple[int, list[tuple[str, str]]]:
    """Return where the part of a history begins that is looked at, and its (role, text) pairs."""
    start = max(0, len(history) - LONGEST_HISTORY)
    return start, [(str(turn.get("role", "")), str(turn.get("text", ""))) for turn in history[start:]]


def feeling(text: str, history: Sequence[Mapping[str, Any]], vectors: Vectors) -> Feeling:
    """Read a turn; `vectors` holds a row for each text that `words` gives."""
    start, turns = lately(history)
    earlier = [Said(role, said, row) for (role, said), row in zip(turns, vectors, strict=False)]
    now = Said("citizen", text, vectors[len(turns)])
    found = repeated(now, earlier)
    return Feeling(unhappy(now), None if found is None else Repeats(start + found.turn, found.similarity))


def unhappy(now: Said) -> float:
    """Return how likely a turn is dissatisfied (0-1)."""
    total = float(model()["bias"]) + float(_head() @ now.vector)
    return 1 / (1 + math.exp(-float(np.clip(total, -30, 30))))


def repeated(now: Said, earlier: Sequence[Said]) -> Repeats | None:
    """Return the earlier citizen's turn that asks the same as this one, or None."""
    likeness = [
        (float(now.vector @ turn.vector), at)
        for at, turn in enumerate(earlier)
        if turn.role == "citizen" and turn.text.strip()
    ]
    if not likeness:
        return None
    best, at = max(likeness)
    return Repeats(at, round(min(best, 1.0), 4)) if best >= float(model()["repeats_from"]) else None


@cache
def model() -> dict[str, Any]:
    """Return the trained weights."""
    loaded: dict[str, Any] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return loaded


@cache
def _head() -> Vector:
    return np.asarray(model()["weights"], dtype=np.float32)
