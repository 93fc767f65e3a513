"""What a resident can link by themselves, and by what proof."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import identity
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation, Proof
from contact_hub.citizens.service import SESSION_CHANNELS
from contact_hub.identity import codes, merging, suggestions
from contact_hub.identity.codes import Spent
from contact_hub.identity.models import Likeness
from contact_hub.timeline.models import ChatSession


class Outcome(StrEnum):
    """How an attempt to link two addresses ended."""

    LINKED = "linked"
    ALREADY = "already"  # they were one citizen's before
    SHARED = "shared"  # one of them is used by several people
    CHECK = "check"  # an agent has to look: the proof leads through a browser that is somebody's already
    WRONG = "wrong"
    HERE = "here"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Link:
    """The outcome, the other address with its conversation, and the entry of the ledger, where there are."""

    outcome: Outcome
    other: Address | None = None
    merge: uuid.UUID | None = None
    conversation: Conversation | None = None


async def by_code(session: AsyncSession, sender: uuid.UUID, code: str, touchpoint: uuid.UUID) -> Link:
    """Link the address that sent a code with the one that it was shown at."""
    spent, shown_at = await codes.spend(session, sender, code)
    if spent is not Spent.TAKEN or shown_at is None:
        return Link(Outcome(spent.value))
    # Always in this order: conversations, then the ledger of merges, then addresses.
    there = await citizens.open_conversation(session, await session.get_one(Address, shown_at), by_city=True)
    link = await _join(session, sender, shown_at, Proof.CODE, touchpoint)
    return replace(link, conversation=there)


async def by_contact(session: AsyncSession, account: uuid.UUID, number: str, touchpoint: uuid.UUID) -> Link:
    """Link a Telegram account with the phone number that Telegram says is its owner's.

    A number that never wrote is linked all the same, so that its first text is no stranger's.
    """
    if await shared(session, await session.get_one(Address, account)):
        return Link(Outcome.SHARED)
    phone, returned = await citizens.address_of(session, "sms", number)
    if returned is not None:
        await suggestions.note(session, phone.citizen_id, returned, Likeness.RETURNED_NUMBER, touchpoint)
    return await _join(session, account, phone.id, Proof.CONTACT, touchpoint)


async def shared(session: AsyncSession, address: Address) -> bool:
    """Whether several people write from an address: a device marked so, or a Telegram group."""
    if address.channel in SESSION_CHANNELS:
        return bool(
            await session.scalar(select(ChatSession.shared).where(ChatSession.id == uuid.UUID(address.value)))
        )
    return address.channel == "telegram" and address.value.startswith("-")  # a group's id is negative


async def _join(
    session: AsyncSession, sender: uuid.UUID, shown_at: uuid.UUID, proof: Proof, touchpoint: uuid.UUID
) -> Link:
    await merging.lock(session)  # from here on nobody changes who is who
    places = [
        await session.get_one(Address, address, populate_existing=True) for address in (sender, shown_at)
    ]
    other = places[1]
    for place in places:
        if await shared(session, place):
            return Link(Outcome.SHARED, other)
    first, second = (place.citizen_id for place in places)
    outcome, made = Outcome.ALREADY, None
    if first != second:
        in_a_browser = any(place.channel in SESSION_CHANNELS for place in places)
        # Two people at one computer would otherwise become one through it.
        if (
            in_a_browser
            and await identity.personal(session, first)
            and await identity.personal(session, second)
        ):
            await suggestions.note(session, first, second, Likeness.SHARED_DEVICE, touchpoint)
            return Link(Outcome.CHECK, other)
        survivor, absorbed = await by_age(session, first, second)
        entry = await merging.merge(session, survivor, absorbed, method=proof, evidence=touchpoint)
        outcome, made = Outcome.LINKED, entry.id
    # A contact proves the number; a code proves both ends of its way.
    for place in places[1:] if proof is Proof.CONTACT else places:
        await identity.prove(session, place.id, proof)
    return Link(outcome, other, made)


async def by_age(session: AsyncSession, first: uuid.UUID, second: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """The older of two citizens first: who survives where nobody chooses."""
    rows = await session.scalars(
        select(Citizen.id).where(Citizen.id.in_((first, second))).order_by(Citizen.created_at, Citizen.id)
    )
    older, younger = rows.all()
    return older, younger
