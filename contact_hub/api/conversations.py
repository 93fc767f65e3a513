"""Conversations: who waits, and what a person does with one."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.api.citizens import Words
from contact_hub.api.idempotency import CONFLICT, Key, once
from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import theirs, visible
from contact_hub.composition import Parts
from contact_hub.handoff import service as handoff
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import by_hand
from contact_hub.staff.access import Action, Viewer


class WaitingOut(BaseModel):
    """A conversation that waits for a person or is held by one."""

    conversation: uuid.UUID
    citizen: uuid.UUID
    channel: str
    state: str
    holder: str | None
    reason: str | None
    priority: int
    language: str | None
    waiting_since: datetime | None
    promised_at: datetime | None
    department: str | None


class ConversationOut(BaseModel):
    """A conversation as it is now."""

    conversation: uuid.UUID
    citizen: uuid.UUID
    channel: str
    state: str
    holder: str | None
    department: str | None
    language: str | None
    opened_at: datetime
    closed_at: datetime | None
    resolution: str | None


class EndingIn(BaseModel):
    """How a conversation ended."""

    resolution: (
        Annotated[Words, Field(max_length=80, description="a key of city.yml's resolutions")] | None
    ) = None


class MessageIn(BaseModel):
    """What a person says to a resident."""

    text: Annotated[Words, Field(min_length=1, max_length=by_hand.LONGEST_REPLY)]


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/conversations`."""
    _reading(routes, parts, permission)
    _answering(routes, parts, permission)


def _reading(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    may_see = permission.needs(Action.QUEUE)
    of_one = permission.needs(Action.QUEUE, of_citizen="conversation")

    @routes.get("/conversations/waiting")
    async def waiting(viewer: Viewer = may_see) -> list[WaitingOut]:
        """Conversations that wait for a person or are held by one, the most urgent first."""
        async with parts.database.begin() as session:
            found = await handoff.waiting(session, viewer=viewer, rules=rules_of(parts.city))
        return [
            WaitingOut(
                conversation=w.conversation_id,
                citizen=w.citizen_id,
                channel=w.channel,
                state=w.state,
                holder=w.holder,
                reason=w.reason,
                priority=w.priority,
                language=w.language,
                waiting_since=w.waiting_since,
                promised_at=w.promised_at,
                department=w.department,
            )
            for w in found
        ]

    @routes.get("/conversations/{conversation}", responses=MISSING)
    async def one(
        conversation: uuid.UUID,
        viewer: Viewer = of_one,
    ) -> ConversationOut:
        """A conversation as it is now."""
        async with parts.database.begin() as session:
            found = await _seen(session, permission, viewer, conversation)
            await audit.record(
                session, viewer, "conversation.read", citizen_id=found.citizen, subject=str(conversation)
            )
        return found


def _answering(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    may = permission.needs(Action.ANSWER, of_citizen="conversation")

    @routes.post(
        "/conversations/{conversation}/messages",
        status_code=202,
        response_model=ConversationOut,
        responses=MISSING | CONFLICT,
    )
    async def say(
        conversation: uuid.UUID, message: MessageIn, viewer: Viewer = may, key: Key = None
    ) -> Response:
        """Answer a resident. The first word takes the conversation, and the bot falls silent."""
        topics: tuple[str, ...] = ()

        async def work() -> ConversationOut:
            nonlocal topics
            topics = await by_hand.reply_within(session, parts.writer, conversation, viewer, message.text)
            return await _seen(session, permission, viewer, conversation)

        async with parts.database.begin() as session:
            await _seen(session, permission, viewer, conversation)
            try:
                answer = await once(session, viewer, key, f"say {conversation}", message, work, status=202)
            except by_hand.CannotDo as error:
                raise HTTPException(409, str(error)) from None
        parts.wakeups.tell(*topics)
        return answer

    @routes.post(
        "/conversations/{conversation}/close",
        response_model=ConversationOut,
        responses=MISSING | CONFLICT,
    )
    async def close(
        conversation: uuid.UUID, ending: EndingIn | None = None, viewer: Viewer = may, key: Key = None
    ) -> Response:
        """Close a conversation; what the resident writes next begins a new one with the bot."""
        topics: tuple[str, ...] = ()

        async def work() -> ConversationOut:
            nonlocal topics
            resolution = None if ending is None else ending.resolution
            topics = await by_hand.resolve_within(session, parts.writer, conversation, viewer, resolution)
            return await _seen(session, permission, viewer, conversation)

        async with parts.database.begin() as session:
            await _seen(session, permission, viewer, conversation)
            try:
                answer = await once(session, viewer, key, f"close {conversation}", ending, work)
            except by_hand.CannotDo as error:
                raise HTTPException(409, str(error)) from None
        parts.wakeups.tell(*topics)
        return answer


async def _seen(
    session: AsyncSession, permission: Permission, viewer: Viewer, which: uuid.UUID
) -> ConversationOut:
    """The conversation, where this viewer answers it and may see its citizen; raises the one 404."""
    row = (
        await session.execute(
            select(Conversation, Address.channel, Citizen.id)
            .join(Address, Address.id == Conversation.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Conversation.id == which, theirs(viewer), visible(viewer))
            .execution_options(populate_existing=True)
        )
    ).first()
    if row is None:
        return await permission.refuse(viewer, str(which))
    talk, channel, citizen = row
    return ConversationOut(
        conversation=talk.id,
        citizen=citizen,
        channel=channel,
        state=talk.state,
        holder=talk.holder,
        department=talk.department,
        language=talk.language,
        opened_at=talk.opened_at,
        closed_at=talk.closed_at,
        resolution=talk.resolution,
    )
