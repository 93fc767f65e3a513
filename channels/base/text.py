"""Splits a text into parts that a provider takes: at a paragraph, then a sentence, then a word, else hard.

The parts joined hold every character of the text but for white space at the seams. A seam never falls
inside what a reader sees as one character: a letter and its accents, a flag, an emoji with its tone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Fits = Callable[[str], bool]

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"[.!?…؟][\"'”’»)\]]*(?=\s)|[。！？][”’」』）]*")
_SPACE = re.compile(r"\s+")
_SMALLEST_SHARE = 3  # a seam in the first third would leave a stub of a part

_ZERO_WIDTH_JOINER = "\u200d"


def utf16_units(text: str) -> int:
    """The length Telegram and JavaScript count: characters beyond the basic plane are two units."""
    return len(text) + sum(character > "\uffff" for character in text)


def within(limit: int, measure: Callable[[str], int] = len) -> Fits:
    """A test whether a text measures at most `limit`."""
    return lambda text: measure(text) <= limit


def split(text: str, fits: Fits) -> list[str]:
    """The text in parts that each fit; none for a text without any words."""
    rest, parts = text.strip(), []
    while rest:
        end = _longest_fitting(rest, fits)
        if end < len(rest):
            end = _seam(rest, end)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return parts


def clip(text: str, limit: int, measure: Callable[[str], int] = len) -> str:
    """The text, or its beginning and an ellipsis where it measures more than `limit`."""
    if measure(text) <= limit:
        return text
    end = _longest_fitting(text, within(limit - measure("…"), measure))
    return text[: _whole_character(text, end)].rstrip() + "…"


def _longest_fitting(text: str, fits: Fits) -> int:
    """The length of the longest beginning that fits, found by galloping so that a long text stays cheap."""
    good, bad = 0, 64
    while bad < len(text) and fits(text[:bad]):
        good, bad = bad, bad * 2
    if bad >= len(text):
        if fits(text):
            return len(text)
        bad = len(text)
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(text[:middle]):
            good = middle
        else:
            bad = middle
    return max(good, 1)


def _seam(text: str, end: int) -> int:
    """Where to cut at or before `end`."""
    least = end // _SMALLEST_SHARE
    window = text[: end + 1]  # one more, so that a word ending exactly at `end` is seen to end there
    for pattern in (_PARAGRAPH, _LINE):
        if (cut := _last(pattern, window, end, at_start=True)) > least:
            return cut
    if (cut := _last(_SENTENCE, window, end, at_start=False)) > least:
        return cut
    if (cut := _last(_SPACE, window, end, at_start=True)) > 0:
        return cut
    return _whole_character(text, end)


def _last(pattern: re.Pattern[str], window: str, end: int, *, at_start: bool) -> int:
    places = (match.start() if at_start else match.end() for match in pattern.finditer(window))
    return max((place for place in places if place <= end), default=0)


def _whole_character(text: str, end: int) -> int:
    """The nearest place at or before `end` that does not break a character apart."""
    cut = end
    while cut > 0 and _joined(text, cut):
        cut -= 1
    return cut or end  # thousands of accents on one letter are cut all the same


def _joined(text: str, cut: int) -> bool:
    """Whether the characters on both sides of `cut` make up one for the reader."""
    if cut >= len(text):
        return False
    before, after = text[cut - 1], text[cut]
    if _ZERO_WIDTH_JOINER in (before, after) or before + after == "\r\n":
        return True
    if unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    code = ord(after)
    if 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F:  # skin tones; tags of regional flags
        return True
    if 0xDC00 <= code <= 0xDFFF or 0x1160 <= code <= 0x11FF:  # low surrogates; Hangul vowels and finals
        return True
    return _is_regional(after) and _regionals_before(text, cut) % 2 == 1


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _regionals_before(text: str, cut: int) -> int:
    count = 0
    while cut - count > 0 and _is_regional(text[cut - count - 1]):
        count += 1
    return count
