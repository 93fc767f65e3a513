"""What has to happen by the clock, whether or not anybody writes."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import text

from contact_hub.database import Database

log = structlog.get_logger()

INTERVAL_SECONDS = 300.0

_CHORES = {
    # A year of partitions ahead: a month that nobody made would fill the default one.
    "partitions": (
        "SELECT ensure_touchpoint_partition((date_trunc('month', now()) + make_interval(months => m))::date)"
        " FROM generate_series(0, 12) AS m"
    ),
    "tickets": "DELETE FROM chat_ticket WHERE expires_at < now()",
    "pauses": "DELETE FROM channel_pause WHERE until < now()",
    "invitations": "DELETE FROM invitation WHERE expires_at < now() - interval '7 days'",
}


async def run(database: Database) -> None:
    """Do every chore now and every five minutes; a failing one does not keep the others from their turn."""
    while True:
        for name, statement in _CHORES.items():
            try:
                async with database.begin() as session:
                    await session.execute(text(statement))
            except Exception as error:
                log.warning("timers.failed", chore=name, error=type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)
