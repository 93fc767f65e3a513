"""Copies that residents asked for: who may fetch one, once, and for how long."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.database import new_id, now, secret_of
from contact_hub.privacy.records import DataExport

GOOD_FOR = timedelta(hours=24)
MOST_A_DAY = 3
CODE_GOOD_FOR = timedelta(minutes=10)
MOST_CODES = 3  # sent for one copy
MOST_TRIES = 5  # of all its codes together


async def too_often(session: AsyncSession, citizen_id: uuid.UUID) -> bool:
    """Whether a citizen has asked for enough copies today."""
    since = now() - timedelta(days=1)
    query = select(func.count()).where(DataExport.citizen_id == citizen_id, DataExport.asked_at > since)
    return int(await session.scalar(query) or 0) >= MOST_A_DAY


async def ask(session: AsyncSession, citizen_id: uuid.UUID, address_id: uuid.UUID) -> DataExport:
    """Write down that a copy may be fetched at this address."""
    made = DataExport(
        id=new_id(),
        citizen_id=citizen_id,
        address_id=address_id,
        codes_sent=0,
        tries=0,
        asked_at=now(),
        expires_at=now() + GOOD_FOR,
    )
    session.add(made)
    await session.flush()
    return made


async def link(session: AsyncSession, copy: DataExport) -> str:
    """A secret for the copy's link; only its hash is kept."""
    token = secrets.token_urlsafe(12)
    copy.token_hash = _hash(token)
    await session.flush()
    return token


async def linked(session: AsyncSession, token: str, *, lock: bool = False) -> DataExport | None:
    """The copy of a link that still opens."""
    query = select(DataExport).where(DataExport.token_hash == _hash(token), *_opens())
    return await session.scalar(query.with_for_update() if lock else query)


async def at_session(session: AsyncSession, copy_id: uuid.UUID, chat_session: str) -> DataExport | None:
    """The copy that was asked for in this very browser session, while it still opens."""
    query = select(DataExport).join(Address, Address.id == DataExport.address_id)
    mine = (
        DataExport.id == copy_id,
        Address.value == chat_session,
        Address.channel.in_(("web_chat", "console")),
    )
    return await session.scalar(query.where(*mine, *_opens()))


async def new_code(session: AsyncSession, copy: DataExport) -> str | None:
    """Six digits for a locked copy, good for ten minutes; None when enough were sent."""
    if copy.codes_sent >= MOST_CODES or copy.tries >= MOST_TRIES:
        return None
    code = f"{secrets.randbelow(10**6):06d}"
    copy.code_hash = _code_hash(session, copy, code)
    copy.code_sent_at, copy.codes_sent = now(), copy.codes_sent + 1
    await session.flush()
    return code


async def try_code(session: AsyncSession, copy: DataExport, code: str) -> bool:
    """Whether this is the code of a locked copy; every try counts."""
    copy.tries += 1
    await session.flush()
    fresh = copy.code_sent_at is not None and now() - copy.code_sent_at <= CODE_GOOD_FOR
    if copy.code_hash is None or not fresh or copy.tries > MOST_TRIES:
        return False
    return hmac.compare_digest(copy.code_hash, _code_hash(session, copy, code))


async def take(session: AsyncSession, copy_id: uuid.UUID) -> bool:
    """Use a copy up; False when somebody was faster, or the address is another citizen's by now."""
    taken = await session.execute(
        update(DataExport)
        .where(DataExport.id == copy_id, *_opens())
        .values(fetched_at=now(), token_hash=None, code_hash=None)
        .returning(DataExport.id)
        .execution_options(synchronize_session=False)
    )
    return taken.first() is not None


def _opens() -> tuple[ColumnElement[bool], ...]:
    """Not fetched, not too old, and asked for at an address that is still the same citizen's."""
    same = (
        select(Address.id)
        .where(
            Address.id == DataExport.address_id,
            Address.citizen_id == DataExport.citizen_id,
            Address.retired_at.is_(None),
        )
        .correlate(DataExport)
        .exists()
    )
    return DataExport.fetched_at.is_(None), DataExport.expires_at > now(), same


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _code_hash(session: AsyncSession, copy: DataExport, code: str) -> bytes:
    """Keyed, because six digits can be tried out by whoever reads the table."""
    return hmac.digest(secret_of(session).encode(), f"copy {copy.id} {code}".encode(), "sha256")
