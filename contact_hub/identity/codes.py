"""Codes that prove that two addresses are one person's: shown at one, sent from the other.

A code is eight characters without look-alikes, lives ten minutes, works once, and is kept as a keyed
hash only: without SECRET_KEY nobody can try codes until one fits. Whoever sends five that are none is
not listened to for an hour, whatever they send.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
import uuid
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import now, sealer_of
from contact_hub.identity.models import LinkCode, LinkTries

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0/O, 1/I/L
LENGTH = 8
LIFETIME = timedelta(minutes=10)
MOST_TRIES = 5
MOST_CODES = 5  # asked for at one address within LOCKED
LOCKED = timedelta(hours=1)

_SHAPE = re.compile(rf"[{ALPHABET}]{{{LENGTH}}}")
# As it stands in a message, for taking it out again; in PostgreSQL's notation as in Python's.
SHOWN = rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}"
MASK = "••••-••••"


class Spent(StrEnum):
    """What became of a code that somebody sent."""

    TAKEN = "taken"
    WRONG = "wrong"  # unknown, used or too old: nobody is told which
    HERE = "here"  # it was sent from the very address that it was shown at
    LOCKED = "locked"


def read(words: str) -> str | None:
    """The code that a message is, however it is written; None for a message that is none.

    A code always holds letters and digits, so that no word and no number is taken for one.
    """
    if len(words) > 40:
        return None
    plain = unicodedata.normalize("NFKC", words).upper()
    code = "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in plain if c.isalnum())
    mixed = any(c.isdigit() for c in code) and any(c.isalpha() for c in code)
    return code if mixed and _SHAPE.fullmatch(code) else None


def shown(code: str) -> str:
    """The code as a person reads it out."""
    return f"{code[:4]}-{code[4:]}"


async def give(session: AsyncSession, address_id: uuid.UUID, touchpoint_id: uuid.UUID) -> str | None:
    """A new code for an address, which ends its earlier ones; None for who asks too often.

    The address's conversation is locked, so nobody asks twice at once.
    """
    moment = now()
    asked = await session.scalar(
        select(func.count())
        .select_from(LinkCode)
        .where(LinkCode.address_id == address_id, LinkCode.made_at > moment - LOCKED)
    )
    if int(asked or 0) >= MOST_CODES:
        return None
    await session.execute(
        update(LinkCode)
        .where(LinkCode.address_id == address_id, LinkCode.expires_at > moment)
        .values(expires_at=moment)
    )
    code = _made()
    session.add(
        LinkCode(
            code_hash=_hash(session, code),
            address_id=address_id,
            touchpoint_id=touchpoint_id,
            made_at=moment,
            expires_at=moment + LIFETIME,
        )
    )
    await session.flush()
    return code


async def spend(session: AsyncSession, sender: uuid.UUID, code: str) -> tuple[Spent, uuid.UUID | None]:
    """Use a code that an address sent, and give the address that it was shown at.

    The sender's conversation is locked, so its tries are counted one by one.
    """
    moment = now()
    tries = await session.get(LinkTries, sender, populate_existing=True)
    if tries is not None and tries.tries >= MOST_TRIES and tries.since > moment - LOCKED:
        return Spent.LOCKED, None
    live = (
        LinkCode.code_hash == _hash(session, code),
        LinkCode.used_at.is_(None),
        LinkCode.expires_at > moment,
    )
    # One statement finds and uses it: of two that come at once the second waits, and then finds none.
    taken: uuid.UUID | None = await session.scalar(
        update(LinkCode)
        .where(*live, LinkCode.address_id != sender)
        .values(used_at=moment)
        .returning(LinkCode.address_id)
    )
    if taken is not None:
        return Spent.TAKEN, taken
    if await session.scalar(select(LinkCode.address_id).where(*live)) is not None:
        return Spent.HERE, None
    if tries is None:
        session.add(LinkTries(address_id=sender, tries=1, since=moment))
    elif tries.since <= moment - LOCKED:
        tries.tries, tries.since = 1, moment
    else:
        tries.tries += 1
    await session.flush()
    return Spent.WRONG, None


def _made() -> str:
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        if 2 <= sum(c.isdigit() for c in code) <= LENGTH - 2:
            return code


def _hash(session: AsyncSession, code: str) -> bytes:
    return hmac.new(sealer_of(session).key("link codes"), code.encode(), hashlib.sha256).digest()
