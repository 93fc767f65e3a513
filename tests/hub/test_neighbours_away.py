"""When Rasa or the brain is away, slow or talks nonsense: never silence, and never for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from contact_hub.journey import neighbours, responding
from contact_hub.journey.neighbours import Neighbours, Reading
from contact_hub.operations.queue import Lane
from tests.hub.line import SECRET, Line, Script, found, passage, says, turn


async def honest(line: Line, answers: list[str]) -> None:
    """An honest sentence and a place in the queue."""
    assert len(answers) == 2
    assert answers[0] == line.city.say("assistant_down_handoff", "en")
    assert "queue" in answers[1] or "office is closed" in answers[1]


async def test_with_both_away_a_resident_is_told_so_and_put_into_the_queue(line: Line) -> None:
    resident = await line.visitor()
    async with asyncio.timeout(3):
        answers = await resident.says("When is my recycling collected?")
    await honest(line, answers)
    talk = await resident.conversation()
    assert (talk.state, talk.reason, talk.holder, talk.epoch) == ("waiting", "assistant_down", None, 1)
    assert await resident.endings() == [("handed_off", "handed_off")]
    assert [t.actor for t in await resident.written()] == ["system", "system"]
    assert talk.given_up == [str((await resident.touchpoints())[0].id)]


async def test_with_rasa_away_the_brain_answers_from_the_articles(
    lines: Callable[..., Line], script: Script
) -> None:
    line = lines(brain_url=script.url)
    resident = await line.visitor()
    async with asyncio.timeout(3):
        (answer,) = await resident.says("When is my recycling collected?")
    assert line.city.say("assistant_down_search", "en") in answer
    assert passage()["quote"] in answer
    assert (await resident.conversation()).state == "bot"
    assert await resident.endings() == [("answered", "searched_without_rasa")]
    written = (await resident.written())[0]
    assert written.payload["sources"] == [{"title": "Recycling, part 1", "url": passage()["url"]}]
    (kept,) = await line.sql("SELECT outcome, probability, knowledge_version, passages FROM answer")
    assert (kept.outcome, kept.probability, kept.knowledge_version) == ("answered", 0.87, 3)
    assert kept.passages[0]["version"] == 41


@pytest.mark.parametrize("outcome", ["refused", "clarified"])
async def test_without_rasa_an_unsure_search_is_no_answer(
    lines: Callable[..., Line], script: Script, outcome: str
) -> None:
    script.on_search = lambda asked: found(outcome)
    line = lines(brain_url=script.url)
    resident = await line.visitor()
    await honest(line, await resident.says("Who will win the cup?"))


@pytest.mark.parametrize(
    "failure",
    [
        turn(),
        (502, {"error": "The action server failed."}),
        (500, {"error": "oops"}),
        (404, {}),
        ["not", "an", "object"],
        {"messages": ["words"]},
        {"messages": None},
    ],
    ids=["no-messages", "502", "500", "404", "list", "bare-words", "null"],
)
async def test_a_failing_rasa_is_no_silence(talking: Line, script: Script, failure: Any) -> None:
    script.on_turn = lambda asked: failure if isinstance(failure, tuple) else (200, failure)
    resident = await talking.visitor()
    (answer,) = await resident.says("When is my recycling collected?")
    assert passage()["quote"] in answer
    assert len(script.turns) == 1
    assert (await resident.conversation()).given_up


@pytest.mark.parametrize(
    "message",
    [
        {"say": "no_such_sentence"},
        {"sing": "la la la"},
        {"answer": {"passages": []}},
        {"request": "make_me_mayor"},
        {"say": "greet", "choices": [{"title": "no_such_title", "intent": "affirm"}]},
        {"say": "greet", "values": ["not", "named"]},
    ],
)
async def test_what_nobody_understands_of_rasa_is_answered_from_the_articles(
    talking: Line, script: Script, message: dict[str, Any]
) -> None:
    script.on_turn = lambda asked: turn({"say": "help"}, message, {"handoff": {"reason": "asked"}})
    resident = await talking.visitor()
    answers = await resident.says("When is my recycling collected?")
    if answers[0] == talking.city.say("help", "en"):
        assert message == {"sing": "la la la"}, "an unknown kind beside known ones is passed over"
        return
    (answer,) = answers
    assert passage()["quote"] in answer
    assert (await resident.conversation()).state == "bot", "nothing of that turn was done"
    assert await talking.unsettled() == 0


def test_nobody_waits_for_three_seconds_however_slow_the_neighbours_are() -> None:
    beside = responding.SLOW_RASA_SECONDS + neighbours.SEARCH_SECONDS
    assert neighbours.READ_SECONDS + max(neighbours.RASA_SECONDS, beside) < 3


async def test_a_slow_rasa_is_given_up_in_time_and_told_so_with_the_next_message(
    talking: Line, script: Script
) -> None:
    async def sleeps(asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(30)
        return says("greet")

    script.on_turn = sleeps
    resident = await talking.visitor()
    began = time.monotonic()
    (answer,) = await resident.says("When is my recycling collected?")
    assert time.monotonic() - began < 10, "2.5 s, and much for a busy machine"
    assert passage()["quote"] in answer
    first = (await resident.touchpoints())[0]

    script.on_turn = lambda asked: says("thanks_reply")
    assert await resident.says("Thanks") == [talking.city.say("thanks_reply", "en")]
    assert script.turns[-1]["given_up"] == [str(first.id)]
    assert (await resident.conversation()).given_up == []
    await resident.says("Thanks again")
    assert script.turns[-1]["given_up"] == []


async def test_with_rasa_and_brain_hanging_a_resident_still_hears_within_three_seconds(
    talking: Line, script: Script
) -> None:
    async def sleeps(asked: Any) -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    script.on_turn = script.on_read = script.on_search = sleeps
    resident = await talking.visitor()
    began = time.monotonic()
    answers = await resident.says("When is my recycling collected?")
    assert time.monotonic() - began < 10, "2.5 s, and much for a busy machine"
    await honest(talking, answers)


async def test_a_rasa_that_is_only_a_little_slow_is_not_given_up(
    talking: Line, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = responding.SLOW_RASA_SECONDS + 0.3
    assert slow < neighbours.RASA_SECONDS

    async def dawdles(asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(slow)
        return says("thanks_reply")

    script.on_turn = dawdles
    patient = partial(talking.neighbours.turn, seconds=30)  # so that a busy machine does not decide
    monkeypatch.setattr(talking.neighbours, "turn", patient)
    resident = await talking.visitor()
    assert await resident.says("Thanks") == [talking.city.say("thanks_reply", "en")]
    assert (await resident.conversation()).given_up == []


async def test_the_same_message_is_asked_again_under_the_same_touchpoint(
    talking: Line, script: Script
) -> None:
    """A worker that died after Rasa answered: its turn is repeated, not run twice."""
    script.on_turn = lambda asked: {**says("thanks_reply"), "repeated": len(script.turns) > 1}
    resident = await talking.visitor()
    await resident.does(words="Thanks")
    task = await talking.claim(Lane.IN)
    assert task is not None
    asking = asyncio.create_task(talking.handle(task))
    while not script.turns:  # noqa: ASYNC110 - it is filled by a server in another thread
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await talking.hurry()
    await talking.work()
    assert len(await resident.reads()) == 1
    assert len({asked["touchpoint"] for asked in script.turns}) == 1


# Forms ---------------------------------------------------------------------------------------------


@pytest.fixture
async def reporting(talking: Line, script: Script) -> Any:
    """Somebody whom Rasa just asked for the place of a pothole."""
    script.on_turn = lambda asked: says("report_ask_place", form="report_form", intent="report_problem")
    resident = await talking.visitor()
    assert await resident.says("There is a pothole") == [talking.city.say("report_ask_place", "en")]
    assert (await resident.conversation()).form == "report_form"
    return resident


async def test_a_form_waits_for_rasa_and_says_so_once(talking: Line, script: Script, reporting: Any) -> None:
    script.on_turn = lambda asked: (502, {"error": "starting"})
    assert await reporting.says("Mill Lane 5") == [talking.city.say("one_moment", "en")]
    for _ in range(3):
        await talking.hurry()
        await talking.work()
    assert len(await reporting.reads()) == 2, "the sentence is said once"
    assert (await reporting.endings())[-1] == (None, None)

    script.on_turn = lambda asked: says("report_ask_description", form="report_form")
    await talking.hurry()
    await talking.work()
    assert (await reporting.reads())[2:] == [talking.city.say("report_ask_description", "en")]
    assert {asked["text"] for asked in script.turns[1:]} == {"Mill Lane 5"}
    assert len({asked["touchpoint"] for asked in script.turns[1:]}) == 1
    assert script.turns[-1]["given_up"] == []
    assert await talking.unsettled() == 0


async def test_what_is_written_while_a_form_waits_keeps_its_order(
    talking: Line, script: Script, reporting: Any
) -> None:
    script.on_turn = lambda asked: (502, {"error": "starting"})
    await reporting.says("Mill Lane 5")
    await reporting.does(words="It is very deep")
    await talking.work()
    script.on_turn = lambda asked: says("report_ask_description", form="report_form")
    await talking.hurry()
    await talking.work()
    words = [asked["text"] for asked in script.turns if asked["text"] != "There is a pothole"]
    assert words == ["Mill Lane 5"] * (len(words) - 1) + ["It is very deep"]
    assert await talking.unsettled() == 0


async def test_a_form_does_not_wait_for_ever(talking: Line, script: Script, reporting: Any) -> None:
    script.on_turn = lambda asked: (502, {"error": "never again"})
    await reporting.does(words="Mill Lane 5")
    for _ in range(responding.FORM_PATIENCE_ATTEMPTS + 1):
        await talking.work()
        await talking.hurry()
    assert (await reporting.endings())[-1][0] == "handed_off"
    talk = await reporting.conversation()
    assert (talk.state, talk.form) == ("waiting", None)
    assert await talking.unsettled() == 0


async def test_a_report_that_rasa_finished_has_a_number_once(
    talking: Line, script: Script, reporting: Any
) -> None:
    report = {"category": "pothole", "place": "Mill Lane", "description": "Deep", "photo": None}
    script.on_turn = lambda asked: turn({"report": report})
    (done,) = await reporting.says("no photo")
    (row,) = await talking.sql("SELECT reference, category, department, place FROM report")
    assert (row.category, row.department, row.place) == ("pothole", "roads", "Mill Lane")
    assert row.reference in done
    assert (await reporting.conversation()).form is None
    events = [t for t in await reporting.touchpoints() if t.kind == "report"]
    assert [event.payload["reference"] for event in events] == [row.reference]


@pytest.mark.parametrize("missing", ["category", "place", "description"])
async def test_a_report_that_lacks_something_is_told_to_a_person_and_not_lost(
    talking: Line, script: Script, reporting: Any, missing: str
) -> None:
    report = {"category": "pothole", "place": "Mill Lane", "description": "Deep", "photo": None}
    del report[missing]
    script.on_turn = lambda asked: turn({"report": report})
    await reporting.does(words="no photo")
    for _ in range(8):
        await talking.work()
        await talking.hurry()
    assert await talking.unsettled() == 0
    assert await talking.count("report") == 0


# Dead letters --------------------------------------------------------------------------------------


async def test_a_message_that_cannot_be_handled_ends_with_a_ticket_and_the_next_one_goes_on(
    talking: Line, script: Script
) -> None:
    broken = turn({"report": {"category": "pothole", "place": "x", "description": "y", "photo": "no-id"}})
    script.on_turn = lambda asked: broken if asked["text"] == "first" else says("greet")
    resident = await talking.visitor()
    await resident.does(words="first")
    await resident.does(words="second")
    for _ in range(8):
        await talking.work()
        await talking.hurry()
    (ticket,) = await talking.tickets()
    assert (ticket.kind, ticket.touchpoint_id) == ("dead_letter", (await resident.touchpoints())[0].id)
    assert ticket.reference in (await resident.reads())[0]
    assert [outcome for outcome, _ in await resident.endings()] == ["dead_lettered", "handed_off"]
    assert (await resident.conversation()).reason == "technical"
    assert await talking.unsettled() == 0
    assert await talking.count("task") == 0


async def test_a_message_that_cannot_even_be_loaded_blocks_nobody(talking: Line, script: Script) -> None:
    resident = await talking.visitor()
    await resident.does(words="first")
    await talking.sql('UPDATE task SET payload = \'{"touchpoint": "0190e7c0-0000-7000-8000-00000000000a"}\'')
    await resident.does(words="second")
    await talking.work()
    assert await resident.reads() == [talking.city.say("greet", "en")]


async def test_rasa_gets_what_was_said_before_and_nothing_it_need_not_know(
    talking: Line, script: Script
) -> None:
    resident = await talking.visitor()
    for number in range(5):
        await resident.says(f"Question {number}")
    asked = script.turns[-1]
    assert [line["role"] for line in asked["history"]] == ["citizen", "bot"] * 3
    assert asked["history"][-2]["text"] == "Question 3"
    assert asked["conversation"] == str((await resident.conversation()).id)
    assert resident.address not in str(asked), "the address stays in the hub"
    assert asked["choice"] is None


@pytest.mark.parametrize(
    "meant",
    [
        {},
        {"unhappy": None, "repeats": None, "danger": None},
        {"unhappy": "very", "repeats": None, "danger": None},
        {"unhappy": 0.2, "repeats": {"turn": 0}, "danger": None},
        {"unhappy": 0.2, "repeats": [0, 0.9], "danger": "fire"},
    ],
)
async def test_whatever_else_a_reading_holds_the_language_is_kept(
    talking: Line, script: Script, meant: dict[str, Any]
) -> None:
    chat = await talking.visitor()
    script.on_read = lambda asked: {"language": "de", "confidence": 0.99, **meant}
    assert await chat.says("Wann wird mein Altpapier abgeholt?") == [chat.line.city.say("greet", "de")]


async def test_a_turn_is_read_with_what_was_said_before_it(talking: Line, script: Script) -> None:
    chat = await talking.visitor()
    await chat.says("When is the library open?")
    await chat.says("So when does the library open?")
    assert script.readings[0]["history"] == []
    assert [(said["role"], said["text"]) for said in script.readings[1]["history"]] == [
        ("citizen", "When is the library open?"),
        ("bot", chat.line.city.say("greet", "en")),
    ]


async def test_a_reading_is_understood(script: Script) -> None:
    script.on_read = lambda asked: {
        "language": "en",
        "confidence": 0.9,
        "unhappy": 0.75,
        "repeats": {"turn": 2, "similarity": 0.88},
        "danger": {"kind": "emergency", "probability": 0.97},
    }
    neighbours = Neighbours(brain_url=script.url, rasa_url=script.url, secret=SECRET)
    try:
        reading = await neighbours.read("I already told you", "en", [{"role": "citizen", "text": "Help"}])
    finally:
        await neighbours.close()
    assert reading == Reading("en", 0.9, 0.75, (2, 0.88), ("emergency", 0.97))
