"""Making a turn true: everything that follows from one message, and its completion, in one transaction."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Channel
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.city import City
from contact_hub.database import Database, new_id, now
from contact_hub.flags.rules import Rules, rules_of
from contact_hub.handoff import service as handoff
from contact_hub.journey import continuity, joining, rating, terms, waiting, weighing, wishes
from contact_hub.journey.turn import Reply, Step, Turn
from contact_hub.journey.waiting import Waiter
from contact_hub.knowledge import switch
from contact_hub.knowledge.models import Answer
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, Lane
from contact_hub.outbox import service as outbox
from contact_hub.privacy import consent
from contact_hub.privacy.masking import SENSITIVE, mask
from contact_hub.reports import service as reports
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Outcome, Touchpoint

log = structlog.get_logger()

_KEPT_GIVEN_UP = 20
_OWN = frozenset({"erase_ask", "rate_low"})  # questions of our own that a yes or no answers
_HISTORY = 6  # messages by which a follow-up question is understood


@dataclass(frozen=True)
class Writer:
    """What is needed to write and send messages; the desk's replies go the same way as the bot's."""

    database: Database
    city: City
    channels: dict[str, Channel]
    folder: Path | None = None  # CIVICLINE_DATA, for the erasure ledger
    site_url: str = ""

    @cached_property
    def flags(self) -> Rules:
        """What makes a conversation look unhappy in this city; raises CityError."""
        return rules_of(self.city)


async def apply(writer: Writer, task: Claimed, turn: Turn) -> None:
    """Write all effects of a turn exactly once; raises LeaseLost when another worker has the task."""
    async with writer.database.begin() as session:
        rated_in = await rating.rated_in(session, turn)
        beside = () if rated_in is None else (rated_in,)
        conversation = await citizens.lock_conversation(session, turn.conversation_id, *beside)
        await queue.complete(session, task)
        await _keep_media(session, turn)
        await _keep_language(session, conversation, turn)
        await _keep_silence(session, turn)
        await terms.carry_out(session, writer.city, turn)
        if turn.reachable is not None:
            await citizens.set_reachable(session, turn.address_id, turn.reachable, "blocked by the resident")
        if turn.helpful is not None:
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
        unhappy = turn.handoff == weighing.UNHAPPY and conversation.state == ConversationState.WAITING
        await weighing.keep(session, conversation, turn, handed_over=unhappy)
        rated = None if rated_in is None else await session.get(Conversation, rated_in)
        await rating.keep(session, writer.city, writer.flags, turn, rated)
        _remember_rasa(conversation, turn)
        await continuity.remember(session, conversation, turn)
        shown = await terms.add(session, writer.city, turn)
        for reply in turn.replies:
            said = await say(
                session,
                writer,
                conversation,
                reply,
                channel=turn.channel,
                address=turn.address,
                in_reply_to=turn.touchpoint_id,
                language=turn.language,
                question=turn.text,
                answers_resident=True,
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


def _leave_to_person(conversation: Conversation, turn: Turn) -> None:
    """Keep the bot's words back; what was said of danger stands, and counts for whoever holds the talk."""
    turn.replies = [reply for reply in turn.replies if reply.author == "system"]
    if turn.urgent and turn.handoff is not None:
        handoff.urge(conversation, turn.handoff)
    else:
        turn.step, turn.handoff = Step.HELD_BY_PERSON, None


async def _heard(session: AsyncSession, writer: Writer, conversation: Conversation, turn: Turn) -> None:
    """Remember when the resident was last heard, and that a person who holds the talk owes them a word."""
    conversation.last_activity_at = now()
    if turn.outcome is not Outcome.HANDED_OFF:
        return
    if await handoff.heard(session, conversation) and not turn.replies:
        words = waiting.closed(writer.city, conversation, turn.language)
        if words is not None:
            reply = Reply(words, "system", say="held_closed")
            await say(
                session,
                writer,
                conversation,
                reply,
                channel=turn.channel,
                address=turn.address,
                in_reply_to=turn.touchpoint_id,
                language=turn.language,
                answers_resident=True,
            )


async def say(
    session: AsyncSession,
    writer: Writer,
    conversation: Conversation,
    reply: Reply,
    *,
    channel: str,
    address: str,
    language: str,
    in_reply_to: uuid.UUID | None = None,
    question: str = "",
    answers_resident: bool = False,
    understood: dict[str, Any] | None = None,
    purpose: consent.Purpose | None = None,
) -> uuid.UUID:
    """Write one message to the history of a locked conversation and put it on its way."""
    touchpoint_id = reply.touchpoint_id or new_id()
    payload: dict[str, Any] = {}
    if reply.ask_contact:
        payload["ask_contact"] = reply.ask_contact
    if reply.say:
        payload["say"] = reply.say
    if reply.copy:
        payload["copy"] = str(reply.copy)
    if reply.files:
        payload["files"] = [str(file) for file in reply.files]
    if reply.by:
        payload["by"] = reply.by
    if understood:
        payload["understood"] = understood
    if reply.sources:
        payload["sources"] = reply.sources
    if reply.answer is not None and in_reply_to is not None:
        payload["answer"] = await _keep_answer(
            session, reply.answer, touchpoint_id, in_reply_to, question, language
        )
        _assign(conversation, writer.city.department_for(_first_article(reply.answer)))
    if reply.choices:
        payload["buttons"] = [
            {
                "id": button_id(touchpoint_id, number),
                "title": choice.title,
                "meaning": choice.meaning
                if "helpful" not in choice.meaning
                else {**choice.meaning, "helpful": payload.get("answer", {}).get("id", "")},
            }
            for number, choice in enumerate(reply.choices, start=1)
        ]
    await timeline.record(
        session,
        touchpoint_id=touchpoint_id,
        address_id=conversation.address_id,
        conversation_id=conversation.id,
        direction="out",
        actor=reply.author,
        kind="text",
        words=reply.words,
        language=language,
        payload=payload,
        in_reply_to=in_reply_to,
    )
    adapter = writer.channels.get(channel)
    if adapter is not None and adapter.sends_itself:
        # The resident reads a feed in this database: being written is being delivered.
        seq = await timeline.append_to_feed(session, uuid.UUID(address), touchpoint_id)
        if reply.author == "agent":
            await timeline.awaits_reading(session, uuid.UUID(address), seq)
        return touchpoint_id
    await outbox.dispatch(
        session,
        touchpoint_id=touchpoint_id,
        conversation_id=conversation.id,
        address_id=conversation.address_id,
        channel=channel,
        epoch=conversation.epoch,
        author=reply.author,
        # Where the channel was switched off meanwhile, the words wait for it. Files may go without any.
        parts=[reply.words] if adapter is None else adapter.split(reply.words) or [reply.words],
        purpose=purpose,
        despite_silence=reply.say == "stop_confirmed"
        or (answers_resident and adapter is not None and not adapter.silence_is_final),
    )
    return touchpoint_id


def button_id(touchpoint_id: uuid.UUID, number: int) -> str:
    """A button's name outside: 22 letters for the message that offered it, and its place there."""
    return f"{base64.urlsafe_b64encode(touchpoint_id.bytes).rstrip(b'=').decode()}.{number}"


def read_button_id(name: str) -> tuple[uuid.UUID, int] | None:
    """The message and place a button's name stands for; None for anything else."""
    head, dot, tail = name.partition(".")
    if not dot or not tail.isdecimal() or len(head) != 22 or len(tail) > 2:
        return None
    try:
        return uuid.UUID(bytes=base64.urlsafe_b64decode(head + "==")), int(tail)
    except ValueError:
        return None


async def pressed_title(session: AsyncSession, press: Touchpoint) -> str:
    """What stood on the button that a resident pressed; nothing for a stranger's or an invented one."""
    named = read_button_id(str(press.payload.get("button", "")))
    offer = await session.get(Touchpoint, named[0]) if named else None
    if named is None or offer is None or offer.address_id != press.address_id:
        return ""
    buttons = offer.payload.get("buttons") or []
    return str(buttons[named[1] - 1]["title"]) if 1 <= named[1] <= len(buttons) else ""


def _first_article(found: dict[str, Any]) -> str:
    """The article an answer rests on, given or not; none where it is no answer."""
    passages = found.get("passages") or [{}]
    return str(passages[0].get("article") or "") if found["outcome"] in {"answered", "withheld"} else ""


def _assign(conversation: Conversation, department: str | None) -> None:
    """Let a talk with the bot be the matter of what was last spoken of; with a person it stays theirs."""
    if department is not None and conversation.state == ConversationState.BOT:
        conversation.department = department


async def _keep_answer(
    session: AsyncSession,
    found: dict[str, Any],
    touchpoint_id: uuid.UUID,
    question_id: uuid.UUID,
    question: str,
    language: str,
) -> dict[str, Any]:
    answer = Answer(
        id=new_id(),
        touchpoint_id=touchpoint_id,
        question_id=question_id,
        question=mask(question).text,  # what becomes of it, lists or lessons, is nobody's number
        language=language,
        outcome=found["outcome"],
        probability=float(found.get("probability") or 0.0),
        knowledge_version=found.get("kb_version"),
        passages=[
            {key: passage.get(key) for key in ("passage", "article", "version", "language", "title", "score")}
            for passage in found.get("passages") or []
        ],
        created_at=now(),
    )
    session.add(answer)
    return {"id": str(answer.id), "outcome": answer.outcome, "probability": answer.probability}


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
    _assign(conversation, report.department)
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


async def load(session: AsyncSession, task: Claimed, writer: Writer) -> Turn | None:
    """Everything a turn needs to begin, read in one short transaction; None when its message is gone."""
    city = writer.city
    row = (
        await session.execute(
            select(
                *(Touchpoint, Conversation, Address, Citizen.language, Citizen.name),
                citizens.suppressed_address(),
                consent.informed(city.notice_version),
                switch.now_off(),
                *continuity.seen_before(),
            )
            .join(Conversation, Conversation.id == Touchpoint.conversation_id)
            .join(Address, Address.id == Conversation.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Touchpoint.id == uuid.UUID(task.payload["touchpoint"]))
        )
    ).first()
    if row is None:
        return None
    touchpoint, conversation, address, citizen_language, name, suppressed, informed, off, *seen = row
    language = conversation.language or citizen_language
    said = await timeline.recent(session, conversation.id, touchpoint.id, after=conversation.read_from)
    turn = Turn(
        touchpoint_id=touchpoint.id,
        conversation_id=conversation.id,
        address_id=address.id,
        citizen_id=address.citizen_id,
        channel=address.channel,
        account="",
        address=address.value,
        kind=touchpoint.kind,
        text=touchpoint.text or "",
        payload=touchpoint.payload,
        received_at=touchpoint.recorded_at,
        attempts=task.attempts,
        state=conversation.state,
        epoch=conversation.epoch,
        language=city.speaks(language),
        language_known=language is not None,
        language_fixed=conversation.language_fixed,
        form=conversation.form,
        given_up=list(conversation.given_up),
        read_from=conversation.read_from,
        history=[
            {"role": one.role, "text": mask(one.words, SENSITIVE).text}
            for one in [one for one in said if one.words][-_HISTORY:]
        ],
        suppressed=suppressed,
        off=frozenset(off or ()),
        written_in=touchpoint.language,
        informed=informed,
        named=name is not None,
    )
    await continuity.recall(session, turn, *seen)
    await weighing.recall(session, turn, writer.flags, conversation, said, shared=seen[-1])
    await rating.recall(session, turn)
    await _resolve_choice(session, turn, city)
    return turn


async def _resolve_choice(session: AsyncSession, turn: Turn, city: City) -> None:
    """Find out which stored button was pressed, or meant by a number alone where buttons cannot be shown."""
    if turn.kind == "button":
        named = read_button_id(str(turn.payload.get("button", "")))
        if named is None:
            return
        offer = await session.get(Touchpoint, named[0])
        # A button works only where it was offered: nobody presses a stranger's.
        if offer is None or offer.address_id != turn.address_id:
            return
        number = named[1]
    elif (chosen := _chosen(turn, city)) is not None:
        number = chosen
        offer = await session.scalar(
            select(Touchpoint)
            .where(
                Touchpoint.conversation_id == turn.conversation_id,
                Touchpoint.direction == "out",
                Touchpoint.id < turn.touchpoint_id,
            )
            .order_by(Touchpoint.id.desc())
            .limit(1)
        )
        if not turn.text.strip().isdecimal() and (offer is None or offer.payload.get("say") not in _OWN):
            return  # yes and no answer questions of Rasa's; this one is our own
    else:
        return
    buttons = (offer.payload.get("buttons") or []) if offer is not None else []
    if 1 <= number <= len(buttons):
        turn.choice = dict(buttons[number - 1]["meaning"])
        turn.text = str(buttons[number - 1]["title"])


def _chosen(turn: Turn, city: City) -> int | None:
    """Which of two or more choices is meant by a number, or by a plain yes or no."""
    words = turn.text.strip()
    if words.isdecimal() and len(words) <= 2:
        return int(words)
    answer = city.yes_or_no(words) if len(words) <= 20 else None
    return None if answer is None else 1 if answer else 2
