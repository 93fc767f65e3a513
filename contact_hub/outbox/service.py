"""Putting messages on their way: parts, deliveries and tasks, in the transaction that wrote them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import Database, new_id, now
from contact_hub.operations import queue
from contact_hub.operations.queue import Lane
from contact_hub.outbox.models import ChannelMemory, ChannelPause, Delivery


async def dispatch(
    session: AsyncSession,
    *,
    touchpoint_id: uuid.UUID,
    conversation_id: uuid.UUID,
    address_id: uuid.UUID,
    channel: str,
    epoch: int,
    author: str,
    parts: list[str],
    despite_silence: bool = False,
    purpose: str | None = None,
) -> list[uuid.UUID]:
    """Queue every part of a message for sending, in order; the caller holds the conversation's lock."""
    deliveries = []
    for number, words in enumerate(parts, start=1):
        delivery_id = new_id()
        deliveries.append(delivery_id)
        await session.execute(
            insert(Delivery).values(
                id=delivery_id,
                touchpoint_id=touchpoint_id,
                conversation_id=conversation_id,
                address_id=address_id,
                channel=channel,
                epoch=epoch,
                author=author,
                part=number,
                parts=len(parts),
                text=words,
                state="queued",
                tries=0,
                segments=1,
                despite_silence=despite_silence,
                purpose=purpose,
                possible_duplicate=False,
                created_at=now(),
            )
        )
        await queue.put(session, Lane.OUT, conversation_id, "send", {"delivery": str(delivery_id)})
    return deliveries


_COPIED = (
    *("touchpoint_id", "conversation_id", "address_id", "channel", "epoch", "author", "part", "parts"),
    *("text", "tries", "segments", "despite_silence", "purpose"),
)


async def again(session: AsyncSession, failed: Delivery, delay: float) -> None:
    """Queue a failed part once more, as a delivery of its own: late news of the failed one is not its."""
    copied = {name: getattr(failed, name) for name in _COPIED}
    delivery = Delivery(**copied, id=new_id(), state="queued", possible_duplicate=False, created_at=now())
    session.add(delivery)
    await session.flush()
    due = now() + timedelta(seconds=delay)
    payload = {"delivery": str(delivery.id)}
    await queue.put(session, Lane.OUT, delivery.conversation_id, "send", payload, due)


async def pause(session: AsyncSession, channel: str, account: str, seconds: float, reason: str) -> None:
    """Let a whole account wait, as its provider asked."""
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    await session.execute(
        insert(ChannelPause)
        .values(channel=channel, account=account, until=until, reason=reason)
        .on_conflict_do_update(
            index_elements=["channel", "account"],
            set_={"until": func.greatest(ChannelPause.until, until), "reason": reason},
        )
    )


async def pause_left(session: AsyncSession, channel: str, account: str) -> float:
    """Seconds until the account may send again; 0 when it may."""
    until = await session.scalar(
        select(ChannelPause.until).where(ChannelPause.channel == channel, ChannelPause.account == account)
    )
    return 0.0 if until is None else max(0.0, (until - now()).total_seconds())


class TableMemory:
    """What a channel remembers between polls, in a table."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel

    async def get(self, key: str) -> str | None:
        """The value last set."""
        async with self._database.begin() as session:
            found = await session.get(ChannelMemory, (self._channel, key))
            return None if found is None else found.value

    async def set(self, key: str, value: str) -> None:
        """Keep a value."""
        async with self._database.begin() as session:
            await session.execute(
                insert(ChannelMemory)
                .values(channel=self._channel, key=key, value=value)
                .on_conflict_do_update(index_elements=["channel", "key"], set_={"value": value})
            )
