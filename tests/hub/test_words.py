"""What is decided before any model reads it: danger, silence, commands, and buttons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from channels.base.contract import InboundKind
from contact_hub.journey.buttons import button_id, read_button_id
from contact_hub.journey.compose import REFERENCE
from contact_hub.operations.queue import Lane
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, found, says, turn


@pytest.fixture
async def phone(lines: Callable[..., Line], script: Script) -> Resident:
    """Somebody with a phone, on a line whose texts go nowhere yet."""
    sms = recorded.build("sms", twilio_from="+15550001000")
    return lines(brain_url=script.url, rasa_url=script.url, channels=[sms]).texter()


@pytest.fixture
async def chat(talking: Line) -> Resident:
    """Somebody in the web chat."""
    return await talking.visitor()


async def silent(resident: Resident) -> bool:
    return bool(
        await resident.line.count(
            "suppression", "channel = :c AND value = :v", c=resident.channel, v=resident.address
        )
    )


async def leaving(resident: Resident) -> list[str]:
    """What would be sent: asked by the same rules as the sending itself."""
    from contact_hub.citizens import service as citizens
    from contact_hub.journey import permission

    texts = []
    for delivery in await resident.line.deliveries():
        async with resident.line.database.begin() as session:
            talk = await citizens.lock_conversation(session, delivery.conversation_id)
            address = await session.merge(await resident.place(), load=True)
            if await permission.withdrawn(session, talk, delivery, address) is None:
                texts.append(delivery.text)
    return texts


# Danger --------------------------------------------------------------------------------------------


async def test_an_emergency_is_answered_at_once_and_a_person_is_told(chat: Resident, script: Script) -> None:
    answers = await chat.says("Help, my house is on fire")
    assert "112" in answers[0]
    talk = await chat.conversation()
    assert (talk.state, talk.reason, talk.priority) == ("waiting", "emergency", 100)
    assert await chat.endings() == [("handed_off", "emergency")]
    assert script.turns == [], "no model is asked"


async def test_somebody_in_despair_hears_of_the_crisis_line_and_comes_first(chat: Resident) -> None:
    answers = await chat.says("I want to die")
    assert "Larkhaven Night Line" in answers[0]
    assert "+353 1 555 0116" in answers[0]
    assert "112" in answers[0]
    assert (await chat.conversation()).reason == "self_harm"
    assert (await chat.conversation()).priority == 100


async def test_an_emergency_reaches_whoever_holds_the_conversation_and_is_answered_all_the_same(
    chat: Resident,
) -> None:
    await chat.line.sql("UPDATE conversation SET state = 'agent', holder = 'Maria'")
    await chat.does(words="hello")
    await chat.line.sql("UPDATE conversation SET state = 'agent', holder = 'Maria'")
    await chat.line.work()
    answers = await chat.says("there is a gas leak")
    assert "112" in answers[0]
    assert len(answers) == 1
    talk = await chat.conversation()
    assert (talk.state, talk.holder, talk.priority) == ("agent", "Maria", 100)
    assert (await chat.endings())[-1] == ("handed_off", "emergency")


async def test_an_emergency_of_somebody_who_wanted_silence_still_reaches_a_person(phone: Resident) -> None:
    await phone.does(InboundKind.OPT_OUT, "STOP")
    await phone.does(words="help my house is on fire")
    await phone.line.work(Lane.IN)
    assert (await phone.conversation()).reason == "emergency"
    assert await leaving(phone) == [], "the network would refuse it: a person has to call"


# Silence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", "unsubscribe", "Please stop texting me", "no más mensajes"])
async def test_silence_in_the_web_chat_is_confirmed_once_and_questions_are_still_answered(
    chat: Resident, word: str
) -> None:
    (answer,) = await chat.says(word)
    assert answer == chat.line.city.say("stop_confirmed", "en")
    assert await silent(chat)
    assert await chat.endings() == [("answered", "opted_out")]
    events = [t.kind for t in await chat.touchpoints() if t.direction == "inner"]
    assert events == ["silence"]
    assert await chat.says("When is my bin day?") == [chat.line.city.say("greet", "en")]
    assert await chat.says("START") == [chat.line.city.say("start_confirmed", "en")]
    assert not await silent(chat)


@pytest.mark.parametrize("word", ["CANCEL", "end", "quit", "revoke"])
async def test_the_networks_other_words_mean_nothing_in_the_web_chat(chat: Resident, word: str) -> None:
    await chat.says(word)
    assert not await silent(chat)
    assert await chat.endings() == [("answered", "said")]


async def test_yes_in_the_web_chat_is_an_answer(chat: Resident, script: Script) -> None:
    await chat.says("yes")
    assert script.turns[-1]["text"] == "yes"


@pytest.mark.parametrize("words", ["yes", "Yes", "sí"])
async def test_a_yes_in_the_web_chat_takes_back_no_stop(chat: Resident, script: Script, words: str) -> None:
    await chat.says("STOP")
    await chat.says(words)
    assert script.turns[-1]["text"] == words
    assert await silent(chat)
    assert await chat.says("unstop") == [chat.line.city.say("start_confirmed", "en")]
    assert not await silent(chat)


async def test_stop_by_text_is_strict_silence_until_start(phone: Resident, script: Script) -> None:
    await phone.says("Hello")
    await phone.does(InboundKind.OPT_OUT, "STOP")
    await phone.line.work(Lane.IN)
    assert await silent(phone)
    for words in ("When is my bin day?", "Hello?", "²"):
        await phone.does(words=words)
    await phone.line.work(Lane.IN)
    assert await leaving(phone) == []
    assert (await phone.endings())[1:] == [("suppressed", "opted_out")] + [("suppressed", "silent")] * 3
    assert len(script.turns) == 1

    await phone.does(InboundKind.OPT_IN, "START", payload={"word": "START", "provider_answered": False})
    await phone.line.work(Lane.IN)
    assert not await silent(phone)
    assert (await phone.endings())[-1] == ("suppressed", "opted_in"), "Twilio itself confirms"
    await phone.does(words="When is my bin day?")
    await phone.line.work(Lane.IN)
    assert await leaving(phone) != []


async def test_a_plain_wish_for_silence_by_text_is_confirmed_once_and_then_silence(phone: Resident) -> None:
    await phone.does(words="please stop texting me")
    await phone.does(words="and one more thing")
    await phone.line.work(Lane.IN)
    assert await leaving(phone) == [phone.line.city.say("stop_confirmed", "en")]


async def test_yes_by_text_answers_the_bot_unless_its_writer_wanted_silence(
    phone: Resident, script: Script
) -> None:
    await phone.does(InboundKind.OPT_IN, "Yes", payload={"word": "YES", "provider_answered": False})
    await phone.line.work(Lane.IN)
    assert script.turns[-1]["text"].casefold() == "yes"
    assert (await phone.endings())[-1][0] == "answered"


async def test_help_by_text_is_answered_by_the_network(phone: Resident, script: Script) -> None:
    await phone.does(words="HELP", payload={"provider_help": True})
    await phone.line.work(Lane.IN)
    assert script.turns == []
    assert await phone.reads() == []


# No intent is ever injected --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("/restart", "restart"),
        ('/talk_to_human{"x":1}', 'talk_to_human{"x":1}'),
        ("  /greet@1.0", "greet@1.0"),
        ("//restart", "restart"),
        ("/ /restart", "restart"),
        ("/\u200b/restart", None),
        ("\u00a0/restart", "restart"),
        ("/EXTERNAL: reminder", "EXTERNAL: reminder"),
    ],
)
async def test_a_slash_is_words_like_any_other(
    chat: Resident, script: Script, words: str, read: str | None
) -> None:
    await chat.says(words)
    (asked,) = script.turns
    assert not asked["text"].lstrip().startswith("/")
    assert asked["choice"] is None
    if read is not None:
        assert asked["text"] == read
    assert (await chat.touchpoints())[0].text == words, "the history keeps what was written"


@pytest.mark.parametrize(("words", "key"), [("/start", "greet"), ("/HELP", "help")])
async def test_telegrams_own_commands_are_answered(
    chat: Resident, script: Script, words: str, key: str
) -> None:
    assert await chat.says(words) == [chat.line.city.say(key, "en")]
    assert script.turns == []


# Buttons -------------------------------------------------------------------------------------------


CHOICES = [
    {"title": "=Pothole", "intent": "report_problem", "entities": {"category": "pothole"}},
    {"title": "=Graffiti", "intent": "report_problem", "entities": {"category": "graffiti"}},
]


@pytest.fixture
async def offered(chat: Resident, script: Script) -> list[dict[str, Any]]:
    """Two buttons under Rasa's question."""
    script.on_turn = lambda asked: says("report_ask_category", form="report_form", choices=CHOICES)
    await chat.says("I want to report something")
    script.on_turn = lambda asked: says("report_ask_place", form="report_form")
    return await chat.buttons()


async def test_a_pressed_button_means_what_the_hub_kept(
    chat: Resident, script: Script, offered: list[dict[str, Any]]
) -> None:
    assert [button["title"] for button in offered] == ["Pothole", "Graffiti"]
    assert all(len(button["id"]) <= 40 and button["id"].isascii() for button in offered)
    await chat.presses(offered[1]["id"])
    assert script.turns[-1]["choice"] == {"intent": "report_problem", "entities": {"category": "graffiti"}}
    assert script.turns[-1]["text"] == "Graffiti"


@pytest.mark.parametrize("words", ["2", " 2 ", "２"])
async def test_a_number_answers_where_buttons_cannot_be_shown(
    chat: Resident, script: Script, offered: list[dict[str, Any]], words: str
) -> None:
    await chat.says(words)
    assert script.turns[-1]["choice"] == {"intent": "report_problem", "entities": {"category": "graffiti"}}


@pytest.mark.parametrize("words", ["0", "3", "22", "2nd", "Graffiti"])
async def test_other_words_are_no_button(
    chat: Resident, script: Script, offered: list[dict[str, Any]], words: str
) -> None:
    await chat.says(words)
    assert script.turns[-1]["choice"] is None
    assert script.turns[-1]["text"] == words


async def test_a_number_means_only_the_last_question(
    chat: Resident, script: Script, offered: list[dict[str, Any]]
) -> None:
    await chat.says("Pothole")
    await chat.says("2")  # a house number by now
    assert script.turns[-1]["choice"] is None


async def test_a_strangers_button_does_nothing(
    chat: Resident, script: Script, offered: list[dict[str, Any]]
) -> None:
    stranger = await chat.line.visitor()
    asked = len(script.turns)
    assert await stranger.presses(offered[0]["id"]) == [chat.line.city.say("help", "en")]
    assert await stranger.endings() == [("answered", "stale_button")]
    assert len(script.turns) == asked


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        "1",
        "." * 24,
        "A" * 22 + ".1",
        "A" * 22 + ".²",
        "é" * 22 + ".1",
        "A" * 22 + ".999",
        "/restart",
    ],
)
async def test_an_invented_button_does_nothing(chat: Resident, script: Script, forged: str) -> None:
    assert await chat.presses(forged) == [chat.line.city.say("help", "en")]
    assert await chat.endings() == [("answered", "stale_button")]
    assert script.turns == []


async def test_a_button_beyond_the_last_one_does_nothing(
    chat: Resident, script: Script, offered: list[dict[str, Any]]
) -> None:
    name = offered[0]["id"].replace(".1", ".3")
    assert await chat.presses(name) == [chat.line.city.say("help", "en")]
    offer = (await chat.written())[-2]
    assert await chat.presses(button_id(offer.id, 0)) == [chat.line.city.say("help", "en")]
    assert read_button_id(button_id(offer.id, 7)) == (offer.id, 7)


# Did this help? --------------------------------------------------------------------------------------


@pytest.fixture
async def answered(chat: Resident, script: Script) -> list[dict[str, Any]]:
    """An answer from the articles with its two buttons."""
    script.on_turn = lambda asked: turn({"answer": found()})
    (answer,) = await chat.says("When is my recycling collected?")
    assert chat.line.city.say("did_this_help", "en") in answer
    return await chat.buttons()


async def test_an_answers_worth_is_recorded_once(chat: Resident, answered: list[dict[str, Any]]) -> None:
    yes, no = (button["id"] for button in answered)
    assert await chat.presses(yes) == [chat.line.city.say("helpful_thanks", "en")]
    await chat.presses(yes)
    await chat.presses(yes)
    ratings = [t for t in await chat.touchpoints() if t.kind == "rating"]
    assert [t.payload["helpful"] for t in ratings] == [True]
    assert await chat.line.one("SELECT helpful FROM answer") is True
    (offer,) = await chat.presses(no)
    assert offer == chat.line.city.say("unhelpful_offer", "en")
    assert await chat.line.one("SELECT helpful FROM answer") is False
    (person,) = await chat.buttons()
    answers = await chat.presses(person["id"])
    assert (await chat.conversation()).reason == "asked"
    assert len(answers) == 1
    assert (await chat.endings())[-1] == ("handed_off", "handed_off")


@pytest.mark.parametrize(
    ("words", "key", "good"),
    [("yes, thank you", "helpful_thanks", True), ("no it did not", "unhelpful_offer", False)],
)
async def test_an_answers_worth_said_in_words_counts_as_its_button(
    chat: Resident, answered: list[dict[str, Any]], script: Script, words: str, key: str, good: bool
) -> None:
    script.on_turn = lambda asked: says(
        key,
        values={"helpful": good},
        choices=[] if good else [{"title": "button_person", "intent": "talk_to_human"}],
    )
    assert await chat.says(words) == [chat.line.city.say(key, "en")]
    assert await chat.line.one("SELECT helpful FROM answer") is good
    ratings = [t for t in await chat.touchpoints() if t.kind == "rating"]
    assert [t.payload["helpful"] for t in ratings] == [good]
    assert (await chat.endings())[-1] == ("answered", "rated_helpful" if good else "rated_unhelpful")
    assert len(await chat.buttons()) == (0 if good else 1)


async def test_a_yes_long_after_an_answer_judges_only_what_was_answered_last(
    chat: Resident, answered: list[dict[str, Any]], script: Script
) -> None:
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await chat.says("Who will win the cup?")
    script.on_turn = lambda asked: says("helpful_thanks", values={"helpful": True}, intent="affirm")
    await chat.says("yes")
    assert await chat.line.count("answer", "helpful IS NOT NULL") == 0


async def test_an_answer_says_where_it_comes_from_and_what_it_was_taken_for(
    chat: Resident, answered: list[dict[str, Any]]
) -> None:
    written = (await chat.written())[-1]
    assert written.payload["understood"] == {
        "step": "answered",
        "language": "en",
        "intent": "ask_question",
        "confidence": 0.93,
    }
    (row,) = await chat.line.sql("SELECT question, question_id, touchpoint_id, passages FROM answer")
    assert (row.question, row.touchpoint_id) == ("When is my recycling collected?", written.id)
    assert row.question_id == (await chat.touchpoints())[0].id
    assert set(row.passages[0]) == {"passage", "article", "version", "language", "title", "score"}


async def test_asking_back_offers_titles_and_a_person(chat: Resident, script: Script) -> None:
    from tests.hub.line import passage

    unsure = found("clarified", passage(1), passage(1, passage=9), passage(2), passage(3), passage(4))
    script.on_turn = lambda asked: turn({"answer": unsure})
    await chat.says("collection")
    titles = [button["title"] for button in await chat.buttons()]
    assert titles == [*(f"Recycling, part {n}" for n in (1, 2, 3)), chat.line.city.say("button_person", "en")]
    script.on_turn = lambda asked: says("greet")
    await chat.says("2")
    assert (script.turns[-1]["text"], script.turns[-1]["choice"]) == ("Recycling, part 2", None)


async def test_the_language_follows_the_resident_and_stays_on_short_turns(
    chat: Resident, script: Script
) -> None:
    script.on_read = lambda asked: {"language": "de", "confidence": 0.99}
    assert await chat.says("Wann wird mein Altpapier abgeholt?") == [chat.line.city.say("greet", "de")]
    assert (await chat.conversation()).language == "de"
    script.on_read = lambda asked: {"language": asked["hint"], "confidence": 0.2}
    assert await chat.says("ok") == [chat.line.city.say("greet", "de")]
    script.on_read = lambda asked: {"language": "tlh", "confidence": 0.99}
    assert await chat.says("nuqneH") == [chat.line.city.say("greet", "de")]


@pytest.mark.parametrize(
    ("device", "spoken", "hint"),
    [
        *[("pt-br", "pt", "pt"), ("zh-hans", "zh", "zh"), ("es-419", "es", "es"), ("TR_tr", "tr", "tr")],
        *[("uk", "en", None), ("tlh-x", "en", None), ("", "en", None), (None, "en", None)],
    ],
)
async def test_a_devices_language_counts_as_far_as_the_city_speaks_it(
    phone: Resident, script: Script, device: str | None, spoken: str, hint: str | None
) -> None:
    arrived = dataclasses.replace(phone.inbound(words="/start"), language_hint=device)
    await phone.line.inbox.accept(arrived)
    await phone.line.work(Lane.IN)
    assert await leaving(phone) == [phone.line.city.say("greet", spoken)]
    await phone.does(words="ok")
    await phone.line.work(Lane.IN)
    assert script.readings[-1]["hint"] == hint


async def test_the_languages_are_offered_each_in_itself(chat: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"request": "change_language", "values": {}})
    assert await chat.says("another language") == [chat.line.city.say("change_language_ask", "en")]
    titles = {button["title"]: button["id"] for button in await chat.buttons()}
    assert {"English", "中文", "Türkçe"} <= titles.keys()
    chosen = {"request": "change_language", "values": {"language": "zh"}}
    script.on_turn = lambda asked: turn(chosen)
    assert await chat.presses(titles["中文"]) == [chat.line.city.say("language_changed", "zh")]
    assert script.turns[-1]["choice"]["entities"] == {"language": "zh"}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        *[("请问R26-00012-3进展", True), ("r26-00012-3?", True), ("(R26-00012-3)", True)],
        *[("XR26-00012-3", False), ("R26-00012-34", False), ("R26-00012-3b", False)],
    ],
)
def test_a_reports_number_is_found_without_spaces_around_it(words: str, named: bool) -> None:
    assert bool(REFERENCE.search(words)) is named
