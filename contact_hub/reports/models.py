"""Problems residents reported."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class ReportState(StrEnum):
    """How far the city got with it."""

    RECEIVED = "received"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    REJECTED = "rejected"


class Report(Base):
    """A reported problem with the reference number the resident was given."""

    __tablename__ = "report"
    __table_args__ = (
        Index("ix_report_address_id", "address_id"),
        Index("ix_report_conversation_id", "conversation_id"),
        Index("ix_report_created_at", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    number: Mapped[int] = mapped_column(unique=True)
    reference: Mapped[str] = mapped_column(unique=True)
    # Whose report it is; nobody's once its person was erased and the city still counts its work.
    address_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("address.id"))
    conversation_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("conversation.id"))
    touchpoint_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)  # the message that completed it
    category: Mapped[str]
    place: Mapped[str]
    description: Mapped[str]
    photo_id: Mapped[uuid.UUID | None]
    department: Mapped[str | None]
    district: Mapped[str | None]  # of the city, where the place tells; it stays when the place goes
    state: Mapped[str] = mapped_column(default=ReportState.RECEIVED)
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
