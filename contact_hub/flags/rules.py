"""What makes a conversation look unhappy, as `nlu_data/flags.yml` says it: weights, thresholds, words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from contact_hub.city import City, CityError, number_in
from contact_hub.flags.models import Level


class Signal(StrEnum):
    """A sign of dissatisfaction, or of danger."""

    WORDS = "words"
    ASKED_FOR_PERSON = "asked_for_person"
    ASKED_AGAIN = "asked_again"
    REFUSED_TWICE = "refused_twice"
    THUMBS_DOWN = "thumbs_down"
    LOW_RATING = "low_rating"
    WAITED_TOO_LONG = "waited_too_long"
    THIRD_CONTACT = "third_contact"
    SHOUTING = "shouting"
    DANGER_WORDS = "danger_words"
    DANGER_HEARD = "danger_heard"


# Nothing is weighed against danger: no city can let it count for less.
ALARMS = frozenset({Signal.DANGER_WORDS, Signal.DANGER_HEARD})


@dataclass(frozen=True, slots=True)
class Rules:
    """The city's weights (0 to 1), the scores at which something follows, and words for each sign."""

    uneasy: float
    unhappy: float
    weights: Mapping[Signal, float]
    explanations: Mapping[Signal, str]
    words_from: float  # probability
    words_most: float  # weight at a probability of 1
    similarity: float  # share of words that two questions have in common
    contacts: int
    contacts_within: timedelta

    def level(self, score: float) -> Level | None:
        """What a score asks for; None while it asks for nothing."""
        # Weights are written with two digits: two of .40 are to reach .64 whatever floats make of it.
        if round(score, 6) >= self.unhappy:
            return Level.UNHAPPY
        return Level.UNEASY if round(score, 6) >= self.uneasy else None

    def of_words(self, probability: float) -> float:
        """What the words of a turn add, by how sure the model is; 0 below the probability that counts."""
        if probability < self.words_from:
            return 0.0
        least = self.weights[Signal.WORDS]
        share = (probability - self.words_from) / (1 - self.words_from)
        return least + (self.words_most - least) * min(1.0, share)

    def explain(self, signal: Signal, **values: object) -> str:
        """A sign in words, its placeholders filled in."""
        words = self.explanations[signal]
        for name, value in values.items():
            words = words.replace(f"{{{name}}}", str(value))
        return words


def together(weights: Iterable[float]) -> float:
    """The score of several signs: each takes its share of the doubt that the others left."""
    doubt = 1.0
    for weight in weights:
        doubt *= 1 - weight
    return 1 - doubt


_MORE: Mapping[Signal, tuple[str, ...]] = {
    Signal.WORDS: ("most", "from"),
    Signal.ASKED_AGAIN: ("similarity",),
    Signal.THIRD_CONTACT: ("contacts", "days"),
}


def rules_of(city: City) -> Rules:
    """The city's rules, complete; raises CityError with one sentence for the first thing wrong."""
    where = f"{city.folder / 'flags.yml'}"
    if not city.flags:
        raise CityError(f"{where} is missing: what makes a conversation look unhappy?")
    _only(where, city.flags, ("levels", "signals"))
    levels = _section(where, city.flags, "levels")
    _only(f"{where}: levels", levels, ("uneasy", "unhappy"))
    uneasy, unhappy = (number_in(f"{where}: levels", levels, name, 0.01, 1) for name in ("uneasy", "unhappy"))
    if uneasy > unhappy:
        raise CityError(f"{where}: levels: 'uneasy' must not be above 'unhappy'.")
    signals = _section(where, city.flags, "signals")
    _only(f"{where}: signals", signals, tuple(Signal))
    weights: dict[Signal, float] = {}
    explanations: dict[Signal, str] = {}
    for signal in Signal:
        place, given = f"{where}: {signal}", _section(f"{where}: signals", signals, signal)
        weighed = () if signal in ALARMS else ("weight",)
        _only(place, given, (*weighed, "explain", *_MORE.get(signal, ())))
        weights[signal] = number_in(place, given, "weight", 0, 1) if weighed else 1.0
        explanations[signal] = str(given.get("explain") or "").strip()
        if not explanations[signal]:
            raise CityError(f"{place} has no 'explain': what are staff told?")
    words, again, third = (signals[name] for name in (Signal.WORDS, Signal.ASKED_AGAIN, Signal.THIRD_CONTACT))
    return Rules(
        uneasy=uneasy,
        unhappy=unhappy,
        weights=weights,
        explanations=explanations,
        words_from=number_in(f"{where}: words", words, "from", 0.01, 0.99),
        words_most=number_in(f"{where}: words", words, "most", weights[Signal.WORDS], 1),
        similarity=number_in(f"{where}: asked_again", again, "similarity", 0.5, 1),
        contacts=int(number_in(f"{where}: third_contact", third, "contacts", 2, 50)),
        contacts_within=timedelta(days=number_in(f"{where}: third_contact", third, "days", 1, 60)),
    )


def _section(where: str, given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    if not isinstance(found, Mapping):
        raise CityError(f"{where} has no '{name}'.")
    return found


def _only(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = {str(name) for name in given} - set(known)
    if unknown:
        raise CityError(f"{where} has '{min(unknown)}', which means nothing there.")
