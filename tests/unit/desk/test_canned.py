"""The canned replies of the city, and what a clerk may get wrong in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contact_hub.city import City, CityError, load_city
from contact_hub.desk.talk_canned import LONGEST, Shelf, fill, left_open, shelf_of

ROOT = Path(__file__).resolve().parents[3]
KNOWN = {"name": "Mary", "agent": "Ada", "reference": "R26-00042-9", "department": "Parks", "opens": "Monday"}


@pytest.fixture(scope="module")
def city() -> City:
    return load_city(ROOT / "nlu_data")


@pytest.fixture(scope="module")
def shelf(city: City) -> Shelf:
    return shelf_of(city)


def test_every_language_has_the_same_dozen(city: City, shelf: Shelf) -> None:
    assert set(shelf.replies) == set(city.languages)
    for language in city.languages:
        replies = shelf.of(language)
        assert [one.key for one in replies] == [one.key for one in shelf.of(city.default_language)]
        assert len(replies) >= 12
        assert len({one.text for one in replies}) == len(replies)


def test_everything_is_filled_in_and_a_missing_name_leaves_no_gap(city: City, shelf: Shelf) -> None:
    for language in city.languages:
        for one in shelf.of(language):
            assert left_open(fill(one.text, KNOWN)) == []
            nameless = fill(one.text, {**KNOWN, "name": ""})
            assert "{" not in nameless
            assert "  " not in nameless
            assert " ," not in nameless
            assert ",." not in nameless
            assert not nameless.startswith((" ", ",", "，", "،"))


def test_what_is_not_known_stays_to_be_seen() -> None:
    words = fill("Your report {reference} is with {department}.", {"department": "Parks"})
    assert words == "Your report {reference} is with Parks."
    assert left_open(words) == ["{reference}"]
    assert left_open("Braces {of their own} are nobody's.") == []
    assert fill("Hello {name}!", {"name": "{agent}", "agent": "Ada"}) == "Hello {agent}!"  # filled once


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("hello: {title: Hello, text: 'Dear {surname}'}", "holds {surname}, which nobody fills in"),
        ("hello: {title: Hello}", "needs a title and a text"),
        ("hello: {title: Hello, text: ''}", "needs a title and a text"),
        (f"hello: {{title: Hello, text: {'a' * (LONGEST + 1)}}}", "longer than 300 characters"),
        ("- a list", "must be a list of keys"),
        ("hello: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    city: City, tmp_path: Path, written: str, complaint: str
) -> None:
    (tmp_path / "canned").mkdir()
    (tmp_path / "canned" / "en.yml").write_text(written, encoding="utf-8")
    with pytest.raises(CityError, match=r"en\.yml") as wrong:
        shelf_of(replace(city, folder=tmp_path))
    assert complaint in str(wrong.value)


def test_a_language_that_lacks_a_reply_is_refused(city: City, tmp_path: Path) -> None:
    (tmp_path / "canned").mkdir()
    (tmp_path / "canned" / "en.yml").write_text("a: {title: A, text: A}\nb: {title: B, text: B}")
    (tmp_path / "canned" / "es.yml").write_text("a: {title: A, text: A}")
    with pytest.raises(CityError, match=r"same keys as en\.yml: b"):
        shelf_of(replace(city, folder=tmp_path))


def test_a_city_without_any_has_none(city: City, tmp_path: Path) -> None:
    assert shelf_of(replace(city, folder=tmp_path)).of("en") == []
