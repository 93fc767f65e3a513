"""The words by which a report tells a question from a place and "no photo" from a description."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Written without spaces, so a word may stand anywhere in the text.
UNSPACED = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_PUNCTUATION = re.compile(r"[^\w\s'’-]+")


@dataclass(frozen=True)
class Words:
    """nlu_data/conversations/words.yml, plain and without accents."""

    questions: tuple[str, ...]
    skip: frozenset[str]
    unknown: frozenset[str]
    before_place: tuple[str, ...]
    street_words: frozenset[str]

    @classmethod
    def of(cls, city: Path) -> "Words":
        """Return the words of a city's folder; raises OSError where there is no such file."""
        # The base loader makes nothing but text: it leaves "no" and "on" the words they are, quoted or not.
        lists: dict[str, dict[str, list[str]]] = yaml.load(
            (city / "conversations" / "words.yml").read_text(encoding="utf-8"),
            Loader=yaml.BaseLoader,  # noqa: S506
        )

        def flat(name: str) -> list[str]:
            return sorted(
                {plain(word) for words in lists[name].values() for word in words}, key=len, reverse=True
            )

        return cls(
            questions=tuple(flat("questions")),
            skip=frozenset(flat("skip")),
            unknown=frozenset(flat("unknown")),
            before_place=tuple(flat("before_place")),
            street_words=frozenset(flat("street_words")),
        )

    def question(self, text: str) -> bool:
        """Whether a text has the form of a question."""
        if text.rstrip(" !.)\"'»").endswith(("?", "？", "؟")):
            return True
        said = plain(text).lstrip("¿ ")
        if UNSPACED.search(said):
            return any(word in said for word in self.questions if UNSPACED.search(word))
        return any(
            said.startswith(word) and said[len(word) : len(word) + 1] in ("", " ") for word in self.questions
        )

    def begins_with_skip(self, text: str) -> bool:
        """Whether a text begins with a refusal, as "no photo, sorry" does."""
        said = plain(text).split()
        return any(" ".join(said[:length]) in self.skip for length in range(1, len(said) + 1))


def plain(text: Any) -> str:
    """Return a text in small letters, without accents, punctuation and double spaces."""
    letters = unicodedata.normalize("NFKD", str(text).casefold().replace("’", "'").replace("ı", "i"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(_PUNCTUATION.sub(" ", bare).split())


def count(text: str) -> int:
    """Return how many words a text has; two unspaced characters count as one."""
    unspaced = len(UNSPACED.findall(text))
    return len(UNSPACED.sub(" ", text).split()) + (unspaced + 1) // 2
