"""The city's words: hours over holidays and clock changes, sentences, and phrases known word for word."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from contact_hub.city import City, CityError, load_city
from tests.hub.conftest import ROOT


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., City]:
    """Loads a copy of the city whose clerk changed some lines of city.yml."""

    def load(**changes: Any) -> City:
        shutil.copytree(ROOT / "nlu_data" / "responses", tmp_path / "responses", dirs_exist_ok=True)
        settings = yaml.safe_load((ROOT / "nlu_data" / "city.yml").read_text("utf-8"))
        (tmp_path / "city.yml").write_text(
            yaml.safe_dump({**settings, **changes}, allow_unicode=True), "utf-8"
        )
        return load_city(tmp_path)

    return load


def at(words: str) -> datetime:
    return datetime.fromisoformat(words).replace(tzinfo=UTC)


def test_people_answer_in_the_citys_own_time(whole_city: City) -> None:
    city = whole_city
    # Dublin is an hour ahead of UTC until the last Sunday of October.
    assert city.is_open(at("2026-10-23T07:00"))
    assert not city.is_open(at("2026-10-23T06:59"))
    assert not city.is_open(at("2026-10-26T07:30"))
    assert city.is_open(at("2026-10-26T08:00"))
    assert city.is_open(at("2026-10-26T17:59"))
    assert not city.is_open(at("2026-10-26T18:00"))


def test_the_next_opening_skips_weekends_and_holidays(whole_city: City) -> None:
    city = whole_city
    assert city.next_opening(at("2026-10-24T13:30")) == at("2026-10-26T08:00")  # over the clock change
    assert city.next_opening(at("2026-03-28T14:00")) == at("2026-03-30T07:00")
    # Christmas falls on a Friday, the day after it on a Saturday; Sunday is always closed.
    assert not city.is_open(at("2026-12-25T10:00"))
    assert city.next_opening(at("2026-12-24T19:00")) == at("2026-12-28T08:00")
    assert city.next_opening(at("2026-10-26T07:00")) == at("2026-10-26T08:00")


def test_a_city_that_never_opens_promises_no_moment(written: Callable[..., City]) -> None:
    closed = written(opening_hours={day: [] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")})
    assert closed.next_opening(at("2026-10-26T08:00")) is None
    assert not closed.is_open(at("2026-10-26T08:00"))


def test_holidays_may_be_written_with_or_without_quotes(written: Callable[..., City]) -> None:
    hours = {"mon": ["00:00-24:00"], "holidays": ["2026-10-26", date(2026, 11, 2)]}
    city = written(opening_hours=hours)
    assert not city.is_open(at("2026-10-26T12:00"))
    assert not city.is_open(at("2026-11-02T12:00"))
    assert city.is_open(at("2026-11-09T23:59"))


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", "Thursday, 5 November, 08:00"),
        ("es", "jueves, 5 de noviembre, 8:00"),
        ("de", "Donnerstag, 5. November, 08:00"),
        ("fr", "jeudi 5 novembre, 08:00"),
        ("it", "giovedì 5 novembre, 08:00"),
        ("pl", "czwartek, 5 listopada, 08:00"),
        ("pt", "quinta-feira, 5 de novembro, 08:00"),
        ("tr", "5 Kasım Perşembe 08:00"),
        ("ar", "الخميس، 5 نوفمبر، 08:00"),
        ("zh", "11月5日星期四 08:00"),
    ],
)
def test_a_moment_is_written_as_each_language_writes_it(
    whole_city: City, language: str, written: str
) -> None:
    assert whole_city.moment(at("2026-11-05T08:00"), language) == written


def test_a_date_is_written_as_the_citys_country_writes_it(
    whole_city: City, written: Callable[..., City]
) -> None:
    moment = at("2026-11-05T08:00")
    assert whole_city.day(moment, "en") == "5 Nov 2026"
    abroad = written(contact_centre={"phone": "+1 202 555 0100"}, time_zone="America/New_York")
    assert abroad.day(moment, "en") == "Nov 5, 2026"
    assert abroad.moment(moment, "en") == "Thursday, November 5, 03:00"
    nowhere = written(contact_centre={})
    assert nowhere.moment(moment, "de") == "Donnerstag, 5. November, 08:00"


@pytest.mark.parametrize("span", ["8-18", "08:00", "08:00–18:00", "25:00-26:00", ""])
def test_hours_that_cannot_be_read_are_told_at_the_start(written: Callable[..., City], span: str) -> None:
    with pytest.raises(CityError, match="opening_hours of tue"):
        written(opening_hours={"tue": [span]})


def test_a_sentence_is_filled_once_and_braces_are_harmless(city: City) -> None:
    said = city.say("report_done", "en", reference="{place}", category="{0}", place="{category.__class__}")
    assert "{place}" in said
    assert "{0}" in said
    assert "{category.__class__}" in said
    assert "{position}" in city.say("handed_off", "en"), "what nobody gives stays visible"


def test_a_language_the_city_does_not_speak_is_answered_in_its_own(city: City) -> None:
    assert city.say("greet", "tlh") == city.say("greet", "en") == city.say("greet", None)
    assert city.say("greet", "de") != city.say("greet", "en")
    with pytest.raises(CityError, match="no sentence"):
        city.say("no such sentence", "en")


def test_kinds_of_problem_have_names_and_a_department(city: City) -> None:
    for category in city.settings["report_categories"]:
        assert city.department_of(category["key"]) is not None, category
        for language in city.languages:
            assert city.category(category["key"], language)
    assert city.category("pothole", "de") != city.category("pothole", "en")
    assert city.category("unheard_of", "en") == "unheard_of"
    assert city.department_of("unheard_of") is None


@pytest.mark.parametrize(
    "words",
    ["STOP", " stop. ", "Stop!", "unsubscribe", "Please stop texting me", "¿Baja?", "don’t text me anymore"],
)
def test_whoever_wants_silence_gets_it(city: City, words: str) -> None:
    assert city.wants_silence(words)


@pytest.mark.parametrize(
    "words",
    ["no me escriban mas", "arret", "DESABONNER", "BANA YAZMAYIN", "ABONELİKTEN ÇIK", "الغاء الاشتراك"],
)
def test_whoever_types_without_accents_or_in_capitals_gets_silence_as_well(city: City, words: str) -> None:
    assert city.wants_silence(words)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        *[("si", True), ("Sì", True), ("bien sur", True), ("DOĞRU", True), ("dogru", True), ("是", True)],
        *[("nao", False), ("NÃO", False), ("hayir", False), ("HAYIR", False), ("şimdi değil", False)],
        *[("ŞİMDİ DEĞİL", False), ("否", False), ("لا اريد", False), ("أبداً", False), ("ابدا", False)],
        *[("ابدأ", None), ("si no viene nadie", None), ("si no", None), ("stóp", None), ("", None)],
    ],
)
def test_yes_and_no_count_with_or_without_accents(city: City, words: str, meant: bool | None) -> None:
    assert city.yes_or_no(words) is meant


def test_every_languages_own_buttons_say_yes_and_no(city: City) -> None:
    for language in city.languages:
        for typed in (str.upper, str.lower):
            assert city.yes_or_no(typed(city.say("button_yes", language))) is True, language
            assert city.yes_or_no(typed(city.say("button_no", language))) is False, language


def test_no_command_means_another_one_without_its_accents(city: City) -> None:
    meanings: dict[str, set[str]] = {}
    for command in ("opt_out", "yes", "no", "talk_to_human", "cancel", "skip"):
        for phrase in city._all_of(command):
            meanings.setdefault(phrase, set()).add(command)
    assert {phrase: several for phrase, several in meanings.items() if len(several) > 1} == {}


@pytest.mark.parametrize("words", ["si alguien viene", "si vous voulez", "claro que nao", "claro que não"])
def test_an_if_or_a_no_at_the_end_begins_no_yes(city: City, words: str) -> None:
    assert not city.begins_with_yes(words)
    assert city.begins_with_yes("Sí, que me llamen")


def test_a_score_in_turkish_capitals_is_one(city: City) -> None:
    assert city.score_of_five("5 ÜZERİNDEN 4") == city.score_of_five("5 uzerinden 4") == 4


@pytest.mark.parametrize("words", ["czlowiek", "GÖREVLİ", "gorevli", "انسان", "funcionario"])
def test_a_person_is_asked_for_without_accents_as_well(city: City, words: str) -> None:
    assert city.wants_person(words)


@pytest.mark.parametrize(
    "words",
    ["stóp", "si", "cancel", "CANCEL", "end", "quit", "the bus does not stop here", "stop sign", "", "?"],
)
def test_other_words_are_no_wish_for_silence(city: City, words: str) -> None:
    assert not city.wants_silence(words)


@pytest.mark.parametrize(
    ("words", "danger"),
    [
        ("Help, my house is on FIRE!!", "emergency"),
        ("my  house\nis on fire", "emergency"),
        ("she isn’t breathing", "emergency"),
        ("es riecht nach Gas im Treppenhaus", "emergency"),
        ("厨房着火了快来", "emergency"),
        ("أشم رائحة غاز", "emergency"),
        ("I want to die", "self_harm"),
        ("I can't breathe and want to die", "self_harm"),
        ("不想活了", "self_harm"),
        ("when does the fire station open", None),
        ("my firewall is on firefox", None),
        ("a gas leaking", None),
        ("", None),
    ],
)
def test_danger_is_recognised_word_for_word(city: City, words: str, danger: str | None) -> None:
    assert city.emergency(words) == danger


def test_looking_for_danger_costs_next_to_nothing(city: City) -> None:
    words = ("there is a problem with my bin and the light " * 200)[:5000]
    city.emergency(words)
    began = time.process_time()
    for _ in range(10):
        city.emergency(words)
    assert (time.process_time() - began) / 10 < 0.025, "it took 80 ms a message before the border was shared"
