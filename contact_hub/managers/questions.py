"""What the bot could not answer, of residents who agree to that use, grouped by what was meant."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.city import City
from contact_hub.knowledge import drafts
from contact_hub.knowledge.drafts import LONGEST_TITLE, Written
from contact_hub.knowledge.models import DraftArticle
from contact_hub.privacy import improvement
from contact_hub.privacy.improvement import Unanswered

MOST_QUESTIONS = 200  # the newest; embedding them takes seconds


class Grouping(Protocol):
    """The brain, as far as questions are grouped by it."""

    async def group(self, texts: Sequence[str]) -> list[list[int]]:
        """Which of the texts mean the same."""


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that mean the same, the newest first."""

    questions: tuple[Unanswered, ...]

    @property
    def ids(self) -> tuple[uuid.UUID, ...]:
        """Of the answers that were none."""
        return tuple(question.id for question in self.questions)

    @property
    def shown(self) -> tuple[tuple[str, str, int], ...]:
        """Each wording once, with its language and how often it came."""
        counted = Counter((question.question, question.language) for question in self.questions)
        return tuple((words, language, n) for (words, language), n in counted.items())


async def open_questions(
    session: AsyncSession, among: Collection[uuid.UUID] | None = None
) -> list[Unanswered]:
    """Questions without an answer that no article is being written about; with `among` only of these."""
    found = await improvement.unanswered(session, limit=MOST_QUESTIONS, among=among, but=drafts.taken())
    return [question for question in found if question.question.strip()]


async def about(session: AsyncSession, draft: DraftArticle) -> Group:
    """The questions an article is to answer, as far as those who asked agree today."""
    answers = [uuid.UUID(answer) for answer in draft.answers]
    return Group(tuple(await improvement.unanswered(session, limit=MOST_QUESTIONS, among=answers)))


async def grouped(brain: Grouping, questions: Sequence[Unanswered]) -> list[Group]:
    """The questions by meaning, the largest group first; raises NeighbourDown."""
    if not questions:
        return []
    places = await brain.group([question.question for question in questions])
    groups = [Group(tuple(questions[at] for at in sorted(group))) for group in places]
    return sorted(groups, key=lambda group: -len(group.questions))


async def prefilled(
    session: AsyncSession, city: City, wanted: Sequence[uuid.UUID]
) -> tuple[Written, list[uuid.UUID]]:
    """The beginning of an article about these questions, and which of them may still be used.

    Whoever withdrew their consent since the page was made is left out.
    """
    questions = await open_questions(session, among=wanted)
    if not questions:
        raise drafts.CannotWrite("These questions are not there any more.")
    languages = Counter(question.language for question in questions)
    language = city.speaks(languages.most_common(1)[0][0])
    first = next((q for q in questions if q.language == language), questions[0])
    written = Written(
        topic="",  # what came nearest did not answer it: its topic is no guess to make
        language=language,
        title=" ".join(first.question.split())[:LONGEST_TITLE],
        text="",
        url=str(city.settings.get("website") or ""),
    )
    return written, [question.id for question in questions]
