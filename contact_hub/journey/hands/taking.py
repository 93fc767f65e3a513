"""Passing a conversation from hand to hand: taken, given to a colleague, another office or the bot, ended."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Conversation, ConversationState
from contact_hub.database import now
from contact_hub.handoff import service as handoff
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import asking, waiting
from contact_hub.journey.hands import held
from contact_hub.journey.hands.colleagues import colleague
from contact_hub.journey.hands.grip import (
    CannotDo,
    Grip,
    grasp,
    leave_to_colleague,
    may_be_written_to,
    tell,
    write_down,
)
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.journey.waiting import Waiter
from contact_hub.knowledge.switch import ALTOGETHER, what_is_off
from contact_hub.operations.queue import Lane, Task
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Origin, Purpose
from contact_hub.staff.access import Action, Viewer
from contact_hub.timeline.models import Touchpoint

State = ConversationState
LONGEST_REASON = 500
LONGEST_SNOOZE = timedelta(days=90)


async def claim_within(
    session: AsyncSession, writer: Writer, conversation_id: uuid.UUID, viewer: Viewer
) -> tuple[str, ...]:
    """Take a conversation; raises CannotDo where a colleague has it already."""
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    if grip.mine:
        return ()
    await take(session, writer, grip)
    await write_down(session, grip, "taken")
    return grip.said


async def take(session: AsyncSession, writer: Writer, grip: Grip) -> None:
    """Make the viewer the holder unless they are, and introduce them to the resident once."""
    talk = grip.conversation
    if talk.state == State.AGENT and not grip.mine:
        raise CannotDo(f"{talk.holder} is already answering this conversation.")
    if not grip.mine:
        await handoff.move(session, talk, State.AGENT, holder=grip.viewer.name, reason="taken")
    await _introduce(session, writer, grip)


async def _introduce(session: AsyncSession, writer: Writer, grip: Grip) -> None:
    """Say once to the resident who is with them now."""
    said = Touchpoint.payload["say"].astext
    last = await session.scalar(
        select(func.coalesce(said, Touchpoint.kind))
        .where(
            Touchpoint.conversation_id == grip.conversation.id,
            (Touchpoint.kind == "handoff") | (said == "agent_joined"),
        )
        .order_by(Touchpoint.id.desc())
        .limit(1)
    )
    if last == "agent_joined" or not await may_be_written_to(session, writer, grip.address):
        return
    words = writer.city.say("agent_joined", grip.conversation.language, name=grip.viewer.name)
    await tell(session, writer, grip, Reply(words, "system", say="agent_joined"))


async def transfer_within(
    session: AsyncSession,
    writer: Writer,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    department: str,
    why: str,
) -> tuple[str, ...]:
    """Put a conversation into another department's queue, with a reason its people will read."""
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    leave_to_colleague(grip)
    names = {str(item["key"]): str(item["name"]) for item in writer.city.settings["departments"]}
    why = _reason(why)
    if department not in names:
        raise CannotDo("There is no such department.")
    talk, before = grip.conversation, grip.conversation.department
    if before == department:
        raise CannotDo("It is this department's conversation already.")
    await held.let_go(session, writer, grip)
    talk.department = department
    passed = writer.city.say("transferred", talk.language, department=names[department])
    await _into_the_queue(session, writer, grip, "transferred", lead=passed, department=department, why=why)
    await write_down(session, grip, "transferred", before=before, after=department, why=why)
    return grip.said


async def _into_the_queue(
    session: AsyncSession, writer: Writer, grip: Grip, reason: str, *, lead: str, **more: str
) -> None:
    """Let a conversation wait for whoever takes it next, and tell the resident what that means."""
    talk = grip.conversation
    await handoff.move(session, talk, State.WAITING, holder=None, reason=reason, by=grip.viewer.name, **more)
    who = Waiter(talk, grip.address.citizen_id, grip.address.channel, writer.city.speaks(talk.language))
    words = await waiting.promised(session, writer.city, writer.channels, who, lead=lead)
    await tell(session, writer, grip, Reply(words, "system", say=reason))


async def assign_within(
    session: AsyncSession, writer: Writer, conversation_id: uuid.UUID, viewer: Viewer, staff_id: uuid.UUID
) -> tuple[str, ...]:
    """Give a conversation to somebody, or take it from somebody; the resident hears of it with a word."""
    grip = await grasp(session, conversation_id, viewer, Action.ASSIGN)
    person = await colleague(session, writer.city, grip, staff_id)
    talk, before = grip.conversation, grip.conversation.holder
    if talk.state == State.AGENT and before == person.name:
        raise CannotDo(f"{person.name} has it already.")
    await held.let_go(session, writer, grip)
    await handoff.move(session, talk, State.AGENT, holder=person.name, reason="assigned", by=viewer.name)
    await write_down(session, grip, "assigned", before=before, after=person.name)
    return grip.said


async def snooze_within(
    session: AsyncSession,
    writer: Writer,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    until: datetime | None,
) -> tuple[str, ...]:
    """Put a conversation of one's own aside until a moment, or take it up again with None."""
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    talk = grip.conversation
    if not grip.mine:
        raise CannotDo("Take the conversation before you put it aside.")
    if until is not None and not now() < until <= now() + LONGEST_SNOOZE:
        raise CannotDo(f"Choose a time within the next {LONGEST_SNOOZE.days} days.")
    if until == talk.snoozed_until:
        return ()
    await held.let_go(session, writer, grip)
    await handoff.snooze(session, talk, until, by=viewer.name)
    await write_down(session, grip, "snoozed", until=None if until is None else until.isoformat())
    return grip.said


async def give_back_within(
    session: AsyncSession, writer: Writer, conversation_id: uuid.UUID, viewer: Viewer
) -> tuple[str, ...]:
    """Let the bot answer again, from here on: what was said before raises nothing any more.

    While it is switched off a person answers, and the resident is told so instead.
    """
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    talk = grip.conversation
    leave_to_colleague(grip)
    if talk.state == State.BOT:
        raise CannotDo("The bot is answering this conversation already.")
    off = ALTOGETHER in await what_is_off(session)
    if off and talk.state == State.WAITING:
        raise CannotDo("The bot is switched off, so the conversation stays in the queue.")
    await _all_read(session, talk)
    await held.let_go(session, writer, grip)
    if off:
        await _into_the_queue(
            session, writer, grip, "bot_off", lead=writer.city.say("bot_off", talk.language)
        )
        await write_down(session, grip, "given_back", to="queue")
        return grip.said
    await handoff.move(session, talk, State.BOT, holder=None, reason="given back", by=viewer.name)
    words = writer.city.say("handed_back", talk.language)
    talk.unfinished = None  # a person has seen to it, or knows why not
    talk.read_from = await tell(session, writer, grip, Reply(words, "system", say="handed_back"))
    await write_down(session, grip, "given_back")
    return grip.said


async def resolve_within(
    session: AsyncSession,
    writer: Writer,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    resolution: str | None = None,
) -> tuple[str, ...]:
    """Close a conversation with its outcome, a key of city.yml's `resolutions`, and tell the resident."""
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    talk = grip.conversation
    leave_to_colleague(grip)
    ways = rules_of(writer.city).resolutions
    if resolution is not None and resolution not in ways:
        raise CannotDo("There is no such outcome.")
    await _all_read(session, talk)
    await held.let_go(session, writer, grip)
    talk.resolution = resolution
    await handoff.move(
        session, talk, State.CLOSED, holder=viewer.name, reason="closed", resolution=resolution
    )
    if resolution is None or not ways[resolution].silent:
        reply = Reply(
            writer.city.say("conversation_closed", talk.language), "system", say="conversation_closed"
        )
        asks = await asking.may_we(session, writer.city, talk, grip.address, reply)
        said = await tell(session, writer, grip, reply)
        if asks:
            origin = Origin(grip.address.id, grip.address.channel, talk.id, said)
            language = writer.city.speaks(talk.language)
            await consent.note_asked(session, writer.city, origin, Purpose.SURVEY, language=language)
        await asking.after_close(session, writer.city, talk)
    await write_down(session, grip, "closed", resolution=resolution)
    return grip.said


async def _all_read(session: AsyncSession, talk: Conversation) -> None:
    """Refuse to end what a resident is still saying."""
    if await session.scalar(select(exists().where(Task.conversation_id == talk.id, Task.lane == Lane.IN))):
        raise CannotDo("The resident has just written something: read it before you close.")


def _reason(why: str) -> str:
    why = " ".join(why.replace("\x00", "").split())
    if not why:
        raise CannotDo("Say in a few words why: whoever reads it next will thank you.")
    if len(why) > LONGEST_REASON:
        raise CannotDo(f"The reason is longer than {LONGEST_REASON} characters.")
    return why
