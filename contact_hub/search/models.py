"""Searches that somebody keeps; what is found lies beside the touchpoints themselves."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class SavedSearch(Base):
    """A search under a name of its owner's: a member of staff, or another system's token."""

    __tablename__ = "saved_search"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[uuid.UUID]
    name: Mapped[str]
    query: Mapped[str]
    filters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
