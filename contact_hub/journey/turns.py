"""Handling one task of the reading lane: load, travel, write; and what to do when that fails."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from channels.base.contract import Inbound, InboundKind
from channels.base.errors import ChannelError, SendFailure
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, ConversationState
from contact_hub.handoff import service as handoff
from contact_hub.journey import effects, loading, saying, waiting
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.responding import WaitForRasa
from contact_hub.journey.saying import Writer
from contact_hub.journey.steps import travel
from contact_hub.journey.tools import Tools
from contact_hub.journey.turn import Reply, Step, Turn
from contact_hub.journey.waiting import Waiter
from contact_hub.operations import metrics, queue
from contact_hub.operations.queue import Claimed, Lane, LeaseLost
from contact_hub.operations.wakeups import Wakeups
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Outcome

log = structlog.get_logger()

MAX_ATTEMPTS = 6
_DATABASE_AWAY = (OperationalError, InterfaceError, NoConnection)  # the lease runs out, then it goes on


@dataclass(frozen=True)
class Turns:
    """The handler of inbound messages."""

    writer: Writer
    neighbours: Neighbours
    wakeups: Wakeups

    async def handle(self, task: Claimed) -> None:
        """Take one message through the journey; raises LeaseLost when the task is somebody else's by now."""
        try:
            async with self.writer.database.begin() as session:
                turn = await loading.load(session, task, self.writer)
        except _DATABASE_AWAY:
            raise
        except Exception as error:
            await self._failed(task, error)
            return
        if turn is None:
            async with self.writer.database.begin() as session:
                await queue.lock(session, task.conversation_id)
                await queue.complete(session, task)
                await timeline.settle(session, _touchpoint(task), Outcome.SUPPRESSED, "erased")
            return
        structlog.contextvars.bind_contextvars(touchpoint=str(turn.touchpoint_id))
        await self._acknowledge(turn)
        tools = Tools(self.writer.city, self.neighbours, self.writer.channels, self.writer.flags)
        try:
            with metrics.turn_seconds.labels(turn.channel).time():
                await travel(turn, tools)
                await effects.apply(self.writer, task, turn)
        except (LeaseLost, *_DATABASE_AWAY):
            raise
        except WaitForRasa as wait:
            await self._wait(task, turn, wait)
            return
        except Exception as error:
            await self._failed(task, error)
            return
        self._tell(turn.channel, turn.address, turn.conversation_id)
        log.info("turn.done", step=turn.step, outcome=turn.outcome, attempts=task.attempts)
        metrics.turns.labels(turn.channel, str(turn.step)).inc()

    async def _acknowledge(self, turn: Turn) -> None:
        """Stop the spinner on a pressed button before the answer is thought about."""
        channel = self.writer.channels.get(turn.channel)
        if turn.kind != InboundKind.BUTTON or channel is None:
            return
        pressed = Inbound(
            channel=turn.channel,
            account=channel.account,
            external_id="",
            address=turn.address,
            kind=InboundKind.BUTTON,
            payload=turn.payload,
        )
        try:
            await channel.acknowledge(pressed)
        except ChannelError as error:
            log.info("turn.not_acknowledged", error=type(error).__name__)

    async def _wait(self, task: Claimed, turn: Turn, wait: WaitForRasa) -> None:
        """Keep the words of a form until Rasa is back, and say so once."""
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, turn.conversation_id)
            await queue.retry(session, task, wait.delay, "rasa is away", note={"told": True})
            if not task.payload.get("told") and conversation.state == ConversationState.BOT:
                words = self.writer.city.say("one_moment", turn.language)
                await saying.say(
                    session,
                    self.writer,
                    conversation,
                    Reply(words, author="system", say="one_moment"),
                    channel=turn.channel,
                    address=turn.address,
                    language=turn.language,
                    in_reply_to=turn.touchpoint_id,
                    answers_resident=True,
                )
        self._tell(turn.channel, turn.address, turn.conversation_id)

    async def _failed(self, task: Claimed, error: Exception) -> None:
        temporary = isinstance(error, SendFailure)
        log.warning("turn.failed", error=type(error).__name__, attempts=task.attempts, exc_info=not temporary)
        if task.attempts < MAX_ATTEMPTS:
            delay = min(60.0, 0.5 * 2**task.attempts) * random.uniform(0.8, 1.2)  # noqa: S311
            async with self.writer.database.begin() as session:
                await queue.retry(session, task, delay, type(error).__name__)
            return
        await self._dead_letter(task, type(error).__name__)

    async def _dead_letter(self, task: Claimed, why: str) -> None:
        """Give up on a message honestly: a ticket, a word to the resident, and the next message may go on."""
        touchpoint = _touchpoint(task)
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            address = await session.get_one(Address, conversation.address_id)
            language = self.writer.city.speaks(conversation.language)
            ticket = await handoff.open_ticket(
                session,
                "dead_letter",
                f"A message could not be handled after {task.attempts} attempts ({why}).",
                conversation_id=conversation.id,
                touchpoint_id=touchpoint,
            )
            begun = conversation.state == ConversationState.BOT
            if begun:
                await handoff.move(
                    session, conversation, ConversationState.WAITING, holder=None, reason="technical"
                )
            words = self.writer.city.say("technical_problem", language, reference=ticket.reference)
            if begun:
                who = Waiter(conversation, address.citizen_id, address.channel, language)
                more = await waiting.promised(session, self.writer.city, self.writer.channels, who)
                words = f"{words} {more}"
            await saying.say(
                session,
                self.writer,
                conversation,
                Reply(words, author="system", say="technical_problem"),
                channel=address.channel,
                address=address.value,
                language=language,
                in_reply_to=touchpoint,
                answers_resident=True,
            )
            await timeline.settle(session, touchpoint, Outcome.DEAD_LETTERED, Step.DEAD_LETTERED)
        log.error("turn.dead_lettered", ticket=ticket.reference, why=why)
        metrics.dead_letters.labels(address.channel).inc()
        self._tell(address.channel, address.value, task.conversation_id)

    def _tell(self, channel: str, address: str, conversation: uuid.UUID) -> None:
        adapter = self.writer.channels.get(channel)
        sends = () if adapter is None or adapter.sends_itself else (Lane.OUT,)
        self.wakeups.tell(*sends, f"feed:{address}", "desk", f"talk:{conversation}")


def _touchpoint(task: Claimed) -> uuid.UUID:
    return uuid.UUID(task.payload["touchpoint"])
