"""The city's articles in every version, their vectors, and what was answered from them."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from contact_hub.database import Base, new_id, now


class ArticleVersion(Base):
    """One wording of one article in one language; never changed, only followed by the next."""

    __tablename__ = "article_version"
    __table_args__ = (UniqueConstraint("article", "language", "digest", "fingerprint"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    language: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    url: Mapped[str]
    owner: Mapped[str | None]
    reviewed: Mapped[date | None]
    valid_until: Mapped[date | None]
    questions: Mapped[list[Any]] = mapped_column(default=list)
    collection: Mapped[str]  # where it was imported from; a re-import replaces what left that place
    digest: Mapped[str]
    fingerprint: Mapped[str]  # the embedding model of its passages
    created_at: Mapped[datetime] = mapped_column(default=now)


class Passage(Base):
    """A piece of an article version small enough to be found and quoted, with its vector (float32)."""

    __tablename__ = "passage"
    __table_args__ = (Index("ix_passage_article_version_id", "article_version_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    article_version_id: Mapped[int] = mapped_column(ForeignKey("article_version.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str]
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class KnowledgeVersion(Base):
    """A published state of the whole knowledge base: brains follow the highest number."""

    __tablename__ = "knowledge_version"

    number: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    dimensions: Mapped[int]
    published_at: Mapped[datetime] = mapped_column(default=now)
    note: Mapped[str | None]


class KnowledgeEntry(Base):
    """An article version that belongs to a published state."""

    __tablename__ = "knowledge_entry"

    number: Mapped[int] = mapped_column(
        ForeignKey("knowledge_version.number", ondelete="CASCADE"), primary_key=True
    )
    article_version_id: Mapped[int] = mapped_column(ForeignKey("article_version.id"), primary_key=True)


class Answer(Base):
    """What the bot answered, from which passages of which version, how sure, and whether it helped."""

    __tablename__ = "answer"
    __table_args__ = (
        Index("ix_answer_question_id", "question_id"),
        Index("ix_answer_created_at", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    touchpoint_id: Mapped[uuid.UUID]
    question_id: Mapped[uuid.UUID]
    question: Mapped[str]
    language: Mapped[str]
    outcome: Mapped[str]
    probability: Mapped[float]
    knowledge_version: Mapped[int | None]
    passages: Mapped[list[Any]] = mapped_column(default=list)
    helpful: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    told_at: Mapped[datetime | None]  # when whoever asked was told that there is an answer now


class DraftArticle(Base):
    """An article that is being written, from questions the bot could not answer."""

    __tablename__ = "draft_article"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    article: Mapped[str]  # topic/name, as the published article is called
    language: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    url: Mapped[str] = mapped_column(default="")
    answers: Mapped[list[Any]] = mapped_column(default=list)  # ids of the answers that were none
    state: Mapped[str] = mapped_column(default="draft")  # draft, review, published, discarded
    written_by: Mapped[str]
    written_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    reviewed_by: Mapped[str | None]
    published_at: Mapped[datetime | None]
    knowledge_version: Mapped[int | None]


class BotSwitch(Base):
    """A time in which the bot does not answer, about one topic or about anything."""

    __tablename__ = "bot_switch"
    __table_args__ = (
        Index(
            "uq_bot_switch_off",
            text("coalesce(topic, '')"),
            unique=True,
            postgresql_where=text("on_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    topic: Mapped[str | None]  # NULL: altogether
    off_at: Mapped[datetime] = mapped_column(default=now)
    off_by: Mapped[str]
    why: Mapped[str]
    on_at: Mapped[datetime | None]
    on_by: Mapped[str | None]
