"""What a text costs as SMS: the GSM-7 alphabet, segments, and the spelling that keeps it cheap.

A message in the GSM 03.38 alphabet holds 160 septets, 153 in each part of a joined one; a single
character outside it turns the whole message into UCS-2 with 70 and 67 units. Characters of the
extension table take two septets, and neither they nor a surrogate pair may straddle two segments.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")

GSM7_SINGLE, GSM7_JOINED = 160, 153
UCS2_SINGLE, UCS2_JOINED = 70, 67

# Typographic characters with a plain twin that says the same.
_TWINS: dict[str, str] = {
    "“”„‟«»″": '"',
    "‘’‚‛′´`‹›": "'",
    "‐‑‒–—―−": "-",
    "\t\u00a0\u202f" + "".join(map(chr, range(0x2000, 0x200B))): " ",
    "\u200b\u200e\u200f\u2060\ufeff\u00ad": "",
    "\u2028\u2029\u0085\v": "\n",
    "•‣◦▪·": "-",
    "…": "...",
    "×": "x",
    "ﬁ": "fi",
    "ﬂ": "fl",
}
_PLAIN = {ord(character): plain for characters, plain in _TWINS.items() for character in characters}


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text travels: `encoding` is "GSM-7" or "UCS-2", `units` are septets or UTF-16 units."""

    encoding: str
    units: int
    count: int


def is_gsm7(text: str) -> bool:
    """Whether every character has a place in the GSM-7 alphabet or its extension."""
    return all(character in ALPHABET or character in EXTENSION for character in text)


def economical(text: str) -> str:
    """The same words in GSM-7 where plain quotes, dashes and spaces are enough for that, else unchanged.

    A text that needs UCS-2 anyway keeps its typography: making it plain would save nothing.
    """
    if is_gsm7(text):
        return text
    plain = unicodedata.normalize("NFC", text).translate(_PLAIN)
    return plain if is_gsm7(plain) else text


def segments(text: str) -> Segments:
    """Count what the provider will bill; an empty text counts as one segment."""
    if is_gsm7(text):
        widths = [2 if character in EXTENSION else 1 for character in text]
        return _pack("GSM-7", widths, GSM7_SINGLE, GSM7_JOINED)
    widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return _pack("UCS-2", widths, UCS2_SINGLE, UCS2_JOINED)


def _pack(encoding: str, widths: list[int], single: int, joined: int) -> Segments:
    units = sum(widths)
    if units <= single:
        return Segments(encoding, units, 1)
    count, used = 1, 0
    for width in widths:
        if used + width > joined:
            count, used = count + 1, 0
        used += width
    return Segments(encoding, units, count)
