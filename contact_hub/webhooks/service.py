"""Setting up webhooks: who is told what, where, and with which secret."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import new_id, now, sealer_of
from contact_hub.events.kinds import Kind
from contact_hub.events.models import Notice, Webhook, WebhookState
from contact_hub.events.service import SECRETS, look_again
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.webhooks import signing

BOTH_SECRETS_FOR = timedelta(days=1)  # after a new secret was made, the former one signs as well
LONGEST_URL = 2000
TOLD = tuple(kind for kind in Kind if kind is not Kind.TEST)


class NoSuchWebhook(LookupError):
    """There is no webhook with this id."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A webhook and how it fares."""

    id: uuid.UUID
    url: str
    events: list[str]
    with_text: bool
    state: str
    waiting: int
    dead: int
    failures: int
    last_error: str | None
    last_success_at: datetime | None
    next_try_at: datetime | None
    created_at: datetime


async def add(
    session: AsyncSession,
    url: str,
    kinds: Sequence[Kind],
    *,
    with_text: bool = False,
    viewer: Viewer = SYSTEM,
) -> tuple[uuid.UUID, str]:
    """Make a webhook; gives its id and its secret, which is shown this once. The caller checked the URL."""
    identity, secret = new_id(), signing.new_secret()
    session.add(
        Webhook(
            id=identity,
            url=url,
            kinds=sorted({str(kind) for kind in kinds}),
            with_text=with_text,
            secret=_seal(session, identity, secret),
        )
    )
    await session.flush()
    look_again(session)
    await audit.record(session, viewer, "webhook.added", subject=str(identity), url=url, with_text=with_text)
    return identity, secret


async def remove(session: AsyncSession, webhook_id: uuid.UUID, *, viewer: Viewer = SYSTEM) -> None:
    """End a webhook and forget what it has not received; raises NoSuchWebhook."""
    webhook = await _one(session, webhook_id)
    await session.delete(webhook)
    await session.flush()
    look_again(session)
    await audit.record(session, viewer, "webhook.removed", subject=str(webhook_id), url=webhook.url)


async def new_secret(session: AsyncSession, webhook_id: uuid.UUID, *, viewer: Viewer = SYSTEM) -> str:
    """Give a webhook a new secret, shown this once; for a day both sign. Raises NoSuchWebhook."""
    webhook = await _one(session, webhook_id)
    secret = signing.new_secret()
    webhook.former_secret = webhook.secret
    webhook.former_until = now() + BOTH_SECRETS_FOR
    webhook.secret = _seal(session, webhook_id, secret)
    await audit.record(session, viewer, "webhook.new_secret", subject=str(webhook_id))
    return secret


async def resume(session: AsyncSession, webhook_id: uuid.UUID) -> None:
    """Try again at once, also what was given up because its receiver was gone; raises NoSuchWebhook."""
    webhook = await _one(session, webhook_id)
    webhook.state = WebhookState.ON
    webhook.failures = 0
    if webhook.token is None:  # otherwise somebody is at it, and breaking their lease would double an event
        webhook.due = now()


_REPLAY = text("""
    INSERT INTO webhook_notice (webhook_id, event_id, attempts)
    SELECT :webhook, id, 0 FROM event WHERE id >= :since AND kind = ANY(:kinds)
    ON CONFLICT (webhook_id, event_id) DO UPDATE SET attempts = 0, dead_at = NULL, last_error = NULL
""")


async def replay(session: AsyncSession, webhook_id: uuid.UUID, since: uuid.UUID) -> int:
    """Send again what is kept from an event on, itself included; gives how many. Raises NoSuchWebhook."""
    webhook = await _one(session, webhook_id)
    put = await session.execute(
        _REPLAY, {"webhook": webhook_id, "since": since, "kinds": list(webhook.kinds)}
    )
    await resume(session, webhook_id)
    return int(put.rowcount)  # type: ignore[attr-defined]


def cursor_at(moment: datetime) -> uuid.UUID:
    """The cursor of a moment: a UUIDv7 begins with its milliseconds since 1970."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


async def standing(session: AsyncSession) -> list[Standing]:
    """Every webhook, oldest first."""
    figures = (
        select(
            Notice.webhook_id,
            func.count().filter(Notice.dead_at.is_(None)).label("waiting"),
            func.count(Notice.dead_at).label("dead"),
        )
        .group_by(Notice.webhook_id)
        .subquery()
    )
    rows = await session.execute(
        select(Webhook, func.coalesce(figures.c.waiting, 0), func.coalesce(figures.c.dead, 0))
        .outerjoin(figures, figures.c.webhook_id == Webhook.id)
        .order_by(Webhook.id)
    )
    return [
        Standing(
            id=webhook.id,
            url=webhook.url,
            events=list(webhook.kinds),
            with_text=webhook.with_text,
            state=webhook.state,
            waiting=waiting,
            dead=dead,
            failures=webhook.failures,
            last_error=webhook.last_error,
            last_success_at=webhook.last_success_at,
            next_try_at=webhook.due if webhook.failures else None,
            created_at=webhook.created_at,
        )
        for webhook, waiting, dead in rows
    ]


async def secrets_of(session: AsyncSession, webhook: Webhook) -> list[str]:
    """The secrets that sign now, the present one first; raises Unsealable."""
    sealer = sealer_of(session)
    sealed = [webhook.secret]
    if (
        webhook.former_secret is not None
        and webhook.former_until is not None
        and webhook.former_until > now()
    ):
        sealed.append(webhook.former_secret)
    return [sealer.unseal(SECRETS, one, webhook.id.bytes).decode() for one in sealed]


async def find(session: AsyncSession, webhook_id: uuid.UUID) -> Webhook:
    """A webhook; raises NoSuchWebhook."""
    found = await session.get(Webhook, webhook_id)
    if found is None:
        raise NoSuchWebhook(f"There is no webhook {webhook_id}.")
    return found


async def _one(session: AsyncSession, webhook_id: uuid.UUID) -> Webhook:
    found = await session.get(Webhook, webhook_id, with_for_update={"key_share": True})
    if found is None:
        raise NoSuchWebhook(f"There is no webhook {webhook_id}.")
    return found


def _seal(session: AsyncSession, webhook_id: uuid.UUID, secret: str) -> bytes:
    return sealer_of(session).seal(SECRETS, secret.encode(), webhook_id.bytes)
