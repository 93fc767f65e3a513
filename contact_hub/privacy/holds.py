"""Legal holds: while one lasts, nothing of a citizen is removed, by nobody and by no clock."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, String, and_, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.service import record
from contact_hub.citizens.models import Address
from contact_hub.citizens.service import DESK
from contact_hub.database import new_id, now
from contact_hub.privacy.records import LegalHold
from contact_hub.staff.access import Viewer


class Held(RuntimeError):
    """A legal hold keeps this citizen's record; `holds` says which."""

    def __init__(self, standing: Sequence[LegalHold]) -> None:
        super().__init__("a legal hold keeps this record")
        self.holds = standing


async def add(
    session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID, reason: str, until: datetime | None
) -> LegalHold:
    """Place a hold; without `until` it lasts until somebody lifts it."""
    hold = LegalHold(
        id=new_id(),
        citizen_id=citizen_id,
        reason=reason,
        until=until,
        placed_by=viewer.name,
        placed_at=now(),
    )
    session.add(hold)
    await session.flush()
    await record(
        session,
        viewer,
        "hold.add",
        citizen_id=citizen_id,
        subject=f"hold {hold.id}",
        until=until and until.isoformat(),
    )
    return hold


async def lift(session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID) -> int:
    """Lift every hold on a citizen, and on whoever was merged into them; returns how many there were."""
    standing = await of_citizen(session, citizen_id)
    for hold in standing:
        hold.lifted_by, hold.lifted_at = viewer.name, now()
        await record(session, viewer, "hold.lift", citizen_id=hold.citizen_id, subject=f"hold {hold.id}")
    await session.flush()
    return len(standing)


async def standing(session: AsyncSession) -> Sequence[LegalHold]:
    """Every hold that lasts, oldest first."""
    return (await session.scalars(select(LegalHold).where(lasting(now())).order_by(LegalHold.id))).all()


async def of_citizen(session: AsyncSession, citizen_id: uuid.UUID) -> Sequence[LegalHold]:
    """The holds that keep a citizen; a hold on somebody merged into them counts, the records are one."""
    merged = select(Address.value).where(Address.citizen_id == citizen_id, Address.channel == DESK)
    whose = or_(LegalHold.citizen_id == citizen_id, cast(LegalHold.citizen_id, String).in_(merged))
    return (await session.scalars(select(LegalHold).where(whose, lasting(now())))).all()


async def held_addresses(session: AsyncSession, at: datetime) -> list[uuid.UUID]:
    """Every address of every citizen that a hold keeps."""
    held = select(cast(LegalHold.citizen_id, String)).where(lasting(at))
    citizens = select(Address.citizen_id).where(Address.channel == DESK, Address.value.in_(held))
    return list(await session.scalars(select(Address.id).where(Address.citizen_id.in_(citizens))))


def lasting(at: datetime) -> ColumnElement[bool]:
    """Whether a hold lasts at a moment."""
    return and_(LegalHold.lifted_at.is_(None), or_(LegalHold.until.is_(None), LegalHold.until > at))
