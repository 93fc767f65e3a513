"""What follows when a part of a message did not reach its resident."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Receipt
from channels.base.errors import PermanentFailure
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address
from contact_hub.handoff import service as handoff
from contact_hub.outbox import service as outbox
from contact_hub.outbox.models import Delivery
from contact_hub.timeline import service as timeline

TRIES = 3  # the first and two more, when a provider took a part and the network lost it
FIRST_DELAY = 60.0  # seconds; the second wait is five times as long


async def by_receipt(session: AsyncSession, delivery: Delivery, receipt: Receipt) -> None:
    """The provider took a part and could not deliver it: try again a little later, or tell a person."""
    if receipt.retry and delivery.tries < TRIES:
        await outbox.again(session, delivery, FIRST_DELAY * 5 ** max(0, delivery.tries - 1))
        return
    await note(
        session,
        delivery,
        PermanentFailure(
            receipt.reason or "no reason given",
            code=receipt.code,
            unreachable=receipt.unreachable,
            opted_out=receipt.opted_out,
            alert=receipt.alert,
        ),
    )


async def note(session: AsyncSession, delivery: Delivery, failure: PermanentFailure) -> None:
    """Put a failed part on the timeline, learn from it about the address, and ask a person to look."""
    address = await session.get_one(Address, delivery.address_id)
    if failure.unreachable and not _heard_since(address, delivery):
        await citizens.set_reachable(session, address.id, False, failure.reason)
    if failure.opted_out:
        await citizens.suppress(session, address.channel, address.value, "provider")
    await on_timeline(session, delivery)
    about = {"conversation_id": delivery.conversation_id, "touchpoint_id": delivery.touchpoint_id}
    if failure.alert:
        await handoff.alert(session, f"Messages on {delivery.channel} fail: {failure.reason}", **about)
    elif not failure.opted_out:
        reason = f"A message could not be delivered: {failure.reason}"
        await handoff.open_ticket(session, "undelivered", reason, **about)


async def on_timeline(session: AsyncSession, delivery: Delivery) -> None:
    """Show in the history that a part did not arrive, and why."""
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


def _heard_since(address: Address, delivery: Delivery) -> bool:
    """Whether the resident wrote after this part was sent: then the failure is old news."""
    heard, tried = address.last_inbound_at, delivery.first_tried_at
    return heard is not None and tried is not None and heard > tried
