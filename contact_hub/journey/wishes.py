"""What residents ask for their own data: a copy, or to be erased, decided where they ask.

Both are theirs to ask at any proved address. A browser is one that several people may use: once its
resident is known by a phone or an account as well, the copy goes there, and only there can they be
erased.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Channel
from contact_hub.audit.service import record
from contact_hub.citizens import identity
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation
from contact_hub.citizens.service import SESSION_CHANNELS
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.handoff import service as handoff
from contact_hub.journey.turn import Choice, Reply, Step, Turn
from contact_hub.privacy import copies, holds
from contact_hub.privacy.records import DataExport
from contact_hub.staff.access import Viewer

LAST_LOOK = timedelta(seconds=60)  # for reading our last words where they are read from our own tables


@dataclass(frozen=True, slots=True)
class Wish:
    """Work that follows once the answer has left, in the order of the conversation it belongs to."""

    conversation: uuid.UUID
    kind: str
    payload: dict[str, Any]
    due: datetime | None = None


def resident(turn: Turn) -> Viewer:
    """The resident themselves, for the audit: by their channel, never by name."""
    return Viewer("system", f"resident on {turn.channel}")


def ask_erasure(turn: Turn, city: City) -> None:
    """Ask once whether they mean it."""
    choices = [
        Choice(city.say("button_erase", turn.language), {"erase": True}),
        Choice(city.say("button_no", turn.language), {"erase": False}),
    ]
    turn.replies.append(Reply(city.say("erase_ask", turn.language), say="erase_ask", choices=choices))


def pressed(turn: Turn, city: City) -> Step | None:
    """What the answer to that question decides; a person who holds the conversation decides instead."""
    if turn.choice is None or "erase" not in turn.choice or turn.state != "bot":
        return None
    turn.erase = bool(turn.choice["erase"])
    key = "erase_done" if turn.erase else "erase_not"
    turn.replies.append(
        Reply(city.say(key, turn.language), author="system" if turn.erase else "bot", say=key)
    )
    return Step.ERASURE_CONFIRMED if turn.erase else Step.SAID


async def carry_out(
    session: AsyncSession, city: City, channels: dict[str, Channel], conversation: Conversation, turn: Turn
) -> list[Wish]:
    """Decide in the turn's transaction what is answered, and what has to be done after the answer."""
    asked = turn.erase or any(reply.say == "erase_ask" for reply in turn.replies)
    if asked and not await _may_be_erased(session, city, turn):
        turn.erase = None
    if turn.erase:
        payload = {"citizen": str(turn.citizen_id), "address": str(turn.address_id)}
        due = now() + LAST_LOOK if turn.channel in SESSION_CHANNELS else None
        return [Wish(conversation.id, "erase", payload, due)]
    return await _copy(session, city, channels, conversation, turn) if turn.wants_copy else []


async def _may_be_erased(session: AsyncSession, city: City, turn: Turn) -> bool:
    if turn.channel in SESSION_CHANNELS and await identity.personal(session, turn.citizen_id):
        _answer(turn, city, "erase_elsewhere")
        return False
    if await holds.of_citizen(session, turn.citizen_id):
        _answer(turn, city, "erase_held")
        await handoff.open_ticket(
            session,
            "erasure_request",
            "A resident under a legal hold asks to be erased.",
            conversation_id=turn.conversation_id,
            touchpoint_id=turn.touchpoint_id,
        )
        return False
    return True


def _answer(turn: Turn, city: City, key: str) -> None:
    """Say this instead of what was going to be said about erasing."""
    kept = [reply for reply in turn.replies if reply.say not in {"erase_ask", "erase_done"}]
    turn.replies = [*kept, Reply(city.say(key, turn.language), say=key)]


async def _copy(
    session: AsyncSession, city: City, channels: dict[str, Channel], conversation: Conversation, turn: Turn
) -> list[Wish]:
    if await copies.too_often(session, turn.citizen_id):
        turn.replies.append(Reply(city.say("export_too_often", turn.language), say="export_too_often"))
        return []
    target = await _where_to(session, channels, turn)
    if target is None:
        turn.replies.append(Reply(city.say("export_failed", turn.language), say="export_failed"))
        await handoff.open_ticket(
            session,
            "export_request",
            "A resident asks for a copy of their data, and no address of theirs can take it.",
            conversation_id=turn.conversation_id,
            touchpoint_id=turn.touchpoint_id,
        )
        return []
    made: DataExport = await copies.ask(session, turn.citizen_id, target.id)
    await record(
        session, resident(turn), "citizen.export asked", citizen_id=turn.citizen_id, subject=str(made.id)
    )
    if target.channel in SESSION_CHANNELS:
        words = city.say("export_ready", turn.language, until=city.moment(made.expires_at, turn.language))
        turn.replies.append(Reply(words, say="export_ready", copy=made.id))
        return []
    if target.id == turn.address_id:
        turn.replies.append(Reply(city.say("export_started", turn.language), say="export_started"))
        return [Wish(conversation.id, "copy", {"export": str(made.id)})]
    turn.replies.append(Reply(city.say("export_elsewhere", turn.language), say="export_elsewhere"))
    there = await citizens.open_conversation(session, target, turn.language, by_city=True)
    return [Wish(there.id, "copy", {"export": str(made.id)})]


async def _where_to(session: AsyncSession, channels: dict[str, Channel], turn: Turn) -> Address | None:
    """The address that a copy goes to: this one, or for a browser the phone or account last heard from."""
    here = await session.get_one(Address, turn.address_id)
    if turn.channel not in SESSION_CHANNELS or not await identity.personal(session, turn.citizen_id):
        return here
    return await identity.last_personal(session, turn.citizen_id, set(channels))
