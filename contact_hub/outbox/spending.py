"""Whether one more message may be paid for, counted in the transaction that would let it leave."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base import gsm7, spend
from channels.base.spend import Counts, Refusal, SpendRules
from contact_hub.citizens.models import Address
from contact_hub.database import now
from contact_hub.outbox.models import Delivery

# What was tried counts, whatever became of it: the provider bills what it accepts.
_COUNTS = text("""
    SELECT coalesce(sum(segments) FILTER (WHERE own AND first_tried_at > :hour), 0) AS number_hour,
           coalesce(sum(segments) FILTER (WHERE own AND first_tried_at >= :midnight), 0) AS number_day,
           coalesce(sum(segments) FILTER (WHERE near AND first_tried_at > :hour), 0) AS prefix_hour,
           coalesce(sum(segments) FILTER (WHERE first_tried_at >= :midnight), 0) AS day
    FROM (SELECT segments, first_tried_at, address_id = :address AS own,
                 address_id = ANY (ARRAY(
                     SELECT id FROM address
                     WHERE channel = :channel AND value BETWEEN :first AND :last
                       AND length(value) = length(:first))) AS near
          FROM delivery
          WHERE channel = :channel AND first_tried_at >= least(:hour, :midnight) AND id <> :delivery) AS tried
""")


async def refusal(
    session: AsyncSession, delivery: Delivery, address: Address, rules: SpendRules
) -> Refusal | None:
    """The first spending rule that a delivery would break; None when it may leave.

    It also notes how many segments the delivery will cost, so that those on their way are counted.
    """
    at = now()
    block = spend.prefix(address.value)
    tail = len(address.value) - len(block)
    row = (
        await session.execute(
            _COUNTS,
            {
                "address": address.id,
                "channel": delivery.channel,
                "delivery": delivery.id,
                "hour": at - timedelta(hours=1),
                "midnight": at.replace(hour=0, minute=0, second=0, microsecond=0),
                "first": block + "0" * tail,
                "last": block + "9" * tail,
            },
        )
    ).one()
    delivery.segments = gsm7.segments(delivery.text).count
    counts = Counts(
        asked=address.last_inbound_at is not None,
        number_hour=int(row.number_hour),
        number_day=int(row.number_day),
        prefix_hour=int(row.prefix_hour),
        day=int(row.day),
    )
    return spend.refuse(address.value, counts, rules, segments=delivery.segments)
