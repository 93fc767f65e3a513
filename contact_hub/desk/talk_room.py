"""Who stands before which conversation: found once for every request, or answered with the one 404."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from fastapi import HTTPException, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens.models import DANGER, Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import theirs, visible
from contact_hub.desk import lines
from contact_hub.desk.room import Room, Seat
from contact_hub.staff.access import Action, Viewer

READ = "conversation.read"
STAYS_OPEN = timedelta(hours=12)  # no session lasts longer, so a look goes on for no longer than that

# The same for an unknown conversation, another department's and a sealed one, and for every role.
NOTHING = "There is no such conversation, or it is not yours to see."


@dataclass(frozen=True, slots=True)
class Here:
    """A conversation with its citizen, as somebody at the desk has it before them."""

    seat: Seat
    conversation: Conversation
    address: Address
    citizen: Citizen
    answers: bool  # whether it is theirs to answer; a reason to look is none

    @property
    def viewer(self) -> Viewer:
        """Who looks."""
        return self.seat.viewer

    @property
    def id(self) -> uuid.UUID:
        """The conversation's id."""
        return self.conversation.id

    @property
    def open(self) -> bool:
        """Whether it still goes on."""
        return self.conversation.state != ConversationState.CLOSED

    @property
    def danger(self) -> bool:
        """Whether somebody may be hurt."""
        return self.open and self.conversation.priority >= DANGER

    @property
    def mine(self) -> bool:
        """Whether the viewer holds it."""
        return self.conversation.state == ConversationState.AGENT and (
            self.conversation.holder == self.viewer.name
        )

    @property
    def name(self) -> str:
        """What the desk calls the resident."""
        return called(self.citizen, self.address)


def called(citizen: Citizen, address: Address) -> str:
    """What the desk calls a resident, wherever it shows them."""
    return lines.called(citizen.id, citizen.name, address.channel, address.value)


async def seat_at(
    room: Room,
    request: Request,
    which: object,
    action: Action = Action.READ,
    *,
    reason: str = "",
    quietly: bool = False,
) -> Seat:
    """Who asks; a role that never sees a conversation gets the answer for one that is not there.

    What a screen asks by itself is asked `quietly`.
    """
    reason = reason or request.query_params.get("reason", "")
    try:
        return await room.seat(request, action, reason=reason, quietly=quietly)
    except HTTPException as no:
        if no.status_code != 403:
            raise
        me = await room.guard.signed_in(request, quietly=quietly)
        if me is None:
            raise
        return await refuse(room, room.guard.viewer_of(me), which)


async def enter(room: Room, session: AsyncSession, seat: Seat, which: uuid.UUID) -> Here:
    """The conversation, where this person may see its citizen; raises the one 404."""
    row = (
        await session.execute(
            select(Conversation, Address, Citizen, theirs(seat.viewer).label("answers"))
            .join(Address, Address.id == Conversation.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Conversation.id == which, visible(seat.viewer))
            .execution_options(populate_existing=True)
        )
    ).first()
    if row is None:
        return await refuse(room, seat.viewer, which)
    return Here(seat, *row)


async def read(session: AsyncSession, here: Here) -> None:
    """Write down that somebody has a conversation opened before them."""
    await audit.record(session, here.viewer, READ, citizen_id=here.citizen.id, subject=str(here.id))


async def go_on_reading(session: AsyncSession, here: Here) -> None:
    """The same for what belongs to a screen, unless the screen was opened for the same reason lately."""
    await audit.record_once_in(
        session, here.viewer, READ, STAYS_OPEN, citizen_id=here.citizen.id, subject=str(here.id)
    )


async def refuse(room: Room, viewer: Viewer, which: object) -> NoReturn:
    """Write down that somebody asked for what is not theirs to see, and raise the one 404."""
    await refused(room, viewer, which)
    raise HTTPException(404, NOTHING)


async def refused(room: Room, viewer: Viewer, which: object) -> None:
    """Write down that somebody asked for what is not theirs, in a transaction that nothing rolls back."""
    async with room.database.begin() as session:
        await audit.record(session, viewer, "citizen.refused", subject=str(which)[:64])
