"""Read measuring files (JSON lines) with errors that name file and line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bot.knowledge.importers.problems import ImportFailed, Problem, read_text


class Progress(Protocol):
    """What a measurement tells while it runs; rich's Progress fits through commands.py."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Say that `done` of `total` things of a step are done."""
        ...


def silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def records(path: Path, check: Callable[[dict[str, Any]], str]) -> list[dict[str, Any]]:
    """Return the records of a file; `check` returns what is wrong with one, or an empty string."""
    if not path.is_file():
        raise ImportFailed([Problem(str(path), None, "there is no such file")])
    found, problems = [], []
    for number, line in enumerate(read_text(path, str(path)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            wrong = check(record) if isinstance(record, dict) else "a line must be one JSON object"
        except json.JSONDecodeError as error:
            record, wrong = None, f"this is no JSON ({error.msg})"
        if wrong:
            problems.append(Problem(str(path), number, wrong))
        else:
            found.append(record)
    if not found and not problems:
        problems.append(Problem(str(path), None, "the file holds nothing to measure"))
    if problems:
        raise ImportFailed(problems[:20])
    return found
