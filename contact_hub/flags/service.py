"""Raising flags, taking them away, and reading them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import visible
from contact_hub.database import after_commit, new_id, now
from contact_hub.flags.models import Flag, Level, Reading
from contact_hub.flags.rules import Rules, Signal, together
from contact_hub.flags.signals import Contact
from contact_hub.operations import metrics
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline

_ORDER = (None, Level.UNEASY, Level.UNHAPPY, Level.DANGER)


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of dissatisfaction or danger with its evidence; `also` are other touchpoints of it."""

    signal: Signal
    weight: float
    evidence: uuid.UUID
    words: str
    also: tuple[uuid.UUID, ...] = ()

    def written(self) -> dict[str, Any]:
        """As it is kept on a flag."""
        kept: dict[str, Any] = {
            "signal": str(self.signal),
            "weight": round(self.weight, 3),
            "evidence": str(self.evidence),
            "words": self.words,
        }
        return {**kept, "also": [str(other) for other in self.also]} if self.also else kept


@dataclass(frozen=True, slots=True)
class Earlier:
    """A flag that a conversation has already: what it rested on and what was thought of it."""

    touchpoint_id: uuid.UUID
    level: Level
    signals: Sequence[dict[str, Any]]
    dismissed: bool


@dataclass(frozen=True, slots=True)
class Raised:
    """What the signs of this moment, with those before it, come to."""

    score: float
    level: Level
    signs: tuple[Sign, ...]


def weigh(
    rules: Rules, signs: Sequence[Sign], earlier: Sequence[Earlier], read_from: uuid.UUID | None
) -> Raised | None:
    """Whether signs raise a flag, given the flags there are already.

    The same evidence never counts for a second flag. What was flagged since `read_from`, and not taken
    away by somebody who looked, adds to the score; but a flag is raised only where the new signs alone
    would raise one, or where all of them together ask for more than was asked for so far. Danger is another
    matter and adds nothing.
    """
    known = {(given["signal"], given["evidence"]) for flag in earlier for given in flag.signals}
    fresh = [sign for sign in signs if (str(sign.signal), str(sign.evidence)) not in known]
    if not fresh:
        return None
    standing = [
        flag
        for flag in earlier
        if not flag.dismissed
        and flag.level is not Level.DANGER
        and (read_from is None or flag.touchpoint_id > read_from)
    ]
    before = {
        (given["signal"], given["evidence"]): float(given["weight"])
        for flag in standing
        for given in flag.signals
    }
    score = together([*before.values(), *(sign.weight for sign in fresh)])
    level = rules.level(score)
    if level is None:
        return None
    highest = max((_ORDER.index(flag.level) for flag in standing), default=0)
    alone = rules.level(together(sign.weight for sign in fresh))
    if alone is None and _ORDER.index(level) <= highest:
        return None
    return Raised(round(score, 3), level, tuple(fresh))


async def raise_(
    session: AsyncSession,
    conversation: Conversation,
    channel: str,
    raised: Raised,
    touchpoint_id: uuid.UUID,
    *,
    language: str | None = None,
    handed_over: bool = False,
) -> uuid.UUID:
    """Write a flag on a locked conversation, and put it on the timeline."""
    flag_id, signals = new_id(), [sign.written() for sign in raised.signs]
    session.add(
        Flag(
            id=flag_id,
            conversation_id=conversation.id,
            address_id=conversation.address_id,
            touchpoint_id=touchpoint_id,
            channel=channel,
            department=conversation.department,
            language=language or conversation.language,
            score=raised.score,
            level=raised.level,
            signals=signals,
            handed_over=handed_over,
            raised_at=now(),
        )
    )
    await session.flush()
    await timeline.record(
        session,
        address_id=conversation.address_id,
        conversation_id=conversation.id,
        direction="inner",
        actor="system",
        kind="flag",
        payload={
            "flag": str(flag_id),
            "score": raised.score,
            "level": str(raised.level),
            "signals": signals,
        },
        in_reply_to=touchpoint_id,
    )
    after_commit(session, metrics.flags.labels(str(raised.level)).inc)
    return flag_id


async def keep_reading(
    session: AsyncSession, conversation: Conversation, touchpoint_id: uuid.UUID, score: float
) -> None:
    """Keep how dissatisfied a turn reads, from 0 to 1."""
    session.add(
        Reading(
            touchpoint_id=touchpoint_id,
            conversation_id=conversation.id,
            address_id=conversation.address_id,
            score=score,
            read_at=now(),
        )
    )


async def dismiss(session: AsyncSession, flag_id: uuid.UUID, viewer: Viewer, why: str) -> bool:
    """Take a flag away, with a reason; False where it is gone or was taken away already.

    The caller has checked that the viewer may see the conversation.
    """
    if not why.strip():
        raise ValueError("Taking a flag away needs a reason.")
    flag = await session.get(Flag, flag_id, with_for_update=True)
    if flag is None or flag.dismissed_at is not None:
        return False
    flag.dismissed_at, flag.dismissed_by, flag.dismissed_why = now(), viewer.name, why.strip()
    citizen_id = await session.scalar(select(Address.citizen_id).where(Address.id == flag.address_id))
    await timeline.record(
        session,
        address_id=flag.address_id,
        conversation_id=flag.conversation_id,
        direction="inner",
        actor="agent",
        kind="flag_dismissed",
        payload={"flag": str(flag_id), "by": viewer.name, "why": why.strip()},
        in_reply_to=flag.touchpoint_id,
    )
    await audit.record(session, viewer, "flag.dismissed", citizen_id=citizen_id, subject=str(flag_id))
    return True


# Reading -----------------------------------------------------------------------------------------


async def of_conversation(session: AsyncSession, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Flag]]:
    """The flags of some conversations, oldest first; a conversation without one is not among them."""
    found: dict[uuid.UUID, list[Flag]] = {}
    if ids:
        rows = await session.scalars(
            select(Flag).where(Flag.conversation_id.in_(ids)).order_by(Flag.raised_at, Flag.id)
        )
        for flag in rows:
            found.setdefault(flag.conversation_id, []).append(flag)
    return found


async def page(
    session: AsyncSession,
    viewer: Viewer,
    *,
    before: uuid.UUID | None = None,
    limit: int = 50,
    level: Level | None = None,
    since: datetime | None = None,
) -> list[tuple[Flag, uuid.UUID]]:
    """Flags of citizens whom the viewer may see, with the citizen of each; the newest first."""
    query = (
        select(Flag, Citizen.id)
        .join(Address, Address.id == Flag.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(visible(viewer))
        .order_by(Flag.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Flag.id < before)
    if level is not None:
        query = query.where(Flag.level == level)
    if since is not None:
        query = query.where(Flag.raised_at >= since)
    return [(flag, citizen) for flag, citizen in await session.execute(query)]


_PAST = text("""
    SELECT
      (SELECT jsonb_agg(jsonb_build_array(f.touchpoint_id, f.level, f.signals, f.dismissed_at IS NOT NULL))
       FROM flag f WHERE f.conversation_id = :conversation),
      (SELECT jsonb_agg(jsonb_build_array(c.id, c.conversation_id, c.at, c.article, c.problem, c.office))
       FROM (
         SELECT t.id, t.conversation_id, extract(epoch FROM t.recorded_at) AS at,
                a.passages -> 0 ->> 'article' AS article,
                r.category || '|' || lower(r.place) AS problem,
                CASE WHEN t.kind = 'handoff' AND t.payload ->> 'to' = 'waiting'
                     THEN (SELECT department FROM conversation v WHERE v.id = t.conversation_id) END AS office
         FROM address d
         JOIN touchpoint t ON t.address_id = d.id AND t.id >= :since AND t.id < :touchpoint
              AND (t.direction = 'in' OR t.kind = 'handoff')
         LEFT JOIN answer a ON a.question_id = t.id AND a.outcome = 'answered'
         LEFT JOIN report r ON r.touchpoint_id = t.id
         WHERE d.citizen_id = :citizen ORDER BY t.id DESC LIMIT 300) c
       WHERE COALESCE(c.article, c.problem, c.office) IS NOT NULL)
""")


async def past(
    session: AsyncSession,
    *,
    conversation_id: uuid.UUID,
    citizen_id: uuid.UUID,
    touchpoint_id: uuid.UUID,
    since: uuid.UUID,
) -> tuple[list[Earlier], list[Contact]]:
    """The flags of a conversation, and what its citizen came about since, on all channels; one query."""
    row = (
        await session.execute(
            _PAST,
            {
                "conversation": conversation_id,
                "citizen": citizen_id,
                "touchpoint": touchpoint_id,
                "since": since,
            },
        )
    ).one()
    return _earlier(row[0] or ()), _contacts(row[1] or ())


def matters(article: str | None, problem: str | None, office: str | None) -> frozenset[str]:
    """Names of what a contact was about."""
    named = {"article": article, "problem": problem, "office": office}
    return frozenset(f"{kind} {name}" for kind, name in named.items() if name)


def _earlier(rows: Iterable[Any]) -> list[Earlier]:
    return [
        Earlier(uuid.UUID(touchpoint), Level(level), signals, dismissed)
        for touchpoint, level, signals, dismissed in rows
    ]


def _contacts(rows: Iterable[Any]) -> list[Contact]:
    return [
        Contact(
            uuid.UUID(touchpoint),
            uuid.UUID(conversation) if conversation else None,
            datetime.fromtimestamp(at, tz=now().tzinfo),
            matters(article, problem, office),
        )
        for touchpoint, conversation, at, article, problem, office in rows
    ]
