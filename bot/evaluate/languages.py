"""How often the language of a text is recognised."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot import language
from bot.evaluate.files import Progress, records, silent


def read_texts(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (text, language) of each line."""
    return [
        (record["text"], str(record["lang"]).lower()) for path in paths for record in records(path, _wrong)
    ]


def measure(
    texts: Sequence[tuple[str, str]], supported: tuple[str, ...], progress: Progress = silent
) -> dict[str, Any]:
    """Return accuracy over all texts and by language, without any hint from a conversation."""
    right: dict[str, list[bool]] = {}
    errors = []
    for number, (text, expected) in enumerate(texts, start=1):
        found = language.read(text, supported=supported).language
        # Written Norwegian is Bokmål unless a file says otherwise.
        same = found == expected or {found, expected} <= {"no", "nb"}
        right.setdefault(expected, []).append(same)
        if not same:
            errors.append({"text": text, "lang": expected, "predicted": found})
        if number % 100 == 0 or number == len(texts):
            progress("reading languages", number, len(texts))
    total = [one for ones in right.values() for one in ones]
    return {
        "accuracy": round(sum(total) / len(total), 4),
        "by_language": {
            code: {"accuracy": round(sum(ones) / len(ones), 4), "n": len(ones)}
            for code, ones in sorted(right.items())
        },
        "n": len(total),
        "errors": errors[:200],
    }


def _wrong(record: dict[str, Any]) -> str:
    if not isinstance(record.get("text"), str):
        return '"text" is missing'
    return "" if isinstance(record.get("lang"), str) else '"lang" is missing'
