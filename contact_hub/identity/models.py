"""Which citizens are one person, and by what right the city says so."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class Merge(Base):
    """An entry of the ledger: from here on the absorbed citizen's addresses are the survivor's.

    Entries are never changed but for being undone. Who owns an address is the replay of all entries
    that are not, in the order of `number`.
    """

    __tablename__ = "merge"
    __table_args__ = (
        Index("ix_merge_survivor_id", "survivor_id"),
        Index("ix_merge_absorbed_id", "absorbed_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    survivor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id", ondelete="CASCADE"))
    absorbed_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id", ondelete="CASCADE"))
    method: Mapped[str]  # a Proof: code, contact or agent
    made_by: Mapped[str]
    reason: Mapped[str | None]
    evidence: Mapped[uuid.UUID | None]  # the touchpoint that carried the code or the contact
    made_at: Mapped[datetime] = mapped_column(default=now)
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]
    undo_reason: Mapped[str | None]


class LinkCode(Base):
    """A code shown at one address, to be sent from another within ten minutes, once."""

    __tablename__ = "link_code"
    __table_args__ = (Index("ix_link_code_address_id", "address_id"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    address_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("address.id", ondelete="CASCADE"))
    touchpoint_id: Mapped[uuid.UUID]  # the message that shows it
    made_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class LinkTries(Base):
    """How often somebody at an address sent a code that was none, since when."""

    __tablename__ = "link_tries"

    address_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("address.id", ondelete="CASCADE"), primary_key=True
    )
    tries: Mapped[int]
    since: Mapped[datetime]


class Likeness(StrEnum):
    """Why two citizens may be one. Never a proof."""

    SAME_NUMBER = "same_number"  # one of them typed the other's number
    SAME_NAME = "same_name"
    RETURNED_NUMBER = "returned_number"  # a number that was silent for long writes again
    SHARED_DEVICE = "shared_device"  # both used one browser, which belongs to one of them already


class Suggestion(Base):
    """Two citizens that an agent may want to compare; `first_id` is the smaller id."""

    __tablename__ = "suggestion"
    __table_args__ = (
        UniqueConstraint("first_id", "second_id", "likeness"),
        Index("ix_suggestion_second_id", "second_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    first_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id", ondelete="CASCADE"))
    second_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("citizen.id", ondelete="CASCADE"))
    likeness: Mapped[str]
    touchpoint_id: Mapped[uuid.UUID | None]
    made_at: Mapped[datetime] = mapped_column(default=now)
    dismissed_at: Mapped[datetime | None]
    dismissed_by: Mapped[str | None]
