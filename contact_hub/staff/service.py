"""Invitations, passwords and API tokens: only hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from argon2 import PasswordHasher
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import Database, new_id, now
from contact_hub.staff.access import Scope as Scope
from contact_hub.staff.models import Invitation, Role, Staff, Token

INVITATION_HOURS = 24
SHORTEST_PASSWORD = 12
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # OWASP's minimum for argon2id


class Refused(ValueError):
    """What was asked cannot be done; the message says why in the reader's words."""


async def first_admin_link(database: Database, site_url: str) -> str | None:
    """A one-time link that makes the first admin, or None when there is one already.

    Each call makes a new link and ends the earlier ones: who starts the line holds the only one.
    """
    async with database.begin() as session:
        if await session.scalar(select(func.count()).select_from(Staff).where(Staff.role == Role.ADMIN)):
            return None
        await session.execute(
            update(Invitation)
            .where(Invitation.role == Role.ADMIN, Invitation.used_at.is_(None))
            .values(expires_at=now())
        )
        code = secrets.token_urlsafe(24)
        session.add(
            Invitation(
                code_hash=_hash(code),
                role=Role.ADMIN,
                name=None,
                expires_at=now() + timedelta(hours=INVITATION_HOURS),
            )
        )
    return f"{site_url}/staff/welcome?code={code}"


async def accept_invitation(session: AsyncSession, code: str, name: str, password: str) -> Staff:
    """Make the member of staff an invitation was for; raises Refused."""
    name = " ".join(name.split())
    if not 2 <= len(name) <= 80 or not name.isprintable():
        raise Refused("Please give a name of 2 to 80 characters.")
    if len(password) < SHORTEST_PASSWORD:
        raise Refused(f"Please choose a password of at least {SHORTEST_PASSWORD} characters.")
    used = await session.scalar(
        update(Invitation)
        .where(
            Invitation.code_hash == _hash(code), Invitation.used_at.is_(None), Invitation.expires_at > now()
        )
        .values(used_at=now())
        .returning(Invitation.role)
    )
    if used is None:
        raise Refused("This link was used already or has run out. Restart Civicline for a new one.")
    if await session.scalar(select(Staff.id).where(Staff.name == name)):
        raise Refused("There is somebody with this name already.")
    staff = Staff(id=new_id(), name=name, role=used, password_hash=_hasher.hash(password), created_at=now())
    session.add(staff)
    await session.flush()
    return staff


async def add_staff(session: AsyncSession, name: str, role: Role, site_url: str) -> str:
    """Invite somebody; returns the one-time link on which they choose a password."""
    code = secrets.token_urlsafe(24)
    session.add(
        Invitation(
            code_hash=_hash(code), role=role, name=name, expires_at=now() + timedelta(hours=INVITATION_HOURS)
        )
    )
    return f"{site_url}/staff/welcome?code={code}"


async def create_token(session: AsyncSession, label: str, scopes: Sequence[Scope]) -> str:
    """A new API token; it is shown this once."""
    token = f"cvl_{secrets.token_urlsafe(32)}"
    session.add(
        Token(
            id=new_id(),
            token_hash=_hash(token),
            label=label,
            scopes=[str(scope) for scope in scopes],
            created_at=now(),
        )
    )
    return token


async def scopes_of(session: AsyncSession, token: str) -> frozenset[str] | None:
    """What a token may do; None for one that is unknown, revoked or run out."""
    row = await session.scalar(
        select(Token).where(
            Token.token_hash == _hash(token),
            Token.revoked_at.is_(None),
            func.coalesce(Token.expires_at, func.now() + timedelta(days=1)) > func.now(),
        )
    )
    return None if row is None else frozenset(row.scopes)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
