"""Whoever is unhappy is flagged, with what says so, and reaches a person."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY

from channels.base.contract import InboundKind
from contact_hub.citizens.models import ConversationState as State
from contact_hub.citizens.service import lock_conversation
from contact_hub.database import now
from contact_hub.flags import service as flags
from contact_hub.flags.models import Flag, Level
from contact_hub.flags.rules import Signal
from contact_hub.handoff import service as handoff
from contact_hub.identity.merging import merge
from contact_hub.journey import by_hand, weighing
from contact_hub.operations.queue import Lane, LeaseLost
from contact_hub.privacy.erasure import erase
from contact_hub.privacy.schedule import schedule_of
from contact_hub.staff.access import SYSTEM, Viewer
from tests.hub.line import Line, Resident, Script, found, passage, says, turn

AGENT = Viewer("system", "Aisha")


def reads(unhappy: float | None = None, **more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A brain that reads every turn like this."""
    return lambda asked: {"language": "en", "confidence": 0.9, "unhappy": unhappy, **more}


async def flagged(resident: Resident) -> list[Flag]:
    """The flags of everything that happened at this address, oldest first."""
    ids = [talk.id for talk in await resident.conversations()]
    async with resident.line.database.begin() as session:
        by_talk = await flags.of_conversation(session, ids)
    return [flag for identity in ids for flag in by_talk.get(identity, ())]


def signals(flag: Flag) -> list[str]:
    return [given["signal"] for given in flag.signals]


async def last_said(resident: Resident) -> str:
    return str([t.id for t in await resident.touchpoints() if t.direction == "in"][-1])


async def later(resident: Resident, seconds: float = 60) -> None:
    """Let a while pass: a touchpoint's id is its time."""
    for (old,) in await resident.line.sql("SELECT id FROM touchpoint ORDER BY id"):
        new = uuid.UUID(int=old.int - (int(seconds * 1000) << 80))
        await resident.line.sql(
            "UPDATE touchpoint SET id = :new, recorded_at = recorded_at - make_interval(secs => :s)"
            " WHERE id = :old",
            new=new,
            old=old,
            s=seconds,
        )
        for table, column in (
            ("answer", "question_id"),
            ("report", "touchpoint_id"),
            ("flag", "touchpoint_id"),
        ):
            await resident.line.sql(
                f"UPDATE {table} SET {column} = :new WHERE {column} = :old", new=new, old=old
            )


@pytest.fixture
async def ana(talking: Line, script: Script) -> Resident:
    """Somebody in the web chat whom the bot answers."""
    script.on_turn = lambda asked: turn({"answer": found()})
    return await talking.visitor()


# What is said ----------------------------------------------------------------------------------------


async def test_a_calm_question_and_a_calm_report_raise_no_flag(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.12)
    await ana.says("When is my recycling collected?")
    script.on_turn = lambda asked: turn(
        {"report": {"category": "street_light", "place": "Mill Lane 3", "description": "the lamp is dark"}},
        intent="report_problem",
    )
    await ana.says("The street lamp at Mill Lane 3 is broken")
    assert await flagged(ana) == []
    assert (await ana.conversation()).state == State.BOT
    assert await ana.line.count("reading", "score = 0.12") == 2


async def test_words_that_sound_uneasy_are_answered_and_offered_a_person(
    ana: Resident, script: Script
) -> None:
    script.on_read = reads(0.6)
    (answer,) = await ana.says("Not exactly quick, is it")
    (flag,) = await flagged(ana)
    assert flag.level == Level.UNEASY
    assert signals(flag) == ["words"]
    assert flag.signals[0]["evidence"] == await last_said(ana)
    assert "60 %" in flag.signals[0]["words"]
    assert "every second Tuesday" in answer
    assert ana.line.city.say("uneasy_offer", "en") in answer
    assert (await ana.conversation()).state == State.BOT

    script.on_turn = lambda asked: pytest.fail("a button for a person does not ask Rasa")
    await ana.presses((await ana.buttons())[-1]["id"])
    assert (await ana.conversation()).state == State.WAITING


async def test_sarcasm_brings_a_person_instead_of_you_are_welcome(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.95)
    script.on_turn = lambda asked: says("thanks_reply", intent="thank")
    said = await ana.says("Thanks for nothing, wonderful service as always")
    (flag,) = await flagged(ana)
    assert flag.level == Level.UNHAPPY
    assert flag.handed_over
    talk = await ana.conversation()
    assert (talk.state, talk.reason, talk.priority) == (State.WAITING, "unhappy", 30)
    assert ana.line.city.say("thanks_reply", "en") not in "\n".join(said)
    assert said[0] == ana.line.city.say("unhappy_sorry", "en")
    assert await ana.endings() == [("handed_off", "handed_off")]
    (told,) = [t for t in await ana.touchpoints() if t.kind == "flag"]
    assert (told.direction, told.in_reply_to) == ("inner", uuid.UUID(await last_said(ana)))
    assert told.payload["flag"] == str(flag.id)
    assert told.payload["signals"] == flag.signals


async def test_nobody_who_is_uneasy_is_told_that_they_are_welcome(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.6)
    script.on_turn = lambda asked: says("thanks_reply", intent="thank")
    assert await ana.says("Thanks for nothing") == [ana.line.city.say("unhelpful_offer", "en")]
    (person,) = await ana.buttons()
    assert person["meaning"] == {"handoff": "asked"}


async def test_what_the_bot_knows_is_still_said_to_whoever_is_unhappy(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.95)
    said = await ana.says("Third time I ask, you useless lot: when is it collected")
    assert any("every second Tuesday" in words for words in said)
    assert (await ana.conversation()).state == State.WAITING


async def test_a_question_without_an_answer_stays_among_the_unanswered_ones(
    ana: Resident, script: Script
) -> None:
    script.on_read = reads(0.95)
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    said = await ana.says("You never know anything! What about the moon permit")
    assert ana.line.city.say("refused", "en") not in said
    assert await ana.line.one("SELECT outcome FROM answer") == "refused"


@pytest.mark.parametrize(
    "words", ["WHY IS THE STREET STILL NOT CLEANED TODAY", "where is my bin!!!", "垃圾没收！！！"]
)
async def test_shouting_adds_to_other_signs_and_is_nothing_alone(
    ana: Resident, script: Script, words: str
) -> None:
    script.on_read = reads(0.2)
    await ana.says(words)
    assert await flagged(ana) == []
    script.on_read = reads(0.55)
    await ana.says(words + " now")
    (flag,) = await flagged(ana)
    assert signals(flag) == ["words", "shouting"]


# What is asked ---------------------------------------------------------------------------------------


async def test_asking_for_a_person_is_a_sign_whichever_way_it_is_asked(talking: Line, script: Script) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}}, intent="talk_to_human")
    ana = await talking.visitor()
    await ana.says("I would like to speak with somebody")
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    ben = await talking.visitor()
    await ben.says("What about the moon?")
    await ben.presses((await ben.buttons())[0]["id"])
    for resident in (ana, ben):
        (flag,) = await flagged(resident)
        assert signals(flag) == ["asked_for_person"]
        assert flag.signals[0]["evidence"] == await last_said(resident)
        talk = await resident.conversation()
        assert (talk.state, talk.reason) == (State.WAITING, "asked"), "they asked, nobody decided it for them"


async def test_the_same_question_in_other_words_is_a_sign_with_both_turns(
    ana: Resident, script: Script
) -> None:
    asked_first = "When do you collect the recycling?"
    await ana.says(asked_first)
    await later(ana)
    first = str(next(t.id for t in await ana.touchpoints() if t.direction == "in"))

    def repeats(asked: dict[str, Any]) -> dict[str, Any]:
        place = asked["history"].index({"role": "citizen", "text": asked_first})
        return reads(0.1, repeats={"turn": place, "similarity": 0.9})(asked)

    script.on_read = repeats
    await ana.says("So which day does the blue bin get emptied")
    (flag,) = await flagged(ana)
    assert signals(flag) == ["asked_again"]
    assert flag.signals[0]["evidence"] == await last_said(ana)
    assert flag.signals[0]["also"] == [first]


async def test_nearly_the_same_words_are_noticed_without_the_brain(line: Line) -> None:
    ana = await line.visitor()
    await ana.says("when is my blue bin emptied")
    await later(ana)
    await ana.says("When is my blue bin emptied??")
    assert [signals(flag) for flag in await flagged(ana)] == [["asked_again"]]


async def test_a_message_sent_twice_by_mistake_asks_nothing_again(ana: Resident) -> None:
    await ana.says("when is my blue bin emptied")
    await ana.says("when is my blue bin emptied")
    assert await flagged(ana) == []


async def test_answers_in_a_form_repeat_nothing(ana: Resident, script: Script) -> None:
    script.on_turn = lambda asked: says("report_ask_place", form="report_form")
    await ana.says("the lamp in my street is broken")
    await later(ana)
    await ana.says("the lamp in my street is broken")
    assert await flagged(ana) == []


async def test_two_refusals_in_a_row_are_a_sign_and_one_is_none(ana: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await ana.says("What about the moon?")
    script.on_turn = lambda asked: turn({"answer": found()})
    await ana.says("And the blue bin?")
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await ana.says("And the sun?")
    assert await flagged(ana) == []
    refused = (await ana.written())[-1].id
    await ana.says("And the stars then?")
    (flag,) = await flagged(ana)
    assert signals(flag) == ["refused_twice"]
    assert flag.signals[0]["also"] == [str(refused)]
    assert len([b for b in await ana.buttons() if "handoff" in b["meaning"]]) == 1, "the offer stands once"


async def test_a_thumb_down_is_a_sign_and_a_second_one_brings_a_person(ana: Resident) -> None:
    await ana.says("When is my recycling collected?")
    await ana.presses((await ana.buttons())[1]["id"])
    (flag,) = await flagged(ana)
    assert (signals(flag), flag.level) == (["thumbs_down"], Level.UNEASY)
    await ana.presses((await _last_buttons(ana))[1]["id"])
    assert len(await flagged(ana)) == 1, "the same thumb pressed twice says nothing new"
    await ana.says("And the green bin?")
    await ana.presses((await _last_buttons(ana))[1]["id"])
    assert (await flagged(ana))[-1].level == Level.UNHAPPY
    assert (await ana.conversation()).state == State.WAITING


async def _last_buttons(resident: Resident) -> list[dict[str, Any]]:
    """The buttons under the last answer."""
    answers = [t for t in await resident.written() if "answer" in t.payload]
    return list(answers[-1].payload["buttons"])


# Over time -------------------------------------------------------------------------------------------


async def test_the_third_contact_about_one_matter_counts_over_all_channels(
    talking: Line, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"answer": found("answered", passage(7))})
    web, phone, chat = await talking.visitor(), talking.texter(), talking.chatter()
    await web.says("When is the blue bin collected?")
    await later(web, 3 * 86_400)
    await phone.says("blue bin when")
    await later(web, 2 * 86_400)
    async with talking.database.begin() as session:
        one, other, third = [(await r.place()).citizen_id for r in (web, phone, await _here(chat))]
        await merge(session, one, other, by=SYSTEM, reason="they said so at the desk")
        await merge(session, one, third, by=SYSTEM, reason="they said so at the desk")
    script.on_turn = lambda asked: turn({"answer": found("answered", passage(8))})
    await chat.says("And the library?")
    assert await flagged(chat) == [], "another matter"
    script.on_turn = lambda asked: turn({"answer": found("answered", passage(7))})
    await chat.says("Blue bin, once more")
    (flag,) = await flagged(chat)
    assert signals(flag) == ["third_contact"]
    assert len(flag.signals[0]["also"]) == 2
    assert "number 3 about this in 14 days" in flag.signals[0]["words"]
    await chat.says("Blue bin, are you sure")
    assert len(await flagged(chat)) == 1, "once in a conversation"


def _reports(report: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    return turn({"report": report}, intent="report_problem")


async def _here(resident: Resident) -> Resident:
    """Somebody who has only said hello."""
    await resident.says("hello")
    return resident


async def test_contacts_of_long_ago_and_problems_at_three_places_are_no_sign(
    talking: Line, script: Script
) -> None:
    phone = talking.texter()
    for number in range(3):
        hole = {"category": "pothole", "place": f"Mill Lane {number}", "description": "a hole"}
        script.on_turn = partial(_reports, hole)
        await phone.says(f"a hole at Mill Lane {number}")
        await later(phone, 86_400)
    assert await flagged(phone) == []
    script.on_turn = lambda asked: turn({"answer": found()})
    for _ in range(3):
        await phone.says("blue bin when")
        await later(phone, 10 * 86_400)
    assert await flagged(phone) == []


# While a person helps, and after ---------------------------------------------------------------------


async def test_turns_are_still_flagged_while_a_person_helps_and_move_nothing(
    ana: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "assistant_down"}}, intent="ask_question")
    await ana.says("Good morning")
    script.on_read = reads(0.95)
    await ana.says("How long do I have to wait, this is a disgrace")
    (flag,) = await flagged(ana)
    assert (flag.level, flag.handed_over) == (Level.UNHAPPY, False)
    talk = await ana.conversation()
    assert (talk.state, talk.reason, talk.priority) == (State.WAITING, "unhappy", 30)
    before = await ana.reads()

    await by_hand.reply(ana.line.writer, ana.line.wakeups, str(talk.id), AGENT, "I am looking into it")
    await ana.says("Finally. Unbelievable how you treat people")
    assert len(await flagged(ana)) == 2
    assert (await ana.conversation()).state == State.AGENT
    assert [words for words in (await ana.reads())[len(before) :] if "sorry" in words] == []


async def test_what_was_said_before_a_person_gave_it_back_counts_no_more(
    ana: Resident, script: Script
) -> None:
    script.on_read = reads(0.6)
    await ana.says("Not exactly quick, is it")
    await ana.says("So when is it?")
    assert (await ana.conversation()).state == State.WAITING
    last = (await ana.touchpoints())[-1].id
    talk = await ana.conversation()
    async with ana.line.database.begin() as session:
        held = await lock_conversation(session, talk.id)
        await handoff.move(session, held, State.AGENT, holder="Aisha", reason="taken")
        await handoff.move(session, held, State.BOT, holder=None, reason="returned")
        held.read_from = last
    await later(ana, 0)
    await ana.says("One more thing, slowly as ever")
    newest = (await flagged(ana))[-1]
    assert newest.level == Level.UNEASY, "the old signs do not add up with it"
    assert (await ana.conversation()).state == State.BOT


async def test_a_promise_that_was_not_kept_is_a_sign_once(ana: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "assistant_down"}}, intent="ask_question")
    await ana.says("Good morning")
    talk = await ana.conversation()
    for _ in range(2):
        async with ana.line.database.begin() as session:
            held = await lock_conversation(session, talk.id)
            await weighing.overdue(session, ana.line.city, ana.line.writer.flags, held, now())
    (flag,) = await flagged(ana)
    assert signals(flag) == ["waited_too_long"]
    evidence = {str(t.id): t.kind for t in await ana.touchpoints()}[flag.signals[0]["evidence"]]
    assert evidence == "handoff"


async def test_a_dismissed_flag_adds_nothing_and_its_evidence_is_not_raised_again(
    ana: Resident, script: Script
) -> None:
    script.on_read = reads(0.6)
    await ana.says("Not exactly quick, is it")
    (flag,) = await flagged(ana)
    async with ana.line.database.begin() as session:
        assert await flags.dismiss(session, flag.id, AGENT, "they were joking")
        assert not await flags.dismiss(session, flag.id, AGENT, "they were joking")
        with pytest.raises(ValueError, match="reason"):
            await flags.dismiss(session, flag.id, AGENT, " ")
    (kept,) = await flagged(ana)
    assert (kept.dismissed_by, kept.dismissed_why) == ("Aisha", "they were joking")
    assert await ana.line.count("audit", "action = 'flag.dismissed'") == 1
    assert await ana.line.count("touchpoint", "kind = 'flag_dismissed'") == 1
    await ana.says("Still not exactly quick")
    assert (await flagged(ana))[-1].level == Level.UNEASY, "alone it is no more than that"


# When something is away ------------------------------------------------------------------------------


async def test_flags_work_without_rasa(lines: Callable[..., Line], script: Script) -> None:
    line = lines(brain_url=script.url)
    script.on_read = reads(0.95)
    ana = await line.visitor()
    said = await ana.says("Useless, as always. When is the bin collected")
    assert [signals(flag) for flag in await flagged(ana)] == [["words"]]
    assert (await ana.conversation()).reason == "unhappy"
    assert any("every second Tuesday" in words for words in said)


async def test_a_person_is_asked_for_and_found_with_everything_away(line: Line) -> None:
    ana = await line.visitor()
    await ana.says("talk to a person")
    talk = await ana.conversation()
    assert (talk.state, talk.reason) == (State.WAITING, "asked")
    (flag,) = await flagged(ana)
    assert signals(flag) == ["asked_for_person"]
    await ana.says("HELLO IS ANYBODY THERE ANSWERING PEOPLE!!!")
    assert len(await flagged(ana)) == 1, "shouting alone is a manner of writing"


async def test_a_turn_tried_again_raises_its_flag_once(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.95)
    await ana.does(words="Useless, as always")
    first = await ana.line.claim(Lane.IN)
    await ana.line.hurry()
    second = await ana.line.claim(Lane.IN)
    assert first is not None
    assert second is not None
    await ana.line.handle(second)
    with pytest.raises(LeaseLost):
        await ana.line.handle(first)
    assert len(await flagged(ana)) == 1
    assert await ana.line.count("touchpoint", "kind = 'flag'") == 1


async def test_a_flag_that_was_not_committed_is_not_counted(ana: Resident) -> None:
    await ana.says("Useless")
    talk = await ana.conversation()
    before, database = counted(), ana.line.database

    async def low_rating(lease_lost: bool) -> None:
        async with database.begin() as session:
            locked = await lock_conversation(session, talk.id)
            said = uuid.UUID(await last_said(ana))
            sign = Signal.LOW_RATING
            await weighing.raise_for(session, ana.line.writer.flags, locked, sign, said, score="1")
            if lease_lost:
                raise LeaseLost(1)

    with pytest.raises(LeaseLost):
        await low_rating(lease_lost=True)
    assert (counted(), await flagged(ana)) == (before, [])
    await low_rating(lease_lost=False)
    assert (counted(), len(await flagged(ana))) == (before + 1, 1)


def counted() -> float:
    """How many flags this process says at /metrics that it raised."""
    return REGISTRY.get_sample_value("civicline_flags_total", {"level": "unhappy"}) or 0.0


async def test_danger_is_not_weighed(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.99)
    await ana.says("my house is on fire!!!")
    assert [flag for flag in await flagged(ana) if flag.level != Level.DANGER] == []
    assert (await ana.conversation()).priority == 100


async def test_an_edit_a_press_and_consent_words_are_not_read(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.99)
    await ana.does(InboundKind.EDIT, "USELESS PEOPLE EVERYWHERE AROUND!!!")
    await ana.line.work()
    await ana.says("stop the survey")
    assert await flagged(ana) == []


async def test_nothing_is_left_of_the_flags_of_somebody_erased(ana: Resident, script: Script) -> None:
    script.on_read = reads(0.95)
    await ana.says("Useless, as always")
    place = await ana.place()
    async with ana.line.database.begin() as session:
        await erase(
            session,
            SYSTEM,
            place.citizen_id,
            schedule=schedule_of(ana.line.city),
            folder=ana.line.folder,
            reason="they asked",
        )
    for table in ("flag", "reading", "touchpoint", "conversation"):
        assert await ana.line.count(table) == 0, table
