"""Finding and making citizens, addresses and their open conversation."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Exists, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import silence
from contact_hub.citizens.models import Address, Citizen, Conversation, Suppression
from contact_hub.database import new_id, now
from contact_hub.operations.queue import LeaseLost

DESK = "desk"


@dataclass(frozen=True, slots=True)
class Place:
    """The address something came from, with its citizen and its open conversation, which is locked."""

    address_id: uuid.UUID
    citizen_id: uuid.UUID
    conversation: Conversation


async def place_of(session: AsyncSession, channel: str, value: str, language: str | None = None) -> Place:
    """The citizen behind an address, made where unknown, and the open conversation under lock."""
    # Held against an erasure, which either waits for this message or is over before it is looked at.
    address = await session.scalar(
        select(Address)
        .where(Address.channel == channel, Address.value == value)
        .with_for_update(read=True, key_share=True)
    )
    if address is None:
        address = await _make_address(session, channel, value, language)
    return Place(address.id, address.citizen_id, await open_conversation(session, address, language))


async def known_place(session: AsyncSession, channel: str, value: str) -> Place | None:
    """The same with one look, for an address that has an open conversation; else None."""
    row = (
        await session.execute(
            select(Address.id, Address.citizen_id, Conversation)
            .join(Conversation, Conversation.address_id == Address.id)
            .where(Address.channel == channel, Address.value == value, Conversation.state != "closed")
            .with_for_update(of=Conversation)
            .execution_options(populate_existing=True)
        )
    ).first()
    return None if row is None else Place(row[0], row[1], row[2])


async def find_address(session: AsyncSession, channel: str, value: str) -> Address | None:
    """The address, if anyone ever wrote from it."""
    return await session.scalar(select(Address).where(Address.channel == channel, Address.value == value))


async def _make_address(session: AsyncSession, channel: str, value: str, language: str | None) -> Address:
    # Two first messages may race: the unique key lets one of them make the address, and the other
    # waits for that commit and then finds it, leaving no citizen behind.
    citizen_id = new_id()
    await session.execute(
        insert(Citizen).values(id=citizen_id, created_at=now(), language=language, name=None)
    )
    made: Address | None = await session.scalar(
        insert(Address)
        .values(
            id=new_id(), citizen_id=citizen_id, channel=channel, value=value, created_at=now(), reachable=True
        )
        .on_conflict_do_nothing()
        .returning(Address)
    )
    if made is not None:
        await session.execute(
            insert(Address)
            .values(
                id=new_id(),
                citizen_id=citizen_id,
                channel=DESK,
                value=str(citizen_id),
                created_at=now(),
                reachable=True,
            )
            .on_conflict_do_nothing()
        )
        await silence.recall(session, channel, value)
        return made
    await session.execute(delete(Citizen).where(Citizen.id == citizen_id))
    found = await find_address(session, channel, value)
    if found is None:
        raise RuntimeError("the address was removed while it was being made")
    return found


async def open_conversation(
    session: AsyncSession, address: Address, language: str | None = None
) -> Conversation:
    """The address's open conversation under lock, begun where there is none."""
    for _ in range(5):
        found = await session.scalar(
            select(Conversation)
            .where(Conversation.address_id == address.id, Conversation.state != "closed")
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if found is not None:
            return found
        await session.execute(
            insert(Conversation)
            .values(
                id=new_id(),
                address_id=address.id,
                state="bot",
                epoch=0,
                language=language,
                language_fixed=False,
                priority=0,
                given_up=[],
                opened_at=now(),
                last_activity_at=now(),
            )
            .on_conflict_do_nothing(index_elements=["address_id"], index_where=text("state <> 'closed'"))
        )
    raise RuntimeError("the conversation is closed as fast as it is opened")


class ConversationGone(LookupError, LeaseLost):
    """The conversation was erased: whoever still works on it abandons, as one does whose lease is lost."""


async def lock_conversation(session: AsyncSession, conversation_id: uuid.UUID) -> Conversation:
    """The conversation as it is now, under lock until the transaction ends."""
    found = await session.scalar(
        select(Conversation)
        .where(Conversation.id == conversation_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise ConversationGone(f"no conversation {conversation_id}")
    return found


async def desk_address(session: AsyncSession, citizen_id: uuid.UUID) -> uuid.UUID:
    """The inner address of a citizen, for what happens inside the city."""
    found = await session.scalar(
        select(Address.id).where(Address.channel == DESK, Address.value == str(citizen_id))
    )
    if found is None:
        raise LookupError(f"citizen {citizen_id} has no inner address")
    return found


# Silence ---------------------------------------------------------------------------------------


async def suppress(session: AsyncSession, channel: str, value: str, source: str) -> bool:
    """Send nothing to this address any more; True when that is new."""
    done = await session.execute(
        insert(Suppression)
        .values(channel=channel, value=value, source=source, since=now())
        .on_conflict_do_nothing()
        .returning(Suppression.channel)
    )
    return done.first() is not None


async def unsuppress(session: AsyncSession, channel: str, value: str) -> None:
    """Allow sending again."""
    await session.execute(
        delete(Suppression).where(Suppression.channel == channel, Suppression.value == value)
    )


def suppressed_address() -> Exists:
    """Whether the address of a query asked for silence, as one of its columns."""
    return exists().where(Suppression.channel == Address.channel, Suppression.value == Address.value)


async def is_suppressed(session: AsyncSession, channel: str, value: str) -> bool:
    """Whether this address asked for silence."""
    found = await session.scalar(
        select(func.count()).where(Suppression.channel == channel, Suppression.value == value)
    )
    return bool(found)


async def silent_since(session: AsyncSession, channel: str, value: str) -> datetime | None:
    """When this address asked for silence; None when it may be written to."""
    return await session.scalar(
        select(Suppression.since).where(Suppression.channel == channel, Suppression.value == value)
    )


async def set_reachable(
    session: AsyncSession, address_id: uuid.UUID, reachable: bool, reason: str | None = None
) -> None:
    """Remember whether a provider can still reach this address."""
    address = await session.get_one(Address, address_id)
    address.reachable = reachable
    address.unreachable_reason = None if reachable else reason


async def heard_from(session: AsyncSession, address_id: uuid.UUID, at: datetime) -> None:
    """Whoever writes is reachable."""
    await session.execute(
        update(Address)
        .where(Address.id == address_id)
        .values(last_inbound_at=at, reachable=True, unreachable_reason=None)
        .execution_options(synchronize_session=False)
    )
