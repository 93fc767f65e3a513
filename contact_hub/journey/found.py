"""Telling residents that what they once asked can be answered now: once, with consent, not at night."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import ColumnElement, Uuid, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.database import now
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import saying, waiting
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.knowledge.drafts import DraftState
from contact_hub.knowledge.models import Answer, DraftArticle
from contact_hub.privacy.consent import Purpose, permits
from contact_hub.timeline.models import Touchpoint

BATCH = 20
STILL_NEWS = timedelta(days=14)  # whoever agrees only later is not told of old articles
_QUESTION, _QUOTE = 80, 120  # characters of each in one message, which may be a text that is paid for


async def tell_those_who_asked(writer: Writer) -> Collection[str]:
    """Tell a batch of residents whose question an article answers that was published lately."""
    if waiting.at_night(rules_of(writer.city), writer.city, now()):
        return ()
    topics = set[str]()
    async with writer.database.begin() as session:
        for talk_id, answer_id, draft_id in await _due(session):
            topics |= await _tell(session, writer, talk_id, answer_id, draft_id)
    return topics


async def _due(session: AsyncSession) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
    """Conversation, answer and article: one question of each resident about each article."""
    about = (
        select(
            DraftArticle.id.label("draft"),
            cast(func.jsonb_array_elements_text(DraftArticle.answers), Uuid).label("answer"),
        )
        .where(DraftArticle.state == DraftState.PUBLISHED, DraftArticle.published_at > now() - STILL_NEWS)
        .subquery()
    )
    rows = await session.execute(
        select(Touchpoint.conversation_id, Answer.id, about.c.draft)
        .ext(distinct_on(Address.citizen_id, about.c.draft))
        .join(Answer, Answer.id == about.c.answer)
        .join(Touchpoint, Touchpoint.id == Answer.question_id)
        .join(Conversation, Conversation.id == Touchpoint.conversation_id)
        .join(Address, Address.id == Touchpoint.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(
            Answer.told_at.is_(None),
            ~_with_a_person(),
            Address.reachable,
            Address.retired_at.is_(None),
            ~citizens.doubtful(),
            ~citizens.suppressed_address(),
            permits(Purpose.ALERTS),
        )
        .order_by(Address.citizen_id, about.c.draft, Answer.id.desc())
        .limit(BATCH)
    )
    return [(talk, answer, draft) for talk, answer, draft in rows]


def _with_a_person() -> ColumnElement[bool]:
    """Whether a person looks after the citizen of a row's address, or is to: then the person tells them."""
    place, talk = aliased(Address), aliased(Conversation)
    return exists().where(
        talk.address_id == place.id,
        place.citizen_id == Address.citizen_id,
        talk.state.in_((ConversationState.WAITING, ConversationState.AGENT)),
    )


async def _tell(
    session: AsyncSession, writer: Writer, talk_id: uuid.UUID, answer_id: uuid.UUID, draft_id: uuid.UUID
) -> set[str]:
    talk = await citizens.lock_conversation(session, talk_id)
    draft = await session.get_one(DraftArticle, draft_id)
    place = await session.get_one(Address, talk.address_id)
    answer = await session.get_one(Answer, answer_id)
    if await session.scalar(select(_with_a_person()).select_from(Address).where(Address.id == place.id)):
        return set()
    if not await _first_time(session, place.citizen_id, draft):
        return set()
    language = writer.city.speaks(talk.language or answer.language)
    words = writer.city.say(
        "answer_found",
        language,
        question=_short(answer.question, _QUESTION),
        answer=_short(_beginning(draft), _QUOTE),
    )
    await saying.say(
        session,
        writer,
        talk,
        Reply(
            words,
            author="system",
            say="answer_found",
            sources=[{"title": draft.title, "url": draft.url}],
        ),
        channel=place.channel,
        address=place.value,
        language=language,
        in_reply_to=answer.question_id,
        purpose=Purpose.ALERTS,
    )
    return {"out", f"feed:{place.value}"}


async def _first_time(session: AsyncSession, citizen_id: uuid.UUID, draft: DraftArticle) -> bool:
    """Mark every question of this resident that the article answers as told of; False where it was."""
    theirs = (
        select(Answer.id)
        .join(Touchpoint, Touchpoint.id == Answer.question_id)
        .join(Address, Address.id == Touchpoint.address_id)
        .where(
            Address.citizen_id == citizen_id,
            Answer.id.in_([uuid.UUID(answer) for answer in draft.answers]),
        )
    )
    known = await session.scalar(
        select(func.count()).select_from(theirs.where(Answer.told_at.is_not(None)).subquery())
    )
    marked = await session.execute(
        update(Answer)
        .where(Answer.id.in_(theirs), Answer.told_at.is_(None))
        .values(told_at=now())
        .returning(Answer.id)
        .execution_options(synchronize_session=False)
    )
    return bool(marked.all()) and not known


def _beginning(draft: DraftArticle) -> str:
    """The first words of an article that are no heading, without the marks of Markdown."""
    lines = (line.strip() for line in draft.text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), draft.title)
    return _MARKS.sub("", _LINK.sub(r"\1", first)).strip() or draft.title


_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*_`>#|]+|^[-+]\s")


def _short(words: str, longest: int) -> str:
    words = re.sub(r"\s+", " ", words).strip()
    return words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…"
