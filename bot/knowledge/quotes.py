"""The part of an article that is quoted in an answer, as plain text."""

import re

from bot.knowledge.articles import sentences

QUOTE_CHARACTERS = 600

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"(\*\*|__|`+)(.+?)\1")
_BULLET = re.compile(r"^\s*[*+]\s+")
_HEADING = re.compile(r"^\s*#{1,6}\s+(.*?)\s*#*$")


def plain(text: str) -> str:
    """Return markdown as text that reads well in a short message."""
    lines = []
    for line in text.split("\n"):
        heading = _HEADING.match(line)
        if heading:
            line = heading.group(1)
        line = _LINK.sub(r"\1", line)
        line = _MARKS.sub(r"\2", line)
        lines.append(_BULLET.sub("- ", line).rstrip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def quote(text: str, question: str, limit: int = QUOTE_CHARACTERS) -> str:
    """Return at most `limit` characters of a passage, cut where a sentence ends."""
    whole = plain(text)
    if len(whole) <= limit:
        return whole
    kept: list[str] = []
    size = 0
    for line in whole.split("\n"):
        parts = sentences(line) or [""]
        for number, part in enumerate(parts):
            length = len(part) + 1
            if size + length > limit - 1:
                return _close(kept) if kept else whole[: limit - 1].rsplit(" ", 1)[0] + "…"
            kept.append(part + (" " if number < len(parts) - 1 else "\n"))
            size += length
    return _close(kept)


def _close(kept: list[str]) -> str:
    return "".join(kept).strip()
