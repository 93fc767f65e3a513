"""What the city's other systems are told, whom to tell, and what each has not heard yet."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Event(Base):
    """Something that happened, as ids and kinds and without anybody's words."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_citizen_id", "citizen_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)  # the cursor of a replay
    kind: Mapped[str]
    citizen_id: Mapped[uuid.UUID | None]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class WebhookState(StrEnum):
    """Whether a webhook is told anything."""

    ON = "on"
    GONE = "gone"  # its receiver said that it is not there any more


class Webhook(Base):
    """Another system's wish to be told; `due` and `token` are the lease of whoever tells it now."""

    __tablename__ = "webhook"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    url: Mapped[str]
    kinds: Mapped[list[Any]]
    with_text: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(default=WebhookState.ON)
    secret: Mapped[bytes] = mapped_column(LargeBinary)  # sealed
    former_secret: Mapped[bytes | None] = mapped_column(LargeBinary)  # sealed; signs beside the new one
    former_until: Mapped[datetime | None]
    due: Mapped[datetime] = mapped_column(default=now)
    token: Mapped[uuid.UUID | None]
    failures: Mapped[int] = mapped_column(default=0)  # one after another
    last_error: Mapped[str | None]
    last_success_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Notice(Base):
    """An event that a webhook has not received yet; a dead one was given up."""

    __tablename__ = "webhook_notice"
    __table_args__ = (
        Index("ix_webhook_notice_event_id", "event_id"),
        Index(
            "ix_webhook_notice_waiting", "webhook_id", "event_id", postgresql_where=text("dead_at IS NULL")
        ),
    )

    webhook_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True
    )
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("event.id", ondelete="CASCADE"), primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]
    dead_at: Mapped[datetime | None]
