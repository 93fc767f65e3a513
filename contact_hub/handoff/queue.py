"""Who waits for a person, in the order in which they are to be answered."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, DateTime, Interval, and_, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import DANGER, Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import theirs, unsealed
from contact_hub.database import now
from contact_hub.handoff.rules import MOST, PROMISE_LEAD, Rules, turn_at
from contact_hub.staff.access import SYSTEM, UNASSIGNED, Viewer

AGEING = timedelta(minutes=3)  # of callers that know no city


def turn_of(ageing: timedelta) -> ColumnElement[datetime]:
    """`rules.turn_at` as a column: LEAST passes over what is NULL."""
    lead = cast(literal(PROMISE_LEAD), Interval)
    points = func.least(Conversation.priority, MOST)
    since = func.least(Conversation.waiting_since, Conversation.promised_at - lead)
    return cast(since - points * cast(literal(ageing), Interval), DateTime(timezone=True))


def in_danger() -> ColumnElement[bool]:
    """Whether a conversation is one that waits for nobody."""
    return Conversation.priority >= DANGER


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line of the agents' queue. `waiting_since` is of those who wait, `unanswered_since` of those held."""

    conversation_id: uuid.UUID
    citizen_id: uuid.UUID
    channel: str
    state: str
    holder: str | None
    reason: str | None
    priority: int
    language: str | None
    department: str | None
    waiting_since: datetime | None
    promised_at: datetime | None
    unanswered_since: datetime | None
    snoozed_until: datetime | None
    last_activity_at: datetime


async def waiting(
    session: AsyncSession,
    limit: int = 200,
    *,
    viewer: Viewer = SYSTEM,
    rules: Rules | None = None,
    languages: Collection[str] = (),
    only: Sequence[ColumnElement[bool]] = (),
    offset: int = 0,
) -> list[Waiting]:
    """Conversations that wait for a person or are held by one, whose turn it is first.

    Of those the viewer answers, and whose citizens they may see. With `languages`, those in others show
    once they have waited for the city's patience with that, or stand for danger: somebody is better than
    nobody. `only` narrows it further, by columns of Conversation and Address.
    """
    query = (
        select(
            Conversation.id,
            Address.citizen_id,
            Address.channel,
            Conversation.state,
            Conversation.holder,
            Conversation.reason,
            Conversation.priority,
            Conversation.language,
            Conversation.department,
            Conversation.waiting_since,
            Conversation.promised_at,
            Conversation.unanswered_since,
            Conversation.snoozed_until,
            Conversation.last_activity_at,
        )
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(*_seen(viewer, rules, languages), *only)
        .order_by(
            (Conversation.state == ConversationState.AGENT),
            in_danger().desc(),
            turn_of(AGEING if rules is None else rules.ageing),
            Conversation.unanswered_since,
            Conversation.id,
        )
        .limit(limit)
        .offset(offset)
    )
    return [
        Waiting(
            conversation_id=row.id,
            citizen_id=row.citizen_id,
            channel=row.channel,
            state=row.state,
            holder=row.holder,
            reason=row.reason,
            priority=row.priority,
            language=row.language,
            department=row.department,
            waiting_since=row.waiting_since,
            promised_at=row.promised_at,
            unanswered_since=row.unanswered_since,
            snoozed_until=row.snoozed_until,
            last_activity_at=row.last_activity_at,
        )
        for row in await session.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Alike:
    """How many wait who have all of this in common."""

    department: str | None
    language: str | None
    channel: str
    reason: str | None
    danger: bool
    count: int


async def counted(
    session: AsyncSession, *, viewer: Viewer, rules: Rules | None = None, languages: Collection[str] = ()
) -> list[Alike]:
    """How many wait, of those that `waiting` gives to the same viewer."""
    alike = (
        *(Conversation.department, Conversation.language, Address.channel, Conversation.reason),
        in_danger(),
    )
    rows = await session.execute(
        select(*alike, func.count())
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(*_seen(viewer, rules, languages), Conversation.state == ConversationState.WAITING)
        .group_by(*alike)
    )
    return [Alike(*row) for row in rows]


def _seen(viewer: Viewer, rules: Rules | None, languages: Collection[str]) -> Iterator[ColumnElement[bool]]:
    yield Conversation.state.in_((ConversationState.WAITING, ConversationState.AGENT))
    # Who answers an open conversation may see its citizen, unless that record is sealed.
    yield theirs(viewer)
    yield unsealed(viewer)
    if languages and rules is not None:
        yield _for_speakers(languages, rules)


def _for_speakers(languages: Collection[str], rules: Rules) -> ColumnElement[bool]:
    return or_(
        Conversation.language.is_(None),
        Conversation.language.in_(sorted(languages)),
        Conversation.state != ConversationState.WAITING,
        Conversation.waiting_since <= now() - rules.other_languages,
        in_danger(),
    )


async def position(
    session: AsyncSession, conversation: Conversation, rules: Rules, front: str | None = None
) -> int:
    """How many in its department's queue will be answered up to and including this conversation.

    Danger is everybody's and waits only for danger.

    `front` is the department that looks after what belongs to none.
    """
    if conversation.waiting_since is None:
        return 1
    mine = turn_at(conversation.waiting_since, conversation.promised_at, conversation.priority, rules.ageing)
    turn, danger = turn_of(rules.ageing), conversation.priority >= DANGER
    sooner = or_(turn < mine, and_(turn == mine, Conversation.id < conversation.id))
    office = func.coalesce(func.nullif(Conversation.department, front or UNASSIGNED), UNASSIGNED)
    own = conversation.department if conversation.department != front else None
    ahead = await session.scalar(
        select(func.count())
        .select_from(Conversation)
        .where(
            Conversation.state == ConversationState.WAITING,
            Conversation.id != conversation.id,
            and_(in_danger(), sooner)
            if danger
            else and_(office == (own or UNASSIGNED), or_(in_danger(), sooner)),
        )
    )
    return int(ahead or 0) + 1
