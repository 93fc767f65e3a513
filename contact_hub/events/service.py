"""Writing events for the city's other systems, in the transaction of what happened."""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import memory_of, new_id
from contact_hub.events.kinds import told_as

__all__ = ["SECRETS", "emit", "look_again", "told_as", "wanted"]

SECRETS = "webhook secret"  # the purpose they are sealed for, about the id of their webhook
FRESH_SECONDS = 1.0  # for so long a process may not know of a new webhook
_MEMORY = "kinds that somebody is told of"

# A webhook that is gone for now still has its events written, so that they can be replayed to it.
_EMIT = text("""
    WITH wishes AS (SELECT id, state FROM webhook WHERE kinds ? CAST(:kind AS text)),
         written AS (INSERT INTO event (id, kind, citizen_id, data, created_at)
                     SELECT :id, :kind, :citizen, CAST(:data AS jsonb), clock_timestamp()
                     WHERE EXISTS (SELECT FROM wishes) RETURNING id)
    INSERT INTO webhook_notice (webhook_id, event_id, attempts)
    SELECT wishes.id, written.id, 0 FROM wishes, written WHERE wishes.state = 'on'
""")


async def emit(
    session: AsyncSession, kind: str, data: dict[str, Any], *, citizen_id: uuid.UUID | None
) -> None:
    """Tell every webhook that wants this kind; it costs a look-up in memory where none does.

    `data` holds ids and kinds. A resident's words never belong in it: a webhook that may have them gets
    them from the timeline as they stand at that moment, redacted or erased as they may be by then.
    """
    if not await wanted(session, kind):
        return
    written = json.dumps(data, default=_plain)
    values = {"id": new_id(), "kind": kind, "citizen": citizen_id, "data": written}
    await session.execute(_EMIT, values)


async def wanted(session: AsyncSession, *kinds: str) -> bool:
    """Whether any webhook wants one of these kinds, as this process knows it since a second at most."""
    memory = memory_of(session)
    known = memory.get(_MEMORY)
    if known is None or known[0] < time.monotonic():
        found = await session.scalars(text("SELECT DISTINCT jsonb_array_elements_text(kinds) FROM webhook"))
        known = memory[_MEMORY] = (time.monotonic() + FRESH_SECONDS, frozenset(found))
    return not known[1].isdisjoint(kinds)


def look_again(session: AsyncSession) -> None:
    """Forget what is known of the webhooks, because they have just been changed here."""
    memory_of(session).pop(_MEMORY, None)


def _plain(value: object) -> str:
    """Ids and times as JSON holds them."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
