"""Handling one task of the sending lane: may it still leave, send it, write down what became of it.

A delivery is marked `sending` and committed before the provider hears of it. Whoever finds it in
that state later knows that it may have left: it is looked up where the provider can, and sent again
only then.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import (
    FILE_SECONDS,
    Attachment,
    Button,
    Channel,
    DeliveryState,
    LookedUp,
    LookUp,
    Outbound,
    Sent,
    Source,
)
from channels.base.errors import PermanentFailure, TemporaryFailure, UncertainFailure
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address
from contact_hub.database import now
from contact_hub.journey import permission, rights, undelivered
from contact_hub.journey.hands import held
from contact_hub.journey.saying import Writer
from contact_hub.operations import metrics, queue
from contact_hub.operations.queue import Claimed, LeaseLost
from contact_hub.operations.wakeups import Wakeups
from contact_hub.outbox import service as outbox
from contact_hub.outbox.models import Delivery
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Touchpoint

log = structlog.get_logger()

SEND_SECONDS = 5.0  # what is in flight at a takeover is over by then: the bot sends no files
MAX_CRASHES = 6
MOST_TRIES_BLIND = 10  # where a provider cannot say whether a part left, and processes keep dying
_MAX_DELAY = 600.0
_DATABASE_AWAY = (OperationalError, InterfaceError, NoConnection)


@dataclass(frozen=True)
class Sending:
    """The handler of outgoing parts."""

    writer: Writer
    wakeups: Wakeups

    async def handle(self, task: Claimed) -> None:
        """Send one part; raises LeaseLost when the task is somebody else's by now."""
        try:
            if task.kind in rights.KINDS:
                await rights.Rights(self.writer, self.wakeups).handle(task)
            elif task.kind == held.KIND:
                await held.Held(self.writer, self.wakeups).handle(task)
            else:
                await self._handle(task)
        except (LeaseLost, *_DATABASE_AWAY):
            raise
        except Exception as error:
            log.exception("delivery.crashed", error=type(error).__name__, attempts=task.attempts)
            await self._crashed(task, error)

    async def _handle(self, task: Claimed) -> None:
        ready = await self._prepare(task)
        if ready is None:
            return
        channel, message, uncertain = ready
        structlog.contextvars.bind_contextvars(touchpoint=message.touchpoint)
        leaving = False
        try:
            if uncertain:
                found = await channel.look_up(message)
                if found.result is LookUp.FOUND:
                    await self._found(task, found)
                    return
                again = await self._begin_again(task, message, blind=found.result is LookUp.CANNOT)
                if again is None:
                    return
                message = again
            leaving = True
            with metrics.send_seconds.labels(channel.name).time():
                async with asyncio.timeout(SEND_SECONDS + FILE_SECONDS * len(message.attachments)):
                    sent = await channel.send(message)
        except TimeoutError:
            await self._uncertain(task, channel, UncertainFailure("The provider did not answer in time."))
        except UncertainFailure as failure:
            await self._uncertain(task, channel, failure)
        except TemporaryFailure as failure:
            await self._later(task, channel, failure, leaving=leaving)
        except PermanentFailure as failure:
            await self._failed(task, failure)
        else:
            await self._sent(task, sent)

    async def _prepare(self, task: Claimed) -> tuple[Channel, Outbound, bool] | None:
        """Decide under the conversation's lock whether the part may still leave, and mark it `sending`."""
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.hold(session, task)
            delivery = await session.get(Delivery, uuid.UUID(task.payload["delivery"]), with_for_update=True)
            if delivery is None or DeliveryState(delivery.state).rank >= DeliveryState.SENT.rank:
                await queue.complete(session, task)  # a receipt overtook us, or it was cancelled
                return None
            channel = self.writer.channels.get(delivery.channel)
            address = await session.get_one(Address, delivery.address_id)
            uncertain = delivery.state in {DeliveryState.SENDING, DeliveryState.UNCERTAIN}
            verdict = permission.unwelcome(self.writer.city, delivery, task) or await permission.ask(
                session, conversation, delivery, address, channel, task
            )
            if isinstance(verdict, permission.Wait):
                if uncertain and channel is not None and channel.uncertain_wait:
                    delivery.state = DeliveryState.UNCERTAIN
                await queue.retry(session, task, verdict.seconds, verdict.why, counts=False)
                return None
            if isinstance(verdict, permission.Stay):
                await self._cancel(session, task, delivery, verdict)
                return None
            if not uncertain:
                delivery.state = DeliveryState.SENDING
                delivery.tries += 1
                delivery.first_tried_at = now()
            return verdict, await _message(session, delivery, address), uncertain

    async def _begin_again(self, task: Claimed, message: Outbound, *, blind: bool) -> Outbound | None:
        """Write down that an uncertain part is sent once more; None when it may not be.

        `blind` says that nobody knows whether it left: it then counts as a possible duplicate, and a
        provider that swallows it twice without a word is not given it a third time.
        """
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.hold(session, task)
            delivery = await session.get_one(Delivery, uuid.UUID(message.delivery), with_for_update=True)
            if DeliveryState(delivery.state).rank >= DeliveryState.SENT.rank:
                await queue.complete(session, task)  # the provider's word came while we were asking
                return None
            address = await session.get_one(Address, delivery.address_id)
            stay = await permission.withdrawn(session, conversation, delivery, address)
            if stay is not None:
                await self._cancel(session, task, delivery, stay)
                return None
            silent = delivery.state == DeliveryState.UNCERTAIN and delivery.possible_duplicate
            if blind and (silent or delivery.tries >= MOST_TRIES_BLIND):
                await self._fail(session, task, delivery, PermanentFailure("nobody knows whether it arrived"))
                return None
            delivery.state = DeliveryState.SENDING
            delivery.tries += 1
            delivery.first_tried_at = now()
            delivery.possible_duplicate = delivery.possible_duplicate or blind
            return await _message(session, delivery, address)

    async def _found(self, task: Claimed, found: LookedUp) -> None:
        """The provider has it after all."""
        if found.state is DeliveryState.FAILED:
            await self._failed(task, PermanentFailure("the provider took it and could not deliver it"))
        else:
            await self._sent(task, Sent(found.provider_id, found.state))

    async def _sent(self, task: Claimed, sent: Sent) -> None:
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            await queue.complete(session, task)
            delivery.provider_id = sent.provider_id or delivery.provider_id
            delivery.segments = max(delivery.segments, sent.segments)
            if sent.state.rank > DeliveryState(delivery.state).rank:
                delivery.state = sent.state
                delivery.code = delivery.reason = None
            channel = delivery.channel
        metrics.deliveries.labels(channel, sent.state).inc()
        log.info("delivery.sent", delivery=task.payload["delivery"])
        self.wakeups.tell("out", "desk", f"talk:{task.conversation_id}")

    async def _later(
        self, task: Claimed, channel: Channel, failure: TemporaryFailure, *, leaving: bool
    ) -> None:
        if permission.too_old(task):
            await self._failed(task, PermanentFailure(f"gave up after a day: {failure.reason}"))
            return
        delay = failure.retry_after
        if delay is None:
            delay = min(_MAX_DELAY, 2.0**task.attempts) * random.uniform(0.8, 1.2)  # noqa: S311
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            if leaving and delivery.state == DeliveryState.SENDING:
                delivery.state = DeliveryState.QUEUED
            delivery.code, delivery.reason = failure.code, failure.reason
            if failure.whole_channel:
                await outbox.pause(session, channel.name, channel.account, delay, failure.reason)
            await queue.retry(session, task, delay, failure.reason, counts=failure.retry_after is None)
        log.warning("delivery.later", code=failure.code, delay=round(delay, 1))
        metrics.deliveries.labels(channel.name, "retried").inc()

    async def _uncertain(self, task: Claimed, channel: Channel, failure: UncertainFailure) -> None:
        if permission.too_old(task):
            await self._failed(task, PermanentFailure(f"gave up after a day: {failure.reason}"))
            return
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            if delivery.state == DeliveryState.SENDING:
                delivery.state = DeliveryState.UNCERTAIN
            delay = max(0.5, channel.uncertain_wait)
            await queue.retry(session, task, delay, failure.reason, counts=False)
        log.warning("delivery.uncertain", why=failure.reason)
        metrics.deliveries.labels(channel.name, "uncertain").inc()

    async def _crashed(self, task: Claimed, error: Exception) -> None:
        """A fault of our own: what was marked `sending` is looked up at the next try, and tries are few."""
        if task.attempts >= MAX_CRASHES and task.kind in rights.KINDS:
            await rights.Rights(self.writer, self.wakeups).give_up(task)
            return
        if task.attempts >= MAX_CRASHES and task.kind == held.KIND:
            await held.Held(self.writer, self.wakeups).give_up(task)
            return
        if task.attempts >= MAX_CRASHES:
            why = f"a technical failure on our side ({type(error).__name__})"
            await self._failed(task, PermanentFailure(why))
            return
        async with self.writer.database.begin() as session:
            await queue.retry(session, task, 2.0**task.attempts, type(error).__name__)

    async def _failed(self, task: Claimed, failure: PermanentFailure) -> None:
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            await self._fail(session, task, delivery, failure)
        self.wakeups.tell("out", "desk", f"talk:{task.conversation_id}")

    async def _fail(
        self, session: AsyncSession, task: Claimed, delivery: Delivery, failure: PermanentFailure
    ) -> None:
        await queue.complete(session, task)
        if DeliveryState(delivery.state).rank > DeliveryState.FAILED.rank:
            return  # a receipt says that it arrived
        delivery.state = DeliveryState.FAILED
        delivery.code, delivery.reason, delivery.settled_at = failure.code, failure.reason, now()
        await undelivered.note(session, delivery, failure)
        log.error("delivery.failed", code=failure.code, reason=failure.reason)
        metrics.deliveries.labels(delivery.channel, "failed").inc()

    async def _cancel(
        self, session: AsyncSession, task: Claimed, delivery: Delivery, stay: permission.Stay
    ) -> None:
        await queue.complete(session, task)
        delivery.state, delivery.reason, delivery.settled_at = DeliveryState.CANCELLED, stay.why, now()
        if stay.failure is not None:
            await undelivered.note(session, delivery, stay.failure)
        log.info("delivery.cancelled", why=stay.why)
        metrics.deliveries.labels(delivery.channel, "cancelled").inc()

    async def _locked(self, session: AsyncSession, task: Claimed) -> Delivery:
        await queue.lock(session, task.conversation_id)
        delivery = await session.get(Delivery, uuid.UUID(task.payload["delivery"]), with_for_update=True)
        if delivery is None:
            raise LeaseLost(task.id)  # erased while it was on its way
        return delivery


async def _message(session: AsyncSession, delivery: Delivery, address: Address) -> Outbound:
    touchpoint = await session.get_one(Touchpoint, delivery.touchpoint_id)
    last = delivery.part == delivery.parts
    payload: dict[str, Any] = touchpoint.payload
    attachments = []
    if last:
        for name in payload.get("files") or ():
            kept = await timeline.read_file(session, uuid.UUID(name))
            if kept is not None:
                attachments.append(Attachment(kept[0].name, kept[0].mime, kept[1]))
    return Outbound(
        delivery=str(delivery.id),
        address=address.value,
        text=delivery.text,
        author=delivery.author,
        touchpoint=str(delivery.touchpoint_id),
        buttons=tuple(Button(b["id"], b["title"]) for b in payload.get("buttons") or ()) if last else (),
        sources=tuple(Source(s["title"], s["url"]) for s in payload.get("sources") or ()) if last else (),
        attachments=tuple(attachments),
        ask_contact=payload.get("ask_contact") if last else None,
        language=touchpoint.language or "en",
        part=delivery.part,
        parts=delivery.parts,
        possible_duplicate=delivery.possible_duplicate,
        first_tried_at=delivery.first_tried_at,
    )
