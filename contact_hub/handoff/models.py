"""What a person must look at beside the waiting conversations."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Ticket(Base):
    """A task for a person: a dead letter, an unreachable address, a provider's alert."""

    __tablename__ = "ticket"
    __table_args__ = (Index("ix_ticket_open", "created_at", postgresql_where=text("closed_at IS NULL")),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    reference: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    reason: Mapped[str]
    conversation_id: Mapped[uuid.UUID | None]
    touchpoint_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    closed_at: Mapped[datetime | None]
