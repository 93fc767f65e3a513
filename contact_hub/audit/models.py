"""Who looked at what and did what: entries that are only ever added, each tied to the one before."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base


class Entry(Base):
    """One reading or writing. `mac` covers everything but `words`, of which it covers the digest.

    So an erasure can take the words away, which may name the erased person, and leave the chain whole.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_citizen_id", "citizen_id", "number"), Index("ix_audit_at", "at"))

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    viewer_kind: Mapped[str]
    viewer_id: Mapped[uuid.UUID | None]
    viewer_name: Mapped[str]
    action: Mapped[str]
    citizen_id: Mapped[uuid.UUID | None]
    subject: Mapped[str | None]
    words: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    words_digest: Mapped[bytes] = mapped_column(LargeBinary)
    key_mark: Mapped[str]
    mac: Mapped[bytes] = mapped_column(LargeBinary)


class Head(Base):
    """The one row that says where the chain begins and ends; whoever cuts the chain must forge it too."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    first: Mapped[int] = mapped_column(BigInteger)
    before_first: Mapped[bytes] = mapped_column(LargeBinary)  # the mac that the first entry follows
    last: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[bytes] = mapped_column(LargeBinary)  # the last entry's
    key_mark: Mapped[str]
    seal: Mapped[bytes] = mapped_column(LargeBinary)
