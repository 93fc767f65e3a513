"""Ratings of conversations: when somebody is asked, what they answer, what becomes of it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import visible
from contact_hub.database import new_id, now
from contact_hub.ratings.models import Asking, Rating
from contact_hub.staff.access import Viewer
from contact_hub.timeline.models import Touchpoint


async def worth_asking(session: AsyncSession, conversation_id: uuid.UUID) -> bool:
    """Whether a question was answered or not, a report taken, or a person said something."""
    return bool(
        await session.scalar(
            select(
                exists().where(
                    Touchpoint.conversation_id == conversation_id,
                    or_(
                        Touchpoint.kind == "report",
                        (Touchpoint.direction == "out")
                        & ((Touchpoint.actor == "agent") | Touchpoint.payload.has_key("answer")),
                    ),
                )
            )
        )
    )


async def last_agent(session: AsyncSession, conversation_id: uuid.UUID) -> str | None:
    """Who had the conversation last."""
    return await session.scalar(
        select(Touchpoint.payload["holder"].astext)
        .where(
            Touchpoint.conversation_id == conversation_id,
            Touchpoint.kind == "handoff",
            Touchpoint.payload["to"].astext == ConversationState.AGENT,
        )
        .order_by(Touchpoint.id.desc())
        .limit(1)
    )


async def expect(session: AsyncSession, conversation: Conversation, channel: str, agent: str | None) -> None:
    """Remember that a closed conversation is to be asked about; once, and never after it was rated."""
    await session.execute(
        insert(Rating)
        .values(**_about(conversation, channel, agent), state=Asking.DUE)
        .on_conflict_do_nothing(index_elements=["conversation_id"])
    )


async def asked_now(
    session: AsyncSession, conversation: Conversation, channel: str, agent: str | None, question: uuid.UUID
) -> Rating | None:
    """Write down that a conversation is asked about at this moment; None where it was asked about before."""
    found: Rating | None = await session.scalar(
        insert(Rating)
        .values(
            **_about(conversation, channel, agent), state=Asking.ASKED, asked_at=now(), question_id=question
        )
        .on_conflict_do_nothing(index_elements=["conversation_id"])
        .returning(Rating)
    )
    return found


def _about(conversation: Conversation, channel: str, agent: str | None) -> dict[str, Any]:
    moment = conversation.closed_at or now()
    return {
        "id": new_id(),
        "conversation_id": conversation.id,
        "address_id": conversation.address_id,
        "channel": channel,
        "department": conversation.department,
        "language": conversation.language,
        "agent": agent,
        "closed_at": moment,
        "due_at": moment,
    }


async def give(session: AsyncSession, rating_id: uuid.UUID, score: int) -> Rating | None:
    """Write the answer to a question; None where it has one already, lapsed, or is gone."""
    rating = await session.get(Rating, rating_id, with_for_update=True, populate_existing=True)
    if rating is None or rating.state != Asking.ASKED:
        return None
    rating.state, rating.score, rating.rated_at = Asking.GIVEN, score, now()
    return rating


async def volunteer(
    session: AsyncSession, conversation: Conversation, channel: str, agent: str | None, score: int
) -> Rating | None:
    """Write a rating that nobody asked for; None where one was given already, which stands."""
    given = {"state": Asking.GIVEN, "score": score, "rated_at": now()}
    found: Rating | None = await session.scalar(
        insert(Rating)
        .values(**_about(conversation, channel, agent), **given)
        .on_conflict_do_update(
            index_elements=["conversation_id"], set_=given, where=Rating.state != Asking.GIVEN
        )
        .returning(Rating)
        .execution_options(populate_existing=True)
    )
    return found


async def comment(session: AsyncSession, rating_id: uuid.UUID, touchpoint_id: uuid.UUID) -> None:
    """Keep which message says something about a rating; the first one stands."""
    await session.execute(
        update(Rating)
        .where(Rating.id == rating_id, Rating.comment_id.is_(None))
        .values(comment_id=touchpoint_id)
    )


async def page(
    session: AsyncSession,
    viewer: Viewer,
    *,
    before: uuid.UUID | None = None,
    limit: int = 50,
    since: datetime | None = None,
) -> list[tuple[Rating, uuid.UUID]]:
    """Ratings that were given by citizens whom the viewer may see, with the citizen of each; newest first."""
    query = (
        select(Rating, Citizen.id)
        .join(Address, Address.id == Rating.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(visible(viewer), Rating.score.is_not(None))
        .order_by(Rating.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Rating.id < before)
    if since is not None:
        query = query.where(Rating.rated_at >= since)
    return [(rating, citizen) for rating, citizen in await session.execute(query)]
