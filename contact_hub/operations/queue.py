"""The work queue: in order within a conversation, never lost, effects exactly once.

A task belongs to a conversation and to a lane (what came in, what goes out). Only the *head* of a
conversation's lane can be claimed, so order holds and one flooded conversation costs the others
nothing. Whoever inserts or completes holds the lock on the conversation's row; that is what keeps
the head unique. A claim is a lease with a fencing token: the holder renews it, and completes by
deleting the row under that token in the transaction of the effects. A worker that lost its lease
deletes nothing and must abandon what it did.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, Database, now

LEASE_SECONDS = 5.0


class Lane(StrEnum):
    """Reading and sending wait for nobody but themselves."""

    IN = "in"
    OUT = "out"


class Task(Base):
    """One piece of work; it may be claimed from `due` on, and a claim moves `due` to the end of the lease."""

    __tablename__ = "task"
    __table_args__ = (
        Index("ix_task_due", "lane", "due", postgresql_where=text("head")),
        Index("ix_task_conversation", "conversation_id", "lane", "id"),
        # Rows come and go by the thousand: clean up early instead of after 20 % of a large table.
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.01, "fillfactor": 70}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    lane: Mapped[str]
    conversation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("conversation.id"))
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    head: Mapped[bool]
    due: Mapped[datetime] = mapped_column(default=now)
    token: Mapped[uuid.UUID | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class LeaseLost(Exception):
    """Someone else holds the task now: abandon, commit nothing."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task on loan to this process."""

    id: int
    lane: Lane
    conversation_id: uuid.UUID
    kind: str
    payload: dict[str, Any]
    token: uuid.UUID
    attempts: int
    created_at: datetime


_PUT = text("""
    INSERT INTO task (lane, conversation_id, kind, payload, head, due, attempts, created_at)
    VALUES (:lane, :conversation, :kind, CAST(:payload AS jsonb),
            NOT EXISTS (SELECT FROM task WHERE conversation_id = :conversation AND lane = :lane),
            COALESCE(:due, now()), 0, clock_timestamp())
""")

_CLAIM: LiteralString = """
    UPDATE task SET token = gen_random_uuid(), due = clock_timestamp() + make_interval(secs => %(lease)s),
                    attempts = attempts + 1
    WHERE id IN (SELECT id FROM task WHERE head AND lane = %(lane)s AND due <= clock_timestamp()
                 ORDER BY due, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING id, conversation_id, kind, payload, token, attempts, created_at
"""

_RENEW: LiteralString = """
    UPDATE task SET due = clock_timestamp() + make_interval(secs => %(lease)s)
    WHERE token = ANY(%(tokens)s) RETURNING token
"""

_HOLD = text("""
    UPDATE task SET due = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = :id AND token = :token
""")

_COMPLETE = text("""
    WITH done AS (DELETE FROM task WHERE id = :id AND token = :token RETURNING id),
         next AS (UPDATE task SET head = true WHERE NOT head AND EXISTS (SELECT FROM done) AND id =
                     (SELECT min(id) FROM task
                      WHERE conversation_id = :conversation AND lane = :lane AND id <> :id))
    SELECT count(*) FROM done
""")

_RETRY = text("""
    UPDATE task SET token = NULL, due = clock_timestamp() + make_interval(secs => :delay),
                    attempts = attempts - :refund, last_error = :error,
                    payload = payload || CAST(:note AS jsonb)
    WHERE id = :id AND token = :token
""")

_LOCK = text("SELECT id FROM conversation WHERE id = :id FOR UPDATE")


async def lock(session: AsyncSession, conversation: uuid.UUID) -> None:
    """Hold the conversation's row until the transaction ends."""
    await session.execute(_LOCK, {"id": conversation})


async def put(
    session: AsyncSession,
    lane: Lane,
    conversation: uuid.UUID,
    kind: str,
    payload: dict[str, Any],
    due: datetime | None = None,
) -> None:
    """Append a task to the conversation's lane; the caller holds the conversation's lock."""
    await session.execute(
        _PUT,
        {
            "lane": lane,
            "conversation": conversation,
            "kind": kind,
            "payload": _json(payload),
            "due": due,
        },
    )


async def claim(database: Database, lane: Lane, limit: int) -> list[Claimed]:
    """Borrow up to `limit` due heads of a lane, oldest first."""
    rows = await database.glance(_CLAIM, lane=str(lane), limit=limit, lease=LEASE_SECONDS)
    return [
        Claimed(number, lane, conversation, kind, payload, token, attempts, created_at)
        for number, conversation, kind, payload, token, attempts, created_at in rows
    ]


async def renew(database: Database, tokens: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Prolong leases; what is missing from the result is lost."""
    rows = await database.glance(_RENEW, tokens=list(tokens), lease=LEASE_SECONDS)
    return {token for (token,) in rows}


async def hold(session: AsyncSession, task: Claimed) -> None:
    """Make sure that the task is still ours before something that cannot be taken back is begun."""
    held = await session.execute(_HOLD, {"id": task.id, "token": task.token, "lease": LEASE_SECONDS})
    if held.rowcount == 0:  # type: ignore[attr-defined]
        raise LeaseLost(task.id)


async def complete(session: AsyncSession, task: Claimed) -> None:
    """Finish a task inside the transaction of its effects; the caller holds the conversation's lock."""
    done = await session.scalar(
        _COMPLETE,
        {"id": task.id, "token": task.token, "conversation": task.conversation_id, "lane": task.lane},
    )
    if not done:
        raise LeaseLost(task.id)


async def retry(
    session: AsyncSession,
    task: Claimed,
    delay: float,
    error: str,
    *,
    note: dict[str, Any] | None = None,
    counts: bool = True,
) -> None:
    """Give a task back for later; `note` is merged into its payload, `counts=False` forgives the attempt."""
    done = await session.execute(
        _RETRY,
        {
            "id": task.id,
            "token": task.token,
            "delay": delay,
            "error": error[:500],
            "note": _json(note or {}),
            "refund": 0 if counts else 1,
        },
    )
    if done.rowcount == 0:  # type: ignore[attr-defined]
        raise LeaseLost(task.id)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value)
