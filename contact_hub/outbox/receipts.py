"""What providers say about messages that left: states only move forward."""

from __future__ import annotations

import uuid

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import DeliveryState, Receipt
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address
from contact_hub.database import now
from contact_hub.outbox.models import Delivery

log = structlog.get_logger()

_FINAL = {DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.FAILED}


async def apply(session: AsyncSession, receipt: Receipt) -> uuid.UUID | None:
    """Move a delivery forward and return its conversation; None when the receipt is news of nothing."""
    delivery = await _delivery(session, receipt)
    if delivery is None:
        log.warning("receipt.unknown_message", channel=receipt.channel, code=receipt.code)
        return None
    if receipt.provider_id and not delivery.provider_id:
        delivery.provider_id = receipt.provider_id
    if receipt.state.rank > DeliveryState(delivery.state).rank:
        delivery.state = receipt.state
        delivery.code, delivery.reason = receipt.code, receipt.reason
        if receipt.state in _FINAL:
            delivery.settled_at = now()
    if receipt.unreachable:
        await citizens.set_reachable(session, delivery.address_id, False, receipt.reason)
    if receipt.opted_out:
        address = await session.get_one(Address, delivery.address_id)
        await citizens.suppress(session, address.channel, address.value, "provider")
    return delivery.conversation_id


async def _delivery(session: AsyncSession, receipt: Receipt) -> Delivery | None:
    query = select(Delivery).with_for_update()
    if receipt.delivery is not None:
        try:
            return await session.scalar(query.where(Delivery.id == uuid.UUID(receipt.delivery)))
        except ValueError:
            return None
    if receipt.provider_id is None:
        return None
    return await session.scalar(
        query.where(Delivery.channel == receipt.channel, Delivery.provider_id == receipt.provider_id)
    )
