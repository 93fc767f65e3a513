"""Answers from the city's own knowledge, for the question a resident asked last."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.desk.room import Room
from contact_hub.desk.talk_lines import web_address
from contact_hub.desk.talk_room import Here
from contact_hub.desk.talk_words import language_name
from contact_hub.journey.neighbours import NeighbourDown
from contact_hub.privacy.masking import SENSITIVE, mask
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Direction, Touchpoint

LONGEST = 500  # characters of a question
MOST = 3
_REMEMBERED = 6  # messages before a question, as the assistant's own search takes them
_NO_QUESTIONS = frozenset(
    {
        *("greet", "goodbye", "thank", "affirm", "deny", "help", "talk_to_human", "complain", "rate_service"),
        *("stop_messages", "start_messages", "change_language", "link_channel"),
    }
)
_QUESTION = 12  # characters below which a message is no question: "ok", "hello?"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A passage with where it stands; `text` is what goes into the reply, source included."""

    title: str
    article: str
    version: int | None
    quote: str
    url: str | None
    text: str
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class Suggested:
    """What was looked for and found, or why nothing was."""

    question: str
    answers: Sequence[Suggestion] = ()
    trouble: str = ""
    typed: bool = False  # somebody looks for something: news do not take it from their screen


IN_DANGER = Suggested("", trouble="Somebody may be in danger: nothing is suggested unless you look for it.")


async def question_of(session: AsyncSession, here: Here) -> tuple[str, list[dict[str, str]]]:
    """The resident's last question in a conversation and what was said before it, private numbers masked."""
    said = (
        await session.execute(
            select(Touchpoint.id, Touchpoint.text)
            .where(
                Touchpoint.conversation_id == here.id,
                Touchpoint.direction == Direction.IN,
                Touchpoint.text.is_not(None),
            )
            .order_by(Touchpoint.id.desc())
            .limit(8)
        )
    ).all()
    asides = await _asides(session, [row.id for row in said])
    told = [row for row in said if row.id not in asides]
    found = next((row for row in told if len(row.text.strip()) >= _QUESTION), None) or next(iter(said), None)
    if found is None:
        return "", []
    history = [
        {"role": one.role, "text": mask(one.words, SENSITIVE).text}
        for one in await timeline.recent(session, here.id, found.id, limit=_REMEMBERED)
        if one.words
    ]
    return mask(found.text, SENSITIVE).text[:LONGEST], history


async def _asides(session: AsyncSession, said: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of some messages the assistant took for something else than a question."""
    rows = await session.execute(
        select(Touchpoint.in_reply_to, Touchpoint.payload["understood"]["intent"].astext).where(
            Touchpoint.in_reply_to.in_(said), Touchpoint.direction == Direction.OUT
        )
    )
    return {about for about, intent in rows if about is not None and intent in _NO_QUESTIONS}


async def suggest(
    room: Room, question: str, language: str, history: Sequence[dict[str, str]] = ()
) -> Suggested:
    """Passages that answer a question, the nearest first. Never raises: without the brain it says so."""
    question = " ".join(question.replace("\x00", "").split())[:LONGEST]
    if not question:
        return Suggested("", trouble="The resident has not asked anything yet.")
    try:
        found = await room.neighbours.search(question, language, history)
    except NeighbourDown:
        return Suggested(question, trouble="The knowledge base does not answer right now.")
    answers: list[Suggestion] = []
    for passage in found.get("passages") or ():
        if (
            len(answers) < MOST
            and passage.get("quote")
            and all(one.quote != passage["quote"] for one in answers)
        ):
            answers.append(_suggestion(room, passage, language))
    trouble = "" if answers else "Nothing in the knowledge base is near this question."
    if answers and found.get("outcome") == "refused":
        trouble = "The assistant would not answer from these: read before you send."
    return Suggested(question, answers, trouble)


def _suggestion(room: Room, passage: dict[str, object], language: str) -> Suggestion:
    title, quote = str(passage.get("title") or ""), str(passage.get("quote") or "")
    url = web_address(passage.get("url"))
    source = room.city.say("answer_source", language, title=title, url=url or "").strip()
    written = str(passage.get("language") or language)
    version = passage.get("version")
    return Suggestion(
        title=title,
        article=str(passage.get("article") or ""),
        version=version if isinstance(version, int) else None,
        quote=quote,
        url=url,
        text=f"{quote}\n\n{source}",
        foreign="" if written == language else f"in {language_name(room.city, written)}",
    )
