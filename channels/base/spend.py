"""Rules against cost attacks on SMS: whom we may write to, and how much, before a message is paid for.

Pure rules, no database. The outbox counts in the very transaction that marks a message as sending,
and asks here:

    rules = SpendRules.from_settings(settings)
    refusal = refuse(number, Counts(...), rules, segments=gsm7.segments(text).count)

A refusal is a named reason (`Refusal`), None means go. `SPEND` calls for an alert: the day's budget
is gone and the breaker stays open until midnight UTC. `NUMBER` and `PREFIX` pass with time: try later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import phonenumbers

_BLOCK_DIGITS = 4  # pumping fraud uses blocks of consecutive numbers, handed out by the ten thousand


class Refusal(StrEnum):
    """Why a message is not paid for."""

    NOT_A_NUMBER = "not_a_number"
    UNASKED = "unasked"
    COUNTRY = "country"
    NUMBER = "number"
    PREFIX = "prefix"
    SPEND = "spend"

    @property
    def passes(self) -> bool:
        """Whether waiting helps; the others need a person."""
        return self in {Refusal.NUMBER, Refusal.PREFIX}


@dataclass(frozen=True, slots=True)
class SpendRules:
    """Limits in segments, which is what the provider bills; `countries` are ISO 3166 codes, empty for any."""

    countries: frozenset[str] = frozenset()
    number_hour: int = 60
    number_day: int = 200
    prefix_hour: int = 600
    day: int = 20_000

    @classmethod
    def from_settings(cls, settings: Any) -> SpendRules:
        """Rules from `sms_countries` ("IE,GB"), `sms_day` ...; by default the country of TWILIO_FROM only."""
        named = getattr(settings, "sms_countries", None)
        if isinstance(named, str):
            named = [code for code in named.replace(",", " ").split() if code]
        own = country(getattr(settings, "twilio_from", None) or "")
        countries = {str(code).upper() for code in named} if named else {own} if own else set()
        default = cls()
        return cls(
            countries=frozenset(countries),
            **{
                name: getattr(settings, f"sms_{name}", None) or getattr(default, name)
                for name in ("number_hour", "number_day", "prefix_hour", "day")
            },
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """Segments already sent or on their way; `asked` says that the number wrote to us first or consented."""

    asked: bool
    number_hour: int = 0
    number_day: int = 0
    prefix_hour: int = 0
    day: int = 0


def refuse(number: str, counts: Counts, rules: SpendRules, *, segments: int = 1) -> Refusal | None:
    """The first rule a message would break, None when it may leave."""
    place = country(number)
    if place is None:
        return Refusal.NOT_A_NUMBER
    if not counts.asked:
        return Refusal.UNASKED
    if rules.countries and place not in rules.countries:
        return Refusal.COUNTRY
    if counts.day + segments > rules.day:
        return Refusal.SPEND
    if counts.number_hour + segments > rules.number_hour or counts.number_day + segments > rules.number_day:
        return Refusal.NUMBER
    if counts.prefix_hour + segments > rules.prefix_hour:
        return Refusal.PREFIX
    return None


def prefix(number: str) -> str:
    """The block a number belongs to, by which the outbox counts: all but its last four digits."""
    return number[:-_BLOCK_DIGITS]


def country(number: str) -> str | None:
    """The ISO country of an E.164 number; None for anything that is no dialable number."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )
