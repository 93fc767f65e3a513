"""What a person does with a conversation: take it by answering, give it back, close it."""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.handoff import service as handoff
from contact_hub.journey import effects
from contact_hub.journey.effects import Writer
from contact_hub.journey.turn import Reply
from contact_hub.operations.queue import Lane, Task
from contact_hub.operations.wakeups import Wakeups

LONGEST_REPLY = 5000


class CannotDo(ValueError):
    """It cannot be done; the message says why in the agent's words."""


async def reply(writer: Writer, wakeups: Wakeups, which: str, agent: str, words: str) -> None:
    """Answer a resident. The first word takes the conversation; nobody takes it from a colleague."""
    async with writer.database.begin() as session:
        topics = await reply_within(session, writer, which, agent, words)
    wakeups.tell(*topics)


async def reply_within(
    session: AsyncSession, writer: Writer, which: str, agent: str, words: str
) -> tuple[str, ...]:
    """The same in the caller's transaction; returns whom to wake after its commit."""
    words = words.replace("\x00", "").strip()
    if not words:
        raise CannotDo("There is nothing to send: the reply is empty.")
    if len(words) > LONGEST_REPLY:
        raise CannotDo(f"The reply is longer than {LONGEST_REPLY} characters.")
    conversation, address = await _find(session, which)
    if conversation.state == ConversationState.AGENT and conversation.holder != agent:
        raise CannotDo(f"{conversation.holder} is already answering this conversation.")
    await _may_be_written_to(session, writer, address)
    if conversation.state != ConversationState.AGENT:
        await handoff.move(session, conversation, ConversationState.AGENT, holder=agent, reason="taken")
        joined = writer.city.say("agent_joined", conversation.language, name=agent)
        await _say(session, writer, conversation, address, Reply(joined, "system", say="agent_joined"))
    await _say(session, writer, conversation, address, Reply(words, "agent"))
    return ("out", f"feed:{address.value}", "desk")


async def close(writer: Writer, wakeups: Wakeups, which: str, agent: str) -> None:
    """Close a conversation and tell the resident."""
    async with writer.database.begin() as session:
        topics = await close_within(session, writer, which, agent)
    wakeups.tell(*topics)


async def close_within(session: AsyncSession, writer: Writer, which: str, agent: str) -> tuple[str, ...]:
    """The same in the caller's transaction; returns whom to wake after its commit."""
    conversation, address = await _find(session, which)
    if await session.scalar(
        select(exists().where(Task.conversation_id == conversation.id, Task.lane == Lane.IN))
    ):
        raise CannotDo("The resident has just written something: read it before you close.")
    words = writer.city.say("conversation_closed", conversation.language)
    await handoff.move(session, conversation, ConversationState.CLOSED, holder=agent, reason="closed")
    await _say(session, writer, conversation, address, Reply(words, "system", say="conversation_closed"))
    return ("out", f"feed:{address.value}", "desk")


async def _find(session: AsyncSession, which: str) -> tuple[Conversation, Address]:
    conversation = await handoff.find_open(session, which)
    if conversation is None:
        raise CannotDo("There is no open conversation with this id, or more than one ends so.")
    return conversation, await session.get_one(Address, conversation.address_id)


async def _may_be_written_to(session: AsyncSession, writer: Writer, address: Address) -> None:
    """Refuse what would never leave, so that nobody believes it was read.

    Whoever asked for silence and then wrote again is answered, but for channels on which the provider
    itself keeps silent until the resident asks for messages again.
    """
    since = await citizens.silent_since(session, address.channel, address.value)
    if since is None:
        return
    channel = writer.channels.get(address.channel)
    heard = address.last_inbound_at
    if channel is None or channel.silence_is_final or heard is None or heard < since:
        raise CannotDo("The resident asked for silence, so nothing can be sent until they write again.")


async def _say(
    session: AsyncSession, writer: Writer, conversation: Conversation, address: Address, what: Reply
) -> None:
    await effects.say(
        session,
        writer,
        conversation,
        what,
        channel=address.channel,
        address=address.value,
        language=writer.city.speaks(conversation.language),
        answers_resident=True,
    )
