"""What can be wrong with a file, said to the person who wrote it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

LARGEST_FILE = 50 * 1024 * 1024
_LANGUAGE = re.compile(r"^[a-z]{2,3}(-[a-z0-9]{2,8})?$")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    place: str
    line: int | None
    what: str

    def __str__(self) -> str:
        where = f"{self.place}, line {self.line}" if self.line else self.place
        return f"{where}: {self.what}."


class ImportFailed(Exception):
    """Nothing was imported; `problems` says why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read_bytes(path: Path, name: str, largest: int = LARGEST_FILE) -> bytes:
    """Return a file's content; raise ImportFailed where it is unreadable or too large."""
    try:
        size = path.stat().st_size
        if size > largest:
            limit = largest // 1024 // 1024
            raise ImportFailed(
                [Problem(name, None, f"the file has {size // 1024 // 1024} MB; {limit} are allowed")]
            )
        return path.read_bytes()
    except OSError as error:
        raise ImportFailed([Problem(name, None, f"cannot be read: {error.strerror}")]) from error


def read_text(path: Path, name: str) -> str:
    """Return a file's text; raise ImportFailed naming the line whose bytes are no UTF-8."""
    raw = read_bytes(path, name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ImportFailed([Problem(name, line, "the text is not in UTF-8; save it as UTF-8")]) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def is_language(value: object) -> bool:
    """Return whether a value looks like a language code such as `de` or `pt-br`."""
    return isinstance(value, str) and bool(_LANGUAGE.match(value))


def as_date(value: object) -> date | None:
    """Return a date from YAML or JSON; raise ValueError on anything but year-month-day."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value))
