"""How often the right article is found, and how well the gate tells what it cannot answer."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.evaluate.files import Progress, records, silent
from bot.evaluate.vectors import VectorStore
from bot.knowledge import importers
from bot.knowledge.articles import Article, split
from bot.knowledge.embeddings import AsyncEmbedder, Embedder
from bot.knowledge.search import Answer, Outcome, Search
from bot.knowledge.snapshots import Meta, Row, Snapshot, build

DEPTHS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Query:
    """A question with the articles that answer it."""

    text: str
    history: tuple[dict[str, Any], ...]
    relevant: frozenset[str]
    answerable: bool
    language: str


def read_articles(paths: Sequence[Path]) -> list[Article]:
    """Return the articles of several files as one pool; an article may stand in two of them."""
    pool: dict[tuple[str, str], Article] = {}
    for path in paths:
        for article in importers.read(path):
            pool.setdefault((article.article, article.language), article)
    return list(pool.values())


def read_queries(paths: Sequence[Path]) -> list[Query]:
    """Return the questions of several files."""
    return [
        Query(
            text=record["query"],
            history=tuple(record.get("history") or ()),
            relevant=frozenset(map(str, record.get("relevant") or ())),
            answerable=bool(record.get("answerable", True)),
            language=str(record.get("lang") or ""),
        )
        for path in paths
        for record in records(path, _wrong)
    ]


def snapshot_of(
    articles: Sequence[Article], vectors: VectorStore, fingerprint: str, progress: Progress
) -> Snapshot:
    """Return a temporary snapshot of articles, made as the hub's import makes one."""
    passages = [(article, passage) for article in articles for passage in split(article)]
    rows = [
        Row(
            passage=number,
            article=article.article,
            version=1,
            language=article.language,
            title=article.title,
            url=article.url,
            kind=str(passage.kind),
            ordinal=passage.ordinal,
            text=passage.text,
        )
        for number, (article, passage) in enumerate(passages, start=1)
    ]
    texts = [passage.embedded for _, passage in passages]
    matrix = vectors.encode(texts, [article.language for article, _ in passages], progress)
    return build(Meta(1, fingerprint, int(matrix.shape[1])), rows, matrix)


def measure(
    articles: Sequence[Article],
    queries: Sequence[Query],
    model: str,
    cache: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Return recall, hits, reciprocal rank, refusals and times, over all questions and by language."""
    embedder = Embedder(model)
    store = VectorStore(embedder, cache)
    try:
        snapshot = snapshot_of(articles, store, embedder.fingerprint, progress)
    finally:
        store.close()
    answers = asyncio.run(_ask(embedder, snapshot, queries, progress))
    return summary(queries, answers) | {
        "by_language": {
            language: _brief(
                [(q, a) for q, a in zip(queries, answers, strict=True) if q.language == language]
            )
            for language in sorted({query.language for query in queries})
        },
        "articles": len(articles),
        "passages": len(snapshot.rows),
        "model": embedder.fingerprint,
    }


async def _ask(
    embedder: Embedder, snapshot: Snapshot, queries: Sequence[Query], progress: Progress
) -> list[Answer]:
    encoder = AsyncEmbedder(embedder)
    search = Search(encoder, snapshot)
    answers = []
    try:
        await search.answer("warm up", "en")
        for number, query in enumerate(queries, start=1):
            answers.append(await search.answer(query.text, query.language, query.history, max(DEPTHS)))
            progress("asking questions", number, len(queries))
    finally:
        search.close()
        encoder.close()
    return answers


def summary(queries: Sequence[Query], answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the figures of the contract."""
    pairs = list(zip(queries, answers, strict=True))
    asked = [(query, answer) for query, answer in pairs if query.relevant]
    times = sorted(answer.took_ms for answer in answers)
    return {
        "queries": len(queries),
        "recall": {str(depth): _mean([_recall(q, a, depth) for q, a in asked]) for depth in DEPTHS},
        "hit": {str(depth): _mean([float(_recall(q, a, depth) > 0) for q, a in asked]) for depth in DEPTHS},
        "mrr": _mean([_reciprocal_rank(query, answer) for query, answer in asked]),
        "answered_rate": _mean([float(answer.outcome is Outcome.ANSWERED) for answer in answers]),
        "refusal_auc": _auc([(answer.probability, query.answerable) for query, answer in pairs]),
        "p50_ms": round(statistics.median(times), 2) if times else None,
        "p95_ms": round(times[int(0.95 * (len(times) - 1))], 2) if times else None,
    }


def _brief(pairs: list[tuple[Query, Answer]]) -> dict[str, Any]:
    whole = summary([query for query, _ in pairs], [answer for _, answer in pairs])
    return {name: whole[name] for name in ("queries", "recall", "hit", "mrr", "answered_rate")}


def _found(answer: Answer) -> list[str]:
    return [passage.article for passage in answer.passages]


def _recall(query: Query, answer: Answer, depth: int) -> float:
    return len(query.relevant & set(_found(answer)[:depth])) / len(query.relevant)


def _reciprocal_rank(query: Query, answer: Answer) -> float:
    ranks = [rank for rank, article in enumerate(_found(answer), start=1) if article in query.relevant]
    return 1 / ranks[0] if ranks else 0.0


def _auc(scored: Sequence[tuple[float, bool]]) -> float | None:
    if len({answerable for _, answerable in scored}) < 2:
        return None
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score([a for _, a in scored], [p for p, _ in scored])), 4)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _wrong(record: dict[str, Any]) -> str:
    if not isinstance(record.get("query"), str) or not record["query"].strip():
        return '"query" is missing'
    if not isinstance(record.get("history") or [], list):
        return '"history" must be a list of turns'
    if not isinstance(record.get("relevant") or [], list):
        return '"relevant" must be a list of article ids'
    return ""
