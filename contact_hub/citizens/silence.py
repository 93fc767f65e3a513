"""Silence that outlives a person's record: known by a keyed hash until the address writes again."""

from __future__ import annotations

import hmac
from datetime import datetime

from sqlalchemy import LargeBinary, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.citizens.models import Suppression
from contact_hub.database import Base, now, sealer_of
from contact_hub.sealing import Sealer


class KeptSilence(Base):
    """An erased address that had asked for silence; nothing but its mark is known."""

    __tablename__ = "kept_silence"

    mark: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    since: Mapped[datetime] = mapped_column(default=now)
    source: Mapped[str]


def key_of(sealer: Sealer, key_id: str | None = None) -> bytes:
    """The key of marks, by which an address or a citizen is recognised once they are erased."""
    return sealer.key("marks of the erased", key_id=key_id)


def mark(key: bytes, kind: str, value: str) -> bytes:
    """A keyed hash: without the key nobody can try phone numbers until one fits."""
    return hmac.digest(key, f"{kind}\0{value}".encode(), "sha256")


async def keep(session: AsyncSession, channel: str, value: str) -> None:
    """Replace an address's opt-out by its mark, because the address itself is about to go."""
    gone = (
        await session.execute(
            delete(Suppression)
            .where(Suppression.channel == channel, Suppression.value == value)
            .returning(Suppression.since, Suppression.source)
        )
    ).first()
    if gone is not None:
        known_by = mark(key_of(sealer_of(session)), channel, value)
        await session.execute(
            insert(KeptSilence)
            .values(mark=known_by, since=gone.since, source=gone.source)
            .on_conflict_do_nothing()
        )


async def recall(session: AsyncSession, channel: str, value: str) -> None:
    """Give an address that turns up again the silence it once asked for."""
    if (await session.scalar(select(KeptSilence.mark).limit(1))) is None:
        return  # nobody erased had opted out, and no key is needed to know that
    sealer = sealer_of(session)
    marks = [mark(key_of(sealer, key), channel, value) for key in sealer.key_ids]
    kept = (
        await session.execute(
            delete(KeptSilence)
            .where(KeptSilence.mark.in_(marks))
            .returning(KeptSilence.since, KeptSilence.source)
        )
    ).first()
    if kept is not None:
        await session.execute(
            insert(Suppression)
            .values(channel=channel, value=value, since=kept.since, source=kept.source)
            .on_conflict_do_nothing()
        )
