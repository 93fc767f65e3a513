"""Find the article that answers a question, and say how sure that is.

    candidates  the nearest passages by vector and by words
    score       standardised cosine + LEXICAL x standardised BM25, earlier turns at a low weight
    articles    each article is worth its best passage, a little more when others agree
    gate        the probability that the first article answers: answered, clarified or refused
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from bot.knowledge import gate, quotes
from bot.knowledge.embeddings import Role, Vectors
from bot.knowledge.snapshots import Row, Snapshot, searchable

# Chosen on the development questions, see docs/measurements.md.
LEXICAL = 0.3
HISTORY = 0.3
HISTORY_TURNS = 3
AGREEMENT = 0.1
CANDIDATES = 120
CLOSE = 3


class Outcome(StrEnum):
    """What the gate made of a question."""

    ANSWERED = "answered"
    CLARIFIED = "clarified"
    REFUSED = "refused"


@dataclass(frozen=True)
class Found:
    """One article that may answer, with its best passage."""

    passage: int
    article: str
    version: int
    language: str
    title: str
    url: str
    text: str
    quote: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What search found, and how sure it is; `passages` also holds what was rejected."""

    outcome: Outcome
    probability: float
    kb_version: int
    language: str
    passages: tuple[Found, ...]
    took_ms: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as the hub and the actions read it."""
        return asdict(self) | {"outcome": str(self.outcome), "passages": [asdict(p) for p in self.passages]}


class Encoder(Protocol):
    """What search needs of an embedder."""

    async def encode(self, texts: Sequence[str], role: Role = Role.QUERY) -> Vectors:
        """Return one row per text."""
        ...


class NotReady(RuntimeError):
    """No version of the knowledge has arrived yet."""


class Search:
    """Answers questions from whatever snapshot is current at their start."""

    def __init__(self, encoder: Encoder, snapshot: Snapshot | None = None) -> None:
        self._encoder = encoder
        self._snapshot = snapshot
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")

    @property
    def snapshot(self) -> Snapshot | None:
        """Return the version that new questions are answered from."""
        return self._snapshot

    def swap(self, snapshot: Snapshot) -> None:
        """Answer new questions from another version; those under way end on the old one."""
        self._snapshot = snapshot

    async def answer(
        self, text: str, language: str, history: Sequence[dict[str, Any]] = (), k: int = 5
    ) -> Answer:
        """Return the best articles for a question; raise NotReady before the first version."""
        snapshot = self._snapshot
        if snapshot is None:
            raise NotReady("no knowledge has been published yet")
        started = time.perf_counter()
        earlier = earlier_questions(text, history)
        vectors = await self._encoder.encode([text, *earlier], Role.QUERY)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._thread, look_up, snapshot, text, vectors, earlier, language, k
        )
        took = (time.perf_counter() - started) * 1000
        return Answer(found.outcome, found.probability, found.kb_version, language, found.passages, round(took, 2))

    def close(self) -> None:
        """End the search thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def earlier_questions(text: str, history: Sequence[dict[str, Any]]) -> list[str]:
    """Return the citizen's last few turns before this one, newest first."""
    turns = [str(turn.get("text", "")).strip() for turn in history if turn.get("role") == "citizen"]
    return [turn for turn in reversed(turns) if turn and turn != text.strip()][:HISTORY_TURNS]


def look_up(
    snapshot: Snapshot, text: str, vectors: Vectors, earlier: Sequence[str], language: str, k: int
) -> Answer:
    """Rank the articles of a snapshot; `vectors` holds the question's row, then the earlier ones'."""
    if not len(snapshot.rows):
        return Answer(Outcome.REFUSED, 0.0, snapshot.meta.version, language, ())
    scored = _score_passages(snapshot, text, vectors, earlier)
    ranked = _rank_articles(snapshot, scored, language)
    features = gate.features(snapshot, text, scored, ranked)
    probability = gate.probability(features)
    found = tuple(
        _found(snapshot, text, vectors[0], article, language, score)
        for article, score, _ in ranked[: max(k, CLOSE)]
    )
    outcome = Outcome(gate.outcome(probability))
    return Answer(outcome, round(probability, 4), snapshot.meta.version, language, found[:k])


@dataclass(frozen=True)
class Scored:
    """The candidate passages of one question; arrays share their order."""

    at: np.ndarray[Any, Any]
    cosine: np.ndarray[Any, Any]
    bm25: np.ndarray[Any, Any]
    score: np.ndarray[Any, Any]
    background: tuple[float, float]


def _score_passages(snapshot: Snapshot, text: str, vectors: Vectors, earlier: Sequence[str]) -> Scored:
    total = _one_turn(snapshot, text, vectors[:1])
    weight = HISTORY
    for number, turn in enumerate(earlier, start=1):
        past = _one_turn(snapshot, turn, vectors[number : number + 1], at=total.at)
        total = Scored(total.at, total.cosine, total.bm25, total.score + weight * past.score, total.background)
        weight *= 0.5
    return total


def _one_turn(snapshot: Snapshot, text: str, vector: Vectors, at: np.ndarray[Any, Any] | None = None) -> Scored:
    words = snapshot.words.scores(text)
    if at is None:
        _, ids = snapshot.vectors.nearest(vector, CANDIDATES)
        near = [snapshot.position[int(one)] for one in ids[0] if one >= 0]
        by_words = np.argsort(-words)[:CANDIDATES]
        at = np.unique(np.concatenate([near, by_words[words[by_words] > 0]]).astype(np.int64))
    stored = np.stack([snapshot.vectors.vector(snapshot.rows[one].passage) for one in at])
    cosine = stored @ vector[0]
    chance = snapshot.background @ vector[0]
    mean, spread = float(chance.mean()), float(chance.std()) or 1.0
    dense = (cosine - mean) / spread
    lexical = (words[at] - words.mean()) / (float(words.std()) or 1.0)
    return Scored(at, cosine, words[at], dense + LEXICAL * lexical, (mean, spread))


def _rank_articles(snapshot: Snapshot, scored: Scored, language: str) -> list[tuple[str, float, int]]:
    """Return (article, score, position of its best passage), best first."""
    best: dict[str, list[tuple[float, int]]] = {}
    for at, score in zip(scored.at, scored.score, strict=True):
        best.setdefault(snapshot.rows[at].article, []).append((float(score), int(at)))
    ranked = []
    for article, passages in best.items():
        passages.sort(reverse=True)
        others = [score for score, _ in passages[1:3]]
        ranked.append((article, passages[0][0] + AGREEMENT * sum(max(0.0, s) for s in others), passages[0][1]))
    ranked.sort(key=lambda entry: (-entry[1], entry[0]))
    return ranked


def _found(
    snapshot: Snapshot, text: str, vector: np.ndarray[Any, Any], article: str, language: str, score: float
) -> Found:
    versions = snapshot.articles[article]
    chosen = language if language in versions else "en" if "en" in versions else next(iter(versions))
    rows = [snapshot.rows[at] for at in versions[chosen]]
    bodies = [row for row in rows if row.kind == "body"] or rows
    stored = np.stack([snapshot.vectors.vector(row.passage) for row in bodies])
    overlap = np.array([snapshot.words.overlap(text, searchable(row)) for row in bodies])
    row: Row = bodies[int(np.argmax(stored @ vector + 0.3 * overlap))]
    return Found(
        row.passage,
        row.article,
        row.version,
        row.language,
        row.title,
        row.url,
        row.text,
        quotes.quote(row.text, text),
        round(score, 4),
    )
