"""Danger is acted on whatever the conversation is about, whoever holds it, and with every model down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from channels.base.contract import InboundKind
from contact_hub.events.kinds import Kind
from contact_hub.flags import service as flags
from contact_hub.flags.models import Flag, Level
from contact_hub.journey import by_hand
from contact_hub.operations.queue import Lane
from contact_hub.staff.access import Viewer
from contact_hub.webhooks import service as webhooks
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, says

KNIFE = "there is somebody with a blade in our stairwell"  # none of the fixed phrases


@pytest.fixture
async def chat(talking: Line) -> Resident:
    """Somebody in the web chat."""
    return await talking.visitor()


def reads(kind: str | None, language: str = "en") -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A brain that sees this danger in whatever it reads."""
    danger = None if kind is None else {"kind": kind, "probability": 0.97}
    return lambda asked: {"language": language, "confidence": 0.9, "danger": danger}


async def safe_words(resident: Resident, kind: str, language: str) -> str:
    city = resident.line.city
    crisis = city.settings["emergency"]["crisis_line"]
    return city.say(
        kind, language, number="112", crisis_name=crisis["name"], crisis_number=str(crisis["number"])
    )


async def urgent(resident: Resident, reason: str) -> None:
    talk = await resident.conversation()
    assert (talk.reason, talk.priority) == (reason, 100)
    assert (await resident.endings())[-1] == ("handed_off", reason)


async def flagged(resident: Resident) -> list[Flag]:
    talk = await resident.conversation()
    async with resident.line.database.begin() as session:
        return (await flags.of_conversation(session, [talk.id])).get(talk.id, [])


async def test_what_no_phrase_says_the_brain_hears(chat: Resident, script: Script) -> None:
    script.on_read = reads("emergency")
    answers = await chat.says(KNIFE)
    assert answers[0] == await safe_words(chat, "emergency", "en")
    await urgent(chat, "emergency")
    assert (await chat.conversation()).state == "waiting"
    assert script.turns == [], "Rasa is not asked"


async def test_with_rasa_and_brain_down_the_phrases_still_help(line: Line) -> None:
    resident = await line.visitor()
    answers = await resident.says("Help, my house is on fire")
    assert answers[0] == await safe_words(resident, "emergency", "en")
    await urgent(resident, "emergency")


async def test_with_rasa_down_the_brain_still_helps(lines: Callable[..., Line], script: Script) -> None:
    script.on_read = reads("self_harm")
    resident = await lines(brain_url=script.url).visitor()
    answers = await resident.says("I see no way out any more")
    assert answers[0] == await safe_words(resident, "self_harm", "en")
    await urgent(resident, "self_harm")


@pytest.mark.parametrize(
    ("kind", "numbers"), [("emergency", ("112",)), ("self_harm", ("112", "+353 1 555 0116"))]
)
async def test_the_chat_is_told_which_numbers_the_safe_words_name(
    chat: Resident, script: Script, kind: str, numbers: tuple[str, ...]
) -> None:
    script.on_read = reads(kind)
    await chat.says(KNIFE)
    feed = await chat.line.store.feed(chat.address, 0)
    safe = await safe_words(chat, kind, "en")
    assert [line.calls for line in feed if line.text == safe] == [numbers]
    assert [line.calls for line in feed if line.text != safe] == [(), ()]


@pytest.mark.parametrize("state", ["agent", "waiting"])
async def test_danger_is_answered_and_goes_first_while_a_person_has_or_gets_the_conversation(
    chat: Resident, script: Script, state: str
) -> None:
    await chat.says("Hello")
    await chat.line.sql(
        "UPDATE conversation SET state = :state, holder = :holder, reason = 'complaint', priority = 20",
        state=state,
        holder="Maria" if state == "agent" else None,
    )
    script.on_read = reads("emergency")
    assert await chat.says(KNIFE) == [await safe_words(chat, "emergency", "en")]
    await urgent(chat, "emergency")
    assert (await chat.conversation()).state == state


async def test_danger_is_heard_although_a_person_takes_over_in_that_moment(
    chat: Resident, script: Script
) -> None:
    await chat.says("Hello")
    await chat.does(words=KNIFE)
    task = await chat.line.claim(Lane.IN)
    assert task is not None

    def taken(asked: dict[str, Any]) -> dict[str, Any]:
        import psycopg

        from contact_hub.settings import libpq_url

        url = libpq_url(chat.line.database.engine.url.render_as_string(hide_password=False))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE conversation SET state = 'agent', holder = 'Maria', epoch = epoch + 1")
        return reads("emergency")(asked)

    script.on_read = taken
    await chat.line.handle(task)
    assert (await chat.reads())[-1] == await safe_words(chat, "emergency", "en")
    await urgent(chat, "emergency")
    assert (await chat.conversation()).holder == "Maria"
    assert [(flag.level, flag.handed_over) for flag in await flagged(chat)] == [(Level.DANGER, False)]


async def test_danger_in_the_middle_of_a_form_is_no_answer_to_its_question(
    chat: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: says("report_ask_place", form="report_form", intent="report_problem")
    await chat.says("There is a pothole")
    script.on_read = reads("emergency")
    answers = await chat.says(KNIFE)
    assert answers[0] == await safe_words(chat, "emergency", "en")
    assert len(script.turns) == 1
    await urgent(chat, "emergency")


@pytest.mark.parametrize(
    ("words", "kind", "language"),
    [
        ("بيتي يحترق", "emergency", "ar"),
        ("ich will nicht mehr leben", "self_harm", "de"),
        ("不想活了", "self_harm", "zh"),
    ],
)
async def test_a_phrase_is_answered_in_its_own_language(
    chat: Resident, words: str, kind: str, language: str
) -> None:
    answers = await chat.says(words)
    assert answers[0] == await safe_words(chat, kind, language)
    talk = await chat.conversation()
    assert talk.language == language


async def test_whoever_fixed_a_language_hears_of_danger_in_the_one_they_write_and_keeps_theirs(
    chat: Resident, script: Script
) -> None:
    await chat.says("Hello")
    await chat.line.sql("UPDATE conversation SET language = 'en', language_fixed = true")
    script.on_read = reads("emergency", "tr")
    answers = await chat.says("kapıda eli palalı biri var")
    assert answers[0] == await safe_words(chat, "emergency", "tr")
    assert (await chat.conversation()).language == "en"


async def test_danger_that_the_brain_sees_in_the_words_of_somebody_silent_reaches_a_person(
    lines: Callable[..., Line], script: Script
) -> None:
    sms = recorded.build("sms", twilio_from="+15550001000")
    phone = lines(brain_url=script.url, rasa_url=script.url, channels=[sms]).texter()
    await phone.does(InboundKind.OPT_OUT, "STOP")
    await phone.line.work(Lane.IN)
    await phone.does(words="When is my bin day?")
    await phone.line.work(Lane.IN)
    assert (await phone.endings())[-1] == ("suppressed", "silent")
    script.on_read = reads("self_harm")
    await phone.does(words="I see no way out any more")
    await phone.line.work(Lane.IN)
    await urgent(phone, "self_harm")


# The flag ----------------------------------------------------------------------------------------------


async def test_an_alarm_is_a_flag_that_says_how_sure_the_detector_is(chat: Resident, script: Script) -> None:
    async with chat.line.database.begin() as session:
        await webhooks.add(session, "https://dispatch.larkhaven.example", (Kind.FLAG,))
    script.on_read = reads("emergency")
    await chat.says(KNIFE)
    said = next(t for t in await chat.touchpoints() if t.direction == "in")
    (flag,) = await flagged(chat)
    assert (flag.level, flag.score, flag.handed_over) == (Level.DANGER, 0.97, True)
    (sign,) = flag.signals
    assert (sign["signal"], sign["evidence"]) == ("danger_heard", str(said.id))
    assert sign["words"] == "Their words sound like danger (the detector is 97 % sure)."
    (told,) = [t for t in await chat.touchpoints() if t.kind == "flag"]
    assert (told.payload["level"], told.in_reply_to) == ("danger", said.id)
    (event,) = await chat.line.sql("SELECT data FROM event WHERE kind = 'flag'")
    assert (event.data["level"], event.data["score"]) == ("danger", 0.97)


async def test_the_fixed_phrases_raise_a_flag_with_rasa_and_brain_down(line: Line) -> None:
    resident = await line.visitor()
    await resident.says("Help, my house is on fire")
    (flag,) = await flagged(resident)
    assert (flag.level, flag.handed_over) == (Level.DANGER, True)
    assert [sign["words"] for sign in flag.signals] == ["Fixed words of danger."]


async def test_every_alarm_is_flagged_once_with_its_own_evidence(chat: Resident, script: Script) -> None:
    script.on_read = reads("emergency")
    for _ in range(2):  # the network brings the same message again
        await chat.does(words=KNIFE, key="knife")
        await chat.line.work()
    assert len(await flagged(chat)) == 1
    await chat.says("my house is on fire")
    first, second = await flagged(chat)
    assert (first.handed_over, second.handed_over) == (True, False), "they waited already"
    assert first.touchpoint_id != second.touchpoint_id
    assert [sign["signal"] for sign in second.signals] == ["danger_words"]


async def test_danger_makes_a_calm_wish_for_a_person_no_anger(chat: Resident) -> None:
    await chat.says("my house is on fire")
    await chat.says("talk to a person")
    assert [flag.level for flag in await flagged(chat)] == [Level.DANGER, Level.UNEASY]
    await urgent_still(chat)


async def test_who_is_in_danger_again_after_they_were_given_back_is_flagged_again(chat: Resident) -> None:
    await chat.says("my house is on fire")
    maria, talk = Viewer("system", "Maria"), await chat.conversation()
    await by_hand.reply(chat.line.writer, chat.line.wakeups, str(talk.id), maria, "They are on their way.")
    async with chat.line.database.begin() as session:
        await by_hand.give_back_within(session, chat.line.writer, talk.id, maria)
    await chat.says("the house is on fire again")
    assert [flag.level for flag in await flagged(chat)] == [Level.DANGER] * 2
    assert (await chat.conversation()).state == "waiting"


async def urgent_still(resident: Resident) -> None:
    talk = await resident.conversation()
    assert (talk.state, talk.reason, talk.priority) == ("waiting", "emergency", 100)


async def test_danger_written_into_an_older_message_counts(chat: Resident) -> None:
    await chat.says("Hello")
    await chat.does(InboundKind.EDIT, "my house is on fire")
    await chat.line.work()
    assert await safe_words(chat, "emergency", "en") in await chat.reads()
    await urgent(chat, "emergency")


async def test_nothing_stands_beside_the_safe_words(chat: Resident, script: Script) -> None:
    script.on_read = reads("emergency")
    answers = await chat.says("he wants my card 4111 1111 1111 1111 and has a blade")
    assert answers[0] == await safe_words(chat, "emergency", "en")
    assert not any(chat.line.city.say("button_remove", "en") in answer for answer in answers)
    assert "4111" not in str(script.readings[-1]), "the number is masked before the brain reads it"


@pytest.mark.parametrize(
    "words",
    [
        "when does the fire station open",
        "I'm dying to know when the pool opens",
        "where can I book a heart attack first aid course",
        "my father died last year, how do I register the death",
        "my phone died",
    ],
)
async def test_what_only_sounds_like_danger_is_answered_like_any_other_question(
    chat: Resident, script: Script, words: str
) -> None:
    script.on_read = reads(None)
    assert await chat.says(words) == [chat.line.city.say("greet", "en")]
    assert (await chat.conversation()).state == "bot"


@pytest.mark.parametrize("words", ["/start", "7KQM-2PXD", "👍"])
async def test_what_holds_no_words_is_not_read(chat: Resident, script: Script, words: str) -> None:
    await chat.says(words)
    assert script.readings == []
