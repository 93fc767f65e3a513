"""The one history: everything that ever happened between a citizen and the city."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Direction(StrEnum):
    """Towards the city, from it, or within it."""

    IN = "in"
    OUT = "out"
    INNER = "inner"


class Actor(StrEnum):
    """Who did it."""

    CITIZEN = "citizen"
    BOT = "bot"
    AGENT = "agent"
    SYSTEM = "system"


class Touchpoint(Base):
    """One event of a history; append-only, partitioned by month of its UUIDv7."""

    __tablename__ = "touchpoint"
    __table_args__ = (
        Index("ix_touchpoint_address_id_id", "address_id", "id", postgresql_include=["kind", "direction"]),
        Index(
            "ix_touchpoint_address_id_kind_id",
            "address_id",
            "kind",
            "id",
            postgresql_where=text("kind <> 'text'"),
        ),
        Index(
            "ix_touchpoint_words",
            "words",
            text("(ARRAY[kind, language])"),
            postgresql_using="gin",
            postgresql_where=text("words IS NOT NULL"),
        ),
        Index("ix_touchpoint_conversation_id_id", "conversation_id", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    conversation_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("conversation.id"))
    direction: Mapped[str]
    actor: Mapped[str]
    kind: Mapped[str]
    text: Mapped[str | None]
    language: Mapped[str | None]
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    in_reply_to: Mapped[uuid.UUID | None]
    message_id: Mapped[str | None]  # the provider's id of an inbound message: edits and replies name it
    provider_time: Mapped[datetime | None]
    recorded_at: Mapped[datetime] = mapped_column(default=now)
    words: Mapped[str | None] = mapped_column(TSVECTOR, deferred=True)  # what search finds it by


class Outcome(StrEnum):
    """How an inbound message ended; each ends in exactly one of these."""

    ANSWERED = "answered"
    HANDED_OFF = "handed_off"
    SUPPRESSED = "suppressed"
    DEAD_LETTERED = "dead_lettered"


class Inbound(Base):
    """The key of deduplication and the promise that nothing is lost: NULL outcome means not settled yet."""

    __tablename__ = "inbound"
    __table_args__ = (
        Index("ix_inbound_unsettled", "received_at", postgresql_where=text("outcome IS NULL")),
        Index("ix_inbound_touchpoint_id", "touchpoint_id"),
    )

    channel: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    touchpoint_id: Mapped[uuid.UUID | None]
    received_at: Mapped[datetime] = mapped_column(default=now)
    outcome: Mapped[str | None]
    step: Mapped[str | None]  # the named step that settled it
    settled_at: Mapped[datetime | None]


class FeedEntry(Base):
    """A line of a web-chat or console session; `seq` belongs to the session and survives a closed talk."""

    __tablename__ = "feed_entry"
    __table_args__ = (Index("uq_feed_entry_touchpoint_id", "touchpoint_id", unique=True),)

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("chat_session.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    touchpoint_id: Mapped[uuid.UUID]


class ChatSession(Base):
    """A resident's web-chat session; only the hash of its token is kept."""

    __tablename__ = "chat_session"
    __table_args__ = (
        Index(
            "ix_chat_session_unread_since", "unread_since", postgresql_where=text("unread_since IS NOT NULL")
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(default="web_chat")
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    language: Mapped[str | None]
    last_seq: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    shared: Mapped[bool] = mapped_column(default=False)  # a device that several people use
    unread_since: Mapped[datetime | None]  # since when a person's word waits that nobody has fetched
    unread_seq: Mapped[int | None]  # the last such word
    noticed_at: Mapped[datetime | None]  # when the resident was told so elsewhere, or could not be


class ChatTicket(Base):
    """A one-use pass that opens a WebSocket, so that no token travels in a URL."""

    __tablename__ = "chat_ticket"
    __table_args__ = (Index("ix_chat_ticket_session_id", "session_id"),)

    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("chat_session.id"))
    expires_at: Mapped[datetime]


class StoredFile(Base):
    """An attachment of a touchpoint, its bytes in chunks beside it."""

    __tablename__ = "attachment"
    __table_args__ = (
        Index("ix_attachment_touchpoint_id", "touchpoint_id"),
        Index("ix_attachment_address_id", "address_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    touchpoint_id: Mapped[uuid.UUID]
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    name: Mapped[str]
    mime: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now)
    sealed: Mapped[bool] = mapped_column(server_default=text("false"))  # what is older may lie open


class FileChunk(Base):
    """Up to 256 KiB of an attachment, sealed for this attachment and this position."""

    __tablename__ = "attachment_chunk"

    attachment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("attachment.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
