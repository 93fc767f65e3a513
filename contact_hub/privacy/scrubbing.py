"""Words taken out of text, however they were masked, folded or cut on their way to where they stand now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contact_hub.privacy.masking import SENSITIVE, mask

REMOVED = "[removed]"
# Where a message is cut when it is quoted: in the greeting of whoever returns, in the news that there is an
# answer now, and as the title of an article.
_CUTS = (160, 79, 200)
_PLACEHOLDER = re.compile(r"\[\w+\]")

Swap = tuple[str, str]  # words, and what stands in their place


class Scrubber:
    """Replaces each of some words, standing by themselves, however they were masked or folded meanwhile."""

    def __init__(self, swaps: Sequence[Swap]) -> None:
        known = dict[str, str]()
        for words, instead in swaps:
            for said in _masked(words):
                if said == words or not _PLACEHOLDER.fullmatch(said):
                    known.setdefault(_one_line(said), instead)
        self._known = {words: instead for words, instead in known.items() if words and words != instead}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bordered, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        return self._pattern.sub(self._instead, text)

    def until(self, text: str, end: int) -> str:
        """The beginning of a text; words that its end cuts in two are gone whole."""
        for match in self._pattern.finditer(text):
            if match.start() < end < match.end():
                return self(text[: match.start()]) + self._instead(match)
        return self(text[:end])

    def walk(self, value: Any) -> Any:
        """The same JSON with its words replaced; names of fields are ours and stay."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.walk(inner) for key, inner in value.items()}
        return [self.walk(inner) for inner in value] if isinstance(value, list) else value

    def _instead(self, match: re.Match[str]) -> str:
        return self._known[_one_line(match[0])]


def quotes(message: str, swaps: Sequence[Swap]) -> Iterator[Swap]:
    """A message as it is quoted, whole or cut, wherever the swaps change it, and what is left of each."""
    scrub = Scrubber(swaps)
    for said in _masked(message):
        for text in dict.fromkeys((said, _one_line(said))):
            for end in (len(text), *(cut for cut in _CUTS if cut < len(text))):
                quote, left = text[:end].rstrip(), scrub.until(text, end).rstrip()
                if quote != left:
                    yield quote, left


def _masked(words: str) -> Iterator[str]:
    """Words as they are, as the assistant got them, and as the lists of questions keep them."""
    yield from dict.fromkeys((words, mask(words, SENSITIVE).text, mask(words).text))


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _bordered(words: str) -> str:
    """The words, but not inside a longer word; scripts without spaces have no such border."""
    before = r"(?<![A-Za-z0-9])" if words[0].isascii() and words[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if words[-1].isascii() and words[-1].isalnum() else ""
    return before + r"\s+".join(map(re.escape, words.split())) + after
