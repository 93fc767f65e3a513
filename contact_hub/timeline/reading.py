"""Reading the one history page by page, with what belongs to each of its events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.database import now
from contact_hub.knowledge.models import Answer
from contact_hub.outbox.models import Delivery
from contact_hub.timeline.models import StoredFile, Touchpoint

Beside = TypeVar("Beside", StoredFile, Delivery)

OLDEST = uuid.UUID(int=0)
_AHEAD = timedelta(days=1)  # another machine's clock may run a little ahead of ours
# How far back each look goes, newest first: most pages end within the first. What is planned with both
# its ends known touches the partitions in between and no other.
_LOOKS_BACK = (timedelta(days=62), timedelta(days=310), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of a history to show; what is empty lets everything through."""

    channels: Sequence[str] = ()
    kinds: Sequence[str] = ()
    directions: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Event:
    """A touchpoint with its channel, its files, how far it got, and what was answered from where."""

    touchpoint: Touchpoint
    channel: str
    files: list[StoredFile] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first, and the cursor of the next page (None at the end)."""

    events: list[Event]
    older: uuid.UUID | None

    @property
    def touchpoints(self) -> list[tuple[Touchpoint, str]]:
        """The bare touchpoints with their channel."""
        return [(event.touchpoint, event.channel) for event in self.events]


def first_id_at(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of a moment: 48 bits of milliseconds since 1970, then nothing."""
    return uuid.UUID(int=max(0, min(int(moment.timestamp() * 1000), 2**48 - 1)) << 80)


def moment_of(identity: uuid.UUID) -> datetime:
    """When a UUIDv7 was made."""
    return datetime.fromtimestamp((identity.int >> 80) / 1000, tz=now().tzinfo)


async def page(
    session: AsyncSession,
    citizen_id: uuid.UUID,
    *,
    before: uuid.UUID | None = None,
    limit: int = 50,
    wanted: Wanted = EVERYTHING,
) -> Page:
    """A page of a citizen's history over all their addresses."""
    found: list[uuid.UUID] = []
    for newest, oldest in _looks(before, wanted):
        missing = limit + 1 - len(found)
        found += (await session.scalars(page_ids(citizen_id, newest, oldest, missing, wanted))).all()
        if len(found) > limit:
            break
    shown = found[:limit]
    return Page(await events(session, shown), shown[-1] if len(found) > limit else None)


def _looks(before: uuid.UUID | None, wanted: Wanted) -> Iterator[tuple[uuid.UUID, uuid.UUID]]:
    """The stretches of ids to look through, newest first; each ends before its newer end."""
    newest = min(first_id_at(now() + _AHEAD), before or uuid.UUID(int=2**128 - 1))
    if wanted.until is not None:
        newest = min(newest, first_id_at(wanted.until))
    last = OLDEST if wanted.since is None else first_id_at(wanted.since)
    start = newest
    for back in _LOOKS_BACK:
        if newest <= last:
            return
        oldest = last if back is None else max(last, _earlier(start, back))
        yield newest, oldest
        newest = oldest


def _earlier(identity: uuid.UUID, back: timedelta) -> uuid.UUID:
    """The first id of the time so long before an id's."""
    return uuid.UUID(int=max(0, (identity.int >> 80) - int(back.total_seconds() * 1000)) << 80)


def page_ids(
    citizen_id: uuid.UUID, newest: uuid.UUID, oldest: uuid.UUID, limit: int, wanted: Wanted
) -> Select[uuid.UUID]:
    """The ids of a page between two ids: at most `limit` of each address, from its index alone.

    LATERAL reads at most `limit` entries per address; a plain join over 3 million rows took 70 times
    as long.
    """
    inner = select(Touchpoint.id).where(
        Touchpoint.address_id == Address.id, Touchpoint.id < newest, Touchpoint.id >= oldest
    )
    if wanted.kinds:
        inner = inner.where(Touchpoint.kind.in_(wanted.kinds))
    if wanted.directions:
        inner = inner.where(Touchpoint.direction.in_(wanted.directions))
    newest_of_address = inner.order_by(Touchpoint.id.desc()).limit(limit).lateral()
    query = (
        select(newest_of_address.c.id)
        .select_from(Address)
        .join(newest_of_address, true())
        .where(Address.citizen_id == citizen_id)
        .order_by(newest_of_address.c.id.desc())
        .limit(limit)
    )
    return query.where(Address.channel.in_(wanted.channels)) if wanted.channels else query


async def events(session: AsyncSession, ids: Sequence[uuid.UUID]) -> list[Event]:
    """These touchpoints in their order, each with what belongs to it."""
    if not ids:
        return []
    rows = (
        await session.execute(
            select(Touchpoint, Address.channel)
            .join(Address, Address.id == Touchpoint.address_id)
            .where(Touchpoint.id.in_(ids))
        )
    ).all()
    files = await _gathered(session, StoredFile, ids)
    sent = [touchpoint.id for touchpoint, _ in rows if touchpoint.direction == "out"]
    deliveries = await _gathered(session, Delivery, sent)
    answers = await _answers(session, [touchpoint for touchpoint, _ in rows])
    by_id = {
        touchpoint.id: Event(
            touchpoint,
            channel,
            files.get(touchpoint.id, []),
            deliveries.get(touchpoint.id, []),
            answers.get(_answer_id(touchpoint)),
        )
        for touchpoint, channel in rows
    }
    return [by_id[identity] for identity in ids if identity in by_id]


async def _gathered(
    session: AsyncSession, table: type[Beside], ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Beside]]:
    gathered: dict[uuid.UUID, list[Beside]] = {}
    if ids:
        for row in await session.scalars(
            select(table).where(table.touchpoint_id.in_(ids)).order_by(table.id)
        ):
            gathered.setdefault(row.touchpoint_id, []).append(row)
    return gathered


async def _answers(
    session: AsyncSession, touchpoints: Sequence[Touchpoint]
) -> dict[uuid.UUID | None, Answer]:
    ids = [identity for touchpoint in touchpoints if (identity := _answer_id(touchpoint)) is not None]
    if not ids:
        return {}
    return {answer.id: answer for answer in await session.scalars(select(Answer).where(Answer.id.in_(ids)))}


def _answer_id(touchpoint: Touchpoint) -> uuid.UUID | None:
    """The answer that a message gave, or that a rating is about."""
    named: Any = touchpoint.payload.get("answer")
    if isinstance(named, dict):
        named = named.get("id")
    try:
        return uuid.UUID(named) if isinstance(named, str) else None
    except ValueError:
        return None
