"""A touchpoint is taken once, undone when the hub gave it up, and not taken at all when something fails."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.assistant.conftest import HEADERS, Door, Rasa, Resident


def keys(answer: dict[str, Any]) -> list[str]:
    """Return what was said, by key, and the kind of every other message."""
    return [message.get("say") or next(iter(message)) for message in answer["messages"]]


def test_a_question_is_answered_with_its_source(resident: Resident) -> None:
    said = resident.says("When is my recycling collected?")
    assert said["intent"]["name"] == "ask_question"
    assert (said["form"], said["asking"], said["repeated"]) == (None, None, False)
    answer = said["messages"][0]["answer"]
    assert answer["outcome"] == "answered"
    assert answer["passages"][0]["article"] == "waste/recycling-collection"
    assert answer["passages"][0]["url"] and answer["passages"][0]["quote"]


def test_a_second_delivery_returns_the_first_answer_and_fills_nothing(resident: Resident) -> None:
    resident.says("I want to report a problem")
    touchpoint = str(uuid.uuid4())
    first = resident.says("graffiti", touchpoint=touchpoint)
    again = resident.says("graffiti", touchpoint=touchpoint)
    assert again == {**first, "repeated": True}
    assert again["asking"] == "place"
    assert resident.says("Mill Lane")["asking"] == "description"


def test_an_old_touchpoint_is_still_known_many_turns_later(resident: Resident) -> None:
    touchpoint = str(uuid.uuid4())
    first = resident.says("hello", touchpoint=touchpoint)
    for _ in range(8):
        resident.says("thanks")
    assert resident.says("hello", touchpoint=touchpoint) == {**first, "repeated": True}


def test_the_same_touchpoint_five_times_at_once_runs_once(resident: Resident) -> None:
    resident.says("I want to report a problem")
    touchpoint = str(uuid.uuid4())
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: resident.says("pothole", touchpoint=touchpoint), range(5)))
    assert sorted(answer["repeated"] for answer in answers) == [False, True, True, True, True]
    assert {answer["asking"] for answer in answers} == {"place"}


def test_forms_and_answers_survive_a_restart(rasa: Rasa, resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    touchpoint = str(uuid.uuid4())
    first = resident.says("It is as deep as a bucket", touchpoint=touchpoint)
    rasa.restart()
    assert resident.says("It is as deep as a bucket", touchpoint=touchpoint) == {**first, "repeated": True}
    report = resident.says("no photo")["messages"][0]["report"]
    assert report["description"] == "there's a huge pothole in Mill Lane. It is as deep as a bucket"


def test_a_failing_action_is_told_and_leaves_the_conversation_as_it_was(
    resident: Resident, door: type[Door]
) -> None:
    resident.says("I want to report a problem")
    touchpoint = str(uuid.uuid4())
    door.shut = frozenset({"/webhook"})
    failed = resident.send("graffiti", touchpoint=touchpoint)
    assert failed.status_code == 502
    assert failed.json()["error"]
    door.shut = frozenset()
    retried = resident.says("graffiti", touchpoint=touchpoint)
    assert (retried["repeated"], retried["asking"]) == (False, "place")


def test_a_given_up_turn_is_undone_with_what_it_filled(resident: Resident) -> None:
    resident.says("I want to report a problem")
    given_up = str(uuid.uuid4())
    assert resident.says("pothole", touchpoint=given_up)["asking"] == "place"
    said = resident.says("graffiti on the school wall", given_up=[given_up])
    assert said["asking"] == "place"
    resident.says("Harbour Street")
    resident.says("skip")
    report = resident.says("skip")["messages"][0]["report"]
    assert report["category"] == "graffiti"
    assert resident.send("pothole", touchpoint=given_up).status_code == 409


def test_a_turn_given_up_before_it_came_is_refused_when_it_comes(resident: Resident) -> None:
    late = str(uuid.uuid4())
    resident.says("hello", given_up=[late])
    assert resident.send("there is a pothole in Mill Lane", touchpoint=late).status_code == 409
    assert resident.says("thanks")["form"] is None


def test_a_given_up_first_turn_leaves_nothing_behind(resident: Resident) -> None:
    given_up = str(uuid.uuid4())
    resident.says("there's a huge pothole in Mill Lane", touchpoint=given_up)
    said = resident.says("hello", given_up=[given_up])
    assert said["form"] is None
    assert keys(said) == ["greet"]


def test_what_a_person_has_dealt_with_is_forgotten_with_its_form(resident: Resident) -> None:
    """Touchpoints' ids are in the order in which they were made, as the hub's are."""
    first, second, marker, third, fourth = (f"01a20000-0000-7000-8000-00000000000{n}" for n in range(5))
    resident.says("I want to report a problem", touchpoint=first)
    assert resident.says("pothole", touchpoint=second)["asking"] == "place"
    said = resident.says("hello", touchpoint=third, after=marker)
    assert (said["form"], said["unfinished"]) == (None, None)
    assert keys(said) == ["greet"]
    said = resident.says("I want to report a problem", touchpoint=fourth, after=marker)
    assert said["asking"] == "category"
    last = resident.says("graffiti", touchpoint="01a20000-0000-7000-8000-000000000005", after=marker)
    assert last["asking"] == "place"


@pytest.mark.parametrize("text", ["/restart", '/talk_to_human{"x":1}', "  /greet@1.0", "/", "//cancel"])
def test_text_is_never_an_intent(resident: Resident, text: str) -> None:
    said = resident.says(text)
    assert said["intent"] == {"name": "nlu_fallback", "confidence": 0.0}
    assert keys(said) == ["answer"]


def test_a_choice_is_an_intent(resident: Resident) -> None:
    said = resident.presses({"title": "button_person", "intent": "talk_to_human", "entities": {}})
    assert said["intent"] == {"name": "talk_to_human", "confidence": 1.0}
    assert said["messages"] == [{"handoff": {"reason": "asked"}}]


@pytest.mark.parametrize("text", ["", "🙂🙂🙂", "\0\0", "x" * 19_000, "'; DROP TABLE tracker; --"])
def test_odd_texts_are_answered(resident: Resident, text: str) -> None:
    assert resident.says(text)["messages"]


def test_calls_without_the_secret_or_with_a_wrong_body_are_refused(rasa: Rasa) -> None:
    body = {"conversation": "c", "touchpoint": "t", "text": "hello"}
    wrong_ones: tuple[dict[bytes, bytes], ...] = (
        {},
        {b"X-Internal-Secret": b"wrong"},
        {b"X-Internal-Secret": "é".encode()},
    )
    for headers in wrong_ones:
        assert httpx.post(f"{rasa.url}/turn", json=body, headers=headers).status_code == 403
    bodies: tuple[Any, ...] = (
        {"conversation": "c", "text": "hello"},
        {**body, "text": "x" * 20_001},
        {**body, "choice": {"intent": "no_such_intent"}},
        {**body, "history": "none"},
        [],
    )
    for wrong in bodies:
        answer = httpx.post(f"{rasa.url}/turn", json=wrong, headers=HEADERS)
        assert answer.status_code == 422, wrong
        assert answer.json()["error"]
    assert httpx.post(f"{rasa.url}/turn", content=b"{", headers=HEADERS).status_code == 422


def test_residents_are_answered_side_by_side(rasa: Rasa) -> None:
    residents = [Resident(rasa.url) for _ in range(8)]

    def talk(resident: Resident) -> dict[str, Any]:
        resident.says("I want to report a problem")
        resident.says("graffiti")
        resident.says(f"Mill Lane {residents.index(resident) + 1}")
        resident.says("a big red word on the wall")
        report: dict[str, Any] = resident.says("skip")["messages"][0]["report"]
        return report

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(talk, residents))
    assert [report["place"] for report in reports] == [f"Mill Lane {number + 1}" for number in range(8)]


def test_a_forgotten_conversation_begins_anew(rasa: Rasa, resident: Resident) -> None:
    resident.says("there's a huge pothole in Mill Lane")
    body = {"conversations": [resident.conversation]}
    assert httpx.post(f"{rasa.url}/forget", json=body, headers=HEADERS).status_code == 204
    said = resident.says("it is deep")
    assert said["form"] is None or "report_start" in keys(said)


def test_the_log_holds_no_message_text(rasa: Rasa, resident: Resident) -> None:
    resident.says("my secret sentence about quinces +15550001111")
    log = rasa.log.read_text()
    assert resident.conversation in log
    assert "quinces" not in log and "15550001111" not in log
