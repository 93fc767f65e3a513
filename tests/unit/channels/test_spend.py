"""Cost attacks on SMS meet a named refusal."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from channels.base.spend import Counts, Refusal, SpendRules, country, prefix, refuse

RULES = SpendRules(countries=frozenset({"IE"}), number_hour=4, number_day=10, prefix_hour=20, day=100)
ANA = "+353871234567"


@pytest.mark.parametrize(
    ("number", "counts", "refusal"),
    [
        (ANA, Counts(asked=True), None),
        (ANA, Counts(asked=False), Refusal.UNASKED),
        ("+447400123456", Counts(asked=True), Refusal.COUNTRY),
        ("+88213", Counts(asked=True), Refusal.NOT_A_NUMBER),
        ("nobody", Counts(asked=True), Refusal.NOT_A_NUMBER),
        (ANA, Counts(asked=True, number_hour=3), Refusal.NUMBER),
        (ANA, Counts(asked=True, number_hour=2), None),
        (ANA, Counts(asked=True, number_day=9), Refusal.NUMBER),
        (ANA, Counts(asked=True, prefix_hour=19), Refusal.PREFIX),
        (ANA, Counts(asked=True, day=99), Refusal.SPEND),
    ],
)
def test_first_broken_rule_is_named(number: str, counts: Counts, refusal: Refusal | None) -> None:
    assert refuse(number, counts, RULES, segments=2) == refusal


def test_only_limits_that_fill_up_pass_with_time() -> None:
    assert {refusal for refusal in Refusal if refusal.passes} == {Refusal.NUMBER, Refusal.PREFIX}


def test_block_of_consecutive_numbers_counts_together() -> None:
    assert prefix("+353871234567") == prefix("+353871239999") != prefix("+353871244567")


def test_rules_come_from_settings_with_the_citys_own_country() -> None:
    assert SpendRules.from_settings(SimpleNamespace(twilio_from="+353871234567")).countries == {"IE"}
    assert SpendRules.from_settings(SimpleNamespace(twilio_from="MG" + "0" * 32)).countries == frozenset()
    named = SimpleNamespace(twilio_from="+353871234567", sms_countries="ie, gb", sms_day=7)
    rules = SpendRules.from_settings(named)
    assert rules == SpendRules(countries=frozenset({"IE", "GB"}), day=7)


@pytest.mark.parametrize(("number", "place"), [("+15005550006", "US"), ("+491701234567", "DE"), ("12", None)])
def test_country(number: str, place: str | None) -> None:
    assert country(number) == place
