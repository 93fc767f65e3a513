"""Who works for the city, and the tokens of its other systems."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import LargeBinary
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

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    disabled_at: Mapped[datetime | None]


class Invitation(Base):
    """A one-time link that lets a person set their password; only its hash is kept."""

    __tablename__ = "invitation"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    role: Mapped[str]
    name: Mapped[str | None]
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
