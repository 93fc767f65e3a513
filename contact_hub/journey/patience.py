"""What the clock does for those who wait: promises kept or renewed, agents gone silent, things put aside."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, Select, Text, cast, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.citizens.service import SESSION_CHANNELS
from contact_hub.database import now
from contact_hub.handoff import promises
from contact_hub.handoff import service as handoff
from contact_hub.handoff.hours import open_before, open_between
from contact_hub.handoff.models import Wait
from contact_hub.handoff.queue import in_danger
from contact_hub.handoff.rules import BROKEN_PROMISE, Rules, raised, rules_of
from contact_hub.journey import saying, waiting, weighing
from contact_hub.journey.hands.colleagues import answers
from contact_hub.journey.hands.grip import may_be_written_to
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.journey.waiting import Waiter
from contact_hub.privacy.consent import Purpose
from contact_hub.staff.access import ALLOWED, Action
from contact_hub.staff.models import Staff
from contact_hub.timeline.models import ChatSession
from contact_hub.web.errors import DATABASE_AWAY

log = structlog.get_logger()

BATCH = 50
UNREAD = timedelta(minutes=2)  # a browser that is open has fetched an answer long before


async def renew_promises(writer: Writer) -> Collection[str]:
    """Notice promises that were not kept: the conversation comes earlier, and its resident gets a new one.

    Each promise after the first gives as much opening time again as went by, so that nobody is told the
    same every few minutes. A phone that may not ring now is told in the morning.
    """
    rules, topics = rules_of(writer.city), set[str]()
    quiet = waiting.at_night(rules, writer.city, now())
    awake: ColumnElement[bool] = Address.channel.in_(sorted(SESSION_CHANNELS)) if quiet else true()
    async with writer.database.begin() as session:
        late = _batch(Conversation.promised_at < now(), awake).where(
            Conversation.state == ConversationState.WAITING
        )
        for talk, address in await session.execute(late.order_by(Conversation.promised_at)):
            if talk.promised_at is not None and await _alone(
                session, talk, _renew(session, writer, rules, talk, address, talk.promised_at)
            ):
                topics |= _news(talk, address)
    return topics


async def _renew(
    session: AsyncSession,
    writer: Writer,
    rules: Rules,
    talk: Conversation,
    address: Address,
    broken: datetime,
) -> None:
    wait = await session.scalar(select(Wait).where(Wait.conversation_id == talk.id, Wait.ended_at.is_(None)))
    went_by = rules.promise
    if wait is not None:
        wait.overdue_at = wait.overdue_at or now()
        went_by = max(went_by, open_between(writer.city, wait.since, broken))
    talk.priority = raised(talk.priority, BROKEN_PROMISE)
    await weighing.overdue(session, writer.city, writer.flags, talk, broken)
    made = await promises.promise(session, writer.city, rules, talk, at_least=went_by)
    if made.by is not None:
        language = writer.city.speaks(talk.language)
        until = writer.city.moment(made.by, language)
        words = writer.city.say("wait_longer", language, until=until)
        await _tell(session, writer, talk, address, Reply(words, "system", say="wait_longer"))


async def _alone(session: AsyncSession, talk: Conversation, work: Awaitable[None]) -> bool:
    """Do something about one conversation of a batch; what fails there keeps nothing from the others."""
    which = str(talk.id)
    try:
        async with session.begin_nested():
            await work
    except DATABASE_AWAY:
        raise
    except Exception:
        log.exception("patience.failed", conversation=which)
        return False
    return True


async def give_back_silent(writer: Writer) -> Collection[str]:
    """Put conversations back into the queue whose holder owes a word and does nothing, and say so.

    Danger waits for no opening time.
    """
    rules, topics = rules_of(writer.city), set[str]()
    before = open_before(writer.city, now(), rules.silent_agent)
    at_it = func.greatest(Conversation.holder_seen_at, Conversation.unanswered_since)
    silent = (at_it < before) | (in_danger() & (at_it < now() - rules.silent_danger))
    async with writer.database.begin() as session:
        gone = _batch(silent, Conversation.unanswered_since.is_not(None)).where(
            Conversation.state == ConversationState.AGENT, Conversation.snoozed_until.is_(None)
        )
        danger_first = gone.order_by(in_danger().desc(), Conversation.unanswered_since)
        for talk, address in await session.execute(danger_first):
            if await _alone(session, talk, _give_back(session, writer, talk, address)):
                topics |= _news(talk, address)
    return topics


async def give_back_left(writer: Writer) -> Collection[str]:
    """Put conversations back into the queue whose holder does not work at the desk any more, and say so."""
    topics = set[str]()
    who_may = [role for role, actions in ALLOWED.items() if Action.ANSWER in actions]
    gone = select(Staff.name).where(Staff.disabled_at.is_not(None) | Staff.role.not_in(who_may))
    async with writer.database.begin() as session:
        left = _batch(Conversation.holder.in_(gone)).where(Conversation.state == ConversationState.AGENT)
        for talk, address in await session.execute(left.order_by(Conversation.id)):
            if await _alone(session, talk, _give_back(session, writer, talk, address)):
                topics |= _news(talk, address)
    return topics


async def _give_back(session: AsyncSession, writer: Writer, talk: Conversation, address: Address) -> None:
    name, language = talk.holder, writer.city.speaks(talk.language)
    await handoff.move(
        session, talk, ConversationState.WAITING, holder=None, reason="agent_silent", silent=name
    )
    who = Waiter(talk, address.citizen_id, address.channel, language)
    lead = writer.city.say("agent_away", language, name=name)
    words = await waiting.promised(session, writer.city, writer.channels, who, lead=lead)
    await _tell(session, writer, talk, address, Reply(words, "system", say="agent_away"))


async def wake_snoozed(writer: Writer) -> Collection[str]:
    """Bring back to their holders, or to who may answer now, the conversations put aside until now."""
    topics = set[str]()
    async with writer.database.begin() as session:
        due = _batch(Conversation.snoozed_until <= now()).where(Conversation.state == ConversationState.AGENT)
        for talk, address in await session.execute(due):
            if await _alone(session, talk, _wake(session, writer, talk, address)):
                topics |= _news(talk, address)
    return topics


async def _wake(session: AsyncSession, writer: Writer, talk: Conversation, address: Address) -> None:
    await handoff.snooze(session, talk, None, by=None)
    holder = await session.scalar(select(Staff).where(Staff.name == talk.holder))
    if holder is not None and not await answers(session, writer.city, talk, holder):
        await _give_back(session, writer, talk, address)  # by another department now, or sealed


async def tell_elsewhere(writer: Writer) -> Collection[str]:
    """Tell residents whose browser is closed, and who agreed, at their phone or account that an answer waits.

    Once for all that waits in a session until it is read there, and at no time when a phone may not ring.
    """
    if waiting.at_night(rules_of(writer.city), writer.city, now()):
        return ()
    topics = set[str]()
    async with writer.database.begin() as session:
        rows = await session.execute(
            select(ChatSession.id, Address.citizen_id)
            .join(
                Address,
                (Address.channel == ChatSession.channel) & (Address.value == cast(ChatSession.id, Text)),
            )
            .where(ChatSession.unread_since < now() - UNREAD, ChatSession.noticed_at.is_(None))
            .order_by(ChatSession.unread_since)
            .limit(BATCH)
        )
        for chat, citizen_id in rows.all():
            other = await waiting.elsewhere(session, writer.channels, citizen_id)
            # The conversation before the session, as everywhere.
            talk = None if other is None else await citizens.open_conversation(session, other, by_city=True)
            noticed = await session.scalar(
                update(ChatSession)
                .where(ChatSession.id == chat, ChatSession.unread_since.is_not(None))
                .where(ChatSession.noticed_at.is_(None))
                .values(noticed_at=now())
                .returning(ChatSession.id)
            )
            if noticed is None or other is None or talk is None:
                continue
            words = writer.city.say("answer_waits", talk.language, link=writer.site_url)
            await saying.say(
                session,
                writer,
                talk,
                Reply(words, "system", say="answer_waits"),
                channel=other.channel,
                address=other.value,
                language=writer.city.speaks(talk.language),
                purpose=Purpose.ALERTS,
            )
            topics |= _news(talk, other)
    return topics


def _batch(*conditions: ColumnElement[bool]) -> Select[Conversation, Address]:
    return (
        select(Conversation, Address)
        .join(Address, Address.id == Conversation.address_id)
        .where(*conditions)
        .limit(BATCH)
        .with_for_update(of=Conversation, skip_locked=True)
        .execution_options(populate_existing=True)
    )


def _news(talk: Conversation, address: Address) -> set[str]:
    return {"out", f"feed:{address.value}", "desk", f"talk:{talk.id}"}


async def _tell(
    session: AsyncSession, writer: Writer, talk: Conversation, address: Address, reply: Reply
) -> None:
    await saying.say(
        session,
        writer,
        talk,
        reply,
        channel=address.channel,
        address=address.value,
        language=writer.city.speaks(talk.language),
        answers_resident=await may_be_written_to(session, writer, address),
    )
