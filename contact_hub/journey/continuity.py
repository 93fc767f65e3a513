"""What the city already knows of a resident who returns and may use, and what was left open last time.

The hub decides and supplies facts; Rasa's actions only suggest. Where several people write from one
place, nothing of anybody is recalled but the reports that were made right there.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, cast, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.types import Uuid

from contact_hub.citizens import identity
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.service import SESSION_CHANNELS
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.journey.turn import Choice, LeftOpen, Reply, Step, Turn
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Purpose
from contact_hub.privacy.masking import SENSITIVE, mask
from contact_hub.reports import service as reports
from contact_hub.reports.models import Report, ReportState
from contact_hub.timeline.models import ChatSession, Touchpoint
from contact_hub.timeline.reading import moment_of

AWAY = timedelta(hours=6)  # who writes after so long comes back; before that it is still the same talk
LEFT_OPEN = timedelta(days=30)
GREETED_WITH = 3  # open reports named in a greeting
LONGEST_QUESTION = 160
_OPEN = (ReportState.RECEIVED, ReportState.IN_PROGRESS)


def seen_before() -> tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[Any]]:
    """Columns beside a message's `Touchpoint` and `Address`: the resident's message before it at this
    address, whether they ever wrote from another, and whether several people write from here."""
    earlier, other = aliased(Touchpoint), aliased(Address)
    here = (
        select(earlier.id)
        .where(earlier.address_id == Address.id, earlier.direction == "in", earlier.id < Touchpoint.id)
        .order_by(earlier.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    elsewhere = exists().where(
        other.citizen_id == Address.citizen_id,
        other.id != Address.id,
        other.last_inbound_at.is_not(None),
    )
    session = select(ChatSession.shared).where(ChatSession.id == cast(Address.value, Uuid)).scalar_subquery()
    shared = case(
        (Address.channel.in_(sorted(SESSION_CHANNELS)), func.coalesce(session, False)),
        else_=(Address.channel == "telegram") & Address.value.startswith("-"),
    )
    return here, elsewhere, shared


async def recall(
    session: AsyncSession, turn: Turn, earlier: uuid.UUID | None, elsewhere: bool, shared: bool
) -> None:
    """Give the turn what is known: facts for Rasa, a name and what was left open for the hub itself."""
    if shared:
        own = await reports.of_address(session, turn.address_id)
        turn.facts = {"returning": False, "reports": [_fact(report) for report in own]}
        return
    own = await reports.of_citizen(session, turn.citizen_id)
    returning = elsewhere or (earlier is not None and moment_of(earlier) < turn.received_at - AWAY)
    turn.facts = {"returning": returning, "reports": [_fact(report) for report in own]}
    if not (returning or own) or not await consent.allowed(session, turn.citizen_id, Purpose.SERVICE):
        return
    if own:
        turn.facts["known"] = {"place": own[0].place}
    if returning:
        turn.name = await _name(session, turn.citizen_id)
        turn.left_open = await _left_open(session, turn)
        if turn.left_open.report and turn.left_open.report_in != turn.conversation_id:
            turn.facts["left_open"] = turn.left_open.report


def _fact(report: Report) -> dict[str, Any]:
    return {
        "reference": report.reference,
        "category": report.category,
        "place": report.place,
        "state": report.state,
        "created_at": report.created_at.isoformat(),
    }


async def _name(session: AsyncSession, citizen_id: uuid.UUID) -> str | None:
    rows = await session.execute(
        select(Citizen.id, Citizen.name).where(
            Citizen.id.in_(await identity.within(session, citizen_id)), Citizen.name.is_not(None)
        )
    )
    names = {row.id: row.name for row in rows}
    return names.get(citizen_id) or next(iter(names.values()), None)


async def _left_open(session: AsyncSession, turn: Turn) -> LeftOpen:
    """The newest unfinished report and the newest unanswered question in the resident's conversations."""
    rows = await session.execute(
        select(Conversation.id, Conversation.unfinished)
        .join(Address, Address.id == Conversation.address_id)
        .where(
            Address.citizen_id == turn.citizen_id,
            Conversation.unfinished.is_not(None),
            Conversation.last_activity_at > now() - LEFT_OPEN,
        )
        .order_by(Conversation.last_activity_at.desc())
        .limit(10)
    )
    found = LeftOpen()
    for conversation, unfinished in rows:
        if found.report is None and unfinished.get("report"):
            found.report, found.report_in = unfinished["report"], conversation
        if found.question_in is None and unfinished.get("question"):
            found.question = await _words(session, uuid.UUID(unfinished["question"]))
            found.question_in = conversation
    return found


async def _words(session: AsyncSession, touchpoint_id: uuid.UUID) -> str | None:
    words = await session.scalar(select(Touchpoint.text).where(Touchpoint.id == touchpoint_id))
    return mask(words, SENSITIVE).text[:LONGEST_QUESTION] if words else None


# The greeting ----------------------------------------------------------------------------------


def welcome(turn: Turn, city: City) -> Reply:
    """Greet who returns by what is known: their name, their open reports, a question left unanswered."""
    language = turn.language
    lines = [
        city.say("greet_returning_name", language, name=turn.name)
        if turn.name
        else city.say("greet_returning", language)
    ]
    still_open = [r for r in turn.facts.get("reports") or () if r["state"] in _OPEN][:GREETED_WITH]
    if still_open:
        lines += ["", city.say("greet_open_reports", language)]
        lines += [report_line(city, report, language) for report in still_open]
    reply = Reply("", say="greet_returning")
    if turn.left_open is not None and turn.left_open.question:
        turn.left_open.question_offered = True
        lines += ["", city.say("left_open_question", language, question=turn.left_open.question)]
        reply.choices.append(
            Choice(city.say("button_look_again", language), {"ask": turn.left_open.question})
        )
    reply.words = "\n".join(lines)
    return reply


def report_line(city: City, report: dict[str, Any], language: str) -> str:
    """One report with its state, as its resident reads it."""
    return city.say(
        "status_item",
        language,
        reference=report["reference"],
        category=city.category(report["category"], language),
        place=report["place"],
        state=city.say(f"state_{report['state']}", language),
        date=city.day(datetime.fromisoformat(report["created_at"]), language),
    )


# What is left open now --------------------------------------------------------------------------


async def remember(session: AsyncSession, conversation: Conversation, turn: Turn) -> None:
    """Keep what this turn left open, and forget what it took up again."""
    left = dict(conversation.unfinished or {})
    if turn.rasa is not None:
        left["report"] = turn.rasa.unfinished
    if turn.step is Step.REFUSED:
        left["question"] = str(turn.touchpoint_id)  # not its words: they may be redacted meanwhile
    elif turn.step in {Step.ANSWERED, Step.HANDED_OFF, Step.SEARCHED_WITHOUT_RASA}:
        left["question"] = None
    offered = turn.left_open
    if offered is not None:
        if offered.question_offered and offered.question_in == conversation.id:
            left["question"] = None
        elif offered.question_offered:
            await _forget(session, offered.question_in, "question")
        if left.get("report") and offered.report_in not in {None, conversation.id}:
            await _forget(session, offered.report_in, "report")
    kept = {name: value for name, value in left.items() if value}
    conversation.unfinished = kept or None


async def _forget(session: AsyncSession, conversation_id: uuid.UUID | None, what: str) -> None:
    rest = Conversation.unfinished.op("-", return_type=JSONB)(what)
    await session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id)
        .values(unfinished=func.nullif(rest, text("'{}'::jsonb")))
        .execution_options(synchronize_session=False)
    )
