"""Waiting for a person, and what people at the desk have in hand."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
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


class Wait(Base):
    """One stretch of waiting for a person; the next promise is made from those that ended."""

    __tablename__ = "wait"
    __table_args__ = (
        Index("uq_wait_open", "conversation_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_wait_conversation_id", "conversation_id"),
        Index("ix_wait_address_id", "address_id"),
        Index("ix_wait_ended_at", "ended_at"),
        Index("ix_wait_since", "since"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    channel: Mapped[str]
    department: Mapped[str | None]
    language: Mapped[str | None]
    reason: Mapped[str]
    priority: Mapped[int]
    since: Mapped[datetime] = mapped_column(default=now)
    promised_at: Mapped[datetime | None]  # by when the resident was told that somebody answers
    overdue_at: Mapped[datetime | None]  # when it was noticed that the promise was not kept
    ended_at: Mapped[datetime | None]
    ended: Mapped[str | None]  # taken, closed, returned
    taken_by: Mapped[str | None]
    first_word_at: Mapped[datetime | None]  # of whoever took it


class HeldReply(Base):
    """An agent's words that leave in a few seconds unless they take them back; gone once they left."""

    __tablename__ = "held_reply"
    __table_args__ = (Index("ix_held_reply_conversation_id", "conversation_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    touchpoint_id: Mapped[uuid.UUID]  # what it becomes; its files are kept under it already
    agent: Mapped[str]
    text: Mapped[str]
    files: Mapped[list[Any]] = mapped_column(default=list)  # ids of attachments
    written_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime]


class Presence(Base):
    """Somebody at the desk has a conversation open, perhaps with words not yet sent."""

    __tablename__ = "presence"

    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"), primary_key=True)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    typed_at: Mapped[datetime | None]
    draft: Mapped[str | None]


class Mention(Base):
    """Somebody at the desk was named in a note."""

    __tablename__ = "mention"
    __table_args__ = (
        Index("ix_mention_unseen", "staff_id", postgresql_where=text("seen_at IS NULL")),
        Index("ix_mention_conversation_id", "conversation_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    touchpoint_id: Mapped[uuid.UUID]  # the note
    by: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime | None]
