"""Who owns an address: the replay of the ledger of merges without its undone entries."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.citizens.sealed import SealedReader, SealedRecord
from contact_hub.database import new_id
from contact_hub.identity.models import Merge


class Entry(Protocol):
    """What the replay needs of an entry."""

    survivor_id: uuid.UUID
    absorbed_id: uuid.UUID


def owner(first: uuid.UUID, entries: Iterable[Entry]) -> uuid.UUID:
    """The owner of what was born to `first`, after these entries in the order in which they were made."""
    for entry in entries:
        if entry.absorbed_id == first:
            first = entry.survivor_id
    return first


# Everybody whom merges that stand connect with some citizens.
_KIN = text("""
    WITH RECURSIVE kin (id) AS (
        SELECT unnest(CAST(:seeds AS uuid[]))
        UNION
        SELECT CASE WHEN m.survivor_id = kin.id THEN m.absorbed_id ELSE m.survivor_id END
        FROM kin JOIN merge m ON kin.id IN (m.survivor_id, m.absorbed_id) AND m.undone_at IS NULL)
    SELECT id FROM kin
""")


async def settle(session: AsyncSession, *seeds: uuid.UUID) -> list[uuid.UUID]:
    """Bring the addresses of these citizens and their kin to whom the ledger gives them; returns which moved.

    The ledger's lock is held. Touchpoints stay where they are: they belong to addresses.
    """
    kin = set(await session.scalars(_KIN, {"seeds": list(seeds)}))
    entries = list(
        await session.scalars(
            select(Merge)
            .where(Merge.survivor_id.in_(kin), Merge.absorbed_id.in_(kin), Merge.undone_at.is_(None))
            .order_by(Merge.number)
        )
    )
    first = func.coalesce(Address.born_to, Address.citizen_id)
    rows = await session.execute(
        select(Address.id, Address.citizen_id, first).where(Address.citizen_id.in_(kin))
    )
    moves: dict[tuple[uuid.UUID, uuid.UUID], list[uuid.UUID]] = {}
    for address, now_with, born_to in rows:
        belongs_to = owner(born_to, entries)
        if belongs_to != now_with:
            moves.setdefault((born_to, belongs_to), []).append(address)
    for (born_to, belongs_to), addresses in moves.items():
        await session.execute(
            update(Address)
            .where(Address.id.in_(addresses))
            .values(citizen_id=belongs_to, born_to=born_to)
            .execution_options(synchronize_session=False)
        )
    await _bring_seals(session, kin, entries)
    return [address for addresses in moves.values() for address in addresses]


async def _bring_seals(session: AsyncSession, kin: set[uuid.UUID], entries: list[Merge]) -> None:
    """Let a sealed record stay sealed wherever its addresses go: copies of its seal follow them."""
    seals = list(await session.scalars(select(SealedRecord).where(SealedRecord.citizen_id.in_(kin))))
    for copy in [seal for seal in seals if seal.merge_id is not None]:
        await session.delete(copy)
    await session.flush()
    for seal in [seal for seal in seals if seal.merge_id is None]:
        holder, by = seal.citizen_id, None
        for entry in entries:
            if entry.absorbed_id == holder:
                holder, by = entry.survivor_id, entry.id
        if by is None:
            continue
        copy = SealedRecord(
            id=new_id(),
            citizen_id=holder,
            sealed_at=seal.sealed_at,
            sealed_by=seal.sealed_by,
            reason=seal.reason,
            merge_id=by,
        )
        session.add(copy)
        await session.flush()
        readers = await session.scalars(
            select(SealedReader.staff_id).where(SealedReader.sealed_record_id == seal.id)
        )
        session.add_all(SealedReader(sealed_record_id=copy.id, staff_id=reader) for reader in readers)
    await session.flush()
