"""A year of months, erased residents included: what is there and what was kept of what is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.managers.hiding import hidden
from contact_hub.managers.tables import FEW, Cell, Column, Table
from contact_hub.privacy import counts

MONTHS = 12
_MEASURES = frozenset({"conversation", "answer", "report", "flag", "rating"})
_NAMES = ("Conversations", "Questions answered", "Questions refused", "Reports", "Flags", "Ratings")


@dataclass(frozen=True, slots=True)
class _Month:
    """The counts of a month in the order of the columns, and the sum of what was given as ratings."""

    counts: tuple[int, ...]
    given: int

    @property
    def mean(self) -> float | None:
        return self.given / self.counts[-1] if self.counts[-1] else None


async def long_run(session: AsyncSession, last: date) -> Table:
    """The last twelve months up to a day, from the counts that survive an erasure."""
    number = last.year * 12 + last.month - 1
    days = [date(n // 12, n % 12 + 1, 1) for n in range(number - MONTHS + 1, number + 1)]
    months = {f"{day:%Y-%m}": _month(await counts.monthly(session, day, _MEASURES)) for day in days}
    shut = [hidden({name: month.counts[at] for name, month in months.items()}) for at in range(len(_NAMES))]
    rows: list[list[Cell]] = [
        [
            name,
            *(FEW if name in shut[at] else n for at, n in enumerate(month.counts)),
            FEW if name in shut[-1] else month.mean,
        ]
        for name, month in months.items()
    ]
    return Table(
        "months",
        "Twelve months",
        [Column("Month"), *(Column(name, "count") for name in _NAMES), Column("Satisfaction", "score")],
        rows,
        about="Months of UTC. These figures also count what was erased meanwhile.",
        chart="line",
        drawn=(1, 2, 3, 4, 5, 6),
    )


def _month(found: dict[tuple[str, str, str], int]) -> _Month:
    def sum_of(measure: str, begins: str = "") -> int:
        return sum(n for (name, _, key), n in found.items() if name == measure and key.startswith(begins))

    scores = {score: sum_of("rating", str(score)) for score in range(1, 6)}
    return _Month(
        (
            sum_of("conversation"),
            sum_of("answer", "answered"),
            sum_of("answer", "refused"),
            sum_of("report"),
            sum_of("flag"),
            sum(scores.values()),
        ),
        sum(score * n for score, n in scores.items()),
    )
