"""What a message says of a rating, by its words alone."""

from __future__ import annotations

import re
import unicodedata

from contact_hub.city import City

_LONGEST_NUMBER = 40  # characters
_OF_FIVE = re.compile(r"\W*(\d\d?)\W*[/⁄]\W*5\W*")
_STARS = frozenset("⭐🌟★")
_STARRED = re.compile("[⭐🌟★☆\ufe0e\ufe0f\\s!.]+")


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
