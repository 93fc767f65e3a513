"""What the queue shows of each conversation, read for everybody who may see the same of it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import DANGER, Address, Citizen, Conversation, ConversationState
from contact_hub.database import now
from contact_hub.desk.talk_words import CHANNELS
from contact_hub.flags import service as flags
from contact_hub.flags.models import Flag, Level
from contact_hub.handoff import queue
from contact_hub.handoff.models import Mention
from contact_hub.handoff.queue import Alike, Waiting
from contact_hub.handoff.rules import DANGERS, Rules
from contact_hub.staff.access import Viewer
from contact_hub.timeline.reading import first_id_at

MOST_HELD = 1000  # conversations in people's hands: beyond that a city has another problem
LONGEST_WORDS = 160  # characters of a resident's last words


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation that waits for a person or is held by one."""

    id: uuid.UUID
    citizen_id: uuid.UUID
    channel: str
    department: str | None
    language: str | None
    state: str
    holder: str | None
    reason: str | None
    priority: int
    since: datetime | None  # when the resident began to wait for a word
    promised_at: datetime | None
    overdue: bool
    snoozed: bool
    snoozed_until: datetime | None
    last_activity_at: datetime

    @property
    def waits(self) -> bool:
        """Whether nobody has it yet."""
        return self.state == ConversationState.WAITING

    @property
    def danger(self) -> bool:
        """Whether somebody may be hurt."""
        return self.priority >= DANGER


@dataclass(frozen=True, slots=True)
class Words:
    """What a resident said last or what told of danger, or what else they sent."""

    text: str
    kind: str
    language: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the queue with all that it shows."""

    talk: Talk
    name: str
    words: Words | None
    level: str | None  # of the gravest flag that nobody dismissed
    signals: tuple[str, ...]  # why it was raised, in words


@dataclass(slots=True)
class Snapshot:
    """What waits and is held at one moment, in the order in which it is to be served."""

    waiting: tuple[Talk, ...]  # as far as it is shown
    held: tuple[Talk, ...]
    alike: frozenset[Alike]  # how many wait in all, filtered or not
    mentions: dict[uuid.UUID, int]
    at: datetime
    mark: str = field(default_factory=lambda: secrets.token_hex(6))  # no other snapshot's, in no process
    rows: dict[uuid.UUID, Row] = field(default_factory=dict)
    asked: set[uuid.UUID] = field(default_factory=set)  # whose rows somebody looks at
    rows_at: datetime = field(default_factory=now)  # when all rows were read last, changed or not

    @property
    def talks(self) -> tuple[Talk, ...]:
        """Every conversation that is in it."""
        return self.waiting + self.held

    def same(self, other: Snapshot) -> bool:
        """Whether both show the same; rows are compared by whoever shows them."""
        mine, others = ((s.waiting, s.held, s.alike, s.mentions) for s in (self, other))
        return mine == others


async def read(
    session: AsyncSession,
    viewer: Viewer,
    rules: Rules,
    languages: Collection[str] = (),
    only: Sequence[ColumnElement[bool]] = (),
    show: int = 50,
) -> Snapshot:
    """Who waits, of those this viewer answers in their languages and may see, narrowed to `only`, and what
    is held.

    The whole queue may be long: only what is shown is read, and of the rest how many they are.
    """
    moment = now()
    waits, is_held = (
        Conversation.state == state for state in (ConversationState.WAITING, ConversationState.AGENT)
    )
    seen: Any = {"viewer": viewer, "rules": rules, "languages": languages}
    waiting = await queue.waiting(session, show, only=(waits, *only), **seen)
    held = await queue.waiting(session, MOST_HELD, only=(is_held,), **seen)
    alike = await queue.counted(session, **seen)
    unseen = await session.execute(
        select(Mention.staff_id, func.count()).where(Mention.seen_at.is_(None)).group_by(Mention.staff_id)
    )
    return Snapshot(
        tuple(_talk(line, moment) for line in waiting),
        tuple(_talk(line, moment) for line in held),
        frozenset(alike),
        {row[0]: row[1] for row in unseen},
        moment,
    )


def _talk(line: Waiting, moment: datetime) -> Talk:
    promised, snoozed = line.promised_at, line.snoozed_until
    return Talk(
        id=line.conversation_id,
        citizen_id=line.citizen_id,
        channel=line.channel,
        department=line.department,
        language=line.language,
        state=line.state,
        holder=line.holder,
        reason=line.reason,
        priority=line.priority,
        since=line.waiting_since or line.unanswered_since,
        promised_at=promised,
        overdue=promised is not None and promised <= moment,
        snoozed=snoozed is not None and snoozed > moment,
        snoozed_until=snoozed,
        last_activity_at=line.last_activity_at,
    )


async def rows_of(session: AsyncSession, talks: Sequence[Talk]) -> dict[uuid.UUID, Row]:
    """The lines of these conversations: who it is, what they said last, and why they are flagged."""
    if not talks:
        return {}
    ids = [talk.id for talk in talks]
    people = await _people(session, ids)
    words = await _words(session, _LAST, ids)
    words |= await _words(session, _ALARMING, [talk.id for talk in talks if talk.danger and talk.waits])
    flagged = await _flags(session, talks)
    return {
        talk.id: Row(talk, people.get(talk.id, ""), words.get(talk.id), *flagged.get(talk.id, (None, ())))
        for talk in talks
    }


async def _people(session: AsyncSession, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    rows = await session.execute(
        select(Conversation.id, Citizen.id, Citizen.name, Address.channel, Address.value)
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(Conversation.id.in_(ids))
    )
    return {row[0]: called(*row[1:]) for row in rows}


async def names_of(session: AsyncSession, addresses: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """What the desk calls whoever owns each of these addresses."""
    if not addresses:
        return {}
    rows = await session.execute(
        select(Address.id, Citizen.id, Citizen.name, Address.channel, Address.value)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(Address.id.in_(addresses))
    )
    return {row[0]: called(*row[1:]) for row in rows}


def called(citizen_id: uuid.UUID, name: str | None, channel: str, value: str) -> str:
    """A resident's name, else where they write from; a browser has neither."""
    if name:
        return name
    if channel in {"sms", "telegram"}:
        return f"{CHANNELS[channel]} {value.partition('#')[0]}"
    return f"Resident {str(citizen_id)[-6:]}"


# The newest by each conversation's own index; no conversation is older than the oldest given id.
_LAST = text("""
    SELECT c.id, last.text, last.kind, last.language
    FROM unnest(CAST(:ids AS uuid[])) AS c (id) CROSS JOIN LATERAL (
        SELECT left(t.text, :longest) AS text, t.kind, t.language FROM touchpoint t
        WHERE t.conversation_id = c.id AND t.direction = 'in' AND t.actor = 'citizen'
          AND t.id >= :oldest AND (t.text IS NOT NULL OR t.kind <> 'text')
        ORDER BY t.id DESC LIMIT 1
    ) AS last
""")

# What the safe words last answered.
_ALARMING = text("""
    SELECT c.id, alarm.text, alarm.kind, alarm.language
    FROM unnest(CAST(:ids AS uuid[])) AS c (id) CROSS JOIN LATERAL (
        SELECT left(t.text, :longest) AS text, t.kind, t.language
        FROM touchpoint safe JOIN touchpoint t ON t.id = safe.in_reply_to AND t.id >= :oldest
        WHERE safe.conversation_id = c.id AND safe.direction = 'out' AND safe.id >= :oldest
          AND safe.payload->>'say' = ANY(:dangers)
        ORDER BY safe.id DESC LIMIT 1
    ) AS alarm
""").bindparams(dangers=sorted(DANGERS))


async def _words(
    session: AsyncSession, query: TextClause, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Words]:
    if not ids:
        return {}
    opened = await session.scalar(select(func.min(Conversation.opened_at)).where(Conversation.id.in_(ids)))
    oldest = first_id_at((opened or now()) - timedelta(days=1))
    rows = await session.execute(query, {"ids": list(ids), "oldest": oldest, "longest": LONGEST_WORDS})
    return {row.id: Words(" ".join((row.text or "").split()), row.kind, row.language) for row in rows}


async def _flags(
    session: AsyncSession, talks: Sequence[Talk]
) -> dict[uuid.UUID, tuple[str, tuple[str, ...]]]:
    """The gravest flag of each that nobody dismissed, and what speaks for it; of equals the last.

    A flag of danger says nothing of a conversation that has been given back since.
    """
    raised = await flags.of_conversation(session, [talk.id for talk in talks])
    shown = {}
    for talk in talks:
        standing = [
            flag
            for flag in raised.get(talk.id, ())
            if flag.dismissed_at is None and (talk.danger or flag.level != Level.DANGER)
        ]
        if standing:
            gravest = max(standing, key=_gravity)
            shown[talk.id] = (gravest.level, tuple(str(one.get("words", "")) for one in gravest.signals))
    return shown


def _gravity(flag: Flag) -> tuple[int, float, datetime]:
    return (list(Level).index(Level(flag.level)), flag.score, flag.raised_at)
