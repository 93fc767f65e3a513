"""Browsers that are signed in. The cookie's secret is kept as a hash; every session can be ended."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import new_id, now
from contact_hub.staff.models import Staff, StaffSession

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
SECOND_STEP = timedelta(minutes=5)  # between the password and the code
_NOTICE = timedelta(minutes=1)  # "last seen" is written at most this often


@dataclass(frozen=True, slots=True)
class Browser:
    """From where somebody signs in, as the list of their sessions shows it."""

    network: str
    name: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session with its person."""

    session: StaffSession
    staff: Staff


# Whose name stands in a browser's own description, those first that carry the names of others as well.
_BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
_SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS X", "Linux")
_NAMES = {"Edg": "Edge", "OPR": "Opera", "Mac OS X": "Mac"}


def called(browser: str) -> str:
    """A browser as people call it; one that is not known by its own words."""
    which = next((name for name in _BROWSERS if f"{name}/" in browser), None)
    system = next((name for name in _SYSTEMS if name in browser), None)
    if which is None or system is None:
        return browser or "unknown"
    return f"{_NAMES.get(which, which)} on {_NAMES.get(system, system)}"


async def begin(session: AsyncSession, staff: Staff, browser: Browser, *, second_step: bool = False) -> str:
    """Sign a person in; returns the cookie's secret."""
    secret = secrets.token_urlsafe(32)
    session.add(
        StaffSession(
            id=new_id(),
            secret_hash=_hash(secret),
            staff_id=staff.id,
            created_at=now(),
            last_seen_at=now(),
            second_step=second_step,
            network=browser.network,
            browser=browser.name[:200],
        )
    )
    await session.flush()
    return secret


async def find(
    session: AsyncSession, secret: str, *, second_step: bool = False, quietly: bool = False
) -> SignedIn | None:
    """Who a cookie belongs to; None where the session has run out or was ended, or the person may not.

    `quietly` leaves open when they were last seen.
    """
    moment = now()
    row = (
        await session.execute(
            select(StaffSession, Staff)
            .join(Staff, Staff.id == StaffSession.staff_id)
            .where(
                StaffSession.secret_hash == _hash(secret),
                StaffSession.second_step.is_(second_step),
                StaffSession.created_at > moment - (SECOND_STEP if second_step else LONGEST),
                StaffSession.last_seen_at > moment - IDLE,
                Staff.disabled_at.is_(None),
            )
        )
    ).first()
    if row is None:
        return None
    found = SignedIn(row[0], row[1])
    if not quietly and found.session.last_seen_at < moment - _NOTICE:
        await session.execute(
            update(StaffSession)
            .where(StaffSession.id == found.session.id)
            .values(last_seen_at=moment)
            .execution_options(synchronize_session=False)
        )
    return found


async def of(session: AsyncSession, staff_id: uuid.UUID) -> Sequence[StaffSession]:
    """A person's sessions that still hold, the last used first."""
    moment = now()
    return (
        await session.scalars(
            select(StaffSession)
            .where(
                StaffSession.staff_id == staff_id,
                StaffSession.second_step.is_(False),
                StaffSession.created_at > moment - LONGEST,
                StaffSession.last_seen_at > moment - IDLE,
            )
            .order_by(StaffSession.last_seen_at.desc())
        )
    ).all()


async def end(session: AsyncSession, staff_id: uuid.UUID, session_id: uuid.UUID) -> bool:
    """Sign one browser of a person out; False where it was not signed in."""
    ended = await session.execute(
        delete(StaffSession)
        .where(StaffSession.id == session_id, StaffSession.staff_id == staff_id)
        .returning(StaffSession.id)
    )
    return ended.first() is not None


async def end_all(session: AsyncSession, staff_id: uuid.UUID, *, but: uuid.UUID | None = None) -> int:
    """Sign every browser of a person out, but one where that is wanted; returns how many that were."""
    leaving = delete(StaffSession).where(StaffSession.staff_id == staff_id)
    if but is not None:
        leaving = leaving.where(StaffSession.id != but)
    return len((await session.execute(leaving.returning(StaffSession.id))).all())


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
