"""What has been kept long enough goes: by the city's schedule, never past a legal hold.

Each class of records is one transaction, so that a night which ends half-way has done whole classes.
What is counted in the city's figures is counted before it goes. Where a whole month of touchpoints
goes and nobody of that month is held, its partition is dropped instead of emptied.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.service import record, shorten
from contact_hub.city import City, CityError
from contact_hub.database import Database, now
from contact_hub.outbox.models import ChannelMemory
from contact_hub.privacy import counts, erasure, holds
from contact_hub.privacy.ages import ALIASES, CLASSES, FREE
from contact_hub.privacy.holds import Held
from contact_hub.privacy.schedule import Rule, Schedule, schedule_of
from contact_hub.search import upkeep
from contact_hub.staff.access import SYSTEM

log = structlog.get_logger()

NIGHT = 3  # o'clock in the city's zone
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
_OLD = "t.id < :low"
_NOBODYS_HELD = (
    "NOT EXISTS (SELECT FROM answer a JOIN touchpoint p ON p.id = a.question_id"
    " WHERE jsonb_exists(t.answers, a.id::text) AND p.address_id = ANY(:held))"
)
_OF_THESE = "SELECT t.id FROM touchpoint t WHERE t.id < :low AND NOT (t.address_id = ANY(:held))"


@dataclass(frozen=True, slots=True)
class Line:
    """What of a class is older than its rule allows; with `dry_run` it is still there."""

    records: str
    rule: Rule
    before: datetime | None
    rows: int = 0
    held: int = 0  # old enough, and kept by a hold
    partitions: tuple[str, ...] = ()  # dropped as a whole

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "records": self.records,
            "rule": self.rule.name,
            "why": self.rule.why,
            "before": self.before and self.before.isoformat(),
            "rows": self.rows,
            "held": self.held,
            "partitions": list(self.partitions),
        }


async def look(database: Database, city: City) -> list[Line]:
    """What a run would remove now, class by class, changing nothing; raises CityError."""
    return await _all(database, city, None, dry_run=True)


async def run(database: Database, city: City, folder: Path) -> list[Line]:
    """Remove what has been kept long enough; raises CityError. `folder` is CIVICLINE_DATA."""
    lines = await _all(database, city, folder, dry_run=False)
    async with database.begin() as session:
        gone = {line.records: line.rows for line in lines if line.rows}
        await record(session, SYSTEM, "retention", removed=gone)
    log.info("retention.done", **gone)
    return lines


def chores(
    database: Database, city: City, folder: Path | None
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """What the worker's clock does for this room, as often as it ticks."""

    async def strays() -> None:
        async with database.begin() as session:
            await erasure.forget_strays(session)

    async def nightly() -> None:
        if folder is not None and await _begin_night(database, city):
            await run(database, city, folder)
            if await _words_were_removed(database):
                async for name in upkeep.rebuild(database):
                    log.info("retention.index_rebuilt", index=name)

    return {"strays": strays, "retention": nightly}


_REMOVED = """
    SELECT EXISTS (SELECT FROM erasure WHERE erased_at > :since)
        OR EXISTS (SELECT FROM touchpoint WHERE kind = 'redaction' AND id >= :low)
"""


async def _words_were_removed(database: Database) -> bool:
    """Whether somebody was erased or a message redacted lately: the index still holds their words."""
    since = now() - timedelta(days=1)
    async with database.begin() as session:
        values = {"since": since, "low": counts.floor(since)}
        return bool(await session.scalar(text(_REMOVED), values))


async def _begin_night(database: Database, city: City) -> bool:
    """Whether tonight's run is due and ours: once a night, however many clocks tick."""
    local = now().astimezone(city.zone)
    if local.hour < NIGHT:
        return False
    tonight = local.date().isoformat()
    async with database.begin() as session:
        mine = insert(ChannelMemory).values(channel="retention", key="night", value=tonight)
        taken = await session.execute(
            mine.on_conflict_do_update(
                index_elements=["channel", "key"],
                set_={"value": tonight},
                where=ChannelMemory.value < tonight,
            ).returning(ChannelMemory.value)
        )
        return taken.first() is not None


async def _all(database: Database, city: City, folder: Path | None, *, dry_run: bool) -> list[Line]:
    schedule, moment = schedule_of(city), now()
    _sound(schedule)
    lines = [await _class(database, name, schedule[name], moment, dry_run=dry_run) for name in CLASSES]
    lines.append(await _messages(database, schedule["messages"], moment, dry_run=dry_run))
    lines.append(await _conversations(database, schedule, moment, dry_run=dry_run))
    lines.append(await _people(database, schedule, moment, folder))
    lines.append(await _audit(database, schedule["audit"], moment, dry_run=dry_run))
    return [line for line in lines if not line.rule.forever]


def _sound(schedule: Schedule) -> None:
    """A conversation cannot go before what was said in it, nor a message before what refers to it."""
    at = datetime(2001, 1, 1, tzinfo=UTC)
    said = schedule["messages"].cutoff(at)
    for name in ("conversations", "people"):
        until = schedule[name].cutoff(at)
        if until is not None and (said is None or until > said):
            raise CityError(f"nlu_data/city.yml: retention keeps '{name}' for less long than 'messages'.")


# The classes -------------------------------------------------------------------------------------


async def _class(database: Database, name: str, rule: Rule, at: datetime, *, dry_run: bool) -> Line:
    before = rule.cutoff(at)
    if before is None:
        return Line(name, rule, None)
    rows = held = 0
    async with database.begin() as session:
        values = await _values(session, before, at)
        for old in CLASSES[name]:
            held += await _count(session, f"{old.table} t", f"{old.old} AND NOT ({old.free})", values)
            which = f"{old.old} AND {old.free}"
            if dry_run:
                rows += await _count(session, f"{old.table} t", which, values)
                continue
            for measure in old.measures:
                await counts.keep(session, measure, _named(which, ALIASES[measure]), **values)
            rows += await _delete(session, old.table, which, values)
    return Line(name, rule, before, rows, held)


async def _messages(database: Database, rule: Rule, at: datetime, *, dry_run: bool) -> Line:
    """Touchpoints with everything that says the same again: answers, feed lines, search words, and
    articles begun from questions and discarded."""
    before = rule.cutoff(at)
    if before is None:
        return Line("messages", rule, None)
    async with database.begin() as session:
        values = await _values(session, before, at)
        rows = await _count(session, "touchpoint t", f"{_OLD} AND {FREE}", values)
        held = await _count(session, "touchpoint t", f"{_OLD} AND NOT ({FREE})", values)
        discarded = f"t.state = 'discarded' AND t.changed_at < :before AND {_NOBODYS_HELD}"
        rows += await _count(session, "draft_article t", discarded, values)
        whole = await _whole_months(session, before, values)
        if not dry_run:
            await _delete(session, "draft_article", discarded, values)
            for measure in ("touchpoint", "handoff", "answer", "helpful"):
                await counts.keep(session, measure, f"{_OLD} AND {FREE}", **values)
            await _delete(
                session, "answer", f"t.question_id < :low AND t.question_id IN ({_OF_THESE})", values
            )
            await _delete(session, "feed_entry", f"t.touchpoint_id IN ({_OF_THESE})", values)
            if whole:
                # Dropping waits for everybody who reads the history, and they then wait for it.
                await session.execute(text("SET LOCAL lock_timeout = '10s'"))
            for partition in whole:
                await session.execute(text(f"DROP TABLE {partition}"))
            await _delete(session, "touchpoint", f"{_OLD} AND {FREE}", values)
    return Line("messages", rule, before, rows, held, tuple(whole))


async def _whole_months(session: AsyncSession, before: datetime, values: dict[str, Any]) -> list[str]:
    """Partitions of which every row is too old and nobody's is held."""
    names = await session.scalars(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = to_regclass('touchpoint') AND c.relname ~ '^touchpoint_[0-9]{6}$'"
            " ORDER BY 1"
        )
    )
    found = []
    for name in list(names):
        year, month = int(name[-6:-2]), int(name[-2:])
        after = (datetime(year, month, 1, tzinfo=UTC) + timedelta(days=32)).replace(day=1)
        if after <= before and not await _count(session, f"{name} t", f"NOT ({FREE})", values):
            found.append(str(name))
    return found


# Whatever of a conversation the other rules do not remove in the same night.
_LEFT = " AND ".join(
    f"NOT EXISTS (SELECT FROM {table} x WHERE x.conversation_id = t.id AND {left})"
    for table, left in {
        "touchpoint": "x.id >= :low_messages",
        "delivery": "(x.created_at >= :before_deliveries OR x.state IN ('queued', 'sending', 'uncertain'))",
        "report": "(x.created_at >= :before_reports OR x.state NOT IN ('done', 'rejected'))",
        "task": "true",
    }.items()
)


async def _conversations(database: Database, schedule: Schedule, at: datetime, *, dry_run: bool) -> Line:
    """Closed conversations of which nothing is left to be seen, and what Rasa remembers of them."""
    rule = schedule["conversations"]
    before = rule.cutoff(at)
    if before is None:
        return Line("conversations", rule, None)
    old = "t.state = 'closed' AND t.closed_at < :before"
    which = f"{old} AND {FREE} AND {_LEFT}"
    async with database.begin() as session:
        values = await _values(session, before, at)
        for name in ("messages", "deliveries", "reports"):
            values[f"before_{name}"] = schedule[name].cutoff(at) or _LONG_AGO
        values["low_messages"] = counts.floor(values["before_messages"])
        held = await _count(session, "conversation t", f"{old} AND NOT ({FREE})", values)
        rows = await _count(session, "conversation t", which, values)
        if not dry_run:
            await counts.keep(session, "conversation", _named(which, "c"), **values)
            if await session.scalar(text("SELECT to_regclass('assistant.tracker') IS NOT NULL")):
                these = f"SELECT t.id::text FROM conversation t WHERE {which}"  # noqa: S608 - our own words
                for table in ("assistant.tracker", "assistant.turn"):
                    await _delete(session, table, f"t.conversation IN ({these})", values)
            # What no rule of its own took before: of whoever closed it late, or looked at it since.
            for table in ("review", "flag", "reading", "rating", "wait", "mention", "presence", "held_reply"):
                here = f"t.conversation_id IN (SELECT t.id FROM conversation t WHERE {which})"  # noqa: S608
                if table in ALIASES:
                    await counts.keep(session, table, _of_talks(here, ALIASES[table]), **values)
                await _delete(session, table, here, values)
            rows = await _delete(session, "conversation", which, values)
    return Line("conversations", rule, before, rows, held)


_SILENT = """
    SELECT z.id FROM citizen z WHERE z.created_at < :before
      AND NOT EXISTS (SELECT FROM address a WHERE a.citizen_id = z.id
          AND (a.created_at >= :before OR a.last_inbound_at >= :before))
      AND EXISTS (SELECT FROM address a WHERE a.citizen_id = z.id)
      AND NOT EXISTS (SELECT FROM address a JOIN touchpoint t ON t.address_id = a.id
          WHERE a.citizen_id = z.id AND t.id >= :low)
      AND NOT EXISTS (SELECT FROM address a JOIN report r ON r.address_id = a.id
          WHERE a.citizen_id = z.id AND r.state IN ('received', 'in_progress'))
    ORDER BY z.id
"""


async def _people(database: Database, schedule: Schedule, at: datetime, folder: Path | None) -> Line:
    """Citizens who have been silent for so long that nothing else is left: erased like anybody who asks.

    Without `folder` they are only counted.
    """
    rule = schedule["people"]
    before = rule.cutoff(at)
    if before is None:
        return Line("people", rule, None)
    async with database.begin() as session:
        values = await _values(session, before, at)
        silent = list(await session.scalars(text(_SILENT), values))
        kept = {citizen for citizen in silent if await holds.of_citizen(session, citizen)}
    rows = 0
    for citizen in silent:
        if citizen in kept:
            continue
        if folder is None or await _erase_silent(database, citizen, schedule, folder, rule):
            rows += 1
    return Line("people", rule, before, rows, len(kept))


async def _erase_silent(
    database: Database, citizen: uuid.UUID, schedule: Schedule, folder: Path, rule: Rule
) -> bool:
    try:
        async with database.begin() as session:
            await erasure.erase(
                session, SYSTEM, citizen, schedule=schedule, folder=folder, reason=f"retention: {rule.name}"
            )
    except (LookupError, Held):  # gone or held since we looked
        return False
    return True


async def _audit(database: Database, rule: Rule, at: datetime, *, dry_run: bool) -> Line:
    """The beginning of the audit, which knows by itself where it begins then."""
    before = rule.cutoff(at)
    if before is None:
        return Line("audit", rule, None)
    async with database.begin() as session:
        # A chain is only ever cut from its beginning on.
        first = await session.scalar(
            text("SELECT min(number) FROM audit WHERE at >= :before"), {"before": before}
        )
        old = "true" if first is None else "t.number < :first"
        rows = await _count(session, "audit t", old, {} if first is None else {"first": first})
        if rows and not dry_run:
            rows = await shorten(session, SYSTEM, before)
    return Line("audit", rule, before, rows)


# Small parts -------------------------------------------------------------------------------------


async def _values(session: AsyncSession, before: datetime, at: datetime) -> dict[str, Any]:
    held = await holds.held_addresses(session, at)
    return {"before": before, "low": counts.floor(before), "held": held}


async def _count(session: AsyncSession, table: str, which: str, values: dict[str, Any]) -> int:
    found = await session.scalar(text(f"SELECT count(*) FROM {table} WHERE {which}"), values)  # noqa: S608
    return int(found or 0)


async def _delete(session: AsyncSession, table: str, which: str, values: dict[str, Any]) -> int:
    done = await session.execute(text(f"DELETE FROM {table} t WHERE {which}"), values)  # noqa: S608
    return int(done.rowcount)  # type: ignore[attr-defined]


def _of_talks(here: str, alias: str) -> str:
    """The condition for a measure's query; what stands in its brackets keeps its names."""
    return here.replace("t.conversation_id", f"{alias}.conversation_id", 1)


def _named(which: str, alias: str) -> str:
    """The same condition for a measure's query, whose rows have another name."""
    return re.sub(r"\bt\.", f"{alias}.", which)
