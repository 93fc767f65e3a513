"""Making a turn true: everything that follows from one message, and its completion, in one transaction."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Citizen, Conversation, ConversationState
from contact_hub.database import now
from contact_hub.handoff import service as handoff
from contact_hub.journey import continuity, joining, rating, terms, waiting, weighing, wishes
from contact_hub.journey.responding import take_back, was_thought_of
from contact_hub.journey.saying import Writer, assign, say
from contact_hub.journey.turn import Reply, Step, Turn
from contact_hub.journey.waiting import Waiter
from contact_hub.knowledge.models import Answer
from contact_hub.knowledge.switch import ALTOGETHER, what_is_off
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, Lane
from contact_hub.reports import service as reports
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Outcome

_KEPT_GIVEN_UP = 20


async def apply(writer: Writer, task: Claimed, turn: Turn) -> None:
    """Write all effects of a turn exactly once; raises LeaseLost when another worker has the task."""
    async with writer.database.begin() as session:
        rated_in = await rating.rated_in(session, turn)
        beside = () if rated_in is None else (rated_in,)
        conversation = await citizens.lock_conversation(session, turn.conversation_id, *beside)
        await queue.complete(session, task)
        await _obey_switch(session, writer, conversation, turn)
        await _keep_media(session, turn)
        await _keep_language(session, conversation, turn)
        await _keep_silence(session, turn)
        await terms.carry_out(session, writer.city, turn)
        if turn.reachable is not None:
            await citizens.set_reachable(session, turn.address_id, turn.reachable, "blocked by the resident")
        await _rate(session, turn)
        for kind, reason in turn.tickets:
            await handoff.open_ticket(
                session, kind, reason, conversation_id=conversation.id, touchpoint_id=turn.touchpoint_id
            )
        adapter = writer.channels.get(turn.channel)
        asks_contact = adapter is not None and adapter.asks_contact
        notices = await joining.apply(session, writer.city, turn, asks_contact=asks_contact)
        wanted: list[wishes.Wish] = []
        if conversation.epoch != turn.epoch and conversation.state != ConversationState.BOT:
            # A person took over while the bot was thinking: its words are kept back, the message is theirs.
            if turn.report is not None:
                await _report(session, writer, conversation, turn)  # Rasa will not tell it a second time
            _leave_to_person(conversation, turn)
        else:
            wanted = await wishes.carry_out(session, writer.city, writer.channels, conversation, turn)
            await _change_hands(session, writer, conversation, turn)
            if turn.report is not None:
                await _report(session, writer, conversation, turn)
        called = turn.state == ConversationState.BOT and conversation.state == ConversationState.WAITING
        handed_over = called and (turn.urgent or turn.handoff == weighing.UNHAPPY)
        await weighing.keep(session, conversation, turn, handed_over=handed_over)
        rated = None if rated_in is None else await session.get(Conversation, rated_in)
        await rating.keep(session, writer.city, writer.flags, turn, rated)
        _remember_rasa(conversation, turn)
        _count(conversation, turn)
        await continuity.remember(session, conversation, turn)
        shown = await terms.add(session, writer.city, turn)
        for reply in turn.replies:
            said = await _reply(
                session,
                writer,
                conversation,
                turn,
                reply,
                question=turn.text,
                understood=_understood(turn),
            )
            if shown is not None and reply is turn.replies[0]:
                await terms.note_shown(session, turn, shown, said)
        for notice in notices:
            await say(
                session,
                writer,
                notice.conversation,
                notice.reply,
                channel=notice.address.channel,
                address=notice.address.value,
                language=writer.city.speaks(notice.conversation.language or turn.language),
                answers_resident=True,
            )
        for wish in wanted:
            await queue.put(session, Lane.OUT, wish.conversation, wish.kind, wish.payload, wish.due)
        await _heard(session, writer, conversation, turn)
        if turn.text and turn.language != turn.written_in:
            await timeline.tell_language(session, turn.touchpoint_id, turn.language)
        await timeline.settle(session, turn.touchpoint_id, turn.outcome, turn.step or Step.SAID)


async def _obey_switch(session: AsyncSession, writer: Writer, conversation: Conversation, turn: Turn) -> None:
    """Say nothing that the bot was thinking of as it was switched off; a person answers instead."""
    mine = conversation.epoch == turn.epoch and was_thought_of(turn)
    if mine and ALTOGETHER not in turn.off and ALTOGETHER in await what_is_off(session):
        take_back(turn, writer.city)


def _leave_to_person(conversation: Conversation, turn: Turn) -> None:
    """Keep the bot's words back; what was said of danger stands, and counts for whoever holds the talk."""
    turn.replies = [reply for reply in turn.replies if reply.author == "system"]
    if turn.urgent and turn.handoff is not None:
        handoff.urge(conversation, turn.handoff)
    else:
        turn.step, turn.handoff = Step.HELD_BY_PERSON, None


def _count(conversation: Conversation, turn: Turn) -> None:
    """An answer to our own question is no contact of theirs, until they say more or need a person."""
    if turn.step not in {Step.EDIT_NOTED, Step.REACHABILITY_NOTED}:
        first = conversation.epoch == 0 and not turn.past.said
        answers = turn.of_survey and turn.handoff is None
        conversation.follow_up = answers and (first or conversation.follow_up)


async def _heard(session: AsyncSession, writer: Writer, conversation: Conversation, turn: Turn) -> None:
    """Remember when the resident was last heard, and tell them so where nobody else does.

    A person who holds the talk owes them a word from now on.
    """
    conversation.last_activity_at = now()
    if turn.outcome is not Outcome.HANDED_OFF:
        return
    owed = await handoff.heard(session, conversation)
    if turn.replies:
        return
    notice = None
    if conversation.state == ConversationState.WAITING:
        notice = await waiting.heard(session, writer.city, conversation, turn.language)
    elif owed:
        notice = waiting.closed(writer.city, conversation, turn.language)
    if notice is not None:
        await _reply(session, writer, conversation, turn, notice)


async def _reply(
    session: AsyncSession,
    writer: Writer,
    conversation: Conversation,
    turn: Turn,
    reply: Reply,
    **more: Any,
) -> uuid.UUID:
    """Say something to whoever wrote, where they wrote it."""
    return await say(
        session,
        writer,
        conversation,
        reply,
        channel=turn.channel,
        address=turn.address,
        in_reply_to=turn.touchpoint_id,
        language=turn.language,
        answers_resident=True,
        **more,
    )


async def _keep_media(session: AsyncSession, turn: Turn) -> None:
    for media in turn.media:
        if media.data is not None:
            await timeline.keep_file(
                session,
                touchpoint_id=turn.touchpoint_id,
                address_id=turn.address_id,
                name=media.name,
                mime=media.mime,
                data=media.data,
                file_id=media.file_id,
            )


async def _keep_language(session: AsyncSession, conversation: Conversation, turn: Turn) -> None:
    if turn.new_language is None:
        return
    conversation.language = turn.new_language
    conversation.language_fixed = conversation.language_fixed or turn.fix_language
    await session.execute(
        update(Citizen).where(Citizen.id == turn.citizen_id).values(language=turn.new_language)
    )


async def _keep_silence(session: AsyncSession, turn: Turn) -> None:
    if turn.suppress is None:
        return
    if turn.suppress:
        new = await citizens.suppress(session, turn.channel, turn.address, "citizen")
    else:
        await citizens.unsuppress(session, turn.channel, turn.address)
        new = True
    if new:
        await timeline.record(
            session,
            address_id=turn.address_id,
            conversation_id=turn.conversation_id,
            direction="inner",
            actor="citizen",
            kind="silence" if turn.suppress else "silence_ended",
            in_reply_to=turn.touchpoint_id,
        )


async def _rate(session: AsyncSession, turn: Turn) -> None:
    if turn.helpful is None:
        return
    answer_id, good = turn.helpful
    changed = await session.execute(
        update(Answer)
        .where(Answer.id == answer_id, Answer.helpful.is_distinct_from(good))
        .values(helpful=good)
        .returning(Answer.id)
    )
    if changed.first() is None:
        return  # pressed twice
    await timeline.record(
        session,
        address_id=turn.address_id,
        conversation_id=turn.conversation_id,
        direction="inner",
        actor="citizen",
        kind="rating",
        payload={"answer": str(answer_id), "helpful": good},
        in_reply_to=turn.touchpoint_id,
    )


async def _change_hands(
    session: AsyncSession, writer: Writer, conversation: Conversation, turn: Turn
) -> None:
    if turn.handoff is None:
        return
    if conversation.state != ConversationState.BOT:
        handoff.urge(conversation, turn.handoff)
        turn.handoff = None if not turn.urgent else turn.handoff
        return
    await handoff.move(session, conversation, ConversationState.WAITING, holder=None, reason=turn.handoff)
    who = Waiter(conversation, turn.citizen_id, turn.channel, turn.language)
    words = await waiting.promised(session, writer.city, writer.channels, who)
    turn.replies.append(Reply(words, author="system", say="handed_off"))


async def _report(session: AsyncSession, writer: Writer, conversation: Conversation, turn: Turn) -> None:
    asked = turn.report or {}
    report = await reports.write_down(
        session,
        touchpoint_id=turn.touchpoint_id,
        address_id=turn.address_id,
        conversation_id=conversation.id,
        category=str(asked["category"]),
        place=str(asked["place"]),
        description=str(asked["description"]),
        photo_id=uuid.UUID(asked["photo"]) if asked.get("photo") else None,
        department=writer.city.department_of(str(asked["category"])),
        district=writer.city.district_of(str(asked["place"])),
    )
    assign(conversation, report.department)
    await timeline.record(
        session,
        address_id=turn.address_id,
        conversation_id=conversation.id,
        direction="inner",
        actor="system",
        kind="report",
        payload={
            "reference": report.reference,
            "category": report.category,
            "place": report.place,
            "description": report.description,
        },
        in_reply_to=turn.touchpoint_id,
    )
    words = writer.city.say(
        "report_done",
        turn.language,
        reference=report.reference,
        category=writer.city.category(report.category, turn.language),
        place=report.place,
    )
    turn.replies.append(Reply(words, say="report_done"))


def _understood(turn: Turn) -> dict[str, Any]:
    """What a message was taken for, kept with its answer so that anybody can see why it was given."""
    found: dict[str, Any] = {"step": str(turn.step), "language": turn.language}
    if turn.rasa is not None:
        found |= {"intent": turn.rasa.intent, "confidence": round(turn.rasa.confidence, 3)}
    return found


def _remember_rasa(conversation: Conversation, turn: Turn) -> None:
    if turn.rasa is not None:
        conversation.form = turn.rasa.form if conversation.state == ConversationState.BOT else None
        conversation.given_up = []
    elif turn.give_up:
        conversation.given_up = [*conversation.given_up, str(turn.touchpoint_id)][-_KEPT_GIVEN_UP:]
