"""What leaves: one delivery for each part of a message, and pauses a provider asked for."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Delivery(Base):
    """One part of an outgoing message and how far it got; see `channels.base.contract.DeliveryState`."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_touchpoint_id", "touchpoint_id"),
        Index("ix_delivery_address_id", "address_id"),
        Index("ix_delivery_conversation_id", "conversation_id"),
        Index("ix_delivery_provider_id", "channel", "provider_id"),
        Index(  # for counting what was spent lately, without reading the table
            "ix_delivery_channel_first_tried_at",
            "channel",
            "first_tried_at",
            postgresql_include=["address_id", "segments"],
        ),
        Index(
            "ix_delivery_open",
            "conversation_id",
            postgresql_where=text("state IN ('queued', 'sending', 'uncertain')"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    touchpoint_id: Mapped[uuid.UUID]
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    channel: Mapped[str]
    epoch: Mapped[int]
    author: Mapped[str]
    part: Mapped[int] = mapped_column(default=1)
    parts: Mapped[int] = mapped_column(default=1)
    text: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    provider_id: Mapped[str | None]
    code: Mapped[str | None]
    reason: Mapped[str | None]
    tries: Mapped[int] = mapped_column(default=0)
    segments: Mapped[int] = mapped_column(default=1)
    despite_silence: Mapped[bool] = mapped_column(default=False)  # answers what its receiver just wrote
    purpose: Mapped[str | None]  # what it is sent for, where that is more than answering
    possible_duplicate: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    first_tried_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]


class ChannelPause(Base):
    """Until when a whole account may not send, because its provider said so."""

    __tablename__ = "channel_pause"

    channel: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    reason: Mapped[str]


class ChannelMemory(Base):
    """What a channel remembers between polls."""

    __tablename__ = "channel_memory"

    channel: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
