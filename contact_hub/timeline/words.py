"""From what people write to the words that are kept for finding it, and back to the places to mark.

PostgreSQL's own parser takes “quoted” for one word under some collations and cuts a reference number in
three, so text is cut into words here, the same way for what is kept and for what is looked for.
PostgreSQL then reduces each word to its stem in the text's language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONFIGURATIONS: Mapping[str, str] = {
    "en": "english",
    "es": "spanish",
    "de": "german",
    "fr": "french",
    "it": "italian",
    "pt": "portuguese",
    "tr": "turkish",
    "ar": "arabic",
}
PLAIN = "simple"  # no stems: languages PostgreSQL ships none for, and texts whose language nobody knows
LONGEST_TEXT = 20_000  # characters of one touchpoint that can be found
LONGEST_WORD = 60
SHORTEST_NUMBER = 7  # digits that are enough to know a phone number by, whatever stands before them

_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed"
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(
    r"(?P<reference>(?<![^\W_])[Rr]\d{2}[ -]?\d{5,9}[ -]?\d(?![^\W_]))"
    r"|(?P<number>(?<![^\W_])\+?\(?\d(?:[ ().\-/]{0,2}\d)*(?![^\W_]))"
    rf"|(?P<han>[{_HAN}]+)"
    rf"|(?P<word>(?:(?![{_HAN}])[^\W_])(?:(?![{_HAN}])[^\W_]|[{_MARKS}])*)"
)
_STRIPPED = re.compile(f"[{_MARKS}]")
# What NFKD leaves whole although people type it as two letters, or as another one.
_LETTERS = str.maketrans(
    {"ß": "ss", "ı": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ى": "ي", "ة": "ه"}
)

# What of a payload is words: the rest is ids and states.
_FIELDS = ("reference", "place", "description", "comment", "note", "reason_given")


@dataclass(frozen=True, slots=True)
class Word:
    """One thing to find, and where it stands in its text."""

    token: str
    start: int
    end: int


def configuration(language: str | None) -> str:
    """The text search configuration of a language."""
    return CONFIGURATIONS.get((language or "").partition("-")[0].lower(), PLAIN)


def fold(word: str) -> str:
    """A word without case and accents, as hasty fingers type it."""
    plain = _STRIPPED.sub("", unicodedata.normalize("NFKD", word.casefold()))
    plain = unicodedata.normalize("NFC", plain).translate(_LETTERS)[:LONGEST_WORD]
    return plain if plain.isalnum() else "".join(filter(str.isalnum, plain))


def tokens(text: str) -> Iterator[Word]:
    """The words of a text in their order; Chinese and Japanese in overlapping pairs of characters."""
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        found = match.group()
        if match.lastgroup == "han":
            # The last character stands alone once more, so that it is found by itself as well.
            yield from (Word(found[i : i + 2], start + i, min(start + i + 2, end)) for i in range(len(found)))
        elif match.lastgroup == "reference":
            yield Word(reference(found), start, end)
        elif match.lastgroup == "number":
            yield from _numbers(found, start)
        elif folded := fold(found):
            yield Word(folded, start, end)


def reference(written: str) -> str:
    """A reference number without what people put between its digits."""
    return "".join(c for c in written.lower() if c.isalnum())


def number(written: str) -> str | None:
    """The end of a phone number, the same in every notation; None for what is too short to be one."""
    digits = _digits(written)
    return f"n{digits[-SHORTEST_NUMBER:]}" if SHORTEST_NUMBER <= len(digits) <= 15 else None


def _digits(written: str) -> str:
    return "".join(str(unicodedata.digit(c)) for c in written if c.isdigit())


def _numbers(found: str, start: int) -> Iterator[Word]:
    whole = number(found)
    groups = list(re.finditer(r"\d+", found))
    if whole:
        yield Word(whole, start, start + len(found))
    for group in groups:
        part = number(group.group())
        if part and part != whole:
            yield Word(part, start + group.start(), start + group.end())
        yield Word(_digits(group.group())[:LONGEST_WORD], start + group.start(), start + group.end())


def searchable(text: str | None, payload: Mapping[str, Any] | None = None) -> str | None:
    """What is kept of a touchpoint for finding it, one blank between words; None when there is nothing."""
    return " ".join(word.token for word in tokens(normal(shown(text, payload))[:LONGEST_TEXT])) or None


def shown(text: str | None, payload: Mapping[str, Any] | None = None) -> str:
    """All the words of a touchpoint, as they were written."""
    said = [text, *((payload or {}).get(name) for name in _FIELDS)]
    return " · ".join(part for part in said if isinstance(part, str) and part)


def normal(text: str) -> str:
    """Text with its accents on their letters, so that no mark cuts a word in two."""
    return unicodedata.normalize("NFC", text)
