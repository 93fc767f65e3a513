"""Articles that are being written: by one person, published by another, so that two have read each."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from sqlalchemy import ARRAY, Select, Text, Uuid, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import Database, new_id, now
from contact_hub.knowledge.models import ArticleVersion, DraftArticle, KnowledgeEntry
from contact_hub.knowledge.service import (
    ArticleIn,
    Embedder,
    Imported,
    import_articles,
    latest_version,
)
from contact_hub.staff.access import Viewer

LONGEST_TITLE = 200
LONGEST_TEXT = 20_000
LONGEST_URL = 500
MOST_ANSWERS = 500


class DraftState(StrEnum):
    """How far an article got."""

    DRAFT = "draft"
    REVIEW = "review"
    PUBLISHED = "published"
    DISCARDED = "discarded"


OPEN = (DraftState.DRAFT, DraftState.REVIEW)


class CannotWrite(ValueError):
    """It cannot be done with this draft; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Written:
    """What its author gives of an article."""

    topic: str
    language: str
    title: str
    text: str
    url: str

    def cleaned(self, *, topics: Collection[str], languages: Collection[str]) -> Written:
        """The same without stray characters; raises CannotWrite for what no article can be."""
        made = replace(
            self,
            title=" ".join(self.title.replace("\x00", "").split()),
            text=self.text.replace("\x00", "").replace("\r\n", "\n").strip(),
            url=self.url.strip(),
        )
        if made.topic not in topics:
            raise CannotWrite("Please choose a topic.")
        if made.language not in languages:
            raise CannotWrite("Please choose a language that the city speaks.")
        if not 1 <= len(made.title) <= LONGEST_TITLE:
            raise CannotWrite(f"Please give a title of at most {LONGEST_TITLE} characters.")
        if len(made.text) > LONGEST_TEXT:
            raise CannotWrite(f"The article is longer than {LONGEST_TEXT} characters.")
        if len(made.url) > LONGEST_URL or not _is_page(made.url):
            raise CannotWrite("Please give the page that residents are sent to, beginning with https://.")
        return made


def _is_page(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and url.isprintable() and " " not in url


async def begin(
    session: AsyncSession, viewer: Viewer, written: Written, answers: Sequence[uuid.UUID]
) -> uuid.UUID:
    """Begin an article about questions that had no answer; returns its id."""
    draft_id = new_id()
    session.add(
        DraftArticle(
            id=draft_id,
            article=_name(written.topic, written.title),
            language=written.language,
            title=written.title,
            text=written.text,
            url=written.url,
            answers=[str(answer) for answer in answers[:MOST_ANSWERS]],
            state=DraftState.DRAFT,
            written_by=viewer.name,
            written_at=now(),
            changed_at=now(),
        )
    )
    await audit.record(session, viewer, "draft.begun", subject=str(draft_id))
    return draft_id


def reword(draft: DraftArticle, title: str, text: str) -> bool:
    """Take words out of a locked draft, its name included, and leave it its author's; False where none go.

    A publication under way begins before it and ends after it: it finds the draft changed, and stops.
    """
    if (title, text) == (draft.title, draft.text):
        return False
    draft.title, draft.text, draft.changed_at = title, text, now()
    draft.article = _name(draft.article.partition("/")[0], title)
    return True


async def about(session: AsyncSession, answers: Collection[str]) -> Sequence[DraftArticle]:
    """Articles that are to answer one of these questions and are not the city's word yet, locked."""
    return (
        await session.scalars(
            select(DraftArticle)
            .where(
                func.jsonb_exists_any(DraftArticle.answers, cast(list(answers), ARRAY(Text))),
                DraftArticle.published_at.is_(None),
            )
            .order_by(DraftArticle.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).all()


async def locked(session: AsyncSession, draft_id: uuid.UUID) -> DraftArticle | None:
    """A draft that is about to change."""
    return await session.scalar(select(DraftArticle).where(DraftArticle.id == draft_id).with_for_update())


async def drafts(session: AsyncSession, limit: int = 50) -> Sequence[DraftArticle]:
    """What is being written, and what was published lately; the newest first."""
    return (
        await session.scalars(
            select(DraftArticle)
            .where(DraftArticle.state != DraftState.DISCARDED)
            .order_by(DraftArticle.published_at.is_not(None), DraftArticle.changed_at.desc())
            .limit(limit)
        )
    ).all()


def taken() -> Select[uuid.UUID]:
    """The answers that some article, written or being written, is about already."""
    answer = func.jsonb_array_elements_text(DraftArticle.answers)
    return select(cast(answer, Uuid)).where(DraftArticle.state != DraftState.DISCARDED)


class ChangedMeanwhile(CannotWrite):
    """Somebody else has changed the draft since it was read."""


async def write(
    session: AsyncSession,
    viewer: Viewer,
    draft: DraftArticle,
    written: Written,
    *,
    read_at: datetime | None,
) -> None:
    """Change a locked draft. Whoever changes it is its author, and somebody else must publish it.

    Raises ChangedMeanwhile where it is not what it was when `read_at` was its `changed_at`.
    """
    _still_open(draft)
    before = (draft.language, draft.title, draft.text, draft.url, draft.article)
    after = (written.language, written.title, written.text, written.url, _name(written.topic, written.title))
    if before == after:
        return
    if draft.changed_at != read_at:
        raise ChangedMeanwhile(
            "The article was changed meanwhile, and yours was not saved. Compare the two: saving once more "
            "puts yours in the place of what is there now."
        )
    draft.language, draft.title, draft.text, draft.url, draft.article = after
    draft.state, draft.written_by, draft.changed_at = DraftState.DRAFT, viewer.name, now()
    await audit.record(session, viewer, "draft.written", subject=str(draft.id))


async def move(session: AsyncSession, viewer: Viewer, draft: DraftArticle, to: DraftState) -> None:
    """Hand a locked draft in for review, give it back to its author, or discard it."""
    moves = {
        DraftState.DRAFT: {DraftState.REVIEW, DraftState.DISCARDED},
        DraftState.REVIEW: {DraftState.DRAFT, DraftState.DISCARDED},
    }
    _still_open(draft)
    if to not in moves[DraftState(draft.state)]:
        raise CannotWrite(
            "It is handed in for review already."
            if to is DraftState.REVIEW
            else "It is with its author already, to be written."
        )
    if to is DraftState.REVIEW and not draft.text.strip():
        raise CannotWrite("There is nothing to review: the article has no text yet.")
    draft.state, draft.changed_at = to, now()
    await audit.record(session, viewer, f"draft.{to}", subject=str(draft.id))


async def publish(
    database: Database, brain: Embedder, viewer: Viewer, draft_id: uuid.UUID
) -> Imported | None:
    """Let residents find an article that was handed in; None where there is no such draft.

    Raises CannotWrite, and NotImported where the brain is away. While the brain computes nothing is locked:
    whoever changes or discards the draft meanwhile wins, and nothing is published. What residents find and
    what became of the draft are one transaction, which holds the draft's row.
    """
    async with database.begin() as session:
        draft = await locked(session, draft_id)
        if draft is None:
            return None
        await _may_be_published(session, viewer, draft)
        article = ArticleIn(
            draft.article,
            draft.language,
            draft.title,
            draft.text,
            draft.url,
            reviewed=now().date(),
            owner=draft.written_by,
        )
        read_at = draft.changed_at

    async def with_it(session: AsyncSession, done: Imported) -> None:
        draft = await locked(session, draft_id)
        if draft is None:
            raise CannotWrite("This article is not there any more: nothing was published.")
        _still_open(draft)
        if draft.state != DraftState.REVIEW or draft.changed_at != read_at:
            raise CannotWrite(
                "Somebody changed the article meanwhile, and it was not published: please read it again."
            )
        draft.state, draft.reviewed_by = DraftState.PUBLISHED, viewer.name
        draft.published_at, draft.knowledge_version = now(), done.version
        await audit.record(session, viewer, "draft.published", subject=str(draft_id), version=done.version)

    return await import_articles(database, brain, [article], _collection(draft_id), with_it=with_it)


def _still_open(draft: DraftArticle) -> None:
    if draft.state == DraftState.PUBLISHED:
        raise CannotWrite(f"{draft.reviewed_by} has published this article: it is no draft any more.")
    if draft.state not in OPEN:
        raise CannotWrite("This article was discarded: it is no draft any more.")


async def _may_be_published(session: AsyncSession, viewer: Viewer, draft: DraftArticle) -> None:
    _still_open(draft)
    if draft.state != DraftState.REVIEW:
        raise CannotWrite("This article was not handed in for review.")
    if draft.written_by == viewer.name:
        raise CannotWrite("Somebody else has to read and publish what you wrote.")
    latest = await latest_version(session)
    there = latest and await session.scalar(
        select(ArticleVersion.collection)
        .join(KnowledgeEntry, KnowledgeEntry.article_version_id == ArticleVersion.id)
        .where(
            KnowledgeEntry.number == latest.number,
            ArticleVersion.article == draft.article,
            ArticleVersion.language == draft.language,
        )
    )
    if there and there != _collection(draft.id):
        raise CannotWrite("There is an article of this name in this language already: change the title.")


def _collection(draft_id: uuid.UUID) -> str:
    return f"draft:{draft_id}"


def _name(topic: str, title: str) -> str:
    """An article's name by its topic and title; a title without Latin letters is named by a digest."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-")
    if len(slug) < 3:
        slug = f"article-{uuid.uuid5(uuid.NAMESPACE_URL, title).hex[:8]}"
    return f"{topic}/{slug}"
