"""Whether a turn is dissatisfied, and whether it asks again what was asked before.

Everything here is a pure function of the turn and what was said before it. Sentence vectors come
from the Universal Sentence Encoder alone, whatever EMBEDDING_MODEL names: it reads all the city's
languages in one space and takes a few milliseconds.

Two heads look at a turn. `plain` knows how people sound who are unhappy, from a turn's vector and its
letters; `rejection` knows, from what was said before as well, when an answer was not what was wanted.
Either may carry a turn over the threshold. Somebody unhappy may say so in half a sentence, so that
`plain` looks at the clauses of a turn as well.
docs/decisions/0015-reading-dissatisfaction.md holds what was tried.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.classifier import Letters, Network
from bot.knowledge.embeddings import Vector, Vectors

MODEL = "use"
WEIGHTS = Path(__file__).parent / "satisfaction.json"
# From which probability on a turn counts as dissatisfied.
UNHAPPY_FROM = 0.5
# How far back a turn is compared with what was said before it.
LONGEST_HISTORY = 12
# How much of a turn is looked at; whoever is unhappy says so before that.
LONGEST_TURN = 1_000
# How steeply a turn that `plain` flags becomes likelier the more unhappy it sounds.
PLAIN_SLOPE = 0.5
# Shorter clauses ("oh", "well then") are not looked at on their own; ideograms are written without spaces.
FEWEST_WORDS, FEWEST_IDEOGRAMS = 3, 4
MOST_CLAUSES = 6
# How much of the earlier turns' rejection adds to a turn's own, and how fast it is forgotten.
MEMORY = 0.2
FORGETTING = 0.5
# Shorter turns ("yes", "Mill Lane") are said twice without asking twice; an ideogram is worth three letters.
SHORTEST_REPEAT = 12

_BETWEEN_CLAUSES = re.compile(r"[.,;:!?…،؛؟。，；：！？、—–\n]+")


@dataclass(frozen=True)
class Plain:
    """The head that knows how people sound who are unhappy."""

    network: Network  # its one score is the logarithm of the odds
    letters: Letters

    def score(self, turn: "Said") -> float:
        """Return how unhappy a turn sounds, or the mean of that and its worst clause where it is more.

        A clause alone says too little: "I was fined" and "nobody is there" begin many a calm question.
        """
        whole = self.odds(turn.text, turn.vector)
        parts = zip(clauses(turn.text), turn.clauses, strict=True)
        return max([whole, *((whole + self.odds(words, vector)) / 2 for words, vector in parts)])

    def odds(self, text: str, vector: Vector) -> float:
        """Return the logarithm of the odds that words are unhappy, by their vector and their letters."""
        return float(self.network.scores(vector)[0]) + self.letters.score(text)

    @classmethod
    def stored(cls, learned: Mapping[str, Any]) -> "Plain":
        """Return the head that a file holds."""
        return cls(Network.stored(learned["network"]), Letters.stored(learned["letters"]))


@dataclass(frozen=True)
class Weights:
    """What was learned; each head's `from` is the score at which it alone decides."""

    plain: Plain
    plain_from: float
    turn: Vector
    answer: Vector
    alike: float
    last: float
    rejection_bias: float
    rejection_from: float
    repeats_from: float


@dataclass(frozen=True)
class Repeats:
    """The place in the history of an earlier turn that asks the same, and how like it is (0-1)."""

    turn: int
    similarity: float


@dataclass(frozen=True)
class Feeling:
    """How likely a turn is dissatisfied (0-1), and what it repeats."""

    unhappy: float
    repeats: Repeats | None


@dataclass(frozen=True)
class Said:
    """A turn with its vector, and those of its `clauses`."""

    role: str
    text: str
    vector: Vector
    clauses: tuple[Vector, ...] = ()


def words(text: str, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what `feeling` needs a vector of: what was said lately, the turn's clauses, last the turn."""
    before = [said[:LONGEST_TURN] for _, said in lately(history)[1]]
    return [*before, *clauses(text), text[:LONGEST_TURN]]


def clauses(text: str) -> list[str]:
    """Return the first clauses of a turn that are long enough to mean something; none if it is but one."""
    found = [clause for part in _BETWEEN_CLAUSES.split(text[:LONGEST_TURN]) if (clause := part.strip())]
    if len(found) < 2:
        return []
    return [clause for clause in found if _means_something(clause)][:MOST_CLAUSES]


def lately(history: Sequence[Mapping[str, Any]]) -> tuple[int, list[tuple[str, str]]]:
    """Return where the part of a history begins that is looked at, and its (role, text) pairs."""
    start = max(0, len(history) - LONGEST_HISTORY)
    return start, [(str(turn.get("role", "")), str(turn.get("text", ""))) for turn in history[start:]]


def feeling(text: str, history: Sequence[Mapping[str, Any]], vectors: Vectors) -> Feeling:
    """Read a turn; `vectors` holds a row for each text that `words` gives."""
    start, turns = lately(history)
    said = [
        Said(role, words, vector) for (role, words), vector in zip(turns, vectors[: len(turns)], strict=True)
    ]
    said.append(Said("citizen", text, vectors[-1], tuple(vectors[len(turns) : -1])))
    found = repeated(said, weights())
    place = None if found is None else Repeats(start + found.turn, found.similarity)
    return Feeling(unhappy(said, weights()), place)


def unhappy(said: Sequence[Said], learned: Weights) -> float:
    """Return how likely the last turn, a citizen's, is dissatisfied (0-1).

    Where `plain` does not decide it says nothing: what it thinks of calm turns would only blur `rejection`.
    """
    plain = learned.plain.score(said[-1]) - learned.plain_from
    rejects = remembered(rejections(said, learned)) - learned.rejection_from
    total = rejects if plain < 0 else max(rejects, 0.0) + PLAIN_SLOPE * plain
    return 1 / (1 + math.exp(-float(np.clip(total, -30, 30))))


def rejections(said: Sequence[Said], learned: Weights) -> list[float]:
    """Return for each of the citizen's turns how much it rejects what came before."""
    found = []
    answer: Vector | None = None
    earlier: list[Vector] = []
    for turn in said:
        if turn.role != "citizen":
            answer = turn.vector
            continue
        score = learned.rejection_bias + float(learned.turn @ turn.vector)
        if answer is not None:
            score += float(learned.answer @ answer)
        if earlier:
            alike, last = likeness(turn.vector, earlier)
            score += learned.alike * alike + learned.last * last
        found.append(score)
        earlier.append(turn.vector)
    return found


def likeness(vector: Vector, earlier: Sequence[Vector]) -> tuple[float, float]:
    """Return how like the most alike of the citizen's last six turns is, and how like the last one."""
    cosines = np.stack(earlier[-LONGEST_HISTORY // 2 :]) @ vector
    return float(cosines.max()), float(cosines[-1])


def remembered(scores: Sequence[float]) -> float:
    """Return the last score with what is remembered of those before it."""
    kept: float | None = None
    for score in scores[:-1]:
        kept = score if kept is None else FORGETTING * kept + (1 - FORGETTING) * score
    return scores[-1] + MEMORY * (kept or 0.0)


def repeated(said: Sequence[Said], learned: Weights) -> Repeats | None:
    """Return the earlier citizen's turn that asks the same as the last one, or None."""
    now = said[-1]
    if _length(now.text) < SHORTEST_REPEAT:
        return None
    alike = [
        (float(now.vector @ turn.vector), at)
        for at, turn in enumerate(said[:-1])
        if turn.role == "citizen" and _length(turn.text) >= SHORTEST_REPEAT
    ]
    best, at = max(alike, default=(0.0, 0))
    return Repeats(at, round(min(best, 1.0), 4)) if best >= learned.repeats_from else None


def read_weights(stored: Mapping[str, Any]) -> Weights:
    """Return the weights of a stored or freshly trained model."""
    plain, rejection = stored["plain"], stored["rejection"]
    return Weights(
        plain=Plain.stored(plain),
        plain_from=float(plain["from"]),
        turn=np.asarray(rejection["turn"], dtype=np.float32),
        answer=np.asarray(rejection["answer"], dtype=np.float32),
        alike=float(rejection["alike"]),
        last=float(rejection["last"]),
        rejection_bias=float(rejection["bias"]),
        rejection_from=float(rejection["from"]),
        repeats_from=float(stored["repeats_from"]),
    )


@cache
def weights() -> Weights:
    """Return the shipped weights."""
    return read_weights(json.loads(WEIGHTS.read_text(encoding="utf-8")))


def _means_something(clause: str) -> bool:
    ideograms = sum("\u3040" <= sign <= "\u9fff" for sign in clause)
    return ideograms >= FEWEST_IDEOGRAMS or len(clause.split()) >= FEWEST_WORDS


def _length(text: str) -> int:
    return sum(3 if "\u3040" <= sign <= "\u9fff" else 1 for sign in text if sign.isalnum())
