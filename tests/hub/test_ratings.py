"""How it was: asked once, by day, who agreed; answered with a number and words; a low one is looked at."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from channels.base.contract import InboundKind
from contact_hub.citizens.models import ConversationState as State
from contact_hub.citizens.service import lock_conversation
from contact_hub.city import City, CityError
from contact_hub.database import now
from contact_hub.flags.models import Level
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import asking, by_hand, closing
from contact_hub.journey.rating import comments_within
from contact_hub.journey.rating_words import lone_number
from contact_hub.journey.waiting import at_night
from contact_hub.managers import figures
from contact_hub.managers.period import Period
from contact_hub.operations.queue import Lane
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Origin, Purpose
from contact_hub.privacy.erasure import erase
from contact_hub.privacy.redaction import redact
from contact_hub.privacy.schedule import schedule_of
from contact_hub.ratings.models import Asking, Rating
from contact_hub.staff.access import SYSTEM, Viewer
from tests.fakes import telegram, twilio
from tests.hub.line import Line, Resident, Script, found, says, turn
from tests.hub.test_closing import rests
from tests.hub.test_flags import flagged, last_said, reads, signals
from tests.hub.test_sending import sms_channel

NIGHT = "2026-11-24T23:30:00+00:00"


@pytest.fixture(autouse=True)
def daytime(city: City) -> Any:
    """It is noon, whenever the tests run: nobody is asked at night."""
    with time_machine.travel(now(), tick=True) as clock:
        moment = now()
        while at_night(rules_of(city), city, moment):
            moment += timedelta(hours=1)
        clock.move_to(moment)
        yield clock


@pytest.fixture
async def line(lines: Callable[..., Line], script: Script, city: City) -> Line:
    """A line whose city asks how it was, with a scripted brain and Rasa."""
    asks = replace(city, settings={**city.settings, "consent": {"survey": {"version": "1"}}})
    return lines(brain_url=script.url, rasa_url=script.url, city=asks)


async def agrees(resident: Resident) -> None:
    """They have said that they may be asked."""
    place = await resident.place()
    async with resident.line.database.begin() as session:
        await consent.grant(
            session,
            resident.line.city,
            Origin(place.id, place.channel),
            Purpose.SURVEY,
            language="en",
        )


async def served(resident: Resident, script: Script, *, agreed: bool = True) -> Resident:
    """Somebody who was answered and whose talk has ended."""
    script.on_turn = lambda asked: turn({"answer": found()})
    await resident.says("When is my recycling collected?")
    if agreed:
        await agrees(resident)
    await resident.line.sql("DELETE FROM task")
    await rests(resident, 25)
    await closing.close_idle(resident.line.writer)
    assert (await resident.conversation()).state == State.CLOSED
    script.on_turn = lambda asked: pytest.fail("nobody else reads a rating")
    return resident


async def is_asked(resident: Resident) -> list[str]:
    """What the clock makes of it."""
    before = len(await resident.reads())
    await asking.ask_due(resident.line.writer)
    await resident.line.work(Lane.OUT)
    return (await resident.reads())[before:]


async def rating(line: Line) -> Rating:
    ((identity,),) = await line.sql("SELECT id FROM rating")
    async with line.database.begin() as session:
        return await session.get_one(Rating, identity)


# Asking ----------------------------------------------------------------------------------------------


async def test_a_visitor_is_asked_once_rates_by_a_button_and_says_why(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    assert await is_asked(ana) == [line.city.say("rate_close", "en")]
    assert [button["title"] for button in await ana.buttons()] == ["1", "2", "3", "4", "5"]
    assert await is_asked(ana) == [], "once"

    assert await ana.presses((await ana.buttons())[3]["id"]) == [line.city.say("rate_thanks_comment", "en")]
    given = await rating(line)
    assert (given.state, given.score, given.agent, given.department) == (Asking.GIVEN, 4, None, "waste")
    assert await ana.says("Quick and clear, well done") == [line.city.say("rate_comment_thanks", "en")]
    comment = [t for t in await ana.touchpoints() if t.text == "Quick and clear, well done"]
    assert (await rating(line)).comment_id == comment[0].id
    (told,) = [t for t in await ana.touchpoints() if t.kind == "rating"]
    assert told.payload == {"rating": str(given.id), "score": 4}
    assert told.conversation_id == given.conversation_id
    assert await flagged(ana) == []
    assert not await line.count("conversation", "state IN ('waiting', 'agent')"), "nothing for the desk"


@pytest.mark.parametrize(
    ("words", "score"), [("5", 5), (" 3!", 3), ("٥", 5), ("４", 4), ("4️⃣", 4), ("4/5", 4)]
)
async def test_a_number_by_text_is_a_rating_in_any_digits(
    line: Line, script: Script, words: str, score: int
) -> None:
    ana = await served(line.texter(), script)
    assert await is_asked(ana) == [line.city.say("rate_close_sms", "en")]
    await ana.says(words)
    assert (await rating(line)).score == score
    assert script.searches == []


@pytest.mark.parametrize(
    ("words", "score"),
    [
        *(("4/5", 4), ("5 / 5!", 5), ("⅘", 4), ("4️⃣/5️⃣", 4), ("9/5", 9)),
        *(("4 out of 5", 4), ("3 of 5.", 3), ("4 von 5", 4), ("2 sur 5", 2), ("٤ من ٥", 4)),
        *(("5 üzerinden 4", 4), ("满分5分，4分", 4), ("⭐⭐⭐⭐", 4), ("⭐️⭐️", 2), ("★★★☆☆", 3)),
    ],
)
def test_so_many_of_five_and_stars_are_a_number(city: City, words: str, score: int) -> None:
    assert lone_number(words, city) == score


@pytest.mark.parametrize("words", ["five", "4b", "12 Mill Lane", "", "100", "5 stars"])
def test_other_words_are_no_number(city: City, words: str) -> None:
    assert lone_number(words, city) is None


@pytest.mark.parametrize("words", ["3.5", "3,5/5", "3 5", "4-5", "10/10", "4/5/5", "☆☆☆☆☆", "⭐👍", "1 of 2"])
def test_of_several_numbers_none_is_guessed(city: City, words: str) -> None:
    assert lone_number(words, city) is None


async def test_numbers_out_of_range_are_asked_again(line: Line, script: Script) -> None:
    ana = await served(line.texter(), script)
    await is_asked(ana)
    assert await ana.says("9") == [line.city.say("rate_invalid", "en")]
    await ana.says("2")
    assert (await rating(line)).score == 2


async def test_a_second_answer_and_a_late_one_get_a_clear_word(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    buttons = await ana.buttons()
    await ana.presses(buttons[4]["id"])
    assert await ana.presses(buttons[0]["id"]) == [line.city.say("rate_again", "en")]
    assert await ana.says("1") == [line.city.say("rate_again", "en")]
    assert (await rating(line)).score == 5

    ben = await served(await line.visitor(), script)
    await is_asked(ben)
    await line.sql("UPDATE rating SET asked_at = asked_at - interval '25 hours' WHERE score IS NULL")
    await asking.lapse(line.writer)
    assert await line.count("rating", "state = 'lapsed'") == 1
    assert await ben.says("4") == [line.city.say("rate_late", "en")]
    assert await line.count("rating", "score = 4") == 0


async def test_a_question_after_the_rating_is_answered_and_is_no_comment(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    await ana.says("5")
    script.on_turn = lambda asked: turn({"answer": found()})
    (answer,) = await ana.says("And when is the green bin collected?")
    assert "every second Tuesday" in answer
    assert (await rating(line)).comment_id is None


async def rates(resident: Resident, script: Script, score: int) -> None:
    """They are asked how it was and answer with a number; what they write next is anybody's to answer."""
    await served(resident, script)
    await is_asked(resident)
    await resident.says(str(score))
    script.on_turn = lambda asked: turn({"answer": found()})


@pytest.mark.parametrize("minutes", [31, 5 * 24 * 60])
async def test_what_is_written_later_is_a_message_like_any_other(
    line: Line, script: Script, minutes: int
) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    await line.sql("UPDATE rating SET rated_at = rated_at - make_interval(mins => :m)", m=minutes)
    (answer,) = await ana.says("There is a pothole on Harbour Street")
    assert "every second Tuesday" in answer
    assert script.turns[-1]["text"] == "There is a pothole on Harbour Street"
    assert (await rating(line)).comment_id is None


async def test_who_is_unhappy_days_later_is_flagged_and_reaches_a_person(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    await line.sql("UPDATE rating SET rated_at = rated_at - interval '6 days'")
    script.on_read = reads(0.9)
    await ana.says("This is useless, my bin was not emptied again!!!")
    (flag,) = await flagged(ana)
    assert (signals(flag), flag.level) == (["words", "shouting"], Level.UNHAPPY)
    assert (await ana.conversation()).state == State.WAITING


@pytest.mark.parametrize(
    "words",
    [
        *(
            "I would like to talk to a person please",
            "I want a human",
            "Bitte rufen Sie mich an!",
            "我要真人",
        ),
        *("/start", "ABCD-2345", "ABCD-1234", "R26-00042-9"),
    ],
)
@pytest.mark.parametrize("score", [2, 5])
async def test_a_call_for_a_person_a_command_and_a_code_are_no_comment(
    line: Line, script: Script, words: str, score: int
) -> None:
    ana = await line.visitor()
    await rates(ana, script, score)
    said = await ana.says(words)
    assert line.city.say("rate_comment_thanks", "en") not in said
    assert (await ana.endings())[-1][1] in {"answered", "said", "code_sent"}
    assert (await rating(line)).comment_id is None


@pytest.mark.parametrize(
    "words", ["The person was so kind", "Great customer service", "客服很好", "No, it took weeks"]
)
async def test_praise_and_blame_are_comments(line: Line, script: Script, words: str) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    assert await ana.says(words) == [line.city.say("rate_comment_thanks", "en")]
    assert (await rating(line)).comment_id is not None


@pytest.mark.parametrize(
    "words",
    ["yes, call me", "Yes, I want to talk to a person", "Sí, por favor, hoy", "好的，今天", "OK then"],
)
async def test_a_yes_with_more_words_after_a_low_rating_brings_the_person(
    line: Line, script: Script, words: str
) -> None:
    ana = await line.visitor()
    await rates(ana, script, 1)
    script.on_turn = lambda asked: pytest.fail("a yes to our own question does not ask Rasa")
    await ana.says(words)
    talk = await ana.conversation()
    assert (talk.state, talk.reason) == (State.WAITING, "rated_low")
    assert (await rating(line)).comment_id is None


@pytest.mark.parametrize("words", ["Claro que no", "y además nadie me avisó", "Yesterday nobody came"])
async def test_what_only_looks_like_a_yes_brings_nobody(line: Line, script: Script, words: str) -> None:
    ana = await line.visitor()
    await rates(ana, script, 1)
    assert await ana.says(words) == [line.city.say("rate_comment_thanks", "en")]


async def test_a_comment_that_was_meant_otherwise_is_answered_by_a_button(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    await ana.says("There is a pothole on Harbour Street")
    (button,) = await ana.buttons()
    assert button["title"] == line.city.say("button_need_answer", "en")
    assert (await ana.conversation()).follow_up
    (answer,) = await ana.presses(button["id"])
    assert "every second Tuesday" in answer
    assert script.turns[-1]["text"] == "There is a pothole on Harbour Street"
    assert not (await ana.conversation()).follow_up, "that is a contact of theirs"
    assert (await rating(line)).comment_id is not None, "and nothing is lost"


async def test_by_text_the_number_of_that_button_does_the_same(line: Line, script: Script) -> None:
    ana = line.texter()
    await rates(ana, script, 5)
    await ana.says("There is a pothole on Harbour Street")
    await ana.says("1")
    assert script.turns[-1]["text"] == "There is a pothole on Harbour Street"


async def test_a_comment_that_is_removed_is_not_kept_behind_that_button(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    await ana.says("Ask Jo")
    async with line.database.begin() as session:
        await redact(session, uuid.UUID(await last_said(ana)), SYSTEM, reason="they asked")
    assert "Ask Jo" not in str([touchpoint.payload for touchpoint in await ana.touchpoints()])


def test_every_language_has_its_own_words_for_that_button(city: City) -> None:
    assert len({city.say("button_need_answer", code) for code in city.languages}) == len(city.languages)


async def test_an_unhappy_comment_is_thanked_for_flagged_and_handed_over(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    script.on_read = reads(0.95)
    said = await ana.says("Thanks for nothing, my bin is still full")
    thanked, sorry = line.city.say("rate_comment_thanks", "en"), line.city.say("unhappy_sorry", "en")
    assert said[0] == f"{thanked}\n\n{sorry}"
    (flag,) = await flagged(ana)
    assert (signals(flag), flag.level, flag.handed_over) == (["words"], Level.UNHAPPY, True)
    assert flag.signals[0]["evidence"] == await last_said(ana)
    talk = await ana.conversation()
    assert (talk.state, talk.reason, talk.follow_up) == (State.WAITING, "unhappy", False)
    assert str((await rating(line)).comment_id) == await last_said(ana)


async def test_an_uneasy_comment_is_offered_a_person_as_well(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await rates(ana, script, 5)
    script.on_read = reads(0.6)
    (said,) = await ana.says("Not exactly quick")
    assert said.startswith(line.city.say("rate_comment_thanks", "en"))
    assert [button["meaning"] for button in await ana.buttons()] == [
        {"ask": "Not exactly quick"},
        {"handoff": "asked"},
    ]


@pytest.mark.parametrize("minutes", [None, "30", 0, 1441, True])
def test_a_wrong_limit_for_comments_is_told_in_one_sentence(city: City, minutes: Any) -> None:
    wrong = replace(city, settings={**city.settings, "ratings": {"comment_minutes": minutes}})
    with pytest.raises(CityError, match="comment_minutes"):
        comments_within(wrong)


async def test_a_number_in_the_middle_of_something_else_is_not_a_rating(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    script.on_turn = lambda asked: says("report_ask_place")
    await ana.says("There is a hole in my street")
    await ana.says("5")
    assert (await rating(line)).score is None
    assert [asked["text"] for asked in script.turns][-1] == "5"


# Asking whether we may -------------------------------------------------------------------------------

MARIA = Viewer("system", "Maria")


async def helped(resident: Resident, script: Script, *, stop: bool = False) -> str:
    """A person helps them and closes the conversation; gives the last words written to them."""
    line = resident.line
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await resident.says("A person, please")
    talk = str((await resident.conversation()).id)
    await by_hand.reply(line.writer, line.wakeups, talk, MARIA, "It is mended.")
    if stop:
        await resident.does(InboundKind.OPT_OUT, "STOP")
        await line.work()
    await by_hand.close(line.writer, line.wakeups, talk, MARIA, "solved")
    await line.work()
    script.on_turn = lambda asked: pytest.fail("nobody else reads the answer")
    return (await resident.reads())[-1]


def asks_whether(city: City, words: str) -> bool:
    """Whether words close a conversation and ask for the survey."""
    terms = city.say("consent_survey_terms", "en", city=city.name)
    closed = city.say("conversation_closed", "en")
    assert words.startswith(closed)
    return words == f"{closed}\n\n{city.say('consent_ask', 'en', terms=terms)}"


async def test_whom_a_person_helped_is_asked_once_whether_we_may_ask_and_a_yes_leads_to_the_question(
    line: Line, script: Script
) -> None:
    ana = await line.visitor()
    assert asks_whether(line.city, await helped(ana, script))
    closed = (await ana.conversation()).id
    yes, _ = await ana.buttons()
    (words,) = await ana.presses(yes["id"])
    assert words.endswith(line.city.say("rate_close", "en"))
    await ana.presses((await ana.buttons())[3]["id"])
    given = await rating(line)
    assert (given.score, given.conversation_id, given.agent) == (4, closed, "Maria")
    follow_up = await ana.conversation()
    assert (follow_up.id != closed, follow_up.follow_up) == (True, True)
    await ana.presses(yes["id"])
    assert await line.count("rating") == 1, "pressed twice, asked once"

    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now() WHERE state = 'bot'")
    assert not asks_whether(line.city, await helped(ana, script))
    assert await is_asked(ana) == [line.city.say("rate_close", "en")], "who agreed is asked as ever"


async def test_a_no_is_kept_and_whoever_does_not_answer_is_not_asked_again(
    line: Line, script: Script
) -> None:
    ana, ben = await line.visitor(), await line.visitor()
    assert asks_whether(line.city, await helped(ana, script))
    _, no = await ana.buttons()
    assert await ana.presses(no["id"]) == [line.city.say("consent_refused", "en")]
    assert asks_whether(line.city, await helped(ben, script))
    for resident in (ana, ben):
        assert not asks_whether(line.city, await helped(resident, script))
        assert await is_asked(resident) == []
    assert await line.count("rating") == 0
    said = await line.sql("SELECT decision FROM consent WHERE purpose = 'survey' ORDER BY id")
    assert [decision for (decision,) in said] == ["asked", "refused", "asked"]


@pytest.mark.parametrize("kind", [InboundKind.TEXT, InboundKind.OPT_IN])
async def test_by_text_a_yes_in_words_leads_to_the_question(
    line: Line, script: Script, kind: InboundKind
) -> None:
    ana = line.texter()
    assert asks_whether(line.city, await helped(ana, script))
    await ana.does(kind, "YES")  # a word with which networks let messages in again as well
    await line.work()
    assert (await ana.reads())[-1].endswith(line.city.say("rate_close_sms", "en"))
    await ana.says("5")
    assert (await rating(line)).score == 5
    ben = line.texter("+15551230002")
    assert asks_whether(line.city, await helped(ben, script))
    assert await ben.says("no") == [line.city.say("consent_refused", "en")]


async def test_on_telegram_two_buttons_ask_and_five_follow(
    lines: Callable[..., Line], script: Script, line: Line
) -> None:
    ana = line.chatter()
    assert asks_whether(line.city, await helped(ana, script))
    await ana.presses((await ana.buttons())[0]["id"])
    assert [button["title"] for button in await ana.buttons()] == ["1", "2", "3", "4", "5"]
    await ana.presses((await ana.buttons())[4]["id"])
    assert (await rating(line)).score == 5


async def test_nobody_is_asked_at_night_or_after_a_stop(line: Line, script: Script, daytime: Any) -> None:
    assert not asks_whether(line.city, await helped(line.texter(), script, stop=True))
    daytime.move_to(NIGHT)
    assert not asks_whether(line.city, await helped(await line.visitor(), script))
    assert await line.count("consent", "decision = 'asked'") == 0


async def test_a_yes_that_comes_days_later_is_kept_and_asks_nothing(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await helped(ana, script)
    await line.sql("UPDATE conversation SET closed_at = closed_at - interval '25 hours'")
    (words,) = await ana.presses((await ana.buttons())[0]["id"])
    assert not words.endswith(line.city.say("rate_close", "en"))
    assert await line.count("consent", "decision = 'granted'") == 1
    assert await line.count("rating") == 0


async def test_an_answer_to_our_question_is_no_contact_until_they_say_something_else(
    line: Line, script: Script
) -> None:
    ana = await served(line.texter(), script)
    await is_asked(ana)
    await ana.says("4")
    assert (await ana.conversation()).follow_up
    manager = Viewer("system", "Nora")
    days = Period(now().date() - timedelta(days=3), now().date() + timedelta(days=1), line.city.zone)
    async with line.database.begin() as session:
        assert (await figures.counted(session, manager, days, figures.By.CHANNEL))[0]["talks"] == 1
    script.on_turn = lambda asked: turn({"answer": found()})
    await ana.says("And when is the green bin collected?")
    assert not (await ana.conversation()).follow_up


# Not asking ------------------------------------------------------------------------------------------


async def test_nobody_is_asked_at_night_and_the_morning_is_early_enough(
    line: Line, script: Script, daytime: Any
) -> None:
    daytime.move_to(NIGHT)
    ana = await served(await line.visitor(), script)
    assert await is_asked(ana) == []
    assert (await rating(line)).state == Asking.DUE
    daytime.move_to("2026-11-25T09:00:00+00:00")
    assert await is_asked(ana) == [line.city.say("rate_close", "en")]


async def test_a_day_later_it_is_too_late_to_ask(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await line.sql("UPDATE rating SET closed_at = closed_at - interval '25 hours'")
    assert await is_asked(ana) == []
    assert (await rating(line)).state == Asking.NOT_ASKED


async def test_who_never_agreed_is_not_asked_and_who_takes_it_back_is_not_either(
    line: Line, script: Script
) -> None:
    await served(await line.visitor(), script, agreed=False)
    assert not await line.count("rating")
    ana = await served(await line.visitor(), script)
    await ana.says("stop the survey")
    assert await is_asked(ana) == []
    assert (await rating(line)).state == Asking.NOT_ASKED


async def test_consent_withdrawn_between_asking_and_sending_keeps_the_question_here(
    lines: Callable[..., Line], script: Script, line: Line, fake_twilio: twilio.FakeTwilio
) -> None:
    hub = lines(
        brain_url=script.url, rasa_url=script.url, city=line.city, channels=[sms_channel(fake_twilio)]
    )
    ana = await served(hub.texter(), script)
    sent = len(fake_twilio.messages)
    await asking.ask_due(hub.writer)
    await ana.does(words="stop the survey")
    await hub.work(Lane.IN)
    await hub.work(Lane.OUT)
    question = hub.city.say("rate_close_sms", "en")
    assert len(fake_twilio.messages) > sent, "the confirmation left"
    assert question not in [message["body"] for message in fake_twilio.messages]
    await hub.sql("UPDATE rating SET asked_at = asked_at - interval '25 hours'")
    await asking.lapse(hub.writer)
    assert (await rating(hub)).state == Asking.NOT_ASKED


async def test_a_question_that_was_held_up_does_not_leave_at_night(
    lines: Callable[..., Line], script: Script, line: Line, fake_twilio: twilio.FakeTwilio, daytime: Any
) -> None:
    hub = lines(
        brain_url=script.url, rasa_url=script.url, city=line.city, channels=[sms_channel(fake_twilio)]
    )
    await served(hub.texter(), script)
    sent = len(fake_twilio.messages)
    await asking.ask_due(hub.writer)
    daytime.move_to(NIGHT)
    await hub.hurry()
    await hub.work(Lane.OUT)
    assert len(fake_twilio.messages) == sent
    assert await hub.one("SELECT last_error FROM task WHERE lane = 'out'") == "it is night"


async def test_who_writes_again_and_who_only_said_hello_are_not_asked(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    script.on_turn = lambda asked: says("greet")
    await ana.says("Hello again")
    assert await is_asked(ana) == []
    assert (await rating(line)).state == Asking.NOT_ASKED
    ben = await line.visitor()
    await ben.says("Hello")
    await agrees(ben)
    await rests(ben, 25)
    await closing.close_idle(line.writer)
    assert await line.count("rating") == 1


# Low ratings -----------------------------------------------------------------------------------------


async def test_a_low_rating_is_flagged_and_brings_a_person_to_whoever_wants_one(
    line: Line, script: Script
) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    assert await ana.says("1") == [line.city.say("rate_low", "en")]
    (flag,) = await flagged(ana)
    rated = await rating(line)
    assert (signals(flag), flag.level, flag.conversation_id) == (
        ["low_rating"],
        Level.UNHAPPY,
        rated.conversation_id,
    )
    evidence = {str(t.id): t for t in await ana.touchpoints()}[flag.signals[0]["evidence"]]
    assert (evidence.kind, evidence.payload["score"]) == ("rating", 1)
    first, second = await ana.conversations()
    assert (first.state, second.state) == (State.CLOSED, State.BOT)
    await ana.presses((await ana.buttons())[0]["id"])
    talk = await ana.conversation()
    assert (talk.id, talk.state, talk.reason) == (second.id, State.WAITING, "rated_low")


async def test_by_text_a_yes_brings_the_person_and_words_are_kept(line: Line, script: Script) -> None:
    ana = await served(line.texter(), script)
    await is_asked(ana)
    await ana.says("2")
    assert await ana.says("Nobody told me the day had changed") == [
        line.city.say("rate_comment_thanks", "en")
    ]
    assert (await rating(line)).comment_id is not None
    ben = await served(line.texter("+15551230002"), script)
    await is_asked(ben)
    await ben.says("1")
    await ben.says("yes")
    assert (await ben.conversation()).state == State.WAITING


async def volunteers(resident: Resident, script: Script, score: int) -> list[str]:
    """They say in words of their own how satisfied they are."""
    script.on_turn = lambda asked: turn(
        {"request": "rate_service", "values": {"rating": score}}, intent="rate_service"
    )
    return await resident.says(f"I would give you {score} of 5")


async def test_a_rating_that_nobody_asked_for_is_kept_and_stands(line: Line, script: Script) -> None:
    ana = await line.visitor()
    script.on_turn = lambda asked: turn({"answer": found()})
    await ana.says("When is my recycling collected?")
    await volunteers(ana, script, 1)
    assert await volunteers(ana, script, 5) == [line.city.say("rate_again", "en")]
    given = await rating(line)
    assert (given.score, given.state) == (1, Asking.GIVEN)
    assert given.conversation_id == (await ana.conversation()).id
    assert [signals(flag) for flag in await flagged(ana)] == [["low_rating"]]
    await agrees(ana)
    await rests(ana, 25)
    await closing.close_idle(line.writer)
    assert await is_asked(ana) == [], "they have said it already"


async def test_who_rates_a_second_time_in_anger_reads_the_apology_and_the_promise(
    line: Line, script: Script
) -> None:
    ana = await line.visitor()
    await volunteers(ana, script, 4)
    script.on_read = reads(0.95)
    said = await volunteers(ana, script, 1)
    assert (await ana.conversation()).state == State.WAITING
    assert said[0] == line.city.say("unhappy_sorry", "en")
    assert (await ana.written())[-1].payload["say"] == "handed_off"
    assert line.city.say("rate_again", "en") not in said
    assert (await rating(line)).score == 4


async def test_who_rates_a_second_time_uneasily_is_still_offered_a_person(line: Line, script: Script) -> None:
    ana = await line.visitor()
    await volunteers(ana, script, 4)
    script.on_read = reads(0.6)
    again, offer = (line.city.say(key, "en") for key in ("rate_again", "uneasy_offer"))
    assert await volunteers(ana, script, 3) == [f"{again}\n\n{offer}"]
    assert [button["meaning"] for button in await ana.buttons()] == [{"handoff": "asked"}]


async def test_the_buttons_of_two_questions_each_rate_their_own_conversation(
    line: Line, script: Script
) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    first = await ana.buttons()
    await served(ana, script, agreed=False)
    await is_asked(ana)
    second = await ana.buttons()
    assert await ana.presses(first[4]["id"]) == [line.city.say("rate_thanks_comment", "en")]
    assert await ana.says("The first time all went well") == [line.city.say("rate_comment_thanks", "en")]
    assert await ana.presses(second[3]["id"]) == [line.city.say("rate_thanks_comment", "en")]
    assert await ana.presses(first[0]["id"]) == [line.city.say("rate_again", "en")]
    rows = await line.sql("SELECT score, comment_id IS NOT NULL FROM rating ORDER BY asked_at")
    assert [tuple(row) for row in rows] == [(5, True), (4, False)]


async def test_words_do_not_overwrite_what_a_button_said(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    await ana.presses((await ana.buttons())[1]["id"])
    assert await volunteers(ana, script, 5) == [line.city.say("rate_comment_thanks", "en")]
    assert await volunteers(ana, script, 5) == [line.city.say("rate_again", "en")]
    assert (await rating(line)).score == 2
    assert await line.count("touchpoint", "kind = 'rating'") == 1


async def test_a_low_rating_and_an_act_on_the_rated_conversation_do_not_lock_one_another_out(
    line: Line, script: Script
) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    first = (await ana.conversation()).id
    await ana.does(words="1")
    task = await line.claim(Lane.IN)
    assert task is not None
    async with line.database.begin() as session:
        await lock_conversation(session, first)
        giving = asyncio.create_task(line.handle(task))
        await asyncio.sleep(0.3)  # it waits for the rated conversation, and holds nothing meanwhile
        assert not giving.done()
        await lock_conversation(session, (await ana.conversation()).id)
    await giving
    assert [signals(flag) for flag in await flagged(ana)] == [["low_rating"]]


async def test_two_answers_at_once_are_one_rating(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    question = await rating(line)
    await ana.does(words="5")
    task = await line.claim(Lane.IN)
    assert task is not None
    async with line.database.begin() as session:
        await lock_conversation(session, question.conversation_id)
    await line.sql("UPDATE rating SET state = 'given', score = 3")
    await line.handle(task)
    assert (await rating(line)).score == 3


async def test_nothing_is_left_of_the_ratings_of_somebody_erased(line: Line, script: Script) -> None:
    ana = await served(await line.visitor(), script)
    await is_asked(ana)
    await ana.says("1")
    place = await ana.place()
    async with line.database.begin() as session:
        await erase(
            session,
            SYSTEM,
            place.citizen_id,
            schedule=schedule_of(line.city),
            folder=line.folder,
            reason="they asked",
        )
    for table in ("rating", "flag", "touchpoint"):
        assert await line.count(table) == 0, table


async def test_on_telegram_the_question_has_buttons(
    lines: Callable[..., Line], script: Script, line: Line, fake_telegram: telegram.FakeTelegram
) -> None:
    ana = await served(line.chatter(), script)
    assert await is_asked(ana) == [line.city.say("rate_close", "en")]
    await ana.presses((await ana.buttons())[4]["id"])
    assert (await rating(line)).score == 5
