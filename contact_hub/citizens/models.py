"""Who writes to the city, from where, and which talk is open."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, false, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Citizen(Base):
    """A person the city talks with, however many addresses they write from."""

    __tablename__ = "citizen"
    __table_args__ = (
        Index("ix_citizen_name", text("lower(name)")),
        Index("ix_citizen_name_words", text("name_words(name)"), postgresql_using="gin"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(default=now)
    language: Mapped[str | None]
    name: Mapped[str | None]


class Proof(StrEnum):
    """How the city knows that an address is a citizen's."""

    WROTE = "wrote"  # its provider vouches that they wrote from there
    SESSION = "session"  # their browser holds the session's secret token
    CODE = "code"  # they sent a code from there that they were given elsewhere
    CONTACT = "contact"  # they shared their own number by Telegram's button
    AGENT = "agent"  # somebody at the desk looked into it, with a reason
    INNER = "inner"  # the city's own, for what happens inside


class Address(Base):
    """One place a citizen writes from: a chat, a phone number, a browser session.

    `channel = "desk"` is the inner address of a citizen, for touchpoints born inside the city.
    `citizen_id` is the owner that the ledger of merges says; `born_to` is the first one, once a merge
    has moved the address. A retired address was a number that may be somebody else's by now: it keeps
    its history and its owner, and its value no longer matches anything that comes in.
    """

    __tablename__ = "address"
    __table_args__ = (
        UniqueConstraint("channel", "value"),
        Index("ix_address_citizen_id", "citizen_id"),
        Index("ix_address_number_end", text("number_end(value)")),
        Index("ix_address_born_to", "born_to", postgresql_where=text("born_to IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    citizen_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id"))
    channel: Mapped[str]
    value: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    verified_at: Mapped[datetime | None]
    proof: Mapped[str | None]
    reachable: Mapped[bool] = mapped_column(default=True)
    unreachable_reason: Mapped[str | None]
    last_inbound_at: Mapped[datetime | None]
    born_to: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("citizen.id", ondelete="SET NULL"))
    retired_at: Mapped[datetime | None]


class Suppression(Base):
    """An address that asked for silence; kept by value so that it outlives the citizen's record."""

    __tablename__ = "suppression"

    channel: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(default=now)
    source: Mapped[str]  # citizen, provider, staff


class ConversationState(StrEnum):
    """Who is answering."""

    BOT = "bot"
    WAITING = "waiting"
    AGENT = "agent"
    CLOSED = "closed"


DANGER = 100  # a priority from which on somebody may be hurt


class Conversation(Base):
    """The talk that goes on at one address; at most one is open.

    `epoch` rises with every change of hands: what an older epoch wrote may no longer start to leave.
    """

    __tablename__ = "conversation"
    __table_args__ = (
        Index("uq_conversation_open", "address_id", unique=True, postgresql_where=text("state <> 'closed'")),
        Index("ix_conversation_address_id", "address_id"),
        Index("ix_conversation_unfinished", "address_id", postgresql_where=text("unfinished IS NOT NULL")),
        Index("ix_conversation_waiting", "waiting_since", postgresql_where=text("state = 'waiting'")),
        Index("ix_conversation_held", "holder", postgresql_where=text("state = 'agent'")),
        Index("ix_conversation_opened_at", "opened_at"),
        Index("ix_conversation_closed_at", "closed_at"),
        Index("ix_conversation_idle", "last_activity_at", postgresql_where=text("state = 'bot'")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    state: Mapped[str] = mapped_column(default=ConversationState.BOT)
    holder: Mapped[str | None]
    department: Mapped[str | None]  # a key of city.yml; NULL until something tells whose matter it is
    epoch: Mapped[int] = mapped_column(default=0)
    language: Mapped[str | None]
    language_fixed: Mapped[bool] = mapped_column(default=False)
    priority: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None]
    form: Mapped[str | None]  # the form Rasa is filling, so that a failing Rasa is waited for
    given_up: Mapped[list[Any]] = mapped_column(default=list)
    # What was left open: what was said of a report, and a question without an answer.
    unfinished: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    opened_at: Mapped[datetime] = mapped_column(default=now)
    last_activity_at: Mapped[datetime] = mapped_column(default=now)
    waiting_since: Mapped[datetime | None]
    promised_at: Mapped[datetime | None]  # by when the resident was told that somebody answers
    unanswered_since: Mapped[datetime | None]  # while a person holds it: since when they owe a word
    holder_seen_at: Mapped[datetime | None]  # when its holder last did something about it
    snoozed_until: Mapped[datetime | None]  # its holder put it aside
    read_from: Mapped[uuid.UUID | None]  # what was said up to this touchpoint raises no flag any more
    resolution: Mapped[str | None]  # how it ended, as whoever closed it says
    closed_at: Mapped[datetime | None]
    # It holds nothing but what the city said by itself, and perhaps an answer to our own question: no contact
    # of the resident's, and not counted.
    follow_up: Mapped[bool] = mapped_column(default=False, server_default=false())
