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
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import (
    Attachment,
    Button,
    Channel,
    DeliveryState,
    LookUp,
    Outbound,
    Sent,
    Source,
)
from channels.base.errors import PermanentFailure, SendFailure, TemporaryFailure, UncertainFailure
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation
from contact_hub.database import now
from contact_hub.handoff import service as handoff
from contact_hub.journey.effects import Writer
from contact_hub.operations import metrics, queue
from contact_hub.operations.queue import Claimed
from contact_hub.operations.wakeups import Wakeups
from contact_hub.outbox import service as outbox
from contact_hub.outbox.models import Delivery
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Touchpoint

log = structlog.get_logger()

GIVE_UP_AFTER = timedelta(hours=24)
SEND_SECONDS = 5.0  # what is in flight at a takeover is over by then
_MAX_DELAY = 600.0


@dataclass(frozen=True)
class Sending:
    """The handler of outgoing parts."""

    writer: Writer
    wakeups: Wakeups

    async def handle(self, task: Claimed) -> None:
        """Send one part; raises LeaseLost when the task is somebody else's by now."""
        ready = await self._prepare(task)
        if ready is None:
            return
        channel, message, uncertain = ready
        structlog.contextvars.bind_contextvars(touchpoint=message.touchpoint)
        try:
            if uncertain:
                found = await channel.look_up(message)
                if found.result is LookUp.FOUND:
                    await self._sent(task, Sent(found.provider_id, found.state))
                    return
                message = await self._begin_again(task, message, marked=found.result is LookUp.CANNOT)
            with metrics.send_seconds.labels(channel.name).time():
                async with asyncio.timeout(SEND_SECONDS):
                    sent = await channel.send(message)
        except TimeoutError:
            await self._uncertain(task, channel, "no answer in time")
        except UncertainFailure as failure:
            await self._uncertain(task, channel, failure.reason)
        except TemporaryFailure as failure:
            await self._later(task, channel, failure, sending=not uncertain)
        except PermanentFailure as failure:
            await self._failed(task, failure)
        else:
            await self._sent(task, sent)

    async def _prepare(self, task: Claimed) -> tuple[Channel, Outbound, bool] | None:
        """Decide under the conversation's lock whether the part may still leave, and mark it `sending`."""
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            delivery = await session.get(Delivery, uuid.UUID(task.payload["delivery"]), with_for_update=True)
            if delivery is None:
                await queue.complete(session, task)
                return None
            channel = self.writer.channels.get(delivery.channel)
            address = await session.get_one(Address, delivery.address_id)
            state = DeliveryState(delivery.state)
            uncertain = state in {DeliveryState.SENDING, DeliveryState.UNCERTAIN}
            if state.rank >= DeliveryState.SENT.rank:
                await queue.complete(session, task)  # a receipt overtook us, or it was cancelled
                return None
            if channel is None:
                await queue.retry(session, task, 30.0, "the channel is switched off", counts=False)
                return None
            if not uncertain:
                why = await _may_not_leave(session, conversation, delivery, address)
                if why is not None:
                    await self._cancel(session, task, delivery, why)
                    return None
            pause = await outbox.pause_left(session, delivery.channel, channel.account)
            if pause > 0:
                await queue.retry(session, task, pause, "the provider asked to wait", counts=False)
                return None
            if uncertain and delivery.first_tried_at is not None:
                wait = channel.uncertain_wait - (now() - delivery.first_tried_at).total_seconds()
                if wait > 0:
                    delivery.state = DeliveryState.UNCERTAIN
                    await queue.retry(session, task, wait, "waiting for the provider's word", counts=False)
                    return None
            message = await _message(session, delivery, address)
            if not uncertain:
                delivery.state = DeliveryState.SENDING
                delivery.tries += 1
                delivery.first_tried_at = now()
            return channel, message, uncertain

    async def _begin_again(self, task: Claimed, message: Outbound, *, marked: bool) -> Outbound:
        """Write down that an uncertain part is sent once more, as a possible duplicate where nobody knows."""
        async with self.writer.database.begin() as session:
            await queue.lock(session, task.conversation_id)
            delivery = await session.get_one(Delivery, uuid.UUID(message.delivery), with_for_update=True)
            delivery.state = DeliveryState.SENDING
            delivery.tries += 1
            delivery.first_tried_at = now()
            delivery.possible_duplicate = delivery.possible_duplicate or marked
            address = await session.get_one(Address, delivery.address_id)
            return await _message(session, delivery, address)

    async def _sent(self, task: Claimed, sent: Sent) -> None:
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            await queue.complete(session, task)
            delivery.provider_id = sent.provider_id or delivery.provider_id
            delivery.segments = sent.segments
            if sent.state.rank > DeliveryState(delivery.state).rank:
                delivery.state = sent.state
                delivery.code = delivery.reason = None
            channel = delivery.channel
        metrics.deliveries.labels(channel, sent.state).inc()
        log.info("delivery.sent", delivery=task.payload["delivery"])
        self.wakeups.tell("out", "desk")

    async def _later(
        self, task: Claimed, channel: Channel, failure: TemporaryFailure, *, sending: bool
    ) -> None:
        delay = failure.retry_after
        if delay is None:
            delay = min(_MAX_DELAY, 2.0**task.attempts) * random.uniform(0.8, 1.2)  # noqa: S311
        if now() - task.created_at > GIVE_UP_AFTER:
            await self._failed(task, PermanentFailure(f"gave up after a day: {failure.reason}"))
            return
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            if sending and delivery.state == DeliveryState.SENDING:
                delivery.state = DeliveryState.QUEUED
            delivery.code, delivery.reason = failure.code, failure.reason
            if failure.whole_channel:
                await outbox.pause(session, channel.name, channel.account, delay, failure.reason)
            await queue.retry(session, task, delay, failure.reason, counts=failure.retry_after is None)
        log.warning("delivery.later", code=failure.code, delay=round(delay, 1))
        metrics.deliveries.labels(channel.name, "retried").inc()

    async def _uncertain(self, task: Claimed, channel: Channel, why: str) -> None:
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            if delivery.state == DeliveryState.SENDING:
                delivery.state = DeliveryState.UNCERTAIN
            await queue.retry(session, task, max(0.5, channel.uncertain_wait), why, counts=False)
        log.warning("delivery.uncertain", why=why)
        metrics.deliveries.labels(channel.name, "uncertain").inc()

    async def _failed(self, task: Claimed, failure: SendFailure) -> None:
        async with self.writer.database.begin() as session:
            delivery = await self._locked(session, task)
            await queue.complete(session, task)
            delivery.state = DeliveryState.FAILED
            delivery.code, delivery.reason, delivery.settled_at = failure.code, failure.reason, now()
            await note_failure(
                session,
                delivery,
                unreachable=getattr(failure, "unreachable", False),
                opted_out=getattr(failure, "opted_out", False),
                alert=getattr(failure, "alert", False),
            )
            channel = delivery.channel
        log.error("delivery.failed", code=failure.code, reason=failure.reason)
        metrics.deliveries.labels(channel, "failed").inc()
        self.wakeups.tell("out", "desk")

    async def _cancel(self, session: AsyncSession, task: Claimed, delivery: Delivery, why: str) -> None:
        await queue.complete(session, task)
        delivery.state, delivery.reason, delivery.settled_at = DeliveryState.CANCELLED, why, now()
        log.info("delivery.cancelled", why=why)
        metrics.deliveries.labels(delivery.channel, "cancelled").inc()

    async def _locked(self, session: AsyncSession, task: Claimed) -> Delivery:
        await queue.lock(session, task.conversation_id)
        return await session.get_one(Delivery, uuid.UUID(task.payload["delivery"]), with_for_update=True)


async def note_failure(
    session: AsyncSession, delivery: Delivery, *, unreachable: bool, opted_out: bool, alert: bool
) -> None:
    """Put a failed delivery on the timeline, learn from it about the address, and ask a person to look."""
    address = await session.get_one(Address, delivery.address_id)
    if unreachable:
        await citizens.set_reachable(session, address.id, False, delivery.reason)
    if opted_out:
        await citizens.suppress(session, address.channel, address.value, "provider")
    await timeline.record(
        session,
        address_id=delivery.address_id,
        conversation_id=delivery.conversation_id,
        direction="inner",
        actor="system",
        kind="delivery",
        payload={
            "delivery": str(delivery.id),
            "state": delivery.state,
            "code": delivery.code,
            "reason": delivery.reason,
        },
        in_reply_to=delivery.touchpoint_id,
    )
    if not opted_out:
        await handoff.open_ticket(
            session,
            "provider_alert" if alert else "undelivered",
            f"A message could not be delivered: {delivery.reason or 'no reason given'}.",
            conversation_id=delivery.conversation_id,
            touchpoint_id=delivery.touchpoint_id,
        )


async def _may_not_leave(
    session: AsyncSession, conversation: Conversation, delivery: Delivery, address: Address
) -> str | None:
    """Why a queued part must stay, decided in the transaction that would mark it `sending`."""
    if delivery.author == "bot" and delivery.epoch != conversation.epoch:
        return "the conversation changed hands"
    if not delivery.despite_silence and await citizens.is_suppressed(session, address.channel, address.value):
        return "the resident asked for silence"
    if not address.reachable:
        return f"the address is unreachable: {address.unreachable_reason or 'unknown'}"
    return None


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
        language=touchpoint.language or "en",
        part=delivery.part,
        parts=delivery.parts,
        possible_duplicate=delivery.possible_duplicate,
        first_tried_at=delivery.first_tried_at,
    )
