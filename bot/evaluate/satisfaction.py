"""How well dissatisfied turns are told from the others, at the shipped threshold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot import satisfaction
from bot.evaluate.files import Progress, records, silent
from bot.evaluate.vectors import VectorStore
from bot.satisfaction import LONGEST_HISTORY, LONGEST_TURN, UNHAPPY_FROM, Said, Weights


@dataclass(frozen=True)
class Turn:
    """One turn; whether it is dissatisfied is told of a citizen's only."""

    role: str
    text: str
    dissatisfied: bool = False


@dataclass(frozen=True)
class Dialogue:
    """What was said, oldest first."""

    name: str
    language: str
    turns: tuple[Turn, ...]


def read_dialogues(paths: Sequence[Path]) -> list[Dialogue]:
    """Return the dialogues of files; a question or an utterance alone is one of a single turn.

    Of utterances those that complain are dissatisfied, of questions none.
    """
    return [
        _dialogue(record, f"{path.stem}-{number}")
        for path in paths
        for number, record in enumerate(records(path, _wrong), start=1)
    ]


def encoded(
    dialogues: Sequence[Dialogue], store: VectorStore, progress: Progress = silent
) -> list[list[Said]]:
    """Return each dialogue's turns with their vectors."""
    texts = list(
        dict.fromkeys(
            words for one in dialogues for turn in one.turns for words in satisfaction.words(turn.text, [])
        )
    )
    vectors = dict(zip(texts, store.encode(texts, [""] * len(texts), progress), strict=True))
    return [
        [
            Said(
                turn.role,
                turn.text,
                vectors[turn.text[:LONGEST_TURN]],
                tuple(vectors[clause] for clause in satisfaction.clauses(turn.text)),
            )
            for turn in one.turns
        ]
        for one in dialogues
    ]


def scores(said: Sequence[Said], learned: Weights) -> Iterator[float]:
    """Yield how likely each of the citizen's turns is dissatisfied, told from what came before it."""
    for at, turn in enumerate(said):
        if turn.role == "citizen":
            yield satisfaction.unhappy(said[max(0, at - LONGEST_HISTORY) : at + 1], learned)


def measure(
    dialogues: Sequence[Dialogue],
    store: VectorStore,
    progress: Progress = silent,
    learned: Weights | None = None,
) -> dict[str, Any]:
    """Return how well the citizens' turns are told apart: all, by language and by dialogue."""
    found: list[list[tuple[bool, float]]] = []
    model = learned or satisfaction.weights()
    for number, (one, said) in enumerate(
        zip(dialogues, encoded(dialogues, store, progress), strict=True), start=1
    ):
        truths = [turn.dissatisfied for turn in one.turns if turn.role == "citizen"]
        found.append(list(zip(truths, scores(said, model), strict=True)))
        if number % 100 == 0 or number == len(dialogues):
            progress("reading turns", number, len(dialogues))
    by_language: dict[str, list[tuple[bool, float]]] = {}
    for one, turns in zip(dialogues, found, strict=True):
        by_language.setdefault(one.language, []).extend(turns)
    return {
        **figures([turn for turns in found for turn in turns]),
        "threshold": UNHAPPY_FROM,
        "by_language": {code: figures(turns) for code, turns in sorted(by_language.items())},
        "by_dialogue": {
            one.name: {
                "turns": len(turns),
                "dissatisfied": sum(truth for truth, _ in turns),
                "flagged": sum(score >= UNHAPPY_FROM for _, score in turns),
                "highest": round(max((score for _, score in turns), default=0.0), 4),
            }
            for one, turns in zip(dialogues, found, strict=True)
        },
    }


def figures(turns: Sequence[tuple[bool, float]]) -> dict[str, Any]:
    """Return the figures of (dissatisfied, score) pairs; None is what such turns cannot tell."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth = np.array([dissatisfied for dissatisfied, _ in turns], dtype=bool)
    given = np.array([score for _, score in turns])
    flagged = given >= UNHAPPY_FROM
    right = int((truth & flagged).sum())
    told_apart = truth.any() and not truth.all()
    return {
        "turns": len(turns),
        "dissatisfied": int(truth.sum()),
        "auc": round(float(roc_auc_score(truth, given)), 4) if told_apart else None,
        "average_precision": round(float(average_precision_score(truth, given)), 4) if told_apart else None,
        "precision": _share(right, int(flagged.sum())),
        "recall": _share(right, int(truth.sum())),
        "f1": _share(2 * right, int(flagged.sum() + truth.sum())),
        "flagged_rate": _share(int(flagged.sum()), len(turns)),
        "calm_flagged_rate": _share(int((flagged & ~truth).sum()), int((~truth).sum())),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _dialogue(record: dict[str, Any], name: str) -> Dialogue:
    if "turns" in record:
        turns = tuple(
            Turn(str(turn["role"]), turn["text"], bool(turn.get("dissatisfied"))) for turn in record["turns"]
        )
    elif "query" in record:
        turns = (Turn("citizen", record["query"]),)
    else:
        turns = (Turn("citizen", record["text"], record["intent"] == "complain"),)
    return Dialogue(str(record.get("id") or name), str(record.get("lang") or ""), turns)


def _wrong(record: dict[str, Any]) -> str:
    if "turns" not in record:
        named = isinstance(record.get("query"), str) or (
            isinstance(record.get("text"), str) and isinstance(record.get("intent"), str)
        )
        return "" if named else '"turns", "query", or "text" and "intent" are missing'
    turns = record["turns"]
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict)
        and isinstance(turn.get("text"), str)
        and turn.get("role") in ("citizen", "bot")
        for turn in turns
    ):
        return 'each of "turns" needs a "role" (citizen or bot) and a "text"'
    rated = all("dissatisfied" in turn for turn in turns if turn["role"] == "citizen")
    return "" if rated else 'a citizen\'s turn lacks "dissatisfied"'
