"""The end of a conversation: talks with the bot in which nobody writes any more end by themselves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import exists, select

from contact_hub.citizens.models import Conversation, ConversationState
from contact_hub.city import City, number_in
from contact_hub.database import now
from contact_hub.handoff import service as handoff
from contact_hub.journey import asking
from contact_hub.journey.saying import Writer
from contact_hub.operations.queue import Task

BATCH = 100
IDLE = "idle"  # the reason of a move that nobody made


def idle_after(city: City) -> timedelta:
    """How long a talk with the bot may rest before it ends; raises CityError with one sentence."""
    given = city.settings.get("conversations") or {}
    where = f"{city.folder / 'city.yml'}: conversations"
    return timedelta(hours=number_in(where, given, "idle_hours", 1, 720))


async def close_idle(writer: Writer) -> Collection[str]:
    """End the talks with the bot that have rested long enough, quietly; the next message begins a new one.

    What was left open in them is kept (see `continuity`). Nothing is ended that still has work to do.
    """
    before = now() - idle_after(writer.city)
    async with writer.database.begin() as session:
        idle = await session.scalars(
            select(Conversation)
            .where(
                Conversation.state == ConversationState.BOT,
                Conversation.last_activity_at < before,
                ~exists().where(Task.conversation_id == Conversation.id),
            )
            .order_by(Conversation.last_activity_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        for conversation in idle.all():
            await handoff.move(session, conversation, ConversationState.CLOSED, holder=None, reason=IDLE)
            await asking.after_close(session, writer.city, conversation)
    return ()
