"""Where a problem is: by the city's list of streets, else by the words around a name."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import yaml

from bot.actions.words import UNSPACED, Words, plain

LONGEST = 200
_NUMBER = r"\d{1,4}\s?[a-zA-Z]?"
_ARTICLES = "the|el|la|le|der|die|das|den|dem"
_BETWEEN = "de|la|del|der|du|des|di|da|do|of|the"
_COORDINATES = re.compile(r"-?\d{1,2}\.\d+[\s,;]+-?\d{1,3}\.\d+")
# 马路, 公路 and 道路 are roads without a name, 路灯 is a street light, 路面 a surface.
_STREET_ZH = re.compile(
    r"[\u4e00-\u9fff]{1,6}(?:大道|广场|公园|(?<![马公道])路|街|巷|桥)(?![灯面])(?:\d+号)?"
)


@dataclass(frozen=True)
class Places:
    """Finds a place in what a resident wrote."""

    streets: re.Pattern[str]
    named: re.Pattern[str]
    words: Words

    @classmethod
    def of(cls, city: Path, words: Words) -> "Places":
        """Return a finder that knows the streets and districts city.yml lists."""
        known = yaml.safe_load((city / "city.yml").read_text(encoding="utf-8"))
        names = sorted({*known.get("streets", []), *known.get("districts", [])}, key=len, reverse=True)
        any_street = "|".join(re.escape(name).replace("'", "['’]") for name in names) or r"(?!)"
        before = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words.before_place)
        kinds = "|".join(re.escape(word) for word in sorted(words.street_words) if not UNSPACED.search(word))
        # A name in capitals after a preposition, up to what ends a place; "rue" may come before it.
        named = re.compile(
            rf"(?:^|\s)(?:{before})\s+((?:(?:{_ARTICLES})\s+)?(?:{_NUMBER}\s+)?(?:(?:{kinds})\s+)?"
            rf"[A-Z][\w.'’-]*(?:\s+(?:[A-Z0-9][\w.'’-]*|{_BETWEEN}))*)"
        )
        return cls(
            re.compile(
                rf"(?:{_NUMBER}[,]?\s+)?(?<!\w)(?:{any_street})(?!\w)(?:[,]?\s+(?:no\.?\s*)?{_NUMBER}(?!\w))?",
                re.I,
            ),
            named,
            words,
        )

    def in_sentence(self, text: str) -> str | None:
        """Return the place a sentence names, only where it clearly is one."""
        street = self.streets.search(text)
        if street:
            return street.group(0).strip(" ,.")
        unspaced = _STREET_ZH.search(text) if UNSPACED.search(text) else None
        if unspaced:
            return unspaced.group(0).removeprefix("在")
        for found in self.named.finditer(_bare(text)):
            name = text[slice(*found.span(1))].strip(" ,.")
            if _street_like(plain(name).split(), self.words.street_words):
                return name
        return None

    def answer(self, text: str) -> str | None:
        """Return the place given as an answer: any text that can be one, or a pair of coordinates."""
        said = text.strip(" .,!?\n\t")
        if _COORDINATES.fullmatch(said):
            return said
        if sum(letter.isalpha() for letter in said) < 2 or plain(said) in self.words.unknown:
            return None
        if plain(said) in self.words.skip:
            return None
        return said[:LONGEST]

    def without(self, text: str, place: str | None) -> str:
        """Return the text without its place, so that a street's name does not decide what the problem is."""
        return text.replace(place, " ").strip() if place else text


def _bare(text: str) -> str:
    """Return the text without accents, letter for letter, so that positions stay the same."""
    return "".join(unicodedata.normalize("NFKD", letter)[:1] for letter in text)


def _street_like(said: list[str], street_words: frozenset[str]) -> bool:
    """Whether a name holds a word for a street; German writes it and the name as one word."""
    return any(word in street_words for word in said) or any(
        word.endswith(ending) and len(word) > len(ending)
        for word in said
        for ending in street_words
        if len(ending) > 3
    )
