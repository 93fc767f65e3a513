"""On which terms a citizen's data may be used: every decision as it was taken, and the words it was about."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class ConsentText(Base):
    """The exact words that were shown, under their hash: a decision can be read when the file has changed."""

    __tablename__ = "consent_text"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    version: Mapped[str]
    language: Mapped[str]
    text: Mapped[str]
    first_used_at: Mapped[datetime] = mapped_column(default=now)


class Consent(Base):
    """One decision about one purpose, taken at one address; never changed, only followed by the next.

    It belongs to the address, as a touchpoint does: who merges, moves or parts addresses moves the
    terms with them, and a citizen's terms are derived from all of theirs.
    """

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_address_id_purpose_id", "address_id", "purpose", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id"))
    purpose: Mapped[str]
    decision: Mapped[str]
    basis: Mapped[str]  # what makes the use lawful: consent, or the city's public task
    version: Mapped[str]
    text_sha256: Mapped[str] = mapped_column(ForeignKey("consent_text.sha256"))
    channel: Mapped[str]
    touchpoint_id: Mapped[uuid.UUID]  # the evidence: the message or button that said so
    by: Mapped[str]  # citizen, system, or a member of staff by name
    reason: Mapped[str | None]  # of staff
    # Noes at the citizen's other addresses that this yes takes back. A merge alone takes back none.
    supersedes: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid), default=list)
    decided_at: Mapped[datetime] = mapped_column(default=now)
