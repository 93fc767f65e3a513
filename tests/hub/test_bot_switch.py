"""The switch that turns the bot off: obeyed with the next message, and honest to residents."""

from __future__ import annotations

from typing import Any

import pytest

from contact_hub.city import City
from contact_hub.journey import by_hand
from contact_hub.knowledge import switch
from contact_hub.operations.queue import Lane
from contact_hub.staff.access import Viewer
from tests.fakes import twilio
from tests.hub.line import Line, Script, found, passage, says, turn
from tests.hub.test_sending import sms_channel

MANAGER = Viewer("system", "Nora")
MARIA = Viewer("system", "Maria")


async def off(line: Line, topic: str | None = None, why: str = "It answers nonsense.") -> None:
    async with line.database.begin() as session:
        await switch.turn_off(session, MANAGER, topic, why, topics=line.city.topics)


async def on(line: Line, topic: str | None = None, why: str = "It was mended.") -> None:
    async with line.database.begin() as session:
        await switch.turn_on(session, MANAGER, topic, why)


def wish(name: str, **values: Any) -> dict[str, Any]:
    return turn({"request": name, "values": values}, intent=name)


async def test_with_the_bot_off_a_person_is_asked_at_once_and_the_resident_is_told_why(
    talking: Line, script: Script
) -> None:
    await off(talking)
    resident = await talking.visitor()
    first, second = await resident.says("When is my recycling collected?")
    assert first == talking.city.say("bot_off", "en")
    assert "queue" in second or "office is closed" in second
    talk = await resident.conversation()
    assert (talk.state, talk.reason) == ("waiting", "bot_off")
    assert await resident.endings() == [("handed_off", "bot_off")]
    assert {t.actor for t in await resident.written()} == {"system"}
    assert talk.given_up == [str((await resident.touchpoints())[0].id)], "Rasa learns that nobody was told"


async def test_the_bot_answers_again_as_soon_as_it_is_on(talking: Line, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    await off(talking)
    await on(talking)
    resident = await talking.visitor()
    (answer,) = await resident.says("When is my recycling collected?")
    assert passage()["quote"] in answer


async def test_other_lines_obey_with_their_next_message(lines: Any, script: Script) -> None:
    first, second = (lines(brain_url=script.url, rasa_url=script.url) for _ in range(2))
    resident = await second.visitor()
    assert await resident.says("Hello") == [second.city.say("greet", "en")]
    await off(first)
    assert (await resident.says("Hello again"))[0] == second.city.say("bot_off", "en")


async def test_with_the_bot_off_and_rasa_away_a_person_is_asked_all_the_same(line: Line) -> None:
    await off(line)
    resident = await line.visitor("es")
    assert (await resident.says("¿Cuándo recogen el reciclaje?"))[0] == line.city.say("bot_off", "es")


@pytest.mark.parametrize("words", ["/start", "/help"])
async def test_nobody_is_greeted_by_a_bot_that_is_off(talking: Line, words: str) -> None:
    await off(talking)
    resident = await talking.visitor()
    assert (await resident.says(words))[0] == talking.city.say("bot_off", "en")


async def test_an_old_button_of_a_bot_that_is_off_leads_to_a_person(talking: Line) -> None:
    await off(talking)
    resident = await talking.visitor()
    assert (await resident.presses("nonsense"))[0] == talking.city.say("bot_off", "en")
    assert (await resident.conversation()).state == "waiting"


async def test_a_form_in_the_middle_goes_to_a_person_with_what_was_said(
    talking: Line, script: Script
) -> None:
    script.on_turn = lambda asked: says("report_ask_place", form="report_form")
    resident = await talking.visitor()
    await resident.says("There is a pothole")
    await off(talking)
    asked = len(script.turns)
    assert (await resident.says("Mill Lane 3"))[0] == talking.city.say("bot_off", "en")
    assert len(script.turns) == asked
    assert (await resident.conversation()).form is None


async def test_what_the_hub_itself_carries_out_works_while_the_bot_is_off(
    talking: Line, script: Script, whole_city: City
) -> None:
    await off(talking)
    resident = await talking.visitor()
    script.on_turn = lambda asked: wish("delete_my_data")
    (asked,) = await resident.says("Please delete what you know of me")
    assert asked == talking.city.say("erase_ask", "en")
    script.on_turn = lambda asked: wish("link_channel")
    (code,) = await resident.says("I want to link my phone")
    assert "code" in code
    script.on_turn = lambda asked: wish("change_language", language="de")
    assert await resident.says("German please") == [talking.city.say("language_changed", "de")]
    assert await resident.says("STOP") == [talking.city.say("stop_confirmed", "de")]
    assert (await resident.conversation()).state == "bot"


async def test_what_the_bot_was_thinking_of_when_it_was_switched_off_is_not_said(
    talking: Line, script: Script
) -> None:
    async def slowly(asked: dict[str, Any]) -> dict[str, Any]:
        await off(talking)
        return turn({"answer": found()})

    script.on_turn = slowly
    resident = await talking.visitor()
    first, second = await resident.says("When is my recycling collected?")
    assert first == talking.city.say("bot_off", "en")
    assert "queue" in second or "office is closed" in second
    talk = await resident.conversation()
    assert (talk.state, talk.reason, len(talk.given_up)) == ("waiting", "bot_off", 1)
    assert await talking.count("answer") == 0


async def test_an_answer_that_had_not_left_when_the_bot_was_switched_off_stays_and_a_person_is_told(
    lines: Any, script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    line = lines(brain_url=script.url, rasa_url=script.url, channels=[sms_channel(fake_twilio)])
    script.on_turn = lambda asked: turn({"answer": found()})
    resident = line.texter()
    await resident.does(words="When is my recycling collected?")
    await line.work(Lane.IN)
    await off(line)
    await line.work(Lane.OUT)
    assert fake_twilio.messages == []
    (ticket,) = await line.tickets()
    assert "switched off" in ticket.reason


async def test_a_conversation_given_back_while_the_bot_is_off_waits_for_the_next_person(
    talking: Line, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    resident = await talking.visitor()
    await resident.says("A person, please")
    which = (await resident.conversation()).id
    await by_hand.reply(talking.writer, talking.wakeups, str(which), MARIA, "Please ask the bot.")
    await off(talking)
    async with talking.database.begin() as session:
        await by_hand.give_back_within(session, talking.writer, which, MARIA)
    last = (await resident.reads())[-1]
    assert last.startswith(talking.city.say("bot_off", "en"))
    assert "queue" in last or "office is closed" in last
    talk = await resident.conversation()
    assert (talk.state, talk.reason) == ("waiting", "bot_off")
    async with talking.database.begin() as session:
        with pytest.raises(by_hand.CannotDo, match="switched off"):
            await by_hand.give_back_within(session, talking.writer, which, MARIA)


async def test_danger_and_consent_are_heard_while_the_bot_is_off(asking: Line) -> None:
    async with asking.database.begin() as session:
        await switch.turn_off(session, MANAGER, None, "A drill.", topics=asking.city.topics)
    texter = await asking.visitor()
    terms = asking.city.say("consent_alerts_terms", "en", city=asking.city.name)
    assert terms in "".join(await texter.says("send me alerts"))
    assert (await texter.conversation()).state == "bot"
    answers = await texter.says("there is a gas leak")
    assert asking.city.settings["emergency"]["number"] in answers[0]
    assert (await texter.conversation()).priority == 100


async def test_of_a_topic_that_is_off_nothing_is_answered_and_a_person_is_offered(
    talking: Line, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    await off(talking, "waste")
    resident = await talking.visitor()
    assert await resident.says("When is my recycling collected?") == [talking.city.say("topic_off", "en")]
    assert await resident.endings() == [("answered", "topic_off")]
    assert (await resident.conversation()).department == "waste", (
        "whoever asks for a person gets the right one"
    )
    (kept,) = await talking.sql("SELECT outcome, passages FROM answer")
    assert kept.outcome == "withheld"
    (button,) = await resident.buttons()
    await resident.presses(button["id"])
    assert (await resident.conversation()).state == "waiting"


async def test_other_topics_are_answered_meanwhile(talking: Line, script: Script) -> None:
    await off(talking, "council-tax")
    script.on_turn = lambda asked: turn({"answer": found()})
    resident = await talking.visitor()
    (answer,) = await resident.says("When is my recycling collected?")
    assert passage()["quote"] in answer


async def test_asking_back_leaves_out_what_is_off(talking: Line, script: Script) -> None:
    parking = passage(2, article="parking/fines", title="Parking fines")
    script.on_turn = lambda asked: turn({"answer": found("clarified", passage(), parking)})
    await off(talking, "waste")
    resident = await talking.visitor()
    await resident.says("I want to pay")
    person = talking.city.say("button_person", "en")
    assert [button["title"] for button in await resident.buttons()] == ["Parking fines", person]
    await off(talking, "parking")
    assert await resident.says("I want to pay") == [talking.city.say("topic_off", "en")]


async def test_without_rasa_a_topic_that_is_off_stays_off(lines: Any, script: Script) -> None:
    line = lines(brain_url=script.url)
    await off(line, "waste")
    resident = await line.visitor()
    assert await resident.says("When is my recycling collected?") == [line.city.say("topic_off", "en")]


async def test_switching_needs_a_reason_and_a_topic_that_exists(line: Line) -> None:
    for topic, why in ((None, "  "), (None, "x" * 501), ("dragons", "They are extinct.")):
        with pytest.raises(switch.CannotSwitch):
            await off(line, topic, why)
    await off(line)
    with pytest.raises(switch.CannotSwitch, match="off already"):
        await off(line)
    await off(line, "waste")
    await on(line)
    with pytest.raises(switch.CannotSwitch, match="not off"):
        await on(line)
    async with line.database.begin() as session:
        assert await switch.what_is_off(session) == {"waste"}
    entries = await line.sql("SELECT viewer_name, action, subject, words FROM audit ORDER BY number")
    assert [tuple(entry) for entry in entries] == [
        ("Nora", "bot.off", None, {"reason": "It answers nonsense."}),
        ("Nora", "bot.off", "waste", {"reason": "It answers nonsense."}),
        ("Nora", "bot.on", None, {"reason": "It was mended."}),
    ]


def test_every_topic_of_the_articles_can_be_switched(whole_city: City) -> None:
    folders = {path.name for path in (whole_city.folder / "knowledge").iterdir() if path.is_dir()}
    assert folders <= set(whole_city.topics)
