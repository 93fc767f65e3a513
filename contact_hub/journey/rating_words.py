"""What a message says of a rating, by its words alone: a score, a comment, or neither."""

from __future__ import annotations

import re
import unicodedata

from contact_hub.city import City
from contact_hub.identity.codes import read as read_code

_LONGEST_NUMBER = 40  # characters
_OF_FIVE = re.compile(r"\W*(\d\d?)\W*[/⁄]\W*5\W*")
_STARS = frozenset("⭐🌟★")
_STARRED = re.compile("[⭐🌟★☆\ufe0e\ufe0f\\s!.]+")
_ASKING = frozenset("?？؟")
_CODE = re.compile(r"(?=.*\d)[\w-]+", re.ASCII)  # or a reference: no word of any language


def lone_number(words: str, city: City) -> int | None:
    """The number that a message consists of, in the digits of any script, perhaps of five, or in stars.

    None for everything else: of several numbers nobody knows which one is meant.
    """
    if len(words) > _LONGEST_NUMBER:
        return None
    signs = unicodedata.normalize("NFKC", words)
    signs = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in signs)
    if of_five := _OF_FIVE.fullmatch(signs):
        return int(of_five[1])
    if (score := city.score_of_five(signs)) is not None:
        return score
    if _STARRED.fullmatch(signs):
        return sum(c in _STARS for c in signs) or None
    groups = re.findall(r"\d+", signs)
    if len(groups) != 1 or len(groups[0]) > 2 or any(c.isalpha() for c in signs):
        return None
    return int(groups[0])


def asks(words: str) -> bool:
    """Whether a message holds a question mark of any script."""
    return bool(_ASKING & set(words))


def is_comment(words: str, city: City) -> bool:
    """Whether words after a rating may be about it; a command, a code or a call for a person is not."""
    words = words.strip()
    if not words or words.startswith("/") or read_code(words) is not None or _CODE.fullmatch(words):
        return False
    return not city.asks_for_person(words) and city.yes_or_no(words) is None
