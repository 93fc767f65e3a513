"""What has to happen by the clock, whether or not anybody writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from sqlalchemy import text

from contact_hub.database import Database

log = structlog.get_logger()

INTERVAL_SECONDS = 300.0

# A code for joining chats, as a message shows it (see identity.codes).
_SHOWN_CODE = "[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}"
_TAKE_OUT = """
    UPDATE {table} m SET text = regexp_replace(m.text, '{code}', '••••-••••')
    FROM link_code c WHERE c.touchpoint_id = m.{id} AND (c.used_at IS NOT NULL OR c.expires_at < now())
    AND m.text ~ '{code}'
""".replace("{code}", _SHOWN_CODE)

_CHORES = {
    # A year of partitions ahead: a month that nobody made would fill the default one.
    "partitions": (
        "SELECT ensure_touchpoint_partition((date_trunc('month', now()) + make_interval(months => m))::date)"
        " FROM generate_series(0, 12) AS m"
    ),
    "tickets": "DELETE FROM chat_ticket WHERE expires_at < now()",
    "pauses": "DELETE FROM channel_pause WHERE until < now()",
    # Nobody reads a code in a history once it has done its work or run out.
    "codes shown": _TAKE_OUT.replace("{table}", "touchpoint").replace("{id}", "id"),
    "codes sent": _TAKE_OUT.replace("{table}", "delivery").replace("{id}", "touchpoint_id"),
    "codes": "DELETE FROM link_code WHERE made_at < now() - interval '1 day'",
    "sessions": "DELETE FROM staff_session WHERE created_at < now() - interval '12 hours'"
    " OR last_seen_at < now() - interval '30 minutes'",
    "sign_ins": "DELETE FROM oidc_attempt WHERE expires_at < now()",
    "throttle": "DELETE FROM throttle WHERE until < now()",
    "repeated_answers": "DELETE FROM idempotent_answer WHERE created_at < now() - interval '1 day'",
    # What somebody began to write a week ago they will not go on with.
    "presence": "DELETE FROM presence WHERE seen_at < now() - interval '7 days'",
    "invitations": "DELETE FROM invitation WHERE expires_at < now() - interval '7 days'",
}


Chore = Callable[[], Awaitable[None]]


async def run(database: Database, more: Mapping[str, Chore] | None = None) -> None:
    """Do every chore now and every five minutes; `more` are those of rooms that this one does not know."""
    while True:
        await once(database, more)
        await asyncio.sleep(INTERVAL_SECONDS)


async def once(database: Database, more: Mapping[str, Chore] | None = None) -> None:
    """Do every chore; a failing one does not keep the others from their turn."""
    for name, statement in _CHORES.items():
        try:
            async with database.begin() as session:
                await session.execute(text(statement))
        except Exception as error:
            log.warning("timers.failed", chore=name, error=type(error).__name__)
    for name, chore in (more or {}).items():
        try:
            await chore()
        except Exception as error:
            log.warning("timers.failed", chore=name, error=type(error).__name__, exc_info=True)
