"""A city's figures that outlive its rows: counts by month and channel, belonging to nobody.

Whatever removes rows counts them first. A month's figure is what is still there and what was kept,
so that last month's report reads the same after an erasure or a partition's end as before.
Months are UTC's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class _Measure:
    """What is counted: rows, the time that says their month, their channel, and what tells them apart."""

    rows: str
    time: str
    channel: str
    key: str

    def query(self, which: str) -> str:
        """Month, channel, key and number of those rows."""
        month = f"date_trunc('month', {self.time} AT TIME ZONE 'UTC')::date"
        columns = f"{month} AS month, {self.channel} AS channel, {self.key} AS key, count(*) AS n"
        where = "AND" if " WHERE " in self.rows else "WHERE"
        return f"SELECT {columns} FROM {self.rows} {where} {which} GROUP BY 1, 2, 3"  # noqa: S608 - our words


_TOUCHPOINTS = "touchpoint t JOIN address a ON a.id = t.address_id"
_ANSWERS = (
    "answer n LEFT JOIN touchpoint t ON t.id = n.question_id LEFT JOIN address a ON a.id = t.address_id"
)
_MEASURES: Mapping[str, _Measure] = {
    "touchpoint": _Measure(_TOUCHPOINTS, "t.recorded_at", "a.channel", "t.direction || ' ' || t.kind"),
    "handoff": _Measure(
        f"{_TOUCHPOINTS} WHERE t.kind = 'handoff' AND t.payload->>'to' = 'waiting'",
        "t.recorded_at",
        "a.channel",
        "coalesce(t.payload->>'reason', '')",
    ),
    "inbound": _Measure(
        "inbound i",
        "i.received_at",
        "i.channel",
        "coalesce(i.outcome, 'unsettled') || ' ' || coalesce(i.step, '')",
    ),
    "answer": _Measure(  # by outcome, topic and language
        _ANSWERS,
        "n.created_at",
        "coalesce(a.channel, '')",
        "concat_ws(' ', n.outcome, split_part(n.passages->0->>'article', '/', 1), n.language)",
    ),
    "helpful": _Measure(
        f"{_ANSWERS} WHERE n.helpful IS NOT NULL",
        "n.created_at",
        "coalesce(a.channel, '')",
        "n.helpful::text",
    ),
    # A report without a person was counted when its person left.
    "report": _Measure(
        "report r JOIN address a ON a.id = r.address_id", "r.created_at", "a.channel", "r.category"
    ),
    "conversation": _Measure(
        "conversation c JOIN address a ON a.id = c.address_id WHERE NOT c.follow_up",
        "c.opened_at",
        "a.channel",
        "'opened'",
    ),
    "flag": _Measure("flag f", "f.raised_at", "f.channel", "concat_ws(' ', f.level, f.department)"),
    "rating": _Measure(
        "rating g",
        "g.closed_at",
        "g.channel",
        "concat_ws(' ', coalesce(g.score::text, g.state), g.department)",
    ),
    "wait": _Measure(  # whether somebody came, and as promised
        "wait w",
        "w.since",
        "w.channel",
        "concat_ws(' ', coalesce(w.ended, 'open'),"
        " CASE WHEN w.promised_at IS NULL THEN 'unpromised'"
        " WHEN w.overdue_at IS NULL THEN 'kept' ELSE 'late' END,"
        " w.department)",
    ),
    "citizen": _Measure("citizen z", "z.created_at", "''", "'new'"),
}


async def keep(session: AsyncSession, measure: str, rows: str, **values: Any) -> None:
    """Count the rows that are about to go; `rows` is a condition of ours on the measure's query."""
    gone = _MEASURES[measure].query(rows)
    into = "INSERT INTO kept_count (month, channel, measure, key, n)"
    more = "ON CONFLICT (month, channel, measure, key) DO UPDATE SET n = kept_count.n + excluded.n"
    statement = f"{into} SELECT month, channel, :measure, key, n FROM ({gone}) AS gone {more}"  # noqa: S608
    await session.execute(text(statement), {"measure": measure, **values})


async def add(session: AsyncSession, measure: str, key: str, at: datetime, channel: str = "") -> None:
    """Count one thing that has no row of its own."""
    await session.execute(
        text(
            "INSERT INTO kept_count (month, channel, measure, key, n) VALUES (:month, :channel, :measure, "
            ":key, 1) ON CONFLICT (month, channel, measure, key) DO UPDATE SET n = kept_count.n + 1"
        ),
        {"month": month_of(at), "channel": channel, "measure": measure, "key": key},
    )


async def monthly(session: AsyncSession, month: date) -> dict[tuple[str, str, str], int]:
    """The figures of a month by measure, channel and key, whether or not their rows are still there."""
    first, after = _bounds(month)
    found: dict[tuple[str, str, str], int] = {}
    for name, measure in _MEASURES.items():
        window = f"{measure.time} >= :first AND {measure.time} < :after"
        values: dict[str, Any] = {"first": first, "after": after}
        if name in {"touchpoint", "handoff"}:  # by id as well, for the partitions that need not be read
            window += " AND t.id >= :low AND t.id < :high"
            values |= {"low": floor(first - timedelta(days=1)), "high": floor(after + timedelta(days=1))}
        for _, channel, key, n in await session.execute(text(measure.query(window)), values):
            found[name, channel, key] = found.get((name, channel, key), 0) + n
    kept = text("SELECT measure, channel, key, n FROM kept_count WHERE month = :month")
    for name, channel, key, n in await session.execute(kept, {"month": first.date()}):
        found[name, channel, key] = found.get((name, channel, key), 0) + n
    return found


def month_of(at: datetime) -> date:
    """The month of a moment, as its first day."""
    return at.astimezone(UTC).date().replace(day=1)


def floor(at: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of a moment (RFC 9562: 48 bits of milliseconds come first)."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def _bounds(month: date) -> tuple[datetime, datetime]:
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    return first, (first + timedelta(days=32)).replace(day=1)
