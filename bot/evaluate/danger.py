"""How many plain statements of danger are heard, and how many look-alikes alarm for nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot import danger
from bot.evaluate.files import Progress, records, silent
from bot.evaluate.vectors import VectorStore
from bot.knowledge.embeddings import Embedder, Role, Vector

KINDS = ("none", *danger.Kind)


@dataclass(frozen=True)
class Turn:
    """One message, the kind of danger it tells of ("none" for a look-alike), and its language."""

    text: str
    kind: str
    language: str


def read_turns(paths: Sequence[Path]) -> list[Turn]:
    """Return the turn of each line."""
    return [
        Turn(record["text"], record["kind"], str(record.get("lang") or "").lower())
        for path in paths
        for record in records(path, _wrong)
    ]


def measure(
    turns: Sequence[Turn],
    by_phrase: Callable[[str], bool],
    stores: Sequence[VectorStore],
    progress: Progress = silent,
) -> dict[str, Any]:
    """Return what phrases and model hear together, and what each hears alone.

    `stores` give the vectors of both models, in the role of queries.
    """
    texts, languages = [turn.text for turn in turns], [turn.language for turn in turns]
    first, second = (store.encode(texts, languages, progress) for store in stores)
    phrases = [by_phrase(text) for text in texts]
    model = [heard(*row) is not None for row in zip(texts, first, second, strict=True)]
    together = [one or other for one, other in zip(phrases, model, strict=True)]
    return {
        **_figures(turns, together),
        "phrases_alone": _figures(turns, phrases),
        "model_alone": _figures(turns, model),
        "missed": [
            t.text for t, heard in zip(turns, together, strict=True) if t.kind != "none" and not heard
        ],
        "false_alarms": [
            t.text for t, heard in zip(turns, together, strict=True) if t.kind == "none" and heard
        ],
    }


def heard(text: str, first: Vector, second: Vector) -> danger.Danger | None:
    """Return the danger that is found in a turn with time enough for both looks."""
    learned = danger.detector()
    look = learned.look(text, first)
    return learned.found(learned.look_again(look, second)) if learned.doubts(look) else None


def stores_at(path: Path) -> list[VectorStore]:
    """Return where the vectors of both models are kept."""
    return [VectorStore(Embedder(name), path, Role.QUERY) for name in (danger.MODEL, danger.SECOND_MODEL)]


def _figures(turns: Sequence[Turn], heard: Sequence[bool]) -> dict[str, Any]:
    pairs = list(zip(turns, heard, strict=True))
    told = [(turn.language, one) for turn, one in pairs if turn.kind != "none"]
    calm = [(turn.language, one) for turn, one in pairs if turn.kind == "none"]
    return {"statements": _share(told, "caught"), "look_alikes": _share(calm, "alarmed")}


def _share(heard: Sequence[tuple[str, bool]], name: str) -> dict[str, Any]:
    def of(ones: Sequence[bool]) -> dict[str, Any]:
        return {"n": len(ones), name: round(sum(ones) / len(ones), 4) if ones else None}

    languages = sorted({language for language, _ in heard})
    return {
        **of([one for _, one in heard]),
        "by_language": {code: of([one for language, one in heard if language == code]) for code in languages},
    }


def _wrong(record: dict[str, Any]) -> str:
    if not isinstance(record.get("text"), str):
        return '"text" is missing'
    return "" if record.get("kind") in KINDS else f'"kind" must be one of {", ".join(KINDS)}'
