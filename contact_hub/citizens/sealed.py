"""Sealed records: of a councillor, a colleague, somebody under threat. Only the people named see them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class SealedRecord(Base):
    """One seal on a citizen's record; a merge brings the seals of both along."""

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
