"""Who seems unhappy and why, how each turn was read, and what people later thought of that."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Level(StrEnum):
    """What a flag asks for."""

    UNEASY = "uneasy"  # a person is offered
    UNHAPPY = "unhappy"  # a person takes over
    DANGER = "danger"  # the head of the queue, whatever else waits


class Verdict(StrEnum):
    """Whether somebody who looked at a conversation agrees with what was made of it."""

    RIGHT = "right"
    WRONG = "wrong"
    UNSURE = "unsure"


class DrawnFor(StrEnum):
    """Why a conversation is to be judged."""

    SAMPLE = "sample"  # flagged, drawn by chance
    DISMISSED = "dismissed"  # flagged, and an agent took the flag away
    UNFLAGGED = "unflagged"  # never flagged, drawn by chance: what was missed is found here


class Flag(Base):
    """A moment at which a conversation's resident seemed unhappy or in danger.

    `signals` lists what says so, each `{"signal", "weight", "evidence", "words"}`: its key in
    `nlu_data/flags.yml`, what it adds to the score, the id of the touchpoint that is its evidence, and
    the reason in words as it was explained then.
    """

    __tablename__ = "flag"
    __table_args__ = (
        Index("ix_flag_conversation_id", "conversation_id"),
        Index("ix_flag_address_id", "address_id"),
        Index("ix_flag_raised_at", "raised_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    touchpoint_id: Mapped[uuid.UUID]  # what the resident did just before
    channel: Mapped[str]
    department: Mapped[str | None]
    language: Mapped[str | None]
    score: Mapped[float]
    level: Mapped[str]
    signals: Mapped[list[Any]] = mapped_column(default=list)
    handed_over: Mapped[bool] = mapped_column(default=False)
    raised_at: Mapped[datetime] = mapped_column(default=now)
    dismissed_at: Mapped[datetime | None]
    dismissed_by: Mapped[str | None]
    dismissed_why: Mapped[str | None]


class Reading(Base):
    """How dissatisfied one turn of a resident reads, from 0 to 1, as the brain saw it."""

    __tablename__ = "reading"
    __table_args__ = (
        Index("ix_reading_conversation_id", "conversation_id"),
        Index("ix_reading_address_id", "address_id"),
    )

    touchpoint_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    score: Mapped[float]
    read_at: Mapped[datetime] = mapped_column(default=now)


class Review(Base):
    """A conversation that a manager judges: of one flag, or of having raised none.

    One that was drawn by chance belongs to the `day` on which its flag was raised or its talk ended, and
    stands for so many of that day: all there were, divided by those drawn.
    """

    __tablename__ = "review"
    __table_args__ = (
        Index("uq_review_flag_id", "flag_id", unique=True, postgresql_where=text("flag_id IS NOT NULL")),
        Index(
            "uq_review_conversation_id",
            "conversation_id",
            unique=True,
            postgresql_where=text("flag_id IS NULL"),
        ),
        Index("ix_review_conversation_id", "conversation_id"),
        Index("ix_review_day", "day"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    flag_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("flag.id", ondelete="CASCADE"))
    drawn_for: Mapped[str]
    drawn_at: Mapped[datetime] = mapped_column(default=now)
    day: Mapped[date]
    stands_for: Mapped[float] = mapped_column(default=1.0)
    blind: Mapped[bool] = mapped_column(default=False)  # judged before its flag was shown
    verdict: Mapped[str | None]
    why: Mapped[str | None]
    judged_by: Mapped[str | None]
    judged_at: Mapped[datetime | None]
