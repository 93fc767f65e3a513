"""Finding and making citizens, addresses and their open conversation."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Exists,
    ScalarSelect,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import silence
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState, Proof, Suppression
from contact_hub.database import new_id, now
from contact_hub.operations.queue import LeaseLost

DESK = "desk"
SESSION_CHANNELS = frozenset({"web_chat", "console"})  # proved by a browser, which several people may use
NUMBER_CHANNELS = frozenset({"sms"})  # networks give a number that was let go to somebody else
SILENCE = timedelta(days=90)  # networks keep a number back for about as long before they give it away


@dataclass(frozen=True, slots=True)
class Place:
    """The address something came from, with its citizen and its open conversation, which is locked.

    `returned` is the citizen whom the same number belonged to, where it may be somebody else's now.
    """

    address_id: uuid.UUID
    citizen_id: uuid.UUID
    conversation: Conversation
    returned: uuid.UUID | None = None


async def place_of(session: AsyncSession, channel: str, value: str, language: str | None = None) -> Place:
    """The citizen behind an address, made where unknown, and the open conversation under lock."""
    address, returned = await address_of(session, channel, value, language)
    conversation = await open_conversation(session, address, language)
    return Place(address.id, address.citizen_id, conversation, returned)


async def address_of(
    session: AsyncSession, channel: str, value: str, language: str | None = None
) -> tuple[Address, uuid.UUID | None]:
    """The address, made where unknown or in doubt, and in the latter case whose it was."""
    address = await _undoubted(session, channel, value)
    if address is not None:
        return address, None
    former = await find_address(session, channel, value)
    if former is not None:
        # Two messages may arrive at once: one of them retires the address, the other finds the new one.
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"{channel}:{value}"))))
        address = await _undoubted(session, channel, value)
        if address is not None:
            return address, None
        former = await find_address(session, channel, value)
    if former is not None:
        await _retire(session, former.id)
    made = await _make_address(session, channel, value, language)
    return made, None if former is None else former.citizen_id


async def _undoubted(session: AsyncSession, channel: str, value: str) -> Address | None:
    # Held against an erasure, which either waits for this message or is over before it is looked at.
    return await session.scalar(
        select(Address)
        .where(Address.channel == channel, Address.value == value, not_(doubtful()))
        .with_for_update(read=True, key_share=True)
    )


def doubtful() -> ColumnElement[bool]:
    """Whether a number may have been given to somebody else since its owner was last heard."""
    heard = func.greatest(Address.last_inbound_at, Address.verified_at, Address.created_at)
    return and_(
        Address.channel.in_(sorted(NUMBER_CHANNELS)),
        or_(not_(Address.reachable), heard < now() - SILENCE),
    )


async def _retire(session: AsyncSession, address_id: uuid.UUID) -> None:
    """Leave a doubtful number with its citizen under another value; whoever has it now begins anew.

    Nothing is shown to a stranger and nothing of theirs lands in another's history, and no query has
    to remember it: the value matches nothing that comes in.
    """
    # The conversation first, as everywhere. One that a person looks after stays open for them.
    await session.execute(
        select(Conversation.id)
        .where(Conversation.address_id == address_id, Conversation.state != ConversationState.CLOSED)
        .with_for_update()
    )
    await session.execute(
        update(Conversation)
        .where(Conversation.address_id == address_id, Conversation.state == ConversationState.BOT)
        .values(state=ConversationState.CLOSED, closed_at=now())
    )
    moment = now()
    await session.execute(
        update(Address)
        .where(Address.id == address_id, Address.retired_at.is_(None))
        .values(
            value=Address.value + f" (until {moment:%Y-%m-%dT%H:%M:%S.%fZ})",
            retired_at=moment,
            reachable=False,
            unreachable_reason="the number may be somebody else's by now",
        )
        .execution_options(synchronize_session=False)
    )


async def known_place(session: AsyncSession, channel: str, value: str) -> Place | None:
    """The same with one look, for an address that has an open conversation; else None."""
    row = (
        await session.execute(
            select(Address.id, Address.citizen_id, Conversation)
            .join(Conversation, Conversation.address_id == Address.id)
            .where(Address.channel == channel, Address.value == value, Conversation.state != "closed")
            .where(not_(doubtful()))
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
            id=new_id(),
            citizen_id=citizen_id,
            channel=channel,
            value=value,
            created_at=now(),
            verified_at=now(),
            proof=Proof.SESSION if channel in SESSION_CHANNELS else Proof.WROTE,
            reachable=True,
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
                verified_at=now(),
                proof=Proof.INNER,
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
    session: AsyncSession, address: Address, language: str | None = None, *, by_city: bool = False
) -> Conversation:
    """The address's open conversation under lock, begun where there is none.

    One that the city begins by itself is no contact of the resident's until they write in it.
    """
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
                language=func.coalesce(_spoken_by(address.citizen_id), language),
                language_fixed=False,
                priority=0,
                given_up=[],
                opened_at=now(),
                last_activity_at=now(),
                follow_up=by_city,
            )
            .on_conflict_do_nothing(index_elements=["address_id"], index_where=text("state <> 'closed'"))
        )
    raise RuntimeError("the conversation is closed as fast as it is opened")


def _spoken_by(citizen_id: uuid.UUID) -> ScalarSelect[str | None]:
    """The language that a citizen wrote last, which says more than their device does."""
    return select(Citizen.language).where(Citizen.id == citizen_id).scalar_subquery()


class ConversationGone(LookupError, LeaseLost):
    """The conversation was erased: whoever still works on it abandons, as one does whose lease is lost."""


async def lock_conversation(
    session: AsyncSession, conversation_id: uuid.UUID, *beside: uuid.UUID
) -> Conversation:
    """The conversation as it is now, under lock until the transaction ends; others `beside` it as well.

    The oldest is locked first, whoever asks, so that two who need the same ones never wait for one another.
    """
    rows = await session.scalars(
        select(Conversation)
        .where(Conversation.id.in_({conversation_id, *beside}))
        .order_by(Conversation.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = next((talk for talk in rows.all() if talk.id == conversation_id), None)
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


async def silent_among(session: AsyncSession, addresses: Collection[Address]) -> frozenset[uuid.UUID]:
    """Those of some addresses that asked for silence, by their ids."""
    ids = [address.id for address in addresses]
    return frozenset(
        await session.scalars(select(Address.id).where(Address.id.in_(ids), suppressed_address()))
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
