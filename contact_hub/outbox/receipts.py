"""What providers say about messages that left: states only move forward."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import structlog
from sqlalchemy import Select, false, select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import DeliveryState, Receipt
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address
from contact_hub.database import now
from contact_hub.operations import queue
from contact_hub.outbox.models import Delivery

log = structlog.get_logger()

_FINAL = {DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.FAILED}


@dataclass(frozen=True, slots=True)
class Moved:
    """The delivery a receipt was about, and whether it is by this receipt that it failed."""

    delivery: Delivery
    failed: bool


async def apply(session: AsyncSession, receipt: Receipt) -> Moved | None:
    """Move a delivery forward, its conversation locked; None when the receipt is news of nothing."""
    found = (await session.execute(_wanted(receipt))).first()
    if found is None:
        log.warning("receipt.unknown_message", channel=receipt.channel, code=receipt.code)
        return None
    # The conversation first, as everywhere: what follows from a failure writes to its queue.
    await queue.lock(session, found.conversation_id)
    delivery = await session.get_one(Delivery, found.id, with_for_update=True)
    if receipt.provider_id and not delivery.provider_id:
        delivery.provider_id = receipt.provider_id
    forward = receipt.state.rank > DeliveryState(delivery.state).rank
    if forward:
        delivery.state = receipt.state
        delivery.code, delivery.reason = receipt.code, receipt.reason
        if receipt.state in _FINAL:
            delivery.settled_at = now()
    if receipt.opted_out:
        address = await session.get_one(Address, delivery.address_id)
        await citizens.suppress(session, address.channel, address.value, "provider")
    return Moved(delivery, failed=forward and receipt.state is DeliveryState.FAILED)


def _wanted(receipt: Receipt) -> Select[uuid.UUID, uuid.UUID]:
    query = select(Delivery.id, Delivery.conversation_id).limit(1)
    if receipt.delivery is not None:
        try:
            return query.where(Delivery.id == uuid.UUID(receipt.delivery))
        except ValueError:
            return query.where(false())
    if receipt.provider_id is None:
        return query.where(false())
    return query.where(Delivery.channel == receipt.channel, Delivery.provider_id == receipt.provider_id)
