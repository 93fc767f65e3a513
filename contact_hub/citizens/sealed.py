"""Sealed records: of a councillor, a colleague, somebody under threat. Only the people named see them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.audit import service as audit
from contact_hub.database import Base, new_id, now
from contact_hub.staff.access import SYSTEM, Viewer


class SealedRecord(Base):
    """One seal on a citizen's record; `contact_hub.identity` lets it follow the addresses of a merge."""

    __tablename__ = "sealed_record"
    __table_args__ = (Index("ix_sealed_record_citizen_id", "citizen_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    citizen_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id", ondelete="CASCADE"))
    sealed_at: Mapped[datetime] = mapped_column(default=now)
    sealed_by: Mapped[str]
    reason: Mapped[str]
    merge_id: Mapped[uuid.UUID | None]  # the merge that brought it here, for its undoing


class SealedReader(Base):
    """Somebody who may see a sealed record."""

    __tablename__ = "sealed_reader"

    sealed_record_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("sealed_record.id", ondelete="CASCADE"), primary_key=True
    )
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)


async def seal(
    session: AsyncSession,
    citizen_id: uuid.UUID,
    readers: Sequence[uuid.UUID],
    reason: str,
    *,
    viewer: Viewer = SYSTEM,
) -> uuid.UUID:
    """Seal a record: only the staff named see it from now on. Returns the seal's id."""
    identity = new_id()
    session.add(
        SealedRecord(
            id=identity, citizen_id=citizen_id, sealed_at=now(), sealed_by=viewer.name, reason=reason
        )
    )
    await session.flush()
    session.add_all(SealedReader(sealed_record_id=identity, staff_id=reader) for reader in {*readers})
    await session.flush()
    named = sorted(str(reader) for reader in {*readers})
    await audit.record(session, viewer, "citizen.sealed", citizen_id=citizen_id, readers=named, reason=reason)
    return identity


async def unseal(
    session: AsyncSession, citizen_id: uuid.UUID, reason: str, *, viewer: Viewer = SYSTEM
) -> bool:
    """Take every seal off a record; False where there is none."""
    gone = await session.execute(
        delete(SealedRecord).where(SealedRecord.citizen_id == citizen_id).returning(SealedRecord.id)
    )
    if not gone.all():
        return False
    await audit.record(session, viewer, "citizen.unsealed", citizen_id=citizen_id, reason=reason)
    return True
