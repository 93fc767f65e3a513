"""Asking how satisfied somebody was with a closed conversation: once, by day, who agreed to be asked."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import saying
from contact_hub.journey.rating import WITHIN, question
from contact_hub.journey.saying import Writer
from contact_hub.journey.terms import ask_in
from contact_hub.journey.turn import Reply
from contact_hub.journey.waiting import at_night
from contact_hub.outbox.models import Delivery
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Purpose
from contact_hub.ratings import service as ratings
from contact_hub.ratings.models import Asking, Rating

BATCH = 50


async def after_close(session: AsyncSession, city: City, conversation: Conversation) -> None:
    """Remember to ask about a conversation that has just been closed, where anything was done in it."""
    if not city.asks_for(Purpose.SURVEY):
        return
    address = await session.get_one(Address, conversation.address_id)
    if not await consent.allowed(session, address.citizen_id, Purpose.SURVEY):
        return
    if await ratings.worth_asking(session, conversation.id):
        agent = await ratings.last_agent(session, conversation.id)
        await ratings.expect(session, conversation, address.channel, agent)


async def may_we(
    session: AsyncSession, city: City, conversation: Conversation, address: Address, reply: Reply
) -> bool:
    """Let the words that close a conversation ask whether we may ask how it was.

    Once a resident, by day, and nobody who answered that already, wants silence or cannot be reached.
    """
    if not city.asks_for(Purpose.SURVEY) or at_night(rules_of(city), city, now()):
        return False
    if not address.reachable or address.retired_at is not None:
        return False
    if await citizens.is_suppressed(session, address.channel, address.value):
        return False
    if await consent.decided(session, address.citizen_id, Purpose.SURVEY):
        return False
    if not await ratings.worth_asking(session, conversation.id):
        return False
    ask_in(reply, city, Purpose.SURVEY, city.speaks(conversation.language), about=str(conversation.id))
    reply.say = "survey_ask"
    return True


async def ask_due(writer: Writer) -> Collection[str]:
    """Ask about closed conversations, never at night; whoever writes again by then is not asked."""
    city, moment = writer.city, now()
    if at_night(rules_of(city), city, moment):
        return ()
    topics = set[str]()
    open_now = aliased(Conversation)
    async with writer.database.begin() as session:
        due = await session.execute(
            select(
                *(Rating, Conversation, Address, citizens.suppressed_address()),
                exists().where(open_now.address_id == Address.id, open_now.state != ConversationState.CLOSED),
            )
            .join(Conversation, Conversation.id == Rating.conversation_id)
            .join(Address, Address.id == Rating.address_id)
            .where(Rating.state == Asking.DUE, Rating.due_at <= moment)
            .order_by(Rating.due_at)
            .limit(BATCH)
            .with_for_update(of=(Conversation, Rating), skip_locked=True)
            .execution_options(populate_existing=True)
        )
        for rating, talk, address, silent, writes_again in due.all():
            reachable = address.reachable and address.retired_at is None and not silent
            late = moment - rating.closed_at > WITHIN
            agrees = await consent.allowed(session, address.citizen_id, Purpose.SURVEY)
            if late or writes_again or not reachable or not agrees:
                rating.state = Asking.NOT_ASKED
                continue
            rating.state, rating.asked_at = Asking.ASKED, moment
            rating.question_id = await saying.say(
                session,
                writer,
                talk,
                question(city, rating.id, address.channel, city.speaks(rating.language)),
                channel=address.channel,
                address=address.value,
                language=city.speaks(talk.language),
                purpose=Purpose.SURVEY,
            )
            topics |= {"out", f"feed:{address.value}"}
    return topics


async def lapse(writer: Writer) -> Collection[str]:
    """End the questions that nobody answered in time; one that never left was not asked."""
    async with writer.database.begin() as session:
        over = await session.scalars(
            select(Rating)
            .where(Rating.state == Asking.ASKED, Rating.asked_at < now() - WITHIN)
            .order_by(Rating.asked_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        for rating in over.all():
            stayed = await session.scalar(
                select(
                    exists().where(
                        Delivery.touchpoint_id == rating.question_id, Delivery.state == "cancelled"
                    )
                )
            )
            rating.state = Asking.NOT_ASKED if stayed else Asking.LAPSED
    return ()
