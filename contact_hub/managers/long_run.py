"""A year of months, erased residents included: what is there and what was kept of what is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.managers.hiding import hidden
from contact_hub.managers.tables import FEW, Cell, Column, Table

MONTHS = 12
# Table -> when its rows happened, and what they are told apart by.
_TABLES: Mapping[str, tuple[str, str]] = {
    "conversation": ("opened_at", "CASE WHEN follow_up THEN 'follow_up' ELSE '' END"),
    "answer": ("created_at", "outcome"),
    # One without a person was counted when its person left.
    "report": ("created_at", "CASE WHEN address_id IS NULL THEN 'left' ELSE '' END"),
    "flag": ("raised_at", "''"),
    "rating": ("closed_at", "score::text"),
}
# Column -> its table, which of the rows there, and what of `kept_count` belongs to it.
_COLUMNS: Mapping[str, tuple[str, str, str]] = {
    "Conversations": ("conversation", "", "conversation"),
    "Questions answered": ("answer", "answered", "answer:answered"),
    "Questions refused": ("answer", "refused", "answer:refused"),
    "Reports": ("report", "", "report"),
    "Flags": ("flag", "", "flag"),
    **{f"Rated {n}": ("rating", str(n), f"rating:{n}") for n in range(1, 6)},
}
_SHOWN = ("Conversations", "Questions answered", "Questions refused", "Reports", "Flags")
_RATED = tuple(f"Rated {n}" for n in range(1, 6))


async def long_run(session: AsyncSession, last: date) -> Table:
    """The last twelve months up to a day, from the counts that survive an erasure."""
    number = last.year * 12 + last.month - 1
    months = [date(n // 12, n % 12 + 1, 1) for n in range(number - MONTHS + 1, number + 1)]
    there = {table: await _there(session, months, table) for table in _TABLES}
    found = {
        name: await _with_kept(session, months, there[table].get(key, {}), kept)
        for name, (table, key, kept) in _COLUMNS.items()
    }
    counts = {name: found[name] for name in _SHOWN}
    counts["Ratings"] = {month: sum(found[rated][month] for rated in _RATED) for month in months}
    shut = {name: hidden({f"{month:%Y-%m}": n[month] for month in months}) for name, n in counts.items()}
    # A month's own page hides the mean where it hides a score.
    scores = ({f"{month:%Y-%m}": n for month, n in found[rated].items()} for rated in _RATED)
    no_mean = hidden(*scores, beyond=shut["Ratings"])
    rows: list[list[Cell]] = []
    for month in months:
        name, ratings = f"{month:%Y-%m}", counts["Ratings"][month]
        given = sum(n * found[rated][month] for n, rated in enumerate(_RATED, start=1))
        mean: Cell = given / ratings if ratings else None
        told: list[Cell] = [FEW if name in shut[column] else n[month] for column, n in counts.items()]
        rows.append([name, *told, FEW if name in no_mean else mean])
    return Table(
        "months",
        "Twelve months",
        [Column("Month"), *(Column(name, "count") for name in counts), Column("Satisfaction", "score")],
        rows,
        about="Months of UTC. These figures also count what was erased meanwhile.",
        chart="line",
        drawn=tuple(range(1, len(counts) + 1)),
        period=f"{months[0]:%Y-%m} to {months[-1]:%Y-%m}",
    )


async def _there(session: AsyncSession, months: Sequence[date], table: str) -> dict[str, dict[date, int]]:
    """How many rows there are of each kind in each month, read once."""
    time, key = _TABLES[table]
    rows = await session.execute(
        text(
            f"SELECT {key}, date_trunc('month', {time} AT TIME ZONE 'UTC')::date, count(*) FROM {table}"  # noqa: S608
            f" WHERE {time} >= :first AND {time} < :after GROUP BY 1, 2"
        ),
        {
            "first": datetime.combine(months[0], clock.min, UTC),
            "after": datetime.combine(months[-1] + timedelta(days=32), clock.min, UTC).replace(day=1),
        },
    )
    found: dict[str, dict[date, int]] = {}
    for which, month, n in rows:
        found.setdefault(str(which), {})[month] = int(n)
    return found


async def _with_kept(
    session: AsyncSession, months: Sequence[date], there: Mapping[date, int], kept: str
) -> dict[date, int]:
    """How many there were in each month: what is there, and what was counted before it went."""
    measure, _, begins = kept.partition(":")
    rows = await session.execute(
        text(
            "SELECT month, sum(n) FROM kept_count WHERE measure = :measure"
            " AND key LIKE :begins AND month = ANY(:months) GROUP BY 1"
        ),
        {"measure": measure, "begins": f"{begins}%", "months": list(months)},
    )
    gone = {month: int(n) for month, n in rows}
    return {month: there.get(month, 0) + gone.get(month, 0) for month in months}
