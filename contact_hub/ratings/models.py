"""How satisfied residents say they are once a conversation is closed."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Asking(StrEnum):
    """How far the question about a conversation got."""

    DUE = "due"  # to be asked, perhaps in the morning
    ASKED = "asked"
    GIVEN = "given"
    LAPSED = "lapsed"  # asked, and no answer came in time
    NOT_ASKED = "not_asked"  # by then it was too late, or the resident no longer agreed


class Rating(Base):
    """The one question about a closed conversation, and its answer from 1 (bad) to 5 (very good)."""

    __tablename__ = "rating"
    __table_args__ = (
        Index("ix_rating_address_id", "address_id"),
        Index("ix_rating_rated_at", "rated_at"),
        Index("ix_rating_due", "due_at", postgresql_where=text("state = 'due'")),
        Index("ix_rating_asked", "asked_at", postgresql_where=text("state = 'asked'")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"), unique=True)
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    channel: Mapped[str]
    department: Mapped[str | None]
    language: Mapped[str | None]
    agent: Mapped[str | None]  # who answered last; NULL where it was the bot alone
    state: Mapped[str] = mapped_column(default=Asking.DUE)
    closed_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime] = mapped_column(default=now)
    asked_at: Mapped[datetime | None]
    question_id: Mapped[uuid.UUID | None]  # the touchpoint that asked
    score: Mapped[int | None]
    rated_at: Mapped[datetime | None]
    comment_id: Mapped[uuid.UUID | None]  # the touchpoint with what they wrote about it
