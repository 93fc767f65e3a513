"""Words: how a text becomes tokens in each language, and BM25 over them.

Dense vectors blur names, numbers and form codes; words find them.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import bm25s
import numpy as np

Scores = np.ndarray[Any, np.dtype[np.float32]]

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_ARABIC_ARTICLE = re.compile(r"^(?:وال|بال|كال|فال|ال|لل)(?=.{3,})")
# Cutting words is crude stemming that works in every language with an alphabet: "collected",
# "collection" and "collect" meet in "colle". The whole word counts as well.
STEM_LETTERS = 5
LONGEST = 40


def tokens(text: str) -> list[str]:
    """Return the whole words of a text and their stems; runs of Chinese or Japanese as bigrams."""
    found: list[str] = []
    for word in words(text):
        found.append(word)
        stem = _ARABIC_ARTICLE.sub("", word)[:STEM_LETTERS]
        if len(word) > STEM_LETTERS or stem != word:
            found.append(stem + "~")
    return found


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents."""
    plain = _without_accents(text.casefold())
    found: list[str] = []
    for match in _WORD.finditer(plain):
        at = 0
        word = match.group()[: LONGEST * 4]
        for run in _CJK_RUN.finditer(word):
            if run.start() > at:
                found.append(word[at : run.start()][:LONGEST])
            found.extend(_bigrams(run.group()))
            at = run.end()
        if at < len(word):
            found.append(word[at:][:LONGEST])
    return found


class LexicalIndex:
    """BM25 over passages, in the order in which they were given."""

    def __init__(self, texts: Sequence[str]) -> None:
        corpus = [tokens(text) or [""] for text in texts]
        self._number: dict[str, int] = {}
        for one in corpus:
            for token in one:
                self._number.setdefault(token, len(self._number))
        held = [np.unique([self._number[token] for token in one]).astype(np.int32) for one in corpus]
        counts = np.bincount(np.concatenate(held), minlength=len(self._number)) if held else np.zeros(0)
        self._held = held
        self._rarity = np.log(1 + (len(corpus) - counts + 0.5) / (counts + 0.5))
        self._unknown = math.log(1 + (len(corpus) + 0.5) / 0.5)
        self._retriever: Any = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        if corpus:
            self._retriever.index(corpus, show_progress=False)

    def shares(self, text: str) -> Scores:
        """Return each passage's BM25 score as a share of what the question's words are worth.

        About 1 where a passage holds all of them, and little where it holds one by chance.
        """
        asked = tokens(text)
        known = [token for token in asked if token in self._number]
        if not known:
            return np.zeros(len(self._held), dtype=np.float32)
        worth = sum(map(self._worth, asked)) or 1.0
        return np.asarray(self._retriever.get_scores(known), dtype=np.float32) / np.float32(worth)

    def told(self, question: str, places: Sequence[int]) -> list[float]:
        """Return the share (0-1) of the question's telling words that each passage holds."""
        asked = set(tokens(question))
        worth = sum(map(self._worth, asked))
        known = {self._number[token] for token in asked if token in self._number}
        return [
            sum(float(self._rarity[one]) for one in known.intersection(self._held[at].tolist())) / worth
            if worth
            else 0.0
            for at in places
        ]

    def _worth(self, token: str) -> float:
        """Return how telling a token is: its inverse document frequency, highest if unknown."""
        number = self._number.get(token)
        return self._unknown if number is None else float(self._rarity[number])


def _bigrams(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[at : at + 2] for at in range(len(run) - 1)]


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", kept)
