"""Writing to the one history: touchpoints, their files, chat feeds, endings."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from sqlalchemy import Function, and_, cast, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR, insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.database import Database, new_id, now, sealer_of
from contact_hub.events import service as events
from contact_hub.sealing import Unsealable
from contact_hub.timeline.models import (
    ChatSession,
    FeedEntry,
    FileChunk,
    Inbound,
    Outcome,
    StoredFile,
    Touchpoint,
)
from contact_hub.timeline.words import configuration, searchable

CHUNK_BYTES = 256 * 1024
FILES = "attachment"  # the purpose they are sealed for
_REMEMBERED_CHARACTERS = 500  # of one message, where a follow-up question is understood by it


async def record(
    session: AsyncSession,
    *,
    address_id: uuid.UUID,
    direction: str,
    actor: str,
    kind: str,
    conversation_id: uuid.UUID | None = None,
    words: str | None = None,
    language: str | None = None,
    payload: dict[str, Any] | None = None,
    in_reply_to: uuid.UUID | None = None,
    message_id: str | None = None,
    provider_time: datetime | None = None,
    touchpoint_id: uuid.UUID | None = None,
    at: datetime | None = None,
) -> uuid.UUID:
    """Append one event and return its id; `at` is when it happened, where that was not now."""
    identity, recorded_at = touchpoint_id or new_id(at), at or now()
    await session.execute(
        insert(Touchpoint).values(
            id=identity,
            address_id=address_id,
            conversation_id=conversation_id,
            direction=direction,
            actor=actor,
            kind=kind,
            text=words,
            language=language,
            payload=payload or {},
            in_reply_to=in_reply_to,
            message_id=message_id,
            provider_time=provider_time,
            recorded_at=recorded_at,
            words=_found_by(words, payload, language),
        )
    )
    event = events.told_as(kind, payload or {})
    if await events.wanted(session, "touchpoint", *([event[0]] if event else [])):
        about = {"touchpoint": identity, "conversation": conversation_id, "recorded_at": recorded_at}
        more = {
            "kind": kind,
            "direction": direction,
            "actor": actor,
            "language": language,
            "in_reply_to": in_reply_to,
        }
        await _tell(session, address_id, about, more, event)
    return identity


def _found_by(
    words: str | None, payload: Mapping[str, Any] | None, language: str | None
) -> Function[str] | None:
    """What search will find a touchpoint by."""
    kept = searchable(words, payload)
    if kept is None:
        return None
    return func.to_tsvector(cast(literal(configuration(language)), REGCONFIG), kept, type_=TSVECTOR)


async def reword(
    session: AsyncSession, touchpoint_id: uuid.UUID, words: str | None, payload: dict[str, Any] | None = None
) -> bool:
    """Give a touchpoint another text, and another payload where one is given; False when it is gone.

    The words it was found by go in the same statement: nothing else remembers them.
    """
    found = (
        await session.execute(
            select(Touchpoint.payload, Touchpoint.language)
            .where(Touchpoint.id == touchpoint_id)
            .with_for_update()
        )
    ).first()
    if found is None:
        return False
    kept = found.payload if payload is None else payload
    await session.execute(
        update(Touchpoint)
        .where(Touchpoint.id == touchpoint_id)
        .values(text=words, payload=kept, words=_found_by(words, kept, found.language))
    )
    return True


async def tell_language(session: AsyncSession, touchpoint_id: uuid.UUID, language: str) -> None:
    """Say in which language a message turned out to be written, so that its words are found in it."""
    found = (
        await session.execute(
            select(Touchpoint.text, Touchpoint.payload).where(
                Touchpoint.id == touchpoint_id, Touchpoint.language.is_distinct_from(language)
            )
        )
    ).first()
    if found is not None:
        await session.execute(
            update(Touchpoint)
            .where(Touchpoint.id == touchpoint_id)
            .values(language=language, words=_found_by(found.text, found.payload, language))
        )


async def _tell(
    session: AsyncSession,
    address_id: uuid.UUID,
    about: dict[str, Any],
    more: dict[str, Any],
    event: tuple[str, dict[str, Any]] | None,
) -> None:
    """Tell other systems of a touchpoint: as such, and as what else it is."""
    at = (
        await session.execute(select(Address.citizen_id, Address.channel).where(Address.id == address_id))
    ).one()
    about = {**about, "channel": at.channel}
    await events.emit(session, "touchpoint", {**about, **more}, citizen_id=at.citizen_id)
    if event is not None:
        kind, details = event
        await events.emit(session, kind, {**about, **details}, citizen_id=at.citizen_id)


_NEXT_LINE = text("""
    WITH next AS (UPDATE chat_session SET last_seq = last_seq + 1 WHERE id = :id RETURNING last_seq)
    INSERT INTO feed_entry (session_id, seq, touchpoint_id) SELECT :id, last_seq, :touchpoint FROM next
    RETURNING seq
""")


async def append_to_feed(session: AsyncSession, chat_session: uuid.UUID, touchpoint_id: uuid.UUID) -> int:
    """Show a touchpoint as the next line of a chat session and return its `seq`."""
    seq = await session.scalar(_NEXT_LINE, {"id": chat_session, "touchpoint": touchpoint_id})
    if seq is None:
        raise LookupError(f"no chat session {chat_session}")
    return int(seq)


async def awaits_reading(session: AsyncSession, chat_session: uuid.UUID, seq: int) -> None:
    """Remember that a person's word stands in a chat session until its browser has fetched it."""
    await session.execute(
        update(ChatSession)
        .where(ChatSession.id == chat_session)
        .values(unread_since=func.coalesce(ChatSession.unread_since, now()), unread_seq=seq)
    )


_READ: LiteralString = """
    UPDATE chat_session SET unread_since = NULL, unread_seq = NULL, noticed_at = NULL
    WHERE id = %(session)s AND unread_seq <= %(seq)s
"""


async def has_read(database: Database, chat_session: uuid.UUID, seq: int) -> None:
    """A browser has every line of its session up to a `seq`."""
    await database.glance(_READ, session=chat_session, seq=seq)


async def feed_seq(session: AsyncSession, touchpoint_id: uuid.UUID) -> int | None:
    """The line a touchpoint has in its chat session."""
    return await session.scalar(select(FeedEntry.seq).where(FeedEntry.touchpoint_id == touchpoint_id))


@dataclass(frozen=True, slots=True)
class FeedLine:
    """A touchpoint as a line of a chat session."""

    seq: int
    touchpoint: uuid.UUID
    actor: str
    kind: str
    words: str | None
    payload: dict[str, Any]
    recorded_at: datetime
    has_files: bool


_FEED: LiteralString = """
    SELECT f.seq, t.id, t.actor, t.kind, t.text, t.payload, t.recorded_at,
           EXISTS (SELECT FROM attachment a WHERE a.touchpoint_id = t.id)
    FROM feed_entry f JOIN touchpoint t ON t.id = f.touchpoint_id
    WHERE f.session_id = %(session)s AND f.seq > %(after)s ORDER BY f.seq LIMIT %(limit)s
"""


async def read_feed(database: Database, chat_session: uuid.UUID, after: int, limit: int) -> list[FeedLine]:
    """The lines of a chat session after a `seq`, oldest first."""
    rows = await database.glance(_FEED, session=chat_session, after=after, limit=limit)
    return [FeedLine(*row) for row in rows]


async def language_of_session(session: AsyncSession, chat_session: uuid.UUID) -> str | None:
    """The language a browser asked for when its session began."""
    return await session.scalar(select(ChatSession.language).where(ChatSession.id == chat_session))


async def settle(session: AsyncSession, touchpoint_id: uuid.UUID, outcome: Outcome, step: str) -> None:
    """Say how an inbound message ended; the first word stands."""
    await session.execute(
        text(
            "UPDATE inbound SET outcome = :outcome, step = :step, settled_at = now()"
            " WHERE touchpoint_id = :touchpoint AND outcome IS NULL"
        ),
        {"outcome": outcome, "step": step, "touchpoint": touchpoint_id},
    )


async def find_inbound(session: AsyncSession, channel: str, account: str, external_id: str) -> Inbound | None:
    """What was already received under a provider's id."""
    return await session.get(Inbound, (channel, account, external_id))


# Files -------------------------------------------------------------------------------------------


async def keep_file(
    session: AsyncSession,
    *,
    touchpoint_id: uuid.UUID,
    address_id: uuid.UUID,
    name: str,
    mime: str,
    data: bytes,
    file_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """Store an attachment in sealed chunks beside its touchpoint."""
    sealer = sealer_of(session)
    identity = file_id or new_id()
    await session.execute(
        insert(StoredFile).values(
            id=identity,
            touchpoint_id=touchpoint_id,
            address_id=address_id,
            name=name,
            mime=mime,
            size=len(data),
            sha256=hashlib.sha256(data).digest(),
            created_at=now(),
            sealed=True,
        )
    )
    for position, start in enumerate(range(0, len(data), CHUNK_BYTES)):
        chunk = sealer.seal(FILES, data[start : start + CHUNK_BYTES], place_of(identity, position))
        await session.execute(insert(FileChunk).values(attachment_id=identity, position=position, data=chunk))
    return identity


async def read_file(session: AsyncSession, file_id: uuid.UUID) -> tuple[StoredFile, bytes] | None:
    """An attachment with its bytes; raises Unsealable when they are not what was stored."""
    found = await session.get(StoredFile, file_id)
    if found is None:
        return None
    rows = await session.execute(
        select(FileChunk.position, FileChunk.data)
        .where(FileChunk.attachment_id == file_id)
        .order_by(FileChunk.position)
    )
    if found.sealed:
        sealer = sealer_of(session)
        chunks = [sealer.unseal(FILES, chunk, place_of(file_id, position)) for position, chunk in rows]
    else:
        chunks = [chunk for _, chunk in rows]
    data = b"".join(chunks)
    # A chunk that is missing leaves no broken seal behind.
    if hashlib.sha256(data).digest() != found.sha256:
        raise Unsealable("This attachment is not what was stored: a part of it is missing or was changed.")
    return found, data


def place_of(file_id: uuid.UUID, position: int) -> bytes:
    """What a chunk is sealed about, so that no other attachment and no other position opens it."""
    return file_id.bytes + position.to_bytes(4, "big")


async def files_of(
    session: AsyncSession, touchpoints: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[StoredFile]]:
    """The attachments of some touchpoints, without their bytes."""
    found: dict[uuid.UUID, list[StoredFile]] = {}
    if touchpoints:
        rows = await session.scalars(select(StoredFile).where(StoredFile.touchpoint_id.in_(touchpoints)))
        for file in rows:
            found.setdefault(file.touchpoint_id, []).append(file)
    return found


# Reading -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """Something that happened in a conversation a while ago; `words` is cut after 500 characters."""

    id: uuid.UUID
    role: str  # citizen or bot
    kind: str
    words: str
    answer: str | None  # the id of the answer that it is, or that it judges
    outcome: str | None  # of an answer: answered, clarified or refused
    helpful: bool | None  # of a verdict on one


async def recent(
    session: AsyncSession,
    conversation_id: uuid.UUID,
    before: uuid.UUID,
    limit: int = 12,
    *,
    after: uuid.UUID | None = None,
) -> list[Said]:
    """What was last said in a conversation before a touchpoint, and what was thought of it; oldest first.

    `after` leaves out what was said up to another touchpoint: a person has dealt with it.
    """
    rows = await session.execute(
        select(
            Touchpoint.id,
            Touchpoint.actor,
            Touchpoint.kind,
            # A hundred thousand characters said once would otherwise be embedded with every later question.
            func.left(Touchpoint.text, _REMEMBERED_CHARACTERS),
            func.coalesce(Touchpoint.payload["answer"]["id"].astext, Touchpoint.payload["answer"].astext),
            Touchpoint.payload["answer"]["outcome"].astext,
            Touchpoint.payload["helpful"].as_boolean(),
        )
        .where(
            Touchpoint.conversation_id == conversation_id,
            Touchpoint.id < before,
            *(() if after is None else (Touchpoint.id > after,)),
            or_(
                and_(Touchpoint.text.is_not(None), Touchpoint.direction.in_(("in", "out"))),
                Touchpoint.kind == "rating",
            ),
        )
        .order_by(Touchpoint.id.desc())
        .limit(limit)
    )
    return [
        Said(
            identity, "citizen" if actor == "citizen" else "bot", kind, words or "", answer, outcome, helpful
        )
        for identity, actor, kind, words, answer, outcome, helpful in reversed(rows.all())
    ]
