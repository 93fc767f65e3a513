"""Whose an address is, how that was proved, and which citizens are one person by now."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Proof
from contact_hub.citizens.service import DESK, SESSION_CHANNELS, doubtful, suppressed_address
from contact_hub.database import now

_INNER = (DESK, *SESSION_CHANNELS)


async def addresses_of(session: AsyncSession, citizen_id: uuid.UUID) -> list[Address]:
    """Every address that is a citizen's now, retired and inner ones included, the oldest first."""
    rows = await session.scalars(
        select(Address).where(Address.citizen_id == citizen_id).order_by(Address.created_at, Address.id)
    )
    return list(rows)


async def prove(session: AsyncSession, address_id: uuid.UUID, proof: Proof) -> None:
    """Write down that an address has just been proved, and how."""
    await session.execute(
        update(Address)
        .where(Address.id == address_id)
        .values(proof=proof, verified_at=now())
        .execution_options(synchronize_session=False)
    )


async def current(session: AsyncSession, citizen_id: uuid.UUID) -> uuid.UUID | None:
    """The citizen that this one is by now: itself, or whom it was merged into; None for an unknown one.

    A citizen's inner address goes wherever the citizen goes.
    """
    return await session.scalar(
        select(Address.citizen_id).where(Address.channel == DESK, Address.value == str(citizen_id))
    )


async def current_of(session: AsyncSession, citizen_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """The same for several at once; an unknown one is missing."""
    rows = await session.execute(
        select(Address.value, Address.citizen_id).where(
            Address.channel == DESK, Address.value.in_([str(citizen) for citizen in citizen_ids])
        )
    )
    return {uuid.UUID(value): citizen for value, citizen in rows}


async def within(session: AsyncSession, citizen_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Every citizen that is this one by now, itself included."""
    rows = await session.scalars(
        select(func.coalesce(Address.born_to, Address.citizen_id))
        .where(Address.citizen_id == citizen_id)
        .distinct()
    )
    return frozenset(rows)


async def personal(session: AsyncSession, citizen_id: uuid.UUID) -> bool:
    """Whether a citizen has an address that is one person's: a phone or an account, not a browser."""
    found = await session.scalar(
        select(Address.id)
        .where(
            Address.citizen_id == citizen_id,
            Address.channel.not_in(_INNER),
            Address.retired_at.is_(None),
        )
        .limit(1)
    )
    return found is not None


async def last_personal(
    session: AsyncSession, citizen_id: uuid.UUID, channels: Collection[str]
) -> Address | None:
    """The phone or account on one of these channels that a citizen was last heard from and can be told at."""
    return await session.scalar(
        select(Address)
        .where(
            Address.citizen_id == citizen_id,
            Address.channel.in_(sorted(set(channels) - SESSION_CHANNELS)),
            Address.retired_at.is_(None),
            ~doubtful(),
            ~suppressed_address(),
        )
        .order_by(Address.last_inbound_at.desc().nulls_last())
        .limit(1)
    )
