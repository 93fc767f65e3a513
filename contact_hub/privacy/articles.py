"""Articles begun from residents' questions: whoever is erased is taken out of those nobody has published."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.knowledge import drafts
from contact_hub.knowledge.drafts import DraftState
from contact_hub.knowledge.models import Answer
from contact_hub.privacy.masking import mask
from contact_hub.privacy.scrubbing import REMOVED
from contact_hub.timeline.models import Touchpoint

_DISTINCT = 12  # bytes of a question, or of its beginning, that are no common word


async def forget_questions(session: AsyncSession, addresses: Collection[uuid.UUID]) -> None:
    """Take the questions from these addresses out of articles, as long as these are not the city's word."""
    asked = await session.execute(
        select(Answer.id, Answer.question)
        .join(Touchpoint, Touchpoint.id == Answer.question_id)
        .where(Touchpoint.address_id.in_(addresses))
    )
    questions = {str(answer): question for answer, question in asked}
    for draft in await drafts.about(session, questions):
        if draft.state == DraftState.DISCARDED:
            await session.delete(draft)
            continue
        theirs = {_one_line(questions[answer]) for answer in draft.answers if answer in questions}
        draft.answers = [answer for answer in draft.answers if answer not in questions]
        others = await session.scalars(
            select(Answer.question).where(Answer.id.in_([uuid.UUID(answer) for answer in draft.answers]))
        )
        theirs -= {
            _one_line(question) for question in others
        }  # what others asked as well says nothing of them
        if drafts.reword(draft, _without(draft.title, theirs), _without(draft.text, theirs)):
            draft.state = DraftState.DRAFT  # whoever was to publish it read something else
    await session.flush()


def _without(words: str, questions: Collection[str]) -> str:
    """The words without questions that they repeat: whole, as long as a title may be, or cut off there."""
    copies = {mask(question).text for question in questions} | set(questions)
    for whole in sorted(copies, key=len, reverse=True):
        for copy in (whole, whole[: drafts.LONGEST_TITLE].rstrip()):
            if len(copy.encode()) >= _DISTINCT:
                pattern = r"\s+".join(map(re.escape, copy.split()))
                words = re.sub(pattern, REMOVED, words, flags=re.IGNORECASE)
        begun = words.casefold().rstrip(" .?!…")
        if len(begun.encode()) >= _DISTINCT and whole.casefold().startswith(begun):
            words = REMOVED
    return words


def _one_line(question: str) -> str:
    return " ".join(question.split())
