"""Taking a conversation into hand: found, locked, and this person's to touch."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import theirs, visible
from contact_hub.database import now
from contact_hub.journey import saying
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.staff.access import Action, Viewer, allows


class CannotDo(ValueError):
    """It cannot be done; the message says why in the agent's words."""


class NotTheirs(CannotDo):
    """There is no such conversation for this person: unknown, another office's, sealed, or closed."""


@dataclass(frozen=True, slots=True)
class Grip:
    """A conversation under lock, its address, and who acts."""

    conversation: Conversation
    address: Address
    viewer: Viewer

    @property
    def mine(self) -> bool:
        """Whether this person holds it."""
        return self.conversation.state == ConversationState.AGENT and (
            self.conversation.holder == self.viewer.name
        )

    @property
    def news(self) -> tuple[str, ...]:
        """Whom to wake when something changed that the resident does not see."""
        return ("desk", f"talk:{self.conversation.id}")

    @property
    def said(self) -> tuple[str, ...]:
        """Whom to wake when the resident was told something."""
        return ("out", f"feed:{self.address.value}", *self.news)


async def grasp(
    session: AsyncSession,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    action: Action,
    *,
    closed: bool = False,
) -> Grip:
    """Lock a conversation for something a person does; raises CannotDo where it is not theirs to do.

    `closed` allows it for one that is over as well.
    """
    if not allows(viewer, action):
        raise CannotDo(f"Your role does not let you {action}.")
    row = (
        await session.execute(
            select(Conversation, Address)
            .join(Address, Address.id == Conversation.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Conversation.id == conversation_id, theirs(viewer), visible(viewer))
            .with_for_update(of=Conversation)
            .execution_options(populate_existing=True)
        )
    ).first()
    if row is None or (row[0].state == ConversationState.CLOSED and not closed):
        raise NotTheirs("There is no open conversation with this id that is yours to answer.")
    grip = Grip(row[0], row[1], viewer)
    if grip.mine:
        grip.conversation.holder_seen_at = now()
    return grip


def leave_to_colleague(grip: Grip) -> None:
    """Refuse what would go behind a colleague's back; who may assign may do it."""
    if grip.conversation.state != ConversationState.AGENT or grip.mine:
        return
    if not allows(grip.viewer, Action.ASSIGN):
        raise CannotDo(f"{grip.conversation.holder} is already answering this conversation.")


async def write_down(session: AsyncSession, grip: Grip, action: str, **details: object) -> None:
    """The entry of the audit about an act; never the words that were said."""
    await audit.record(
        session,
        grip.viewer,
        f"conversation.{action}",
        citizen_id=grip.address.citizen_id,
        subject=str(grip.conversation.id),
        **details,
    )


async def tell(session: AsyncSession, writer: Writer, grip: Grip, reply: Reply) -> uuid.UUID:
    """Say something to the resident, in their language, where they write from."""
    return await saying.say(
        session,
        writer,
        grip.conversation,
        reply,
        channel=grip.address.channel,
        address=grip.address.value,
        language=writer.city.speaks(grip.conversation.language),
        answers_resident=await may_be_written_to(session, writer, grip.address),
    )


async def may_be_written_to(session: AsyncSession, writer: Writer, address: Address) -> bool:
    """Whether words to this address would leave.

    Whoever asked for silence and then wrote again is answered, but for channels on which the provider
    itself keeps silent until the resident asks for messages again.
    """
    since = await citizens.silent_since(session, address.channel, address.value)
    if since is None:
        return True
    channel = writer.channels.get(address.channel)
    heard = address.last_inbound_at
    return not (channel is None or channel.silence_is_final or heard is None or heard < since)
