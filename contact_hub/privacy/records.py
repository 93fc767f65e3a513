"""What is kept about rights: the erasure ledger, counts without people, holds, and copies asked for."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlalchemy import BigInteger, Date, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Erasure(Base):
    """An entry of the erasure ledger, sealed; the same entry stands in `erasures.log`."""

    __tablename__ = "erasure"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    erased_at: Mapped[datetime] = mapped_column(default=now)
    entry: Mapped[bytes] = mapped_column(LargeBinary)


class KeptCount(Base):
    """How many rows of a kind a month had that are gone by now; belongs to nobody."""

    __tablename__ = "kept_count"

    month: Mapped[date] = mapped_column(Date, primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    measure: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class LegalHold(Base):
    """A reason for which nothing of a citizen may be removed for a while."""

    __tablename__ = "legal_hold"
    __table_args__ = (Index("ix_legal_hold_citizen_id", "citizen_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    citizen_id: Mapped[uuid.UUID]
    reason: Mapped[str]
    until: Mapped[datetime | None]
    placed_by: Mapped[str]
    placed_at: Mapped[datetime] = mapped_column(default=now)
    lifted_by: Mapped[str | None]
    lifted_at: Mapped[datetime | None]


class DataExport(Base):
    """A copy of their data a resident asked for: made when it is fetched, and fetched once."""

    __tablename__ = "data_export"
    __table_args__ = (
        Index("ix_data_export_address_id", "address_id"),
        Index("ix_data_export_citizen_id", "citizen_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    citizen_id: Mapped[uuid.UUID]
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    code_sent_at: Mapped[datetime | None]
    codes_sent: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    asked_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    fetched_at: Mapped[datetime | None]
