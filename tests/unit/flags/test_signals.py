"""Signs that need no model: shouting, the same question again, coming back about the same thing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contact_hub.city import City, CityError, load_city
from contact_hub.flags.models import Level
from contact_hub.flags.rules import Rules, Signal, rules_of, together
from contact_hub.flags.service import Earlier, Sign, weigh
from contact_hub.flags.signals import Contact, come_back, likeness, same_question, shouts, visits

CITY = load_city(Path(__file__).resolve().parents[3] / "nlu_data")
RULES = rules_of(CITY)
weights = st.floats(0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "WHY IS NOBODY ANSWERING MY QUESTION",
        "this is enough!!!",
        "what?!!",
        "WARUM KOMMT DIE MÜLLABFUHR NICHT",
        "ПОЧЕМУ НИКТО НЕ ОТВЕЧАЕТ",
        "我的垃圾没人收！！！",
        "لماذا لا تجيبون!!!",
    ],
)
def test_shouting_is_heard_in_any_script(text: str) -> None:
    assert shouts(text)


@pytest.mark.parametrize(
    "text",
    [
        "When is my bin collected?",
        "Thank you!",
        "great, thanks!!",
        "Is the NHS form P45 or the DVLA V5C needed by HMRC",
        "PASSPORT",
        "NO PARKING",
        "My reference is R26-00012-3, car 12-D-34567 at MILL LANE",
        "really??? I did not know",
        "لماذا لا تجيبون",
        "垃圾什么时候收",
        "I",
        "",
    ],
)
def test_what_is_no_shouting_is_not_taken_for_it(text: str) -> None:
    assert not shouts(text)


@given(st.text(alphabet=st.characters(whitelist_categories=("Lo", "Nd", "Zs"))))
def test_nobody_shouts_in_a_script_without_case(text: str) -> None:
    assert not shouts(text)


@given(st.text(), st.text())
def test_likeness_is_a_share_that_does_not_depend_on_the_order(one: str, other: str) -> None:
    assert 0 <= likeness(one, other) <= 1
    assert likeness(one, other) == likeness(other, one)


@pytest.mark.parametrize(
    ("text", "earlier", "same"),
    [
        ("When is my blue bin emptied??", "when is my blue bin emptied", True),
        ("so when is my blue bin emptied", "when is my blue bin emptied", True),
        ("什么时候收我的垃圾？", "什么时候收我的垃圾", True),
        ("when is my green bin emptied and where", "when is the library open on sundays", False),
        ("yes", "yes", False),
        ("Mill Lane", "Mill Lane", False),
        ("好的", "好的", False),
    ],
)
def test_the_same_question_is_known_by_its_words(text: str, earlier: str, same: bool) -> None:
    assert same_question(text, earlier, 0.8) is same


# Coming back -----------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEB, PHONE = uuid.UUID(int=1), uuid.UUID(int=2)


def contact(hours: float, talk: uuid.UUID = WEB, *matters: str) -> Contact:
    at = NOON + timedelta(hours=hours)
    return Contact(uuid.UUID(int=int(at.timestamp())), talk, at, frozenset(matters or ("article bins",)))


def test_a_visit_is_another_conversation_or_the_same_one_after_hours() -> None:
    came = [contact(0), contact(0.5), contact(1, PHONE), contact(5), contact(30)]
    assert [c.at for c in visits(came, "article bins")] == [came[0].at, came[2].at, came[4].at]
    assert visits(came, "article library") == []


def test_the_third_contact_names_the_two_before_it() -> None:
    before = [contact(0), contact(24, PHONE), contact(25, PHONE, "article library")]
    found = come_back(before, contact(48), 3)
    assert found == before[:2]
    assert come_back(before, contact(48), 4) is None
    assert come_back(before, contact(48, WEB, "article library"), 3) is None
    assert come_back(before[:1], contact(1), 2) is None, "still the same visit"


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from([WEB, PHONE])), max_size=12))
def test_there_are_never_more_visits_than_contacts(moments: list[tuple[float, uuid.UUID]]) -> None:
    came = [contact(hours, talk) for hours, talk in moments]
    assert len(visits(came, "article bins")) <= len(came)
    assert (not came) == (not visits(came, "article bins"))


# Weighing --------------------------------------------------------------------------------------------


@given(st.lists(weights, max_size=9), weights)
def test_signs_together_never_make_less_of_one(several: list[float], more: float) -> None:
    score = together(several)
    assert 0 <= score <= 1
    assert together([*several, more]) >= score - 1e-9


def sign(signal: Signal, evidence: int, weight: float = 0.4) -> Sign:
    return Sign(signal, weight, uuid.UUID(int=evidence), "because")


def flag(*signs: Sign, level: Level = Level.UNEASY, dismissed: bool = False) -> Earlier:
    return Earlier(signs[-1].evidence, level, [one.written() for one in signs], dismissed)


def test_two_doubts_of_two_fifths_make_somebody_unhappy() -> None:
    both = [sign(Signal.ASKED_AGAIN, 1), sign(Signal.THUMBS_DOWN, 1)]
    raised = weigh(RULES, both, [], None)
    assert raised is not None
    assert (raised.score, raised.level) == (0.64, Level.UNHAPPY)
    assert weigh(RULES, [sign(Signal.SHOUTING, 1, 0.25)], [], None) is None


def test_the_same_evidence_raises_nothing_twice_not_even_after_it_was_dismissed() -> None:
    one = sign(Signal.WORDS, 1)
    for dismissed in (False, True):
        assert weigh(RULES, [one], [flag(one, dismissed=dismissed)], None) is None


def test_what_was_flagged_adds_up_unless_it_is_dismissed_or_older_than_the_marker() -> None:
    old, new = flag(sign(Signal.WORDS, 5)), [sign(Signal.THUMBS_DOWN, 9)]
    raised = weigh(RULES, new, [old], None)
    assert raised is not None
    assert raised.level is Level.UNHAPPY
    for earlier, read_from in (
        (flag(sign(Signal.WORDS, 5), dismissed=True), None),
        (old, uuid.UUID(int=5)),
        (old, uuid.UUID(int=7)),
    ):
        alone = weigh(RULES, new, [earlier], read_from)
        assert alone is not None
        assert (alone.level, alone.score) == (Level.UNEASY, 0.4)


def test_a_little_more_raises_a_flag_only_where_it_asks_for_more() -> None:
    little = [sign(Signal.SHOUTING, 9, 0.25)]
    assert weigh(RULES, little, [flag(sign(Signal.WORDS, 5))], None) is None
    raised = weigh(RULES, little, [flag(sign(Signal.WORDS, 5, 0.55))], None)
    assert raised is not None
    assert raised.level is Level.UNHAPPY
    unhappy = flag(sign(Signal.WORDS, 5, 0.8), level=Level.UNHAPPY)
    assert weigh(RULES, little, [unhappy], None) is None


def test_danger_makes_nobody_unhappy() -> None:
    danger = flag(sign(Signal.DANGER_WORDS, 5, 1.0), level=Level.DANGER)
    raised = weigh(RULES, [sign(Signal.ASKED_FOR_PERSON, 9)], [danger], None)
    assert raised is not None
    assert (raised.score, raised.level) == (0.4, Level.UNEASY)
    assert weigh(RULES, [sign(Signal.SHOUTING, 9, 0.25)], [danger], None) is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_words_weigh_more_the_surer_the_model_is(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert RULES.of_words(less) <= RULES.of_words(more) <= 1
    assert (RULES.of_words(less) == 0) == (less < RULES.words_from)


# The clerk's file ------------------------------------------------------------------------------------


def changed(change: Callable[[Any], Any]) -> City:
    flags = deepcopy(dict(CITY.flags))
    change(flags)
    return replace(CITY, flags=flags)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: f.clear(), "flags.yml is missing"),
        (lambda f: f.pop("levels"), "has no 'levels'"),
        (lambda f: f["levels"].update(uneasy=0.9), "must not be above"),
        (lambda f: f["levels"].update(unhappy=2), "'unhappy' must be a number from 0.01 to 1, not 2"),
        (lambda f: f["signals"].pop("shouting"), "has no 'shouting'"),
        (lambda f: f["signals"].update(whispering={}), "has 'whispering', which means nothing"),
        (lambda f: f["signals"]["words"].update(weight="much"), "words: 'weight' must be a number"),
        (lambda f: f["signals"]["words"].update(most=0.1), "words: 'most' must be a number from 0.4 to 1"),
        (lambda f: f["signals"]["shouting"].update(explain=" "), "shouting has no 'explain'"),
        (lambda f: f["signals"]["shouting"].update(loud=1), "shouting has 'loud'"),
        (lambda f: f["signals"].pop("danger_heard"), "has no 'danger_heard'"),
        (lambda f: f["signals"]["danger_words"].update(weight=0.1), "danger_words has 'weight'"),
        (lambda f: f["signals"]["third_contact"].update(contacts=True), "'contacts' must be a number"),
        (lambda f: f["signals"]["asked_again"].pop("similarity"), "'similarity' must be a number"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_in_one_sentence(
    change: Callable[[Any], Any], complaint: str
) -> None:
    with pytest.raises(CityError, match=complaint) as told:
        rules_of(changed(change))
    assert str(told.value).count("\n") == 0


def test_every_sign_can_be_explained() -> None:
    values = {"percent": 87, "score": 1, "promised": "noon", "contacts": 3, "days": 14}
    for signal in Signal:
        assert "{" not in RULES.explain(signal, **values)
    assert isinstance(RULES, Rules)
