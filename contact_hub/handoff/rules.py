"""Who may hold a conversation after whom, whose turn it is among those who wait, and the city's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from contact_hub.citizens.models import DANGER
from contact_hub.citizens.models import ConversationState as State
from contact_hub.city import City, CityError, number_in

MOVES: dict[State, frozenset[State]] = {
    State.BOT: frozenset({State.WAITING, State.AGENT, State.CLOSED}),
    # Waiting goes on in another department; a conversation is given from one person to another.
    State.WAITING: frozenset({State.WAITING, State.AGENT, State.BOT, State.CLOSED}),
    State.AGENT: frozenset({State.WAITING, State.AGENT, State.BOT, State.CLOSED}),
    State.CLOSED: frozenset(),
}

# Points by why somebody waits. A point is worth the city's `ageing_minutes` of waiting; danger comes
# before everybody else, whoever has waited how long.
PRIORITY = {
    "self_harm": DANGER,
    "emergency": DANGER,
    "unhappy": 30,
    "agent_silent": 30,  # they had somebody, who then said nothing any more
    "complaint": 20,
    "rated_low": 20,
    "transferred": 20,  # they have explained it once already
    "unhelpful": 10,
    "assistant_down": 10,
    "technical": 10,
}
DANGERS = frozenset(reason for reason, points in PRIORITY.items() if points >= DANGER)
BROKEN_PROMISE = 20  # points that each promise adds which was not kept
MOST = DANGER - 1  # what points that are added can come to: nothing but danger is danger

# A promise counts as if its resident had waited since so long before it falls due, where that is earlier.
PROMISE_LEAD = timedelta(hours=1)


class IllegalMove(ValueError):
    """A conversation cannot go from where it is to where it was told to go."""


def check(before: State, after: State) -> None:
    """Raise IllegalMove unless a conversation may move from `before` to `after`."""
    if after not in MOVES[before]:
        raise IllegalMove(f"a conversation that is '{before}' cannot become '{after}'")


# Whose turn it is --------------------------------------------------------------------------------


def raised(priority: int, points: int) -> int:
    """A priority with points added, which never make danger of it."""
    return priority if priority >= DANGER else min(MOST, priority + points)


def turn_at(
    waiting_since: datetime, promised_at: datetime | None, priority: int, ageing: timedelta
) -> datetime:
    """The moment by which a waiting conversation takes its place: the earliest comes first.

    It is since when it waits, moved back by `ageing` for every point of its priority. Everybody ages
    alike, so the order of two conversations never changes while they wait, and one of no priority is
    overtaken only by what comes within `MOST * ageing` after it. With r arrivals an hour that outrank it
    and s > r answers an hour, whoever finds n others before them waits at most
    (n + r * MOST * ageing) / s hours. `handoff.service` says the same in SQL.
    """
    since = waiting_since if promised_at is None else min(waiting_since, promised_at - PROMISE_LEAD)
    return since - min(priority, MOST) * ageing


def effective(
    priority: int,
    waiting_since: datetime,
    promised_at: datetime | None,
    ageing: timedelta,
    at: datetime,
) -> float:
    """The priority a waiting conversation has come to at a moment, in points: higher goes first.

    Danger is above every number that waiting can reach.
    """
    if priority >= DANGER:
        return float("inf")
    return (at - turn_at(waiting_since, promised_at, priority, ageing)) / ageing


# The city's numbers ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resolution:
    """A way in which a conversation ends; `silent` says that its resident is not told."""

    key: str
    name: str
    silent: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What city.yml says of people who wait, and of those who answer them."""

    hold_seconds: float  # in which a reply can be taken back
    silent_agent: timedelta  # after which a holder who owes a word loses the conversation
    silent_danger: timedelta  # the same where somebody may be in danger, whether or not it is opening time
    promise: timedelta  # the least opening time within which an answer is promised
    unmeasured: timedelta  # the same while nothing was measured yet
    ageing: timedelta  # of waiting that a point of priority is worth
    heard: timedelta  # within which a waiting resident is told once that what they write is kept
    other_languages: timedelta  # after which those who do not speak the language see a conversation too
    night: tuple[time, time]  # in which no phone is made to ring
    resolutions: Mapping[str, Resolution]


def rules_of(city: City) -> Rules:
    """The city's rules, complete; raises CityError with one sentence for the first thing wrong."""
    where = f"{city.folder / 'city.yml'}: handoff"
    section = city.settings.get("handoff")
    if not isinstance(section, Mapping):
        raise CityError(f"{city.folder / 'city.yml'} has no 'handoff': how long does a person have?")
    known = {
        "hold_seconds",
        "silent_agent_minutes",
        "silent_danger_minutes",
        "promise_minutes",
        "unmeasured_promise_minutes",
        "ageing_minutes",
        "heard_minutes",
        "other_languages_minutes",
        "night",
    }
    if unknown := set(section) - known:
        raise CityError(f"{where} has '{min(unknown)}', which means nothing there.")
    return Rules(
        hold_seconds=number_in(where, section, "hold_seconds", 0, 60),
        silent_agent=_minutes(where, section, "silent_agent_minutes", 1),
        silent_danger=_minutes(where, section, "silent_danger_minutes", 1),
        promise=_minutes(where, section, "promise_minutes", 1),
        unmeasured=_minutes(where, section, "unmeasured_promise_minutes", 1),
        ageing=_minutes(where, section, "ageing_minutes", 0.1),
        heard=_minutes(where, section, "heard_minutes", 0),
        other_languages=_minutes(where, section, "other_languages_minutes", 0),
        night=_night(where, section.get("night")),
        resolutions=_resolutions(city),
    )


def _minutes(where: str, section: Mapping[str, Any], key: str, least: float) -> timedelta:
    return timedelta(minutes=number_in(where, section, key, least, 7 * 24 * 60))


def _night(where: str, given: object) -> tuple[time, time]:
    try:
        start, end = (time.fromisoformat(part.strip()) for part in str(given).split("-"))
    except ValueError:
        raise CityError(f"{where}: 'night' must look like 21:00-08:00, not {given!r}.") from None
    return start, end


def _resolutions(city: City) -> dict[str, Resolution]:
    where, found = f"{city.folder / 'city.yml'}: resolutions", {}
    given = city.settings.get("resolutions")
    if not isinstance(given, list) or not given:
        raise CityError(f"{where}: a list of the ways in which a conversation ends is missing.")
    for item in given:
        if not isinstance(item, Mapping) or not str(item.get("key") or "").isidentifier():
            raise CityError(f"{where}: each needs a 'key' of letters and underscores, not {item!r}.")
        key, name, silent = str(item["key"]), str(item.get("name") or "").strip(), item.get("silent", False)
        if not name or not isinstance(silent, bool) or key in found:
            raise CityError(f"{where} of {key}: it needs a 'name', once, and 'silent' is true or false.")
        found[key] = Resolution(key, name, silent)
    return found
