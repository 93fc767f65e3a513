"""Who works for the city, and the tokens of its other systems."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Role(StrEnum):
    """What a member of staff does."""

    AGENT = "agent"
    SUPERVISOR = "supervisor"
    MANAGER = "manager"
    RECORDS = "records"
    ADMIN = "admin"


class Staff(Base):
    """A person who works at the desk or looks after the line."""

    __tablename__ = "staff"
    __table_args__ = (
        UniqueConstraint("oidc_issuer", "oidc_subject"),
        Index("uq_staff_name_lower", func.lower(text("name")), unique=True),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    departments: Mapped[list[Any]] = mapped_column(default=list)
    languages: Mapped[list[Any]] = mapped_column(default=list)  # they answer in; empty: in any
    password_hash: Mapped[str | None]
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)  # sealed
    totp_since: Mapped[datetime | None]  # NULL while its first code has not been shown
    totp_step: Mapped[int | None] = mapped_column(BigInteger)  # of the last code taken: none serves twice
    oidc_issuer: Mapped[str | None]
    oidc_subject: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    disabled_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """One of the codes that stand in for a lost authenticator, each once."""

    __tablename__ = "recovery_code"

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class StaffSession(Base):
    """A browser that is signed in; the cookie holds the secret, the table its hash."""

    __tablename__ = "staff_session"
    __table_args__ = (Index("ix_staff_session_staff_id", "staff_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    second_step: Mapped[bool] = mapped_column(default=False)  # the password was right, the code is due
    network: Mapped[str]
    browser: Mapped[str]


class Throttle(Base):
    """How often something was tried lately, over all processes; the key is a hash."""

    __tablename__ = "throttle"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    count: Mapped[int]
    until: Mapped[datetime]


class OidcAttempt(Base):
    """A sign-in that is under way at the identity provider; the browser holds the state in a cookie."""

    __tablename__ = "oidc_attempt"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    nonce: Mapped[str]
    verifier: Mapped[bytes] = mapped_column(LargeBinary)  # sealed
    expires_at: Mapped[datetime]


class Invitation(Base):
    """A one-time link that lets a new or known person choose a password; only its hash is kept."""

    __tablename__ = "invitation"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    role: Mapped[str]
    departments: Mapped[list[Any]] = mapped_column(default=list)
    languages: Mapped[list[Any]] = mapped_column(default=list)
    name: Mapped[str | None]
    staff_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))  # a reset
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Token(Base):
    """A key of the API with its scopes; only its hash is kept."""

    __tablename__ = "token"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    label: Mapped[str]
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_by: Mapped[str | None]


class IdempotentAnswer(Base):
    """What a POST with an Idempotency-Key was answered, so that a repetition gets the same."""

    __tablename__ = "idempotent_answer"

    viewer: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None]  # NULL while the first request is at work
    body: Mapped[bytes | None] = mapped_column(LargeBinary)  # sealed
    media_type: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
