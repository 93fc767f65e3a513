"""Understands what a whole message asks about consent, word for word and without any model.

A language's file has whole sentences, and words that make up a sentence together: something to end or
begin, what it is about, and fillers. A message counts only when nothing of it is left over, so that a
question that merely mentions an alert is never taken for a withdrawal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 120  # characters; whoever writes more asks something else
_SUBJECTS = ("alerts", "improvement", "survey", "all")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted (`show`, `grant` or `withdraw`), for a purpose or for `all`, and in which language."""

    what: str
    purpose: str
    language: str


class Wishes:
    """The consent commands of all languages, compiled once."""

    def __init__(self, languages: Mapping[str, Mapping[str, Any]], plain: Callable[[str], str]) -> None:
        def bare(text: str) -> str:
            return _unaccented(plain(text))

        self._plain = bare
        self._known = {code: _Language(code, words, bare) for code, words in languages.items() if words}

    def read(self, text: str) -> Wish | None:
        """The wish that a whole message is; None for anything else."""
        if len(text) > LONGEST:
            return None
        words = self._plain(text)
        for language in self._known.values():
            if words and (wish := language.read(words)) is not None:
                return wish
        return None


class _Language:
    def __init__(self, code: str, words: Mapping[str, Any], plain: Callable[[str], str]) -> None:
        self._code = code
        self._tight = code in {"zh", "ja", "th"}  # written without spaces
        self._fillers = {self._fold(plain(str(word))) for word in words.get("fillers", ())}
        self._parts = {
            self._fold(plain(str(phrase))): part
            for part in ("withdraw", "grant", *_SUBJECTS)
            for phrase in words.get(part, ())
        }
        self._parts |= dict.fromkeys(self._fillers, "")
        self._whole = {
            self._bare(self._fold(plain(str(phrase)))): command
            for command, phrases in (words.get("phrases") or {}).items()
            for phrase in phrases
        }
        longest_first = sorted(filter(None, self._parts), key=len, reverse=True)
        gap = "" if self._tight else r"(?!\w)"
        self._word = re.compile(rf"\s*({'|'.join(map(re.escape, longest_first)) or '(?!)'}){gap}")

    def _fold(self, words: str) -> str:
        return words.replace(" ", "") if self._tight else words

    def _bare(self, words: str) -> str:
        """The words without fillers; what consists of nothing else stays as it is."""
        if self._tight:
            for filler in sorted(self._fillers, key=len, reverse=True):
                words = words.replace(filler, "") or words
            return words
        return " ".join(word for word in words.split() if word not in self._fillers) or words

    def read(self, words: str) -> Wish | None:
        words = self._fold(words)
        command = self._whole.get(self._bare(words))
        if command is not None:
            what, _, purpose = command.partition("_")
            return Wish(what, purpose or "all", self._code)
        found: list[str] = []
        at = 0
        while at < len(words):
            match = self._word.match(words, at)
            if match is None:
                return None
            found.append(self._parts[match[1]])
            at = match.end()
        verbs = {part for part in found if part in {"withdraw", "grant"}}
        subjects = {part for part in found if part in _SUBJECTS}
        # Nobody agrees to everything at once; that each purpose is agreed to by itself is the point.
        if len(verbs) == 1 and len(subjects) == 1 and (verbs, subjects) != ({"grant"}, {"all"}):
            return Wish(verbs.pop(), subjects.pop(), self._code)
        return None


_LETTERS = str.maketrans("łıøđ", "liod")


def _unaccented(words: str) -> str:
    """The words as people in a hurry type them."""
    apart = unicodedata.normalize("NFD", words.translate(_LETTERS))
    return "".join(c for c in apart if not unicodedata.combining(c))
