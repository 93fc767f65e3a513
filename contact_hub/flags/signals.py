"""Signs of dissatisfaction in what a resident wrote, found without any model."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contact_hub.city import plain

SHORTEST_QUESTION = 3  # words; "yes" and "the blue one" are answers, and repeat themselves
SAME_VISIT = timedelta(hours=6)  # who writes within it is still about the same thing

# Exclamation marks in a row, of any script; question marks may stand among them.
_MARKS = re.compile(r"[!！?？؟]{3,}")
_WORD = re.compile(r"[^\W\d_]+")
_LONG_WORD = 5  # letters: shorter ones in capitals are as often the names of offices and forms
_SHOUTED_SHARE = 0.6


def shouts(text: str) -> bool:
    """Whether somebody shouts: a row of exclamation marks, or a sentence in capitals.

    An acronym or two do not make a sentence, and what is written without case cannot be in capitals.
    """
    if any("!" in row or "！" in row for row in _MARKS.findall(text)):
        return True
    words = [word for word in _WORD.findall(text) if word.lower() != word.upper()]
    capitals = [word for word in words if len(word) > 1 and word.isupper()]
    long = [word for word in capitals if len(word) >= _LONG_WORD]
    if len(capitals) < 3 or len(long) < 2:
        return False
    letters = sum(map(len, words))
    return sum(map(len, capitals)) >= _SHOUTED_SHARE * letters


def likeness(one: str, other: str) -> float:
    """How much two messages have in common, from 0 to 1, by their words or, without spaces, their letters."""
    first, second = _pieces(one), _pieces(other)
    if not first or not second:
        return 0.0
    return len(first & second) / len(first | second)


def same_question(text: str, earlier: str, least: float) -> bool:
    """Whether a message asks what an earlier one asked, in nearly the same words."""
    if min(_length(text), _length(earlier)) < SHORTEST_QUESTION:
        return False
    return likeness(text, earlier) >= least


def _pieces(text: str) -> frozenset[str]:
    words = plain(text).split()
    if any(_unspaced(character) for character in text):
        letters = "".join(words)
        return frozenset(letters[i : i + 2] for i in range(len(letters) - 1))
    return frozenset(words)


def _length(text: str) -> int:
    """In words; where there are no spaces two signs count as one."""
    unspaced = sum(map(_unspaced, text))
    return unspaced // 2 if unspaced else len(plain(text).split())


def _unspaced(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff"


@dataclass(frozen=True, slots=True)
class Contact:
    """A moment at which a resident came about something: `matters` name what it was about."""

    touchpoint_id: uuid.UUID
    conversation_id: uuid.UUID | None
    at: datetime
    matters: frozenset[str]


def visits(contacts: Iterable[Contact], matter: str) -> list[Contact]:
    """The first moment of each visit about a matter, oldest first.

    Another conversation is another visit, and so is the same one taken up again after hours.
    """
    found: list[Contact] = []
    latest: dict[uuid.UUID | None, datetime] = {}
    for contact in sorted(contacts, key=lambda contact: contact.at):
        if matter not in contact.matters:
            continue
        before = latest.get(contact.conversation_id)
        if before is None or contact.at - before > SAME_VISIT:
            found.append(contact)
        latest[contact.conversation_id] = contact.at
    return found


def come_back(contacts: Sequence[Contact], now: Contact, least: int) -> list[Contact] | None:
    """The earlier visits about one of the matters of now, where with now there are at least so many."""
    counted = [visits([*contacts, now], matter) for matter in sorted(now.matters)]
    most = max(counted, key=len, default=[])
    return most[:-1] if len(most) >= least else None
