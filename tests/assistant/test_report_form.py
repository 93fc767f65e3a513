"""Residents report problems in their own way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.assistant.conftest import Resident
from tests.assistant.test_turns import keys

PHOTO = [{"attachment": "0197-photo", "kind": "photo"}]


def finished(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the report that a turn ended in."""
    assert (answer["form"], answer["asking"]) == (None, None)
    report: dict[str, Any] = answer["messages"][-1]["report"]
    return report


def test_a_first_sentence_fills_kind_and_place_and_begins_the_description(resident: Resident) -> None:
    said = resident.says("there's a huge pothole in Mill Lane")
    assert (said["form"], said["asking"]) == ("report_form", "description")
    assert keys(said) == ["report_start", "report_ask_description"]
    assert resident.says("It is full of water")["asking"] == "photo"
    assert finished(resident.says("", media=PHOTO)) == {
        "category": "pothole",
        "place": "Mill Lane",
        "description": "there's a huge pothole in Mill Lane. It is full of water",
        "photo": "0197-photo",
    }
    assert resident.says("thanks")["form"] is None


def test_a_place_that_the_city_knows_is_a_button_and_need_not_be_typed(resident: Resident) -> None:
    known = {"facts": {"returning": True, "reports": [], "known": {"place": "Mill Lane"}}}
    asked = resident.says("there is graffiti on the school wall", **known)
    assert asked["asking"] == "place"
    here = next(choice for choice in asked["messages"][-1]["choices"] if choice["title"] == "=Mill Lane")
    after = resident.presses({**here, "title": "Mill Lane"}, **known)
    assert after["asking"] == "description"
    assert after["unfinished"]["place"] == "Mill Lane"


def test_a_report_that_was_left_in_another_conversation_goes_on_here(resident: Resident) -> None:
    left = {"category": "pothole", "place": "Mill Lane", "beginning": "A deep hole"}
    facts = {"returning": True, "reports": [], "left_open": left}
    greeted = resident.says("hello", facts=facts)
    assert keys(greeted) == ["greet_returning", "report_left_open"]
    assert greeted["unfinished"] == left
    resume = greeted["messages"][-1]["choices"][0]
    resumed = resident.presses(resume)
    assert (resumed["form"], resumed["asking"]) == ("report_form", "description")
    assert resident.says("skip")["asking"] == "photo"
    report = finished(resident.says("no"))
    assert (report["category"], report["place"]) == ("pothole", "Mill Lane")
    assert resident.says("thanks")["unfinished"] is None


def test_step_by_step_with_buttons(resident: Resident) -> None:
    asked = resident.says("I want to report a problem")
    assert asked["asking"] == "category"
    choices = asked["messages"][-1]["choices"]
    graffiti = next(choice for choice in choices if choice["title"] == "category_graffiti")
    assert resident.presses(graffiti)["asking"] == "place"
    assert resident.says("behind the old brewery")["asking"] == "description"
    photo = resident.says("Rude words in red")
    skip = next(choice for choice in photo["messages"][-1]["choices"] if choice["title"] == "button_skip")
    report = finished(resident.presses(skip))
    assert report == {
        "category": "graffiti",
        "place": "behind the old brewery",
        "description": "Rude words in red",
        "photo": None,
    }


def test_a_question_in_the_middle_is_answered_and_the_form_asks_again(resident: Resident) -> None:
    resident.says("there is graffiti on the school wall")
    said = resident.says("How much is a resident parking permit?")
    assert keys(said) == ["answer", "form_question_first", "report_ask_place"]
    assert said["messages"][0]["answer"]["passages"][0]["article"] == "parking/resident-permit"
    assert (said["form"], said["asking"]) == ("report_form", "place")
    assert resident.says("Harbour Street 4")["asking"] == "description"


def test_cancelling_drops_everything(resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    said = resident.says("forget it, cancel the report")
    assert keys(said) == ["report_cancelled"]
    assert said["form"] is None
    assert keys(resident.says("cancel")) == ["report_nothing_to_cancel"]
    assert resident.says("I want to report a problem")["asking"] == "category"


def test_a_call_for_help_in_a_description_is_a_description(resident: Resident) -> None:
    resident.says("the street light is out in Orchard Avenue")
    assert resident.says("the lamp is broken, help")["asking"] == "photo"
    assert "the lamp is broken, help" in finished(resident.says("skip"))["description"]


def test_small_talk_is_answered_and_not_taken_for_a_place(resident: Resident) -> None:
    resident.says("I want to report graffiti")
    said = resident.says("hello")
    assert keys(said) == ["greet", "report_ask_place"]


@pytest.mark.parametrize("none", ["no", "skip", "No photo, sorry", "nein", "لا", "没有照片"])
def test_no_photo_ends_the_report(resident: Resident, none: str) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    resident.says("It is deep")
    assert finished(resident.says(none))["photo"] is None


def test_no_and_a_cancel_is_no_missing_photo(resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    resident.says("It is deep")
    assert keys(resident.says("no, cancel the report")) == ["report_cancelled"]


def test_asking_for_a_person_leaves_the_report_which_can_be_resumed(resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    left = resident.says("I want to talk to a person please")
    assert left["messages"] == [{"handoff": {"reason": "asked"}}]
    assert left["form"] is None
    greeted = resident.says("hello")
    assert keys(greeted) == ["greet", "report_left_open"]
    resumed = resident.presses(greeted["messages"][-1]["choices"][0])
    assert keys(resumed) == ["report_resume", "report_ask_description"]
    resident.says("It is deep")
    assert finished(resident.says("skip"))["place"] == "Mill Lane"


def test_yes_resumes_and_another_problem_begins_anew(resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    resident.says("I want to talk to a person please")
    resident.says("hello")
    assert keys(resident.says("yes")) == ["report_resume", "report_ask_description"]
    resident.says("I want to talk to a person please")
    anew = resident.says("there is graffiti on Harbour Street")
    assert keys(anew)[0] == "report_start"
    resident.says("red letters")
    assert finished(resident.says("skip"))["place"] == "Harbour Street"


def test_what_is_not_understood_is_asked_once_more_then_taken_as_other(resident: Resident) -> None:
    resident.says("I want to report a problem")
    assert keys(resident.says("qwrtz pfgh")) == ["report_invalid_category"]
    assert resident.says("qwrtz pfgh")["asking"] == "place"
    assert keys(resident.says("I don't know")) == ["report_invalid_place"]
    resident.says("Market Square")
    resident.says("it hums at night and glows")
    report = finished(resident.says("no photo"))
    assert (report["category"], report["place"]) == ("other", "Market Square")


def test_a_photo_sent_ahead_is_kept_for_the_report(resident: Resident) -> None:
    assert keys(resident.says("", media=PHOTO)) == ["media_received"]
    resident.says("there's a huge pothole in Mill Lane")
    assert finished(resident.says("It is deep"))["photo"] == "0197-photo"


HERE = "Town Hall (53.349805, -6.26031)"
SHARED = {"title": HERE, "intent": "inform", "entities": {"place": HERE}}


def test_a_place_that_is_shared_is_the_reports_place(resident: Resident) -> None:
    assert resident.says("there is graffiti on the school wall")["asking"] == "place"
    after = resident.presses(SHARED)
    assert (after["asking"], after["unfinished"]["place"]) == ("description", HERE)


def test_coordinates_in_words_are_a_place(resident: Resident) -> None:
    assert resident.says("there is graffiti on the school wall")["asking"] == "place"
    after = resident.says("53.349805, -6.26031")
    assert (after["asking"], after["unfinished"]["place"]) == ("description", "53.349805, -6.26031")


def test_a_place_that_is_shared_ahead_is_kept_for_the_button_and_for_words(resident: Resident) -> None:
    shared = resident.presses(SHARED)
    assert (keys(shared), shared["form"]) == (["location_received"], None)
    (report,) = shared["messages"][-1]["choices"]
    begun = resident.presses(report)
    assert keys(begun) == ["report_start", "report_ask_category"]
    assert begun["unfinished"]["place"] == HERE
    resident.says("stop")
    resident.presses(SHARED)
    said = resident.says("there is a huge pothole in the road")
    assert keys(said)[0] == "report_start"
    assert (said["asking"], said["unfinished"]["place"]) == ("description", HERE)


@pytest.mark.parametrize(
    ("language", "text", "category", "place"),
    [
        ("de", "Die Straßenlaterne in der Station Road ist kaputt", "street_light", "Station Road"),
        ("es", "hay un bache enorme en Mill Lane 3", "pothole", "Mill Lane 3"),
        ("fr", "il y a un lampadaire cassé dans la rue Pasteur", "street_light", "rue Pasteur"),
        ("ar", "هناك حفرة كبيرة في Mill Lane", "pothole", "Mill Lane"),
        ("zh", "Harbour Street 路上有个大坑洞", "pothole", "Harbour Street"),
    ],
)
def test_reports_begin_in_any_language(
    resident: Resident, language: str, text: str, category: str, place: str
) -> None:
    resident.language = language
    assert resident.says(text)["form"] == "report_form"
    resident.says(text)
    report = finished(resident.says("", media=PHOTO))
    assert (report["category"], report["place"]) == (category, place)
