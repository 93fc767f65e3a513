"""The door: what a channel received becomes a touchpoint and a task, once, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.clean import clean
from channels.base.contract import Inbound, InboundKind, Receipt, Received, Upload
from channels.base.language import language_tag
from contact_hub.citizens import service as citizens
from contact_hub.database import Database, new_id, now
from contact_hub.identity import suggestions
from contact_hub.identity.models import Likeness
from contact_hub.journey import undelivered
from contact_hub.operations import queue
from contact_hub.operations.queue import Lane
from contact_hub.operations.wakeups import Wakeups
from contact_hub.outbox import receipts
from contact_hub.timeline import models
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Outcome

log = structlog.get_logger()

FEED_CHANNELS = citizens.SESSION_CHANNELS  # their residents read a feed in our own database
ERASED = uuid.UUID(int=0)  # the touchpoint of a message that was removed with its resident


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an inbound landed; `seq` is its line in a web-chat session."""

    touchpoint_id: uuid.UUID
    conversation_id: uuid.UUID | None
    new: bool
    seq: int | None = None


class Inbox:
    """Stores what channels bring; the same thing brought again changes nothing."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups

    async def receive(self, received: Received) -> int:
        """Store everything one request or poll brought and return how much of it was new."""
        fresh = 0
        for inbound in received.inbound:
            fresh += (await self.accept(inbound)).new
        for receipt in received.receipts:
            fresh += await self.accept_receipt(receipt)
        return fresh

    async def accept(self, inbound: Inbound, uploads: Sequence[Upload] = ()) -> Stored:
        """Store one thing a resident did."""
        async with self._database.begin() as session:
            stored = await _store(session, inbound, uploads)
        if stored.new:
            log.info(
                "inbox.stored",
                channel=inbound.channel,
                kind=inbound.kind,
                touchpoint=str(stored.touchpoint_id),
            )
            self._wakeups.tell(Lane.IN, f"feed:{inbound.address}", f"talk:{stored.conversation_id}")
        return stored

    async def accept_receipt(self, receipt: Receipt) -> bool:
        """Store what a provider says about a message we sent; True when it is new."""
        async with self._database.begin() as session:
            if not await _first_time(session, receipt.channel, receipt.account, receipt.external_id, None):
                return False
            moved = await receipts.apply(session, receipt)
            if moved is not None and moved.failed:
                await undelivered.by_receipt(session, moved.delivery, receipt)
        if moved is not None:
            self._wakeups.tell(Lane.OUT, "desk", f"talk:{moved.delivery.conversation_id}")
        return True


async def _store(session: AsyncSession, inbound: Inbound, uploads: Sequence[Upload]) -> Stored:
    # The conversation is locked before anything is inserted: the order of commits is then the
    # order of the conversation, whatever provider redelivers in between.
    place = await citizens.known_place(session, inbound.channel, inbound.address)
    if place is None:
        known = await timeline.find_inbound(session, inbound.channel, inbound.account, inbound.external_id)
        if known is not None:  # a late copy begins no new conversation
            return await _again(session, known)
        language = language_tag(inbound.language_hint)  # "pt-br" is Portuguese
        if inbound.channel in FEED_CHANNELS:
            language = await timeline.language_of_session(session, uuid.UUID(inbound.address)) or language
        place = await citizens.place_of(session, inbound.channel, inbound.address, language)
    touchpoint_id = new_id()
    if not await _first_time(session, inbound.channel, inbound.account, inbound.external_id, touchpoint_id):
        known = await timeline.find_inbound(session, inbound.channel, inbound.account, inbound.external_id)
        if known is None:
            raise RuntimeError("an inbound key vanished under our lock")
        return await _again(session, known)
    payload = _payload(inbound)
    if uploads:
        payload["files"] = []
        for upload in uploads:
            file_id = await timeline.keep_file(
                session,
                touchpoint_id=touchpoint_id,
                address_id=place.address_id,
                name=upload.name,
                mime=upload.mime,
                data=upload.data,
            )
            payload["files"].append(str(file_id))
    await timeline.record(
        session,
        touchpoint_id=touchpoint_id,
        address_id=place.address_id,
        conversation_id=place.conversation.id,
        direction="in",
        actor="citizen",
        kind=inbound.kind,
        words=clean(inbound.text) or None,
        language=place.conversation.language,  # until the turn knows better
        payload=payload,
        message_id=inbound.message_id,
        provider_time=inbound.provider_time,
    )
    if place.returned is not None:
        await suggestions.note(
            session, place.citizen_id, place.returned, Likeness.RETURNED_NUMBER, touchpoint_id
        )
    place.conversation.last_activity_at = now()
    if inbound.kind is not InboundKind.REACHABLE:
        await citizens.heard_from(session, place.address_id, now())
    seq = None
    if inbound.channel in FEED_CHANNELS:
        seq = await timeline.append_to_feed(session, uuid.UUID(inbound.address), touchpoint_id)
    await queue.put(session, Lane.IN, place.conversation.id, "turn", {"touchpoint": str(touchpoint_id)})
    return Stored(touchpoint_id, place.conversation.id, True, seq)


def _payload(inbound: Inbound) -> dict[str, Any]:
    payload: dict[str, Any] = clean(dict(inbound.payload))
    if inbound.media:
        payload["media"] = [
            {"ref": m.ref, "kind": m.kind, "mime": m.mime, "name": m.name, "size": m.size}
            for m in inbound.media
        ]
    if inbound.profile_name:
        payload["profile_name"] = clean(inbound.profile_name)
    if inbound.channel in FEED_CHANNELS:
        payload["client_id"] = inbound.message_id
    return payload


async def _first_time(
    session: AsyncSession, channel: str, account: str, external_id: str, touchpoint_id: uuid.UUID | None
) -> bool:
    """Take the provider's id; False when somebody already has it. A receipt is settled as it comes."""
    receipt = touchpoint_id is None
    taken = await session.execute(
        insert(models.Inbound)
        .values(
            channel=channel,
            account=account,
            external_id=external_id,
            touchpoint_id=touchpoint_id,
            received_at=now(),
            outcome=Outcome.SUPPRESSED if receipt else None,
            step="receipt" if receipt else None,
            settled_at=now() if receipt else None,
        )
        .on_conflict_do_nothing()
        .returning(models.Inbound.external_id)
    )
    return taken.first() is not None


async def _again(session: AsyncSession, known: models.Inbound) -> Stored:
    if known.touchpoint_id is None:
        if known.step == "receipt":
            raise RuntimeError("a receipt's id came back as a message")
        return Stored(ERASED, None, False)
    seq = await timeline.feed_seq(session, known.touchpoint_id)
    return Stored(known.touchpoint_id, None, False, seq)
