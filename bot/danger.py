"""Whether a turn says that somebody is in danger now, or may hurt themselves.

Two looks. The first is at the sentence vector that the dissatisfaction model reads as well, and at the
letters of the turn; it lets six of seven ordinary turns go. What it is not sure to be harmless is looked
at again with multilingual-e5, which hears better and costs ten times as much. Both are taught by the
sentences in `nlu_data/danger`. The hub looks for its fixed phrases first and waits for nothing:
docs/decisions/0016-danger.md says how they share the work.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.classifier import Letters, Network, Numbers
from bot.knowledge.embeddings import Vector

MODEL = "use"
SECOND_MODEL = "e5"
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


@dataclass(frozen=True)
class Look:
    """What a look at a turn found: the odds of danger as each part of it sees them, and the kinds' scores."""

    odds: tuple[float, ...]
    kinds: Numbers


@dataclass(frozen=True)
class Detector:
    """What was learned. Of the odds that the parts of a look give, each counts so much, the last is added."""

    network: Network
    letters: Letters
    second_network: Network
    first_mix: tuple[float, ...]
    second_mix: tuple[float, ...]
    again_from: float
    first_act_from: float
    act_from: float

    def look(self, text: str, vector: Vector) -> Look:
        """Look at a turn and its vector of MODEL."""
        scores = self.network.scores(vector)
        return Look((odds(scores), self.letters.score(text)), scores[1:])

    def doubts(self, first: Look) -> bool:
        """Tell whether a turn must be looked at again."""
        return likelihood(first.odds, self.first_mix) >= self.again_from

    def look_again(self, first: Look, vector: Vector) -> Look:
        """Look at a turn that a first look was at, with its vector of SECOND_MODEL."""
        scores = self.second_network.scores(vector)
        return Look((*first.odds, odds(scores)), first.kinds + scores[1:])

    def found(self, second: Look) -> Danger | None:
        """Return the danger that a second look found, or None where it is less likely than is acted on."""
        return _acted_on(second, likelihood(second.odds, self.second_mix), self.act_from)

    def at_first_sight(self, first: Look) -> Danger | None:
        """Return the danger that a first look found where there is no time for a second."""
        return _acted_on(first, likelihood(first.odds, self.first_mix), self.first_act_from)


def _acted_on(look: Look, probability: float, act_from: float) -> Danger | None:
    if probability < act_from:
        return None
    return Danger(Kind.EMERGENCY if look.kinds[0] >= look.kinds[1] else Kind.SELF_HARM, probability)


def odds(scores: Numbers) -> float:
    """Return the logarithm of the odds of danger of any kind, of a network's scores: none, then the kinds."""
    return float(np.logaddexp(scores[1], scores[2]) - scores[0])


def likelihood(parts: tuple[float, ...], mix: tuple[float, ...]) -> float:
    """Return how likely danger is (0-1) where each part of a look gives these odds."""
    total = sum(part * share for part, share in zip(parts, mix[:-1], strict=True)) + mix[-1]
    return 1 / (1 + math.exp(-min(30.0, max(-30.0, total))))


@cache
def detector() -> Detector:
    """Return what was learned, from danger.json."""
    stored: dict[str, Any] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return Detector(
        Network.stored(stored["network"]),
        Letters.stored(stored["letters"]),
        Network.stored(stored["second_network"]),
        tuple(stored["first_mix"]),
        tuple(stored["second_mix"]),
        float(stored["again_from"]),
        float(stored["first_act_from"]),
        float(stored["act_from"]),
    )
