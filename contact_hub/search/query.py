"""What somebody typed into the search field, as PostgreSQL's full text search wants it.

    recycling bins          both words, in any form
    "green bin"             one after the other
    -garden                 not with this word
    recycl*                 any word that begins so
    R26-00042-9, 垃圾, 087 123 4567

Nothing typed reaches PostgreSQL's query syntax but letters and digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contact_hub.timeline.words import fold, normal, tokens

LONGEST = 300  # characters
MOST_TERMS = 16

_SPECIAL = re.compile(r'(?P<minus>(?<!\S)-)?"(?P<phrase>[^"]*)"|(?<!\S)-(?P<without>[^\s"]+)')
_PREFIX = re.compile(r"(?P<stem>[^\W_]{2,})\*")


class CannotSearch(ValueError):
    """What was typed cannot be looked for; the message says why in the reader's words."""


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must stand one after the other, or must not."""

    words: tuple[str, ...]
    excluded: bool = False
    prefix: bool = False

    def __str__(self) -> str:
        end = ":*" if self.prefix else ""
        phrase = " <-> ".join(f"'{word}'{end}" for word in self.words)
        return f"{'!' if self.excluded else ''}({phrase})"


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed search."""

    terms: tuple[Term, ...]

    @property
    def strict(self) -> str:
        """For `to_tsquery`: what a touchpoint must hold, and must not."""
        return " & ".join(str(term) for term in self.terms)

    @property
    def loose(self) -> str:
        """For `to_tsquery`: any word worth marking."""
        words = {(word, term.prefix) for term in self.terms if not term.excluded for word in term.words}
        return " | ".join(f"'{word}'{':*' if prefix else ''}" for word, prefix in sorted(words))


def parse(typed: str) -> Query:
    """Read what was typed; raises CannotSearch."""
    if "\x00" in typed:
        raise CannotSearch("A search cannot hold the character NUL.")
    if len(typed) > LONGEST:
        raise CannotSearch(f"A search has at most {LONGEST} characters.")
    terms = tuple(dict.fromkeys(_terms(normal(typed))))
    if len(terms) > MOST_TERMS:
        raise CannotSearch(f"A search has at most {MOST_TERMS} words.")
    if not any(not term.excluded for term in terms):
        raise CannotSearch("There is nothing to look for: give at least one word.")
    return Query(terms)


def _terms(typed: str) -> Iterator[Term]:
    for special in _SPECIAL.finditer(typed):
        if special["without"] is not None:
            yield from _words(special["without"], excluded=True)
        elif words := tuple(word for word, _, _ in _indexed(special["phrase"])):
            yield Term(words, special["minus"] is not None)
    yield from _words(_SPECIAL.sub(" | ", typed), excluded=False)


def _words(bare: str, *, excluded: bool) -> Iterator[Term]:
    for found in _PREFIX.finditer(bare):
        if stem := fold(found["stem"]):
            yield Term((stem,), excluded, prefix=True)
    bare = _PREFIX.sub(" ", bare)
    end = -1
    run: list[str] = []
    for word in _indexed(bare):
        if run and word[1] < end:  # pairs of characters that overlap stand in one run
            run.append(word[0])
        else:
            yield from _term(run, excluded)
            run = [word[0]]
        end = word[2]
    yield from _term(run, excluded)


def _indexed(text: str) -> Iterator[tuple[str, int, int]]:
    """The words to look for: the last character of a Chinese run only where it is the whole run, and of
    a number that may be a phone's only its end."""
    last: tuple[int, int] = (-1, -1)
    for word in tokens(text):
        inside = last[0] <= word.start and word.end <= last[1]
        if not inside:
            yield word.token, word.start, word.end
            last = (word.start, word.end)


def _term(run: list[str], excluded: bool) -> Iterator[Term]:
    if run:
        alone = len(run) == 1 and len(run[0]) == 1 and ord(run[0]) > 0x2FFF
        yield Term(tuple(run), excluded, prefix=alone)
