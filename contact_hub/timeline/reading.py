"""Reading the one history page by page, with what belongs to each of its events.

Statements of fixed wording, two a page: composing queries out of parts took three times as long as
PostgreSQL takes to answer them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import now

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
class File:
    """An attachment; its bytes are the timeline service's to open."""

    id: uuid.UUID
    name: str
    mime: str
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an outgoing message and how far it got."""

    part: int
    parts: int
    state: str
    code: str | None
    reason: str | None
    tries: int
    possible_duplicate: bool
    first_tried_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the bot answered from, and how sure it was."""

    id: uuid.UUID
    outcome: str
    probability: float
    knowledge_version: int | None
    passages: list[dict[str, Any]]  # article, version, language, title, score
    helpful: bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """A touchpoint with its channel, its files, how far it got, and what was answered from where."""

    id: uuid.UUID
    channel: str
    direction: str
    actor: str
    kind: str
    text: str | None
    language: str | None
    payload: dict[str, Any]
    in_reply_to: uuid.UUID | None
    provider_time: datetime | None
    recorded_at: datetime
    conversation_id: uuid.UUID | None
    files: list[File] = field(default_factory=list)
    deliveries: list[Part] = field(default_factory=list)
    answer: Answered | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first, and the cursor of the next page (None at the end)."""

    events: list[Event]
    older: uuid.UUID | None


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
        query = _PAGE_OF_KINDS if rare(wanted) else _PAGE
        rows = await session.scalars(query, asked(citizen_id, newest, oldest, missing, wanted))
        found += rows.all()
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


# At most :limit of each address, from its index alone: a plain join over 3 million rows took 70 times as
# long. What is not asked for is NULL, and PostgreSQL leaves it out as it plans.
PAGE = """
    SELECT newest.id FROM address a CROSS JOIN LATERAL (
        SELECT t.id FROM touchpoint t
        WHERE t.address_id = a.id AND t.id < :newest AND t.id >= :oldest
          AND (CAST(:kinds AS text[]) IS NULL OR t.kind = ANY(CAST(:kinds AS text[])))
          AND (CAST(:directions AS text[]) IS NULL OR t.direction = ANY(CAST(:directions AS text[])))
        ORDER BY t.id DESC LIMIT :limit
    ) AS newest
    WHERE a.citizen_id = :citizen
      AND (CAST(:channels AS text[]) IS NULL OR a.channel = ANY(CAST(:channels AS text[])))
    ORDER BY newest.id DESC LIMIT :limit
"""

# The same where no words of a conversation are asked for: each kind from the index of what is not text, so
# that nobody's hundred thousand messages are passed over to find that they were never merged.
PAGE_OF_KINDS = """
    SELECT newest.id FROM address a
    CROSS JOIN unnest(CAST(:kinds AS text[])) AS asked (kind)
    CROSS JOIN LATERAL (
        SELECT t.id FROM touchpoint t
        WHERE t.address_id = a.id AND t.kind = asked.kind AND t.kind <> 'text'
          AND t.id < :newest AND t.id >= :oldest
          AND (CAST(:directions AS text[]) IS NULL OR t.direction = ANY(CAST(:directions AS text[])))
        ORDER BY t.id DESC LIMIT :limit
    ) AS newest
    WHERE a.citizen_id = :citizen
      AND (CAST(:channels AS text[]) IS NULL OR a.channel = ANY(CAST(:channels AS text[])))
    ORDER BY newest.id DESC LIMIT :limit
"""

# The range beside the list lets PostgreSQL leave out the other months' partitions.
EVENTS = r"""
    SELECT t.id, a.channel, t.direction, t.actor, t.kind, t.text, t.language, t.payload, t.in_reply_to,
        t.provider_time, t.recorded_at, t.conversation_id,
        (SELECT json_agg(json_build_object('id', f.id, 'name', f.name, 'mime', f.mime, 'size', f.size)
                         ORDER BY f.id) FROM attachment f WHERE f.touchpoint_id = t.id) AS files,
        CASE WHEN t.direction = 'out' THEN
            (SELECT json_agg(json_build_object('part', d.part, 'parts', d.parts, 'state', d.state,
                    'code', d.code, 'reason', d.reason, 'tries', d.tries,
                    'possible_duplicate', d.possible_duplicate,
                    'first_tried_at', d.first_tried_at, 'settled_at', d.settled_at)
                    ORDER BY d.part, d.id)
             FROM delivery d WHERE d.touchpoint_id = t.id) END AS deliveries,
        (SELECT json_build_object('id', w.id, 'outcome', w.outcome, 'probability', w.probability,
                'knowledge_version', w.knowledge_version, 'passages', w.passages, 'helpful', w.helpful)
         FROM answer w
         WHERE w.id = CASE WHEN named.id ~ '^[0-9a-f-]{36}$' THEN CAST(named.id AS uuid) END) AS answer
    FROM touchpoint t
    JOIN address a ON a.id = t.address_id
    CROSS JOIN LATERAL (SELECT CASE jsonb_typeof(t.payload -> 'answer')
        WHEN 'object' THEN t.payload #>> '{answer,id}'
        WHEN 'string' THEN t.payload ->> 'answer' END) AS named (id)
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.id >= :oldest AND t.id <= :newest
    ORDER BY t.id DESC
"""
_PAGE, _PAGE_OF_KINDS, _EVENTS = text(PAGE), text(PAGE_OF_KINDS), text(EVENTS)


def rare(wanted: Wanted) -> bool:
    """Whether only kinds other than text are asked for, which have an index of their own."""
    return bool(wanted.kinds) and "text" not in wanted.kinds


def asked(
    citizen_id: uuid.UUID, newest: uuid.UUID, oldest: uuid.UUID, limit: int, wanted: Wanted
) -> dict[str, Any]:
    """The values of PAGE."""
    return {
        "citizen": citizen_id,
        "newest": newest,
        "oldest": oldest,
        "limit": limit,
        "channels": list(wanted.channels) or None,
        "kinds": sorted(set(wanted.kinds)) or None,  # each once: PAGE_OF_KINDS looks for each by itself
        "directions": [str(direction) for direction in wanted.directions] or None,
    }


async def events(session: AsyncSession, ids: Sequence[uuid.UUID]) -> list[Event]:
    """These touchpoints, newest first, each with what belongs to it."""
    if not ids:
        return []
    rows = await session.execute(_EVENTS, {"ids": list(ids), "oldest": min(ids), "newest": max(ids)})
    return [
        replace(
            Event(*row[:12]),
            files=[File(**{**file, "id": uuid.UUID(file["id"])}) for file in row.files or ()],
            deliveries=[_part(part) for part in row.deliveries or ()],
            answer=None if row.answer is None else _answered(row.answer),
        )
        for row in rows
    ]


def _part(told: dict[str, Any]) -> Part:
    times = {
        name: told[name] and datetime.fromisoformat(told[name]) for name in ("first_tried_at", "settled_at")
    }
    return Part(**{**told, **times})


def _answered(told: dict[str, Any]) -> Answered:
    return Answered(**{**told, "id": uuid.UUID(told["id"])})
