"""Replies that wait a few seconds before they leave, so that their writer can take them back.

The row is the reply, the task in the sending lane behind it only the clock: whoever removes the row,
the writer who thinks better of it or the worker that lets it leave, does so under the conversation's
lock and in the transaction of what follows, so that it leaves once or not at all.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.database import new_id, now
from contact_hub.handoff import service as handoff
from contact_hub.handoff.models import HeldReply, Mention
from contact_hub.journey import saying
from contact_hub.journey.hands.grip import CannotDo, Grip, may_be_written_to, write_down
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, Lane
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Staff
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import first_id_at

log = structlog.get_logger()

KIND = "held"
SILENCE = "the resident asked for silence"
_LATELY = timedelta(seconds=15)  # a browser has given a request up after so long


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A reply that did not leave: its words, for the box they came from, and whom to wake."""

    conversation_id: uuid.UUID
    words: str
    files: tuple[str, ...]  # their names: a browser has to be given the files anew
    topics: tuple[str, ...]


async def keep(
    session: AsyncSession,
    grip: Grip,
    words: str,
    touchpoint_id: uuid.UUID,
    files: list[uuid.UUID],
    seconds: float,
    held_id: uuid.UUID | None,
) -> None:
    """Let a reply wait, and leave by itself when nobody takes it back."""
    held = HeldReply(
        id=held_id or new_id(),
        conversation_id=grip.conversation.id,
        touchpoint_id=touchpoint_id,
        agent=grip.viewer.name,
        text=words,
        files=[str(file) for file in files],
        written_at=now(),
        due_at=now() + timedelta(seconds=seconds),
    )
    session.add(held)
    await session.flush()
    await queue.put(session, Lane.OUT, grip.conversation.id, KIND, {"held": str(held.id)}, held.due_at)


async def waiting_to_leave(session: AsyncSession, conversation_id: uuid.UUID) -> list[HeldReply]:
    """The replies of a conversation that can still be taken back, in the order they were written."""
    query = select(HeldReply).where(HeldReply.conversation_id == conversation_id)
    return list(await session.scalars(query.order_by(HeldReply.written_at, HeldReply.id)))


def sent_lately(conversation_id: uuid.UUID, agent: str, words: str) -> ColumnElement[bool]:
    """Whether somebody sent these words as a reply that has not left yet, or a moment ago."""
    still_here = exists().where(
        HeldReply.conversation_id == conversation_id, HeldReply.agent == agent, HeldReply.text == words
    )
    left = exists().where(
        Touchpoint.conversation_id == conversation_id,
        Touchpoint.id > first_id_at(now() - _LATELY),
        Touchpoint.direction == "out",
        Touchpoint.payload["by"].astext == agent,
        Touchpoint.text == words,
    )
    return still_here | left


async def undo_within(session: AsyncSession, held_id: uuid.UUID, viewer: Viewer) -> TakenBack:
    """Take back a reply of one's own that has not left; raises CannotDo when it has."""
    conversation_id = await session.scalar(
        select(HeldReply.conversation_id).where(HeldReply.id == held_id, HeldReply.agent == viewer.name)
    )
    if conversation_id is None:
        raise CannotDo("This reply has left already.")
    # Their own words, whosever the conversation is by now: somebody may have closed it meanwhile.
    try:
        talk = await citizens.lock_conversation(session, conversation_id)
    except citizens.ConversationGone:
        raise CannotDo("The resident's record was erased, and the reply with it.") from None
    grip = Grip(talk, await session.get_one(Address, talk.address_id), viewer)
    held = await session.get(HeldReply, held_id, populate_existing=True)
    if held is None:  # while we waited for the lock
        raise CannotDo("This reply has left already.")
    kept = await timeline.files_of(session, [held.touchpoint_id])
    files = kept.get(held.touchpoint_id, [])
    for file in files:
        await session.delete(file)
    await session.delete(held)
    await write_down(session, grip, "reply_taken_back")
    return TakenBack(conversation_id, held.text, tuple(file.name for file in files), grip.news)


async def let_go(session: AsyncSession, writer: Writer, grip: Grip) -> None:
    """Let the viewer's replies leave now: they go on to the next thing, so they meant what they wrote."""
    if not grip.mine:
        return
    heard = await may_be_written_to(session, writer, grip.address)
    for held in await waiting_to_leave(session, grip.conversation.id):
        if held.agent == grip.viewer.name and heard:
            await _leave(session, writer, grip.conversation, grip.address, held)
        elif held.agent == grip.viewer.name:
            await _keep_back(session, grip.conversation, held, SILENCE)


async def _leave(
    session: AsyncSession, writer: Writer, talk: Conversation, address: Address, held: HeldReply
) -> None:
    await session.delete(held)
    reply = Reply(
        held.text,
        "agent",
        touchpoint_id=held.touchpoint_id,
        files=[uuid.UUID(file) for file in held.files],
        by=held.agent,
    )
    await saying.say(
        session,
        writer,
        talk,
        reply,
        channel=address.channel,
        address=address.value,
        language=writer.city.speaks(talk.language),
        answers_resident=True,
    )
    # What the resident wrote while this one waited is not answered by it.
    since = await session.scalar(
        select(func.min(Touchpoint.recorded_at)).where(
            Touchpoint.conversation_id == talk.id,
            Touchpoint.direction == "in",
            Touchpoint.recorded_at > held.written_at,
        )
    )
    await handoff.answered(session, talk, owed_since=since)


# The clock ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """The handler of the tasks that let held replies leave."""

    writer: Writer
    wakeups: Wakeups

    async def handle(self, task: Claimed) -> None:
        """Let one reply leave, or keep it back and say so; raises LeaseLost when somebody else has it."""
        async with self.writer.database.begin() as session:
            talk = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            held = await session.get(HeldReply, uuid.UUID(task.payload["held"]))
            if held is None:
                return  # taken back, or let go before its time
            address = await session.get_one(Address, talk.address_id)
            why = await self._kept_back(session, talk, address, held)
            if why is None:
                await _leave(session, self.writer, talk, address, held)
            else:
                await _keep_back(session, talk, held, why)
        self.wakeups.tell("out", f"feed:{address.value}", "desk", f"talk:{task.conversation_id}")

    async def give_up(self, task: Claimed) -> None:
        """Keep back what fails again and again for a fault of ours, and say so."""
        async with self.writer.database.begin() as session:
            talk = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            held = await session.get(HeldReply, uuid.UUID(task.payload["held"]))
            if held is not None:
                await _keep_back(session, talk, held, "of a technical problem on our side")
        self.wakeups.tell("out", "desk", f"talk:{task.conversation_id}")

    async def _kept_back(
        self, session: AsyncSession, talk: Conversation, address: Address, held: HeldReply
    ) -> str | None:
        if talk.state == ConversationState.CLOSED:
            return "the conversation was closed"
        if talk.state != ConversationState.AGENT or talk.holder != held.agent:
            return "the conversation changed hands"
        if not await may_be_written_to(session, self.writer, address):
            return SILENCE
        return None


async def _keep_back(session: AsyncSession, talk: Conversation, held: HeldReply, why: str) -> None:
    """Leave the words as a note for whoever goes on, and point their writer to it."""
    await session.delete(held)
    await timeline.record(
        session,
        address_id=talk.address_id,
        conversation_id=talk.id,
        direction="inner",
        actor="system",
        kind="note",
        words=held.text,
        payload={"by": held.agent, "kept_back": why, "files": held.files},
        touchpoint_id=held.touchpoint_id,
    )
    writer = await session.scalar(select(Staff.id).where(Staff.name == held.agent))
    if writer is not None:
        session.add(
            Mention(
                id=new_id(),
                staff_id=writer,
                conversation_id=talk.id,
                touchpoint_id=held.touchpoint_id,
                by="Civicline",
                made_at=now(),
            )
        )
    log.warning("reply.kept_back", why=why)
