"""Making two citizens one, and two again: an entry in the ledger each, never a loss."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import column, func, insert, or_, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens import identity
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState, Proof
from contact_hub.citizens.sealed import SealedReader, SealedRecord
from contact_hub.citizens.service import DESK, SESSION_CHANNELS, desk_address
from contact_hub.database import new_id, now
from contact_hub.events import service as events
from contact_hub.identity import ledger
from contact_hub.identity.models import Merge
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Touchpoint

LONGEST_REASON = 500
# Legal holds are a room above this one; their table is known here by name.
_HOLD = table(
    "legal_hold",
    *map(column, ("id", "citizen_id", "reason", "until", "placed_by", "placed_at", "lifted_at")),
)


class CannotMerge(ValueError):
    """Why two citizens cannot be merged, or a merge not be undone, in an agent's words."""


# Looking before --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """One of two citizens that may become one."""

    citizen: uuid.UUID
    since: datetime
    name: str | None
    language: str | None
    addresses: list[Address]
    touchpoints: dict[str, int]  # how many of each kind
    open_conversations: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a merge would do, before anybody does it."""

    survivor: Side
    absorbed: Side
    moves: list[Address]
    warnings: list[str]


async def preview(session: AsyncSession, survivor: uuid.UUID, other: uuid.UUID) -> Preview:
    """Both citizens side by side and what would move; raises CannotMerge where a merge would."""
    await _may_merge(session, survivor, other)
    first, second = await side(session, survivor), await side(session, other)
    return Preview(
        first, second, [a for a in second.addresses if a.channel != DESK], _warnings(first, second)
    )


async def side(session: AsyncSession, citizen_id: uuid.UUID) -> Side:
    """A citizen as an agent compares them."""
    citizen = await session.get_one(Citizen, citizen_id)
    counts = await session.execute(
        select(Touchpoint.kind, func.count())
        .join(Address, Address.id == Touchpoint.address_id)
        .where(Address.citizen_id == citizen_id)
        .group_by(Touchpoint.kind)
    )
    talks = await session.scalar(
        select(func.count())
        .select_from(Conversation)
        .join(Address, Address.id == Conversation.address_id)
        .where(Address.citizen_id == citizen_id, Conversation.state != ConversationState.CLOSED)
    )
    return Side(
        citizen_id,
        citizen.created_at,
        citizen.name,
        citizen.language,
        await identity.addresses_of(session, citizen_id),
        {str(kind): int(number) for kind, number in counts},
        int(talks or 0),
    )


def _warnings(first: Side, second: Side) -> list[str]:
    """What speaks against it, or should at least be looked at twice."""
    both = _personal(first) & _personal(second)
    found = [f"Both write by {channel}, from different addresses." for channel in sorted(both)]
    if first.name and second.name and first.name.casefold() != second.name.casefold():
        found.append("Their names differ.")
    if first.language and second.language and first.language != second.language:
        found.append("They write in different languages.")
    return found


def _personal(one: Side) -> set[str]:
    inner = {DESK, *SESSION_CHANNELS}
    return {a.channel for a in one.addresses if a.retired_at is None} - inner


# Merging and undoing ---------------------------------------------------------------------------


async def merge(
    session: AsyncSession,
    survivor: uuid.UUID,
    other: uuid.UUID,
    *,
    by: Viewer = SYSTEM,
    reason: str | None = None,
    method: Proof = Proof.AGENT,
    evidence: uuid.UUID | None = None,
) -> Merge:
    """Give the other's addresses to the survivor; raises CannotMerge.

    An agent says why. `evidence` is the touchpoint that proved it where the resident did it themselves.
    """
    reason = _reason(reason) if method is Proof.AGENT else reason
    await lock(session)
    await _may_merge(session, survivor, other)
    entry = Merge(
        id=new_id(),
        survivor_id=survivor,
        absorbed_id=other,
        method=method,
        made_by=by.name,
        reason=reason,
        evidence=evidence,
        made_at=now(),
    )
    session.add(entry)
    await session.flush()
    await ledger.settle(session, survivor, other)
    await _tell(session, entry, survivor, by, done="merged")
    return entry


async def undo(
    session: AsyncSession, merge_id: uuid.UUID, *, by: Viewer = SYSTEM, reason: str | None
) -> Merge:
    """Part what a merge joined, whatever has happened since; undone already, it stays so.

    Raises CannotMerge where there is no such merge.
    """
    reason = _reason(reason)
    await lock(session)
    entry = await session.get(Merge, merge_id, populate_existing=True)
    if entry is None:
        raise CannotMerge("There is no such merge.")
    if entry.undone_at is not None:
        return entry
    shared = await _joined_with(session, entry.absorbed_id)
    entry.undone_at, entry.undone_by, entry.undo_reason = now(), by.name, reason
    await session.flush()
    await _keep_sealed(session, entry, shared)
    await _keep_held(session, entry, shared)
    await ledger.settle(session, entry.survivor_id, entry.absorbed_id)
    for citizen in (entry.survivor_id, entry.absorbed_id):
        await _tell(session, entry, citizen, by, done="undone")
    return entry


async def unlink(
    session: AsyncSession, address_id: uuid.UUID, *, by: Viewer = SYSTEM, reason: str | None
) -> Merge:
    """Undo the last merge that brought an address to where it is; raises CannotMerge where none did."""
    await lock(session)
    address = await session.get_one(Address, address_id, populate_existing=True)
    holder, last = address.born_to or address.citizen_id, None
    for entry in await _standing(session):
        if entry.absorbed_id == holder:
            holder, last = entry.survivor_id, entry
    if last is None:
        raise CannotMerge("No merge brought this address here.")
    return await undo(session, last.id, by=by, reason=reason)


async def history(session: AsyncSession, citizen_id: uuid.UUID) -> list[Merge]:
    """Every entry of the ledger that ever touched who this citizen is by now, the oldest first."""
    ids = await identity.within(session, citizen_id)
    rows = await session.scalars(
        select(Merge)
        .where(or_(Merge.survivor_id.in_(ids), Merge.absorbed_id.in_(ids)))
        .order_by(Merge.number)
    )
    return list(rows)


async def lock(session: AsyncSession) -> None:
    """Wait until nobody else changes the ledger. Merges are rare, and one at a time they cannot cross."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('the ledger of merges'))"))


async def _standing(session: AsyncSession) -> list[Merge]:
    rows = await session.scalars(select(Merge).where(Merge.undone_at.is_(None)).order_by(Merge.number))
    return list(rows)


async def _may_merge(session: AsyncSession, survivor: uuid.UUID, other: uuid.UUID) -> None:
    now_are = await identity.current(session, survivor), await identity.current(session, other)
    if None in now_are:
        raise CannotMerge("There is no such citizen.")
    if now_are[0] == now_are[1]:
        raise CannotMerge("They are one citizen already.")
    if now_are != (survivor, other):
        raise CannotMerge("One of them was merged into another citizen already: merge that one.")


def _reason(reason: str | None) -> str:
    words = " ".join((reason or "").replace("\x00", "").split())
    if len(words) < 5:
        raise CannotMerge("Say why, in at least a few words: it stays in the record.")
    return words[:LONGEST_REASON]


async def _joined_with(session: AsyncSession, citizen_id: uuid.UUID) -> list[uuid.UUID]:
    """Everybody whom a citizen was merged into, one after the other, as the ledger stands."""
    path = [citizen_id]
    for entry in await _standing(session):
        if entry.absorbed_id == path[-1]:
            path.append(entry.survivor_id)
    return path[1:]


async def _keep_sealed(session: AsyncSession, entry: Merge, shared: list[uuid.UUID]) -> None:
    """What was sealed while two citizens were one stays sealed for both of them."""
    seals = await session.scalars(
        select(SealedRecord).where(
            SealedRecord.citizen_id.in_(shared),
            SealedRecord.merge_id.is_(None),
            SealedRecord.sealed_at >= entry.made_at,
        )
    )
    for seal in list(seals):
        twin = SealedRecord(
            id=new_id(),
            citizen_id=entry.absorbed_id,
            sealed_at=seal.sealed_at,
            sealed_by=seal.sealed_by,
            reason=seal.reason,
        )
        session.add(twin)
        await session.flush()
        readers = await session.scalars(
            select(SealedReader.staff_id).where(SealedReader.sealed_record_id == seal.id)
        )
        session.add_all(SealedReader(sealed_record_id=twin.id, staff_id=reader) for reader in readers)


async def _keep_held(session: AsyncSession, entry: Merge, shared: list[uuid.UUID]) -> None:
    """A hold placed while two citizens were one keeps both of them, until each is lifted."""
    found = await session.execute(
        select(_HOLD).where(
            _HOLD.c.citizen_id.in_(shared),
            _HOLD.c.placed_at >= entry.made_at,
            _HOLD.c.lifted_at.is_(None),
            or_(_HOLD.c.until.is_(None), _HOLD.c.until > now()),
        )
    )
    for hold in found.mappings().all():
        twin = {**hold, "id": new_id(), "citizen_id": entry.absorbed_id}
        await session.execute(insert(_HOLD).values(**twin))


async def _tell(session: AsyncSession, entry: Merge, citizen: uuid.UUID, by: Viewer, *, done: str) -> None:
    """Put it on the timeline, in the audit and among the events. Ids only: after an undo the survivor
    must not keep the other's name or number in their history."""
    at = await desk_address(session, citizen)
    await timeline.record(
        session,
        address_id=at,
        direction="inner",
        actor="agent" if by.kind == "staff" else "system",
        kind="merge",
        payload={"merge": str(entry.id), "done": done, "method": entry.method},
    )
    if done == "undone" and citizen == entry.absorbed_id:
        return  # said once
    await audit.record(
        session,
        by,
        f"merge {done}",
        citizen_id=entry.survivor_id,
        subject=str(entry.id),
        absorbed=str(entry.absorbed_id),
        method=entry.method,
        **({"because": entry.undo_reason or entry.reason} if entry.undo_reason or entry.reason else {}),
    )
    await events.emit(
        session,
        "merge",
        {"merge": entry.id, "done": done, "survivor": entry.survivor_id, "absorbed": entry.absorbed_id},
        citizen_id=entry.survivor_id,
    )
