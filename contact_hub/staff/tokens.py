"""Keys of the city's other systems: only hashes are kept, each with its scopes and its end."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import new_id, now
from contact_hub.staff.access import SYSTEM, Scope, Viewer
from contact_hub.staff.models import Token

DEFAULT_DAYS = 365
LONGEST_DAYS = 3650
_NOTICE = timedelta(minutes=1)  # "last used" is written at most this often


async def create_token(
    session: AsyncSession,
    label: str,
    scopes: Sequence[Scope],
    *,
    days: int | None = None,
    viewer: Viewer = SYSTEM,
) -> str:
    """A new API token; it is shown this once. Without `days` it never ends."""
    secret = f"cvl_{secrets.token_urlsafe(32)}"
    made = Token(
        id=new_id(),
        token_hash=_hash(secret),
        label=label,
        scopes=sorted({str(scope) for scope in scopes}),
        created_at=now(),
        created_by=viewer.name,
        expires_at=None if days is None else now() + timedelta(days=days),
    )
    session.add(made)
    await session.flush()
    await audit.record(
        session, viewer, "token.created", subject=str(made.id), label=label, scopes=made.scopes
    )
    return secret


async def tokens(session: AsyncSession) -> Sequence[Token]:
    """Every token ever made, the newest first."""
    return (await session.scalars(select(Token).order_by(Token.id.desc()))).all()


async def revoke(session: AsyncSession, token_id: uuid.UUID, *, viewer: Viewer = SYSTEM) -> bool:
    """End a token now; False where there is none or it was ended before."""
    ended = await session.execute(
        update(Token)
        .where(Token.id == token_id, Token.revoked_at.is_(None))
        .values(revoked_at=now())
        .returning(Token.id)
    )
    if ended.first() is None:
        return False
    await audit.record(session, viewer, "token.revoked", subject=str(token_id))
    return True


async def viewer_of(session: AsyncSession, secret: str) -> Viewer | None:
    """The system a token belongs to; None for one that is unknown, revoked or run out."""
    found = await session.scalar(
        select(Token).where(
            Token.token_hash == _hash(secret),
            Token.revoked_at.is_(None),
            or_(Token.expires_at.is_(None), Token.expires_at > func.now()),
        )
    )
    if found is None:
        return None
    if found.last_used_at is None or found.last_used_at < now() - _NOTICE:
        await session.execute(
            update(Token)
            .where(Token.id == found.id)
            .values(last_used_at=now())
            .execution_options(synchronize_session=False)
        )
    return Viewer("token", found.label, found.id, scopes=frozenset(found.scopes))


def state(token: Token) -> str:
    """Whether a token serves."""
    moment: datetime = now()
    if token.revoked_at is not None:
        return "revoked"
    return "run out" if token.expires_at is not None and token.expires_at <= moment else "serves"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
