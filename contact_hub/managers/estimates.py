"""How right the flags are, and how much was missed, as far as the judged samples tell.

What was drawn on a busy day stands for more than what was drawn on a quiet one, so shares are weighted;
their intervals are Wilson's (1927) at the effective size of a weighted sample (Kish 1965): 95 % of such
intervals hold the true share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

FEWEST = 5  # fewer judgements tell nothing
_Z = 1.959964  # 95 % of a normal distribution lies within so many deviations


@dataclass(frozen=True, slots=True)
class Share:
    """A share between 0 and 1 with its 95 % interval, and how many judgements it rests on."""

    value: float
    low: float
    high: float
    n: int


def share(yes: Sequence[float], no: Sequence[float]) -> Share | None:
    """The share of `yes`, each judgement given by what it stands for; None where there are too few."""
    weights = [*yes, *no]
    if len(weights) < FEWEST:
        return None
    total = sum(weights)
    effective = total**2 / sum(weight**2 for weight in weights)
    value = sum(yes) / total
    low, high = wilson(value, effective)
    return Share(value, low, high, len(weights))


def wilson(value: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share that was seen in `n` cases."""
    square = _Z**2
    middle = (value + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * sqrt(value * (1 - value) / n + square / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def caught(flagged: float, right: Share, unflagged: float, missed: Share) -> Share | None:
    """Of all unhappy residents, the share whose conversation was flagged; None where nobody was unhappy.

    `flagged` and `unflagged` are numbers of conversations. The interval takes both shares at their less
    and at their more favourable end at once: it is wide, and holds the truth in at least 90 % of cases.
    """

    def of(hits: float, misses: float) -> float:
        return hits / (hits + misses) if hits + misses else 0.0

    if not flagged * right.value + unflagged * missed.value:
        return None
    return Share(
        of(flagged * right.value, unflagged * missed.value),
        of(flagged * right.low, unflagged * missed.high),
        of(flagged * right.high, unflagged * missed.low),
        right.n + missed.n,
    )
