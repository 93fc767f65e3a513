"""The city's figures of a period, counted in PostgreSQL by channel, topic, language, district or time.

What each figure means stands in docs/figures.md and on the page; what is here is how it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import now
from contact_hub.managers.period import Period
from contact_hub.managers.scope import departments_of
from contact_hub.privacy.counts import floor
from contact_hub.staff.access import Viewer


class By(StrEnum):
    """What figures are told apart by."""

    WEEK = "week"
    MONTH = "month"
    CHANNEL = "channel"
    TOPIC = "topic"
    LANGUAGE = "language"
    DISTRICT = "district"


_WITHIN_ROWS = {By.WEEK, By.MONTH, By.LANGUAGE}  # what rows say by themselves
Counted = dict[str, dict[str, Any]]  # group -> name of a figure -> what was counted


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows of one kind, when they happened and what tells them apart.

    `bare` are the same rows where neither their channel nor their conversation is asked for.
    """

    rows: str
    time: str
    channel: str
    department: str
    language: str
    conversation: str
    figures: str
    bare: str = ""

    def group(self, by: By) -> str:
        """The group of a row."""
        at = f"{self.time} AT TIME ZONE :zone"
        of_report = (
            "(SELECT r.district FROM report r"  # noqa: S608 - our words
            f" WHERE r.conversation_id = {self.conversation} AND r.district IS NOT NULL"
            " ORDER BY r.created_at LIMIT 1)"
        )
        return {
            By.WEEK: f"date_trunc('week', {at})::date::text",
            By.MONTH: f"to_char({at}, 'YYYY-MM')",
            By.CHANNEL: self.channel,
            By.TOPIC: f"coalesce({self.department}, '')",
            By.LANGUAGE: f"coalesce({self.language}, '')",
            By.DISTRICT: f"coalesce({of_report}, '')",
        }[by]

    def query(self, by: By, *, departments: bool) -> str:
        """One row for each group, and one for all together, whose group is NULL."""
        theirs = f" AND coalesce({self.department}, '') = ANY(:departments)" if departments else ""
        bare = self.bare if by in _WITHIN_ROWS and not departments else ""
        return (
            f"SELECT {self.group(by)} AS grp, {self.figures} FROM {bare or self.rows}"  # noqa: S608 - our words
            f" WHERE {self.time} >= :since AND {self.time} < :until{theirs} GROUP BY GROUPING SETS ((1), ())"
        )


# A talk that never changed hands has the epoch 0, or 1 from being closed; who asked for a person waited.
_BOT_ONLY = (
    "c.epoch <= 1 AND c.state IN ('bot', 'closed')"
    " AND NOT EXISTS (SELECT FROM wait w WHERE w.conversation_id = c.id)"
)
_ANOTHER = (
    "EXISTS (SELECT FROM address b JOIN conversation d ON d.address_id = b.id"
    " WHERE b.citizen_id = c.citizen_id AND d.id <> c.id AND NOT d.follow_up"
    " AND coalesce(d.department, '') = c.matter"
    " AND d.opened_at > c.ended_at AND d.opened_at <= c.ended_at + interval '7 days')"
)
# The next one says it, unless it began before this one ended, or there is none as far as was looked.
_CAME_BACK = (
    "CASE WHEN c.next_at > c.ended_at THEN c.next_at <= c.ended_at + interval '7 days'"
    " WHEN c.next_at IS NULL AND c.ended_at + interval '7 days' < :two_weeks_after THEN false"
    f" ELSE {_ANOTHER} END"
)
_TALKS = f"""(
    SELECT c.id, c.opened_at, c.closed_at, c.channel, c.department,
           coalesce(c.language, z.language) AS language, c.settled, c.third, {_BOT_ONLY} AS bot_only,
           c.settled AND {_BOT_ONLY} AND NOT {_CAME_BACK} AS contained,
           EXISTS (SELECT FROM flag f WHERE f.conversation_id = c.id) AS flagged
    FROM (
        SELECT c.id, c.opened_at, c.closed_at, c.epoch, c.state, c.department, c.language,
               a.channel, a.citizen_id,
               coalesce(c.department, '') AS matter, coalesce(c.closed_at, c.last_activity_at) AS ended_at,
               c.state IN ('bot', 'closed')
                   AND coalesce(c.closed_at, c.last_activity_at) < :seven_days_ago AS settled,
               coalesce(lag(c.opened_at, 2) OVER matter >= c.opened_at - interval '14 days', false) AS third,
               lead(c.opened_at) OVER matter AS next_at
        FROM conversation c JOIN address a ON a.id = c.address_id
        WHERE c.opened_at >= :two_weeks_before AND c.opened_at < :two_weeks_after AND NOT c.follow_up
        WINDOW matter AS (PARTITION BY a.citizen_id, coalesce(c.department, '') ORDER BY c.opened_at, c.id)
    ) AS c JOIN citizen z ON z.id = c.citizen_id
    WHERE c.opened_at >= :since AND c.opened_at < :until
) AS k"""  # noqa: S608 - our words
# Of floats: `extract` gives numerics, which take several times as long.
_MINUTES = "percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', {0}) / 60)"
# The milliseconds in which a UUIDv7 begins (RFC 9562).
_MS = "('x' || left({0}::text, 8) || substr({0}::text, 10, 4))::bit(48)::bigint"

# A question lies in the partitions of its time; it goes with its answer, so none is missing in the bare rows.
_ANSWERS = (
    "answer n JOIN touchpoint t ON t.id = n.question_id AND t.id >= :low AND t.id < :high"
    " JOIN address a ON a.id = t.address_id LEFT JOIN conversation c ON c.id = t.conversation_id"
)
_BARE_ANSWERS = "(SELECT * FROM answer WHERE question_id >= :low AND question_id < :high) AS n"

_SOURCES: Mapping[str, _Source] = {
    "talks": _Source(
        _TALKS,
        "k.opened_at",
        "k.channel",
        "k.department",
        "k.language",
        "k.id",
        "count(*) AS talks, count(*) FILTER (WHERE k.settled) AS settled,"
        " count(*) FILTER (WHERE k.contained) AS contained,"
        " count(*) FILTER (WHERE k.third) AS repeated, count(*) FILTER (WHERE k.flagged) AS flagged,"
        " count(*) FILTER (WHERE k.closed_at IS NOT NULL AND NOT k.bot_only) AS resolved,"
        f" {_MINUTES.format('(k.closed_at - k.opened_at)')}"
        " FILTER (WHERE k.closed_at IS NOT NULL AND NOT k.bot_only) AS resolution",
    ),
    "answers": _Source(
        _ANSWERS,
        "n.created_at",
        "a.channel",
        "c.department",
        "n.language",
        "c.id",
        "count(*) AS answers, count(*) FILTER (WHERE n.outcome = 'answered') AS answered,"
        " count(*) FILTER (WHERE n.outcome = 'refused') AS refused,"
        " count(n.helpful) AS thumbs, count(*) FILTER (WHERE n.helpful) AS helpful,"
        f" percentile_cont(0.5) WITHIN GROUP (ORDER BY ({_MS.format('n.touchpoint_id')}"
        f" - {_MS.format('n.question_id')}) / 60000::float8) AS bot_minutes",
        _BARE_ANSWERS,
    ),
    "waits": _Source(
        "wait w",
        "w.since",
        "w.channel",
        "w.department",
        "w.language",
        "w.conversation_id",
        "count(*) AS waits, count(w.first_word_at) AS heard,"
        f" {_MINUTES.format('(w.first_word_at - w.since)')}"
        " FILTER (WHERE w.first_word_at IS NOT NULL) AS first_word,"
        " count(*) FILTER (WHERE w.promised_at IS NOT NULL"
        " AND (w.first_word_at IS NOT NULL OR w.promised_at < least(coalesce(w.ended_at, :at), :at)))"
        " AS promised,"
        " count(*) FILTER (WHERE w.first_word_at <= w.promised_at) AS kept",
    ),
    "ratings": _Source(
        "rating g",
        "g.closed_at",
        "g.channel",
        "g.department",
        "g.language",
        "g.conversation_id",
        "count(g.asked_at) AS asked, count(g.score) AS rated, avg(g.score)::float AS mean, "
        + ", ".join(f"count(*) FILTER (WHERE g.score = {n}) AS score_{n}" for n in range(1, 6)),
    ),
}


async def counted(
    session: AsyncSession, viewer: Viewer, period: Period, by: By
) -> tuple[dict[str, Any], Counted]:
    """Every figure of a period, all together and by group, as far as the viewer's departments go."""
    together: dict[str, Any] = {}
    apart: Counted = {}
    departments = departments_of(viewer)
    for source in _SOURCES.values():
        statement = source.query(by, departments=departments is not None)
        for row in (await session.execute(text(statement), _values(viewer, period))).mappings():
            group = row["grp"]
            found = together if group is None else apart.setdefault(str(group), {})
            found.update({name: value for name, value in row.items() if name != "grp"})
    return together, apart


# What is told by itself, not with every group ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _List:
    """Rows that are counted by one thing only."""

    group: str
    rows: str
    time: str
    department: str
    bare: str = ""  # the same rows where nobody asks for a department

    def query(self, *, departments: bool) -> str:
        """One row for each group."""
        theirs = f" AND coalesce({self.department}, '') = ANY(:departments)" if departments else ""
        rows = self.rows if departments or not self.bare else self.bare
        return (
            f"SELECT {self.group}, count(*) FROM {rows}"  # noqa: S608 - our words
            f" WHERE {self.time} >= :since AND {self.time} < :until{theirs} GROUP BY 1"
        )


_HELD = "(SELECT * FROM conversation WHERE epoch > 1) AS c"
_LISTS: Mapping[str, _List] = {
    "scores": _List(
        "g.score::text",
        "(SELECT * FROM rating WHERE score IS NOT NULL) AS g",
        "g.closed_at",
        "g.department",
    ),
    "outcomes": _List("n.outcome", _ANSWERS, "n.created_at", "c.department", _BARE_ANSWERS),
    "resolutions": _List("coalesce(c.resolution, '')", _HELD, "c.closed_at", "c.department"),
    "levels": _List("f.level", "flag f", "f.raised_at", "f.department"),
    "reports": _List("coalesce(r.district, '')", "report r", "r.created_at", "r.department"),
    "categories": _List("r.category", "report r", "r.created_at", "r.department"),
}


async def listed(session: AsyncSession, viewer: Viewer, period: Period, name: str) -> dict[str, int]:
    """How many of each: `scores`, `outcomes`, `resolutions`, `levels`, `reports` or `categories`."""
    statement = _LISTS[name].query(departments=departments_of(viewer) is not None)
    rows = await session.execute(text(statement), _values(viewer, period))
    return {str(group): int(n) for group, n in rows}


def _values(viewer: Viewer, period: Period) -> dict[str, Any]:
    departments = departments_of(viewer)
    return {
        "since": period.since,
        "until": period.until,
        "zone": period.zone.key,
        "at": now(),
        "two_weeks_before": period.since - timedelta(days=14),
        "two_weeks_after": period.until + timedelta(days=14),
        "seven_days_ago": now() - timedelta(days=7),
        # The partitions that hold questions of the period; a person may wake up a day later.
        "low": floor(period.since - timedelta(days=1)),
        "high": floor(period.until + timedelta(days=1)),
        "departments": departments or [],
    }
