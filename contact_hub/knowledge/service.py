"""The knowledge base in versions: imports are incremental and atomic, brains fetch what is published.

An import computes in the brain and stores here. Nothing is visible until one transaction publishes
the next version number; questions go on meanwhile, answered from the version before.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Protocol

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import Database, now
from contact_hub.knowledge.models import ArticleVersion, KnowledgeEntry, KnowledgeVersion, Passage

BATCH = 8
_LOCK = 0x6B62  # one import publishes at a time


class NotImported(RuntimeError):
    """The import changed nothing; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class ArticleIn:
    """An article as it comes from an importer, in one language."""

    article: str
    language: str
    title: str
    text: str
    url: str
    questions: tuple[str, ...] = ()
    owner: str | None = None
    reviewed: date | None = None
    valid_until: date | None = None

    @property
    def digest(self) -> str:
        """Changes with every word that is stored."""
        return hashlib.sha256(json.dumps(asdict(self), default=str, sort_keys=True).encode()).hexdigest()

    def to_embed(self) -> dict[str, Any]:
        """What the brain needs to cut and embed it."""
        return {
            "article": self.article,
            "language": self.language,
            "title": self.title,
            "text": self.text,
            "url": self.url,
            "questions": list(self.questions),
        }


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    version: int
    articles: int
    embedded: int
    removed: int
    changed: bool


class Embedder(Protocol):
    """The brain, as far as an import needs it."""

    async def passages(self, articles: list[dict[str, Any]]) -> dict[str, Any]:
        """Articles cut into passages with their vectors."""

    async def health(self) -> dict[str, Any]:
        """The brain's own account, with its fingerprint."""


async def import_articles(
    database: Database,
    brain: Embedder,
    articles: Sequence[ArticleIn],
    collection: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    with_it: Callable[[AsyncSession, Imported], Awaitable[None]] | None = None,
) -> Imported:
    """Make `articles` the present content of a collection and publish; raises NotImported.

    `with_it` is done in the transaction that publishes: what it raises lets nothing be published.
    """
    fingerprint = (await brain.health()).get("fingerprint")
    if not fingerprint:
        raise NotImported("The brain does not answer, so nothing was imported.")
    async with database.begin() as session:
        stored = await _stored(session, str(fingerprint))
        others = await _others(session, collection, {(a.article, a.language) for a in articles})
    # Whatever else is published must be searchable with the same model.
    wanted = [(article, collection) for article in articles] + others
    missing = [(a, name) for a, name in wanted if (a.article, a.language, a.digest) not in stored]
    fresh: list[tuple[ArticleIn, str, list[dict[str, Any]]]] = []
    dimensions = 0
    progress(0, len(missing))
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        try:
            found = await brain.passages([article.to_embed() for article, _ in batch])
            same = found["fingerprint"] == fingerprint
            dimensions = int(found["dimensions"])
            for (article, name), embedded in zip(batch, found["articles"], strict=True):
                fresh.append((article, name, embedded["passages"]))
        except Exception as error:  # it stopped, or says something else than it should
            why = type(error).__name__
            raise NotImported(f"The brain stopped answering ({why}), so nothing was imported.") from error
        if not same:
            raise NotImported("The embedding model changed during the import, so nothing was imported.")
        progress(min(start + BATCH, len(missing)), len(missing))
    async with database.begin() as session:
        done = await _publish(session, str(fingerprint), dimensions, articles, fresh, collection)
        if with_it is not None:
            await with_it(session, done)
    return done


async def _publish(
    session: AsyncSession,
    fingerprint: str,
    dimensions: int,
    articles: Sequence[ArticleIn],
    fresh: list[tuple[ArticleIn, str, list[dict[str, Any]]]],
    collection: str,
) -> Imported:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    for article, name, passages in fresh:
        await _store(session, article, name, fingerprint, passages)
    stored = await _stored(session, fingerprint)
    keys = {(article.article, article.language) for article in articles}
    entries = {stored[(a.article, a.language, a.digest)] for a in articles}
    latest = await latest_version(session)
    before: set[int] = set()
    if latest is not None:
        rows = await session.execute(
            select(
                ArticleVersion.id,
                ArticleVersion.article,
                ArticleVersion.language,
                ArticleVersion.digest,
                ArticleVersion.collection,
            )
            .join(KnowledgeEntry, KnowledgeEntry.article_version_id == ArticleVersion.id)
            .where(KnowledgeEntry.number == latest.number)
        )
        for row in rows:
            before.add(row.id)
            if (row.article, row.language) in keys or row.collection == collection:
                continue
            # What comes from elsewhere stays as it is now: somebody may have published while we computed.
            kept = stored.get((row.article, row.language, row.digest))
            if kept is None:
                raise NotImported("Somebody else published meanwhile, with another model: please try again.")
            entries.add(kept)
        if before == entries and latest.fingerprint == fingerprint:
            return Imported(latest.number, len(articles), 0, 0, False)
    number = 1 if latest is None else latest.number + 1
    if not dimensions and entries:  # nothing was embedded: the vectors that are there tell
        width = func.octet_length(Passage.vector) / 4
        any_of_them = select(width).where(Passage.article_version_id.in_(entries)).limit(1)
        dimensions = int(await session.scalar(any_of_them) or 0)
    session.add(
        KnowledgeVersion(
            number=number, fingerprint=fingerprint, dimensions=dimensions, published_at=now(), note=collection
        )
    )
    await session.flush()
    if entries:
        await session.execute(
            insert(KnowledgeEntry),
            [{"number": number, "article_version_id": entry} for entry in sorted(entries)],
        )
    return Imported(number, len(articles), len(fresh), len(before - entries), True)


async def _store(
    session: AsyncSession,
    article: ArticleIn,
    collection: str,
    fingerprint: str,
    passages: list[dict[str, Any]],
) -> None:
    known = await session.scalar(
        select(ArticleVersion.id).where(
            ArticleVersion.article == article.article,
            ArticleVersion.language == article.language,
            ArticleVersion.digest == article.digest,
            ArticleVersion.fingerprint == fingerprint,
        )
    )
    if known is not None:
        return
    version = ArticleVersion(
        **{**asdict(article), "questions": list(article.questions)},
        collection=collection,
        digest=article.digest,
        fingerprint=fingerprint,
        created_at=now(),
    )
    session.add(version)
    await session.flush()
    if passages:
        await session.execute(
            insert(Passage),
            [
                {
                    "article_version_id": version.id,
                    "ordinal": p["ordinal"],
                    "kind": p["kind"],
                    "text": p["text"],
                    "vector": base64.b64decode(p["vector"]),
                }
                for p in passages
            ],
        )


async def _stored(session: AsyncSession, fingerprint: str) -> dict[tuple[str, str, str], int]:
    """Every wording that is already embedded with this model."""
    rows = await session.execute(
        select(
            ArticleVersion.article, ArticleVersion.language, ArticleVersion.digest, ArticleVersion.id
        ).where(ArticleVersion.fingerprint == fingerprint)
    )
    return {(row.article, row.language, row.digest): row.id for row in rows}


async def _others(
    session: AsyncSession, collection: str, keys: set[tuple[str, str]]
) -> list[tuple[ArticleIn, str]]:
    """What is published now and does not come from this collection."""
    latest = await latest_version(session)
    if latest is None:
        return []
    rows = await session.scalars(
        select(ArticleVersion)
        .join(KnowledgeEntry, KnowledgeEntry.article_version_id == ArticleVersion.id)
        .where(KnowledgeEntry.number == latest.number, ArticleVersion.collection != collection)
    )
    return [
        (
            ArticleIn(
                row.article,
                row.language,
                row.title,
                row.text,
                row.url,
                tuple(row.questions),
                row.owner,
                row.reviewed,
                row.valid_until,
            ),
            row.collection,
        )
        for row in rows
        if (row.article, row.language) not in keys
    ]


async def latest_version(session: AsyncSession) -> KnowledgeVersion | None:
    """The state that brains answer from."""
    return await session.scalar(select(KnowledgeVersion).order_by(KnowledgeVersion.number.desc()).limit(1))


async def snapshot(session: AsyncSession, version: KnowledgeVersion) -> bytes:
    """A published state as the ZIP that brains fetch: meta.json, passages.jsonl and vectors.f32."""
    rows = await session.stream(
        select(
            Passage.id,
            Passage.ordinal,
            Passage.kind,
            Passage.text,
            Passage.vector,
            ArticleVersion.article,
            ArticleVersion.id.label("version"),
            ArticleVersion.language,
            ArticleVersion.title,
            ArticleVersion.url,
        )
        .join(ArticleVersion, ArticleVersion.id == Passage.article_version_id)
        .join(KnowledgeEntry, KnowledgeEntry.article_version_id == ArticleVersion.id)
        .where(KnowledgeEntry.number == version.number)
        .order_by(Passage.id)
    )
    lines, vectors = io.StringIO(), io.BytesIO()
    async for row in rows:
        line = {
            "passage": row.id,
            "article": row.article,
            "version": row.version,
            "language": row.language,
            "title": row.title,
            "url": row.url,
            "kind": row.kind,
            "ordinal": row.ordinal,
            "text": row.text,
        }
        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        vectors.write(row.vector)
    meta = {
        "version": version.number,
        "fingerprint": version.fingerprint,
        "dimensions": version.dimensions,
        "published_at": version.published_at.isoformat(),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        file.writestr("meta.json", json.dumps(meta))
        file.writestr("passages.jsonl", lines.getvalue())
        file.writestr("vectors.f32", vectors.getvalue())
    return packed.getvalue()
