"""Where a conversation stands, who else looks at it, and what is about to leave."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import ConversationState
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.desk.talk_room import Here
from contact_hub.desk.talk_words import CHANNELS, STATES, departments, language_name, reason
from contact_hub.handoff.models import HeldReply, Mention, Presence
from contact_hub.staff.models import Staff

HERE = timedelta(seconds=45)  # a colleague who was seen so lately still looks
TYPING = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody else who has the conversation open."""

    name: str
    typing: bool
    drafting: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Words that leave in a moment."""

    id: uuid.UUID
    agent: str
    text: str
    files: int
    due: datetime
    seconds: int
    mine: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The line above everything."""

    state: str
    words: str
    reason: str
    danger: bool
    department: str
    channel: str
    language: str
    snoozed: str | None
    promised: str | None
    late: bool
    waiting_since: datetime | None


def head_of(here: Here, city: City) -> Head:
    """Where a conversation stands."""
    talk = here.conversation
    moment = now()
    words = STATES.get(talk.state, talk.state)
    if talk.state == ConversationState.AGENT:
        words = "yours" if here.mine else f"with {talk.holder}"
    snoozed = talk.snoozed_until if talk.snoozed_until and talk.snoozed_until > moment else None
    waits = talk.state == ConversationState.WAITING
    promised = talk.promised_at if waits else None
    return Head(
        state=talk.state,
        words=words,
        reason=reason(talk.reason) if waits or here.danger else "",
        danger=here.danger,
        department=departments(city).get(
            talk.department or "", "every department" if here.danger else "no department yet"
        ),
        channel=CHANNELS.get(here.address.channel, here.address.channel),
        language=language_name(city, talk.language or here.citizen.language),
        snoozed=city.moment(snoozed, "en") if snoozed else None,
        promised=city.moment(promised, "en") if promised else None,
        late=bool(promised and promised < moment),
        waiting_since=talk.waiting_since if waits else None,
    )


async def colleagues(session: AsyncSession, here: Here) -> list[Colleague]:
    """Who else has the conversation open, and who of them writes."""
    moment = now()
    rows = await session.execute(
        select(Presence, Staff.name)
        .join(Staff, Staff.id == Presence.staff_id)
        .where(
            Presence.conversation_id == here.id,
            Presence.staff_id != here.viewer.id,
            Presence.seen_at > moment - HERE,
        )
        .order_by(Staff.name)
    )
    return [
        Colleague(
            name,
            presence.typed_at is not None and presence.typed_at > moment - TYPING,
            bool(presence.draft),
        )
        for presence, name in rows
    ]


async def draft_of(session: AsyncSession, here: Here) -> str:
    """What the viewer had written here and not sent."""
    found = await session.scalar(
        select(Presence.draft).where(Presence.conversation_id == here.id, Presence.staff_id == here.viewer.id)
    )
    return found or ""


async def held_replies(session: AsyncSession, here: Here) -> list[Held]:
    """Words that can still be taken back."""
    rows = await session.scalars(
        select(HeldReply).where(HeldReply.conversation_id == here.id).order_by(HeldReply.due_at)
    )
    moment = now()
    return [
        Held(
            held.id,
            held.agent,
            held.text,
            len(held.files),
            held.due_at,
            max(0, round((held.due_at - moment).total_seconds())),
            held.agent == here.viewer.name,
        )
        for held in rows
    ]


async def mentions_seen(session: AsyncSession, here: Here) -> bool:
    """The viewer has now seen where they were named here; True where there was such a place."""
    seen = await session.execute(
        update(Mention)
        .where(
            Mention.conversation_id == here.id,
            Mention.staff_id == here.viewer.id,
            Mention.seen_at.is_(None),
        )
        .values(seen_at=now())
        .returning(Mention.id)
        .execution_options(synchronize_session=False)
    )
    return bool(seen.all())


async def at_the_desk(session: AsyncSession) -> Sequence[Staff]:
    """Everybody who answers residents, by name: who can be mentioned or given a conversation."""
    return (
        await session.scalars(
            select(Staff)
            .where(Staff.disabled_at.is_(None), Staff.role.in_(("agent", "supervisor")))
            .order_by(Staff.name)
        )
    ).all()
