"""Canned replies: what people at the desk write every day, from `nlu_data/canned/<language>.yml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contact_hub.city import City, CityError, words_in

PLACEHOLDERS = frozenset({"name", "agent", "reference", "department", "opens"})
LONGEST = 300  # characters: many are read as an SMS
_BRACES = re.compile(r"{([^{}]*)}")
# A name with the blank before it, and with the comma before it where a sentence ends behind it.
_NAME = re.compile(r"(?:[,،，] ?{name}(?=[.。])| ?{name})")


@dataclass(frozen=True, slots=True)
class Canned:
    """A reply under its key, with a title to find it by."""

    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Every canned reply, by language and key; each language has the same keys."""

    replies: Mapping[str, Mapping[str, Canned]]
    default: str

    def of(self, language: str) -> list[Canned]:
        """The replies in a language, else in the city's default one."""
        return list((self.replies.get(language) or self.replies.get(self.default) or {}).values())

    def get(self, language: str, key: str) -> Canned | None:
        """One of them."""
        return (self.replies.get(language) or self.replies.get(self.default) or {}).get(key)


def shelf_of(city: City) -> Shelf:
    """Read the canned replies of a city; raises CityError in one sentence where a file is wrong."""
    folder = city.folder / "canned"
    found = {
        language: _read(folder / f"{language}.yml")
        for language in city.languages
        if (folder / f"{language}.yml").exists()
    }
    known = found.get(city.default_language, {})
    for language, replies in found.items():
        if replies.keys() != known.keys():
            apart = ", ".join(sorted(replies.keys() ^ known.keys()))
            file = folder / f"{language}.yml"
            raise CityError(f"{file} must have the same keys as {city.default_language}.yml: {apart}.")
    return Shelf(found, city.default_language)


def fill(text: str, values: Mapping[str, str]) -> str:
    """A reply with what is known put in; an unknown name is left out, everything else stays to be seen."""
    if not values.get("name"):
        text = _NAME.sub("", text)
    return _BRACES.sub(lambda found: values.get(found[1]) or found[0], text)


def left_open(words: str) -> list[str]:
    """The placeholders that still stand in some words."""
    return [f"{{{name}}}" for name in _BRACES.findall(words) if name in PLACEHOLDERS]


def _read(path: Path) -> dict[str, Canned]:
    return {str(key): _reply(path, str(key), value) for key, value in words_in(path).items()}


def _reply(path: Path, key: str, value: Any) -> Canned:
    words = value if isinstance(value, dict) else {}
    title, text = words.get("title"), words.get("text")
    if not (isinstance(title, str) and title.strip() and isinstance(text, str) and text.strip()):
        raise CityError(f"{path}: '{key}' needs a title and a text.")
    if len(text) > LONGEST:
        raise CityError(f"{path}: '{key}' is longer than {LONGEST} characters.")
    for name in _BRACES.findall(text):
        if name not in PLACEHOLDERS:
            may = ", ".join(f"{{{one}}}" for one in sorted(PLACEHOLDERS))
            raise CityError(f"{path}: '{key}' holds {{{name}}}, which nobody fills in; it may hold {may}.")
    return Canned(key, title.strip(), text.strip())
