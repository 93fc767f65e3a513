"""Find the article that answers a question, and say how sure that is.

candidates  the nearest passages by vector and by words
score       standardised cosine + LEXICAL x share of the question's words (BM25), earlier turns
            at a low weight
articles    each article is worth its best passage, a little more when others agree
gate        the probability that the first article answers: answered, clarified or refused
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from bot.knowledge import gate, quotes
from bot.knowledge.embeddings import Role, Vectors
from bot.knowledge.snapshots import Row, Snapshot
from bot.language import telling_words

# Chosen on the development questions, see docs/measurements.md.
LEXICAL = 3.0
# An article in the resident's language is worth this many standard deviations more: without it,
# a translation of the same question in another language comes first as often as not.
SAME_LANGUAGE = 1.0
HISTORY = 0.2
HISTORY_DECAY = 0.5
# A question with no more words of its own than this leans on the turn before.
BARE_WORDS = 2
BARE_HISTORY = 0.6
HISTORY_TURNS = 3
AGREEMENT = 0.1
CANDIDATES = 80
# What the turn before counts for the gate.
FOLLOWED = 0.3
# Within an article, what a shared word counts for choosing the passage that is quoted.
QUOTED_WORDS = 0.3
LEAD = 0.05
THIN = 0.15
THIN_CHARACTERS = 80

Array = np.ndarray[Any, np.dtype[Any]]


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
        passages = [dict(vars(passage)) for passage in self.passages]
        return vars(self) | {"outcome": str(self.outcome), "passages": passages}


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
        asked = snapshot.mended(text, language)
        earlier = earlier_questions(text, history)
        vectors = await self._encoder.encode([asked, *earlier], Role.QUERY)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._thread, look_up, snapshot, asked, vectors, earlier, language, k
        )
        took = (time.perf_counter() - started) * 1000
        return Answer(
            found.outcome, found.probability, found.kb_version, language, found.passages, round(took, 2)
        )

    def close(self) -> None:
        """End the search thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def earlier_questions(text: str, history: Sequence[dict[str, Any]]) -> list[str]:
    """Return the citizen's last few turns before this one, newest first."""
    turns = [str(turn.get("text", "")).strip() for turn in history if turn.get("role") == "citizen"]
    return [turn for turn in reversed(turns) if turn and turn != text.strip()][:HISTORY_TURNS]


def look_up(
    snapshot: Snapshot,
    text: str,
    vectors: Vectors,
    earlier: Sequence[str],
    language: str,
    k: int,
    hidden: frozenset[int] = frozenset(),
) -> Answer:
    """Rank the articles of a snapshot; `vectors` holds the question's row, then the earlier ones'.

    `hidden` are positions of passages that are left out, as if they had never been written: the
    gate is trained on questions whose articles are hidden.
    """
    scored = score(snapshot, text, vectors, earlier, language, hidden)
    if not len(scored.at):
        return Answer(Outcome.REFUSED, 0.0, snapshot.meta.version, language, ())
    ranked = rank(snapshot, scored)
    probability = gate.probability(gate.features(snapshot, text, scored, ranked))
    found = tuple(
        _found(snapshot, text, vectors[0], article, language, value) for article, value, _ in ranked[:k]
    )
    outcome = Outcome(gate.outcome(probability))
    return Answer(outcome, round(probability, 4), snapshot.meta.version, language, found)


@dataclass(frozen=True)
class Scored:
    """The candidate passages of one question; arrays share their order.

    `dense` is standardised: how many standard deviations a passage stands above its language's
    passages. `words` is BM25 as a share of what the question's words are worth: standardised, it
    made much of a single chance word in a question of another language. `score` adds both, the
    earlier turns, and what the resident's own language is worth.
    """

    question: Array
    language: str
    at: Array
    dense: Array
    words: Array
    score: Array


def score(
    snapshot: Snapshot,
    text: str,
    vectors: Vectors,
    earlier: Sequence[str] = (),
    language: str = "",
    hidden: frozenset[int] = frozenset(),
) -> Scored:
    """Return the candidates of a question with their scores."""
    said = [text, *earlier]
    words = [snapshot.words.shares(turn) for turn in said]
    at = _candidates(snapshot, vectors, words, hidden)
    names = [snapshot.group(snapshot.rows[one]) for one in at]
    stored = np.stack([snapshot.vector(one) for one in at]) if len(at) else np.empty_like(vectors[:0])
    same = np.array([snapshot.rows[one].language == language for one in at], dtype=np.float32)
    total = SAME_LANGUAGE * same
    first: tuple[Array, Array] | None = None
    # "And how much is it?" asks nothing of its own.
    carried = HISTORY if telling_words(text, language) > BARE_WORDS else BARE_HISTORY
    weight = 1.0
    for vector, turn in zip(vectors, words, strict=True):
        cosine = stored @ vector
        usual = {name: _usual(group.background @ vector) for name, group in snapshot.groups.items()}
        mean = np.array([usual[name][0] for name in names], dtype=np.float32)
        spread = np.array([usual[name][1] for name in names], dtype=np.float32)
        dense = (cosine - mean) / spread
        lexical = turn[at]
        total += weight * (dense + LEXICAL * lexical)
        first = first or (dense, lexical)
        weight = carried if weight == 1.0 else weight * HISTORY_DECAY
    assert first is not None
    # What a follow-up leaves out stands in the turn before: the gate reads both.
    question = vectors[0] + FOLLOWED * vectors[1] if earlier else vectors[0]
    return Scored(question, language, at, *first, total)


def _candidates(snapshot: Snapshot, vectors: Vectors, words: list[Array], hidden: frozenset[int]) -> Array:
    """Return the positions of the passages nearest by vector, in each language, and by words."""
    near: list[int] = []
    # The question alone, and leaning on the turn before.
    asked = np.vstack([vectors[:1], vectors[:1] + vectors[1:2]]) if len(vectors) > 1 else vectors
    for group in snapshot.groups.values():
        _, ids = group.index.nearest(asked, CANDIDATES + len(hidden))
        near.extend(snapshot.position[int(one)] for one in np.unique(ids) if one >= 0)
    for turn in words:
        top = np.argsort(-turn)[: CANDIDATES + len(hidden)]
        near.extend(int(one) for one in top if turn[one] > 0)
    return np.array(sorted(set(near) - hidden), dtype=np.int64)


def _usual(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation, the latter never zero."""
    if not len(values):
        return 0.0, 1.0
    return float(values.mean()), max(float(values.std()), 1e-3)


def rank(snapshot: Snapshot, scored: Scored) -> list[tuple[str, float, int]]:
    """Return (article, score, where its best passage stands among the candidates), best first."""
    best: dict[str, list[tuple[float, int]]] = {}
    for number, at in enumerate(scored.at):
        best.setdefault(snapshot.rows[at].article, []).append((float(scored.score[number]), number))
    ranked = []
    for article, passages in best.items():
        passages.sort(reverse=True)
        others = sum(max(0.0, value) for value, _ in passages[1:3])
        ranked.append((article, passages[0][0] + AGREEMENT * others, passages[0][1]))
    ranked.sort(key=lambda entry: (-entry[1], entry[0]))
    return ranked


def _found(
    snapshot: Snapshot, text: str, vector: np.ndarray[Any, Any], article: str, language: str, score: float
) -> Found:
    versions = snapshot.articles[article]
    chosen = language if language in versions else "en" if "en" in versions else next(iter(versions))
    places = [at for at in versions[chosen] if snapshot.rows[at].kind == "body"] or versions[chosen]
    stored = np.stack([snapshot.vector(at) for at in places])
    told = np.array(snapshot.words.told(text, places))
    # A line with an address answers few questions; what an article opens with answers most.
    thin = np.array([len(snapshot.rows[at].text) < THIN_CHARACTERS for at in places])
    lead = np.arange(len(places)) == 0
    worth = stored @ vector + QUOTED_WORDS * told + LEAD * lead - THIN * thin
    row: Row = snapshot.rows[places[int(np.argmax(worth))]]
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
