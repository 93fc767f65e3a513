"""Changing hands: every move raises the conversation's epoch under its lock."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import String, cast, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.citizens.service import lock_conversation
from contact_hub.database import new_id, now
from contact_hub.handoff.models import Ticket, Wait
from contact_hub.handoff.queue import Waiting, waiting
from contact_hub.handoff.rules import DANGERS, PRIORITY, check
from contact_hub.timeline import service as timeline

__all__ = ["Waiting", "waiting"]  # where everybody looks for them

ALERT = "provider_alert"
_READABLE = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0/O, 1/I/L


async def move(
    session: AsyncSession,
    conversation: Conversation,
    to: ConversationState,
    *,
    holder: str | None,
    reason: str,
    **more: Any,
) -> uuid.UUID:
    """Give a locked conversation into other hands, and put that on the timeline with what `more` says."""
    before = ConversationState(conversation.state)
    check(before, to)
    moment = now()
    await _end_wait(session, conversation, before, to, holder, moment)
    conversation.state = to
    conversation.holder = holder
    conversation.epoch += 1
    conversation.snoozed_until = None
    _owe(conversation, before, to, moment)
    if to is ConversationState.CLOSED:
        conversation.closed_at = moment
        conversation.reason = conversation.reason or reason
    if to is not ConversationState.BOT:
        conversation.form = None
    if to is ConversationState.WAITING:
        urge(conversation, reason)
        await _begin_wait(session, conversation, moment)
    moved = await timeline.record(
        session,
        address_id=conversation.address_id,
        conversation_id=conversation.id,
        direction="inner",
        actor="system" if holder is None and "by" not in more else "agent",
        kind="handoff",
        payload={
            "from": before,
            "to": to,
            "holder": holder,
            "reason": reason,
            "epoch": conversation.epoch,
            **{name: value for name, value in more.items() if value is not None},
        },
    )
    # What the former holder wrote and has not begun to leave is cancelled; system notices carry the
    # new epoch because they are written after this.
    await session.execute(
        text(
            "UPDATE delivery SET state = 'cancelled', reason = 'changed hands', settled_at = now()"
            " WHERE conversation_id = :id AND state = 'queued' AND author = 'bot' AND epoch < :epoch"
        ),
        {"id": conversation.id, "epoch": conversation.epoch},
    )
    return moved


def urge(conversation: Conversation, reason: str) -> None:
    """Let a reason to wait count for a locked conversation, unless it has a graver one.

    Danger is no matter of the department whose topic was spoken of before.
    """
    points = PRIORITY.get(reason, 0)
    if conversation.reason is None or points >= PRIORITY.get(conversation.reason, 0):
        conversation.reason = reason
    conversation.priority = max(conversation.priority, points)
    if reason in DANGERS:
        conversation.department = None


def _owe(
    conversation: Conversation, before: ConversationState, to: ConversationState, moment: datetime
) -> None:
    """Carry over since when the resident waits for a word, from the queue to a person and back."""
    since = conversation.waiting_since or conversation.unanswered_since
    conversation.waiting_since = conversation.unanswered_since = conversation.holder_seen_at = None
    if to is ConversationState.WAITING:
        conversation.waiting_since = since or moment
    elif to is ConversationState.AGENT:
        conversation.unanswered_since, conversation.holder_seen_at = since, moment
    if to is not ConversationState.WAITING:
        conversation.promised_at = None
    if to is ConversationState.BOT:
        conversation.reason, conversation.priority = None, 0


async def _begin_wait(session: AsyncSession, conversation: Conversation, moment: datetime) -> None:
    """Begin a stretch of waiting; one that goes on in another department is the same one."""
    about = {
        "department": conversation.department,
        "language": conversation.language,
        "reason": conversation.reason or "",
        "priority": conversation.priority,
    }
    channel = select(Address.channel).where(Address.id == conversation.address_id).scalar_subquery()
    await session.execute(
        insert(Wait)
        .values(
            id=new_id(),
            conversation_id=conversation.id,
            address_id=conversation.address_id,
            channel=channel,
            since=moment,
            **about,
        )
        .on_conflict_do_update(
            index_elements=["conversation_id"], index_where=text("ended_at IS NULL"), set_=about
        )
    )


async def _end_wait(
    session: AsyncSession,
    conversation: Conversation,
    before: ConversationState,
    to: ConversationState,
    holder: str | None,
    moment: datetime,
) -> None:
    if before is not ConversationState.WAITING or to is ConversationState.WAITING:
        return
    await session.execute(
        update(Wait)
        .where(Wait.conversation_id == conversation.id, Wait.ended_at.is_(None))
        .values(ended_at=moment, ended=_ENDED[to], taken_by=holder if _ENDED[to] == "taken" else None)
        .execution_options(synchronize_session=False)
    )


_ENDED = {
    ConversationState.AGENT: "taken",
    ConversationState.CLOSED: "closed",
    ConversationState.BOT: "returned",
}


async def heard(session: AsyncSession, conversation: Conversation) -> bool:
    """The resident wrote to the person who holds a locked conversation: a word is owed, and it wakes up.

    True when that person owed none until now.
    """
    if conversation.state != ConversationState.AGENT:
        return False
    owed, conversation.unanswered_since = (
        conversation.unanswered_since,
        conversation.unanswered_since or now(),
    )
    if conversation.snoozed_until is not None:
        await snooze(session, conversation, None, by=None)
    return owed is None


async def answered(
    session: AsyncSession, conversation: Conversation, *, owed_since: datetime | None = None
) -> None:
    """A person's word is on its way to the resident; `owed_since` is when they wrote again meanwhile."""
    conversation.unanswered_since, conversation.holder_seen_at = owed_since, now()
    last = select(Wait.id).where(Wait.conversation_id == conversation.id).order_by(Wait.since.desc())
    await session.execute(
        update(Wait)
        .where(
            Wait.id == last.limit(1).scalar_subquery(), Wait.ended == "taken", Wait.first_word_at.is_(None)
        )
        .values(first_word_at=now())
        .execution_options(synchronize_session=False)
    )


async def snooze(
    session: AsyncSession, conversation: Conversation, until: datetime | None, *, by: str | None
) -> None:
    """Put a locked conversation aside until a moment, or take it up again, and put that on the timeline."""
    conversation.snoozed_until = until
    conversation.holder_seen_at = now()
    await timeline.record(
        session,
        address_id=conversation.address_id,
        conversation_id=conversation.id,
        direction="inner",
        actor="system" if by is None else "agent",
        kind="snooze" if until is not None else "snooze_ended",
        payload={"by": by, "until": None if until is None else until.isoformat()},
    )


async def open_ticket(
    session: AsyncSession,
    kind: str,
    reason: str,
    *,
    conversation_id: uuid.UUID | None = None,
    touchpoint_id: uuid.UUID | None = None,
) -> Ticket:
    """Ask a person to look at something."""
    mark = "".join(secrets.choice(_READABLE) for _ in range(7))
    ticket = Ticket(
        id=new_id(),
        reference=f"T-{mark}",
        kind=kind,
        reason=reason,
        conversation_id=conversation_id,
        touchpoint_id=touchpoint_id,
        created_at=now(),
    )
    session.add(ticket)
    await session.flush()
    return ticket


async def alert(
    session: AsyncSession,
    reason: str,
    *,
    conversation_id: uuid.UUID | None = None,
    touchpoint_id: uuid.UUID | None = None,
) -> None:
    """Ask a person to mend the city's set-up: one open ticket for a reason, at most one a day."""
    # Hundreds of sends may meet the same fault at once.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:reason))"), {"reason": reason})
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    known = await session.scalar(
        select(Ticket.id)
        .where(Ticket.kind == ALERT, Ticket.reason == reason)
        .where(or_(Ticket.closed_at.is_(None), Ticket.created_at >= midnight))
        .limit(1)
    )
    if known is None:
        await open_ticket(
            session, ALERT, reason, conversation_id=conversation_id, touchpoint_id=touchpoint_id
        )


async def find_open(session: AsyncSession, ending: str) -> Conversation | None:
    """The open conversation with this id, or whose id ends so, under lock; None unless it is exactly one."""
    ending = ending.strip().lower()
    found = (
        await session.scalars(
            select(Conversation.id)
            .where(
                Conversation.state != ConversationState.CLOSED,
                cast(Conversation.id, String).endswith(ending, autoescape=True),
            )
            .limit(2)
        )
    ).all()
    if not ending or len(found) != 1:
        return None
    conversation = await lock_conversation(session, found[0])
    # Somebody may have closed it while we waited for the lock.
    return None if conversation.state == ConversationState.CLOSED else conversation
