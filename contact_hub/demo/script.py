"""The demonstration's people and stories, as `nlu_data/demo` tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contact_hub.city import CityError

# What a turn of a story can be; see the head of stories.yml.
DOINGS = frozenset(
    {
        *("says", "answered", "refused", "say", "helpful", "report", "flag", "handoff", "waits"),
        *("agent", "note", "closes", "rating", "comment", "consent"),
    }
)


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who works for the city in the demonstration."""

    name: str
    role: str
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A conversation that some residents have; each of `turns` is one doing with what belongs to it."""

    key: str
    turns: tuple[tuple[str, Any], ...]
    residents: Mapping[str, int] = field(default_factory=dict)  # how many, by language
    resident: str | None = None  # the same person in every story that names them
    channel: str | None = None
    days_ago: float | None = None
    minutes_ago: float | None = None
    open: bool = False
    review: Mapping[str, str] = field(default_factory=dict)  # a manager's verdict, and why


@dataclass(frozen=True, slots=True)
class Script:
    """Who is in the demonstration, and what happens."""

    people: Mapping[str, tuple[str, ...]]
    staff: tuple[Colleague, ...]
    stories: tuple[Story, ...]


def read(folder: Path) -> Script:
    """The script in `<city>/demo`; raises CityError with one sentence for the first thing wrong."""
    people = _yaml(folder / "people.yml")
    stories = _yaml(folder / "stories.yml")
    return Script(
        {language: tuple(names) for language, names in people.items() if language != "staff"},
        tuple(
            Colleague(one["name"], one["role"], tuple(one.get("languages") or ()))
            for one in people.get("staff") or ()
        ),
        tuple(_story(folder / "stories.yml", told) for told in stories.get("stories") or ()),
    )


def words(told: Any, language: str) -> str:
    """What is said in a language; words that are the same in every language stand alone."""
    return str(told[language]) if isinstance(told, Mapping) else str(told)


def _story(file: Path, told: Any) -> Story:
    key = told.get("key") if isinstance(told, Mapping) else None
    if not key:
        raise CityError(f"{file}: a story has no key.")
    turns = []
    for turn in told.get("turns") or ():
        unknown = set(turn) - DOINGS
        if len(turn) != 1 or unknown:
            raise CityError(f"{file}: a turn of '{key}' must be one of {', '.join(sorted(DOINGS))}.")
        turns.extend(turn.items())
    return Story(
        key=str(key),
        turns=tuple(turns),
        **{
            name: told[name]
            for name in Story.__dataclass_fields__
            if name in told and name not in {"key", "turns"}
        },
    )


def _yaml(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CityError(f"{file} is missing.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CityError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise CityError(f"{file} must be a list of keys and values.")
    return found
