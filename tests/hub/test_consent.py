"""On which terms the city may use what a resident gives it: shown, asked, withdrawn, and derived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation
from contact_hub.city import City
from contact_hub.journey import saying
from contact_hub.journey.turn import Reply
from contact_hub.operations.queue import Lane
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Basis, Decision, Purpose, Term
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, found, passage, says, turn


@pytest.fixture
async def phone(lines: Callable[..., Line], script: Script, whole_city: City) -> Resident:
    """Somebody with a phone, on a line whose texts go nowhere yet."""
    sms = recorded.build("sms", twilio_from="+15550001000")
    return lines(brain_url=script.url, rasa_url=script.url, channels=[sms], city=whole_city).texter()


@pytest.fixture
async def chat(asking: Line) -> Resident:
    """Somebody in the web chat of a city with a notice."""
    return await asking.visitor()


async def may(resident: Resident, purpose: Purpose) -> bool:
    """Whether their data may be used, as everything that uses them asks."""
    async with resident.line.database.begin() as session:
        return await consent.allowed(session, (await resident.place()).citizen_id, purpose)


async def terms(resident: Resident) -> list[Term]:
    async with resident.line.database.begin() as session:
        return await consent.terms_of(session, (await resident.place()).citizen_id)


async def decisions(resident: Resident) -> list[tuple[Purpose, Decision]]:
    return [(term.purpose, term.decision) for term in await terms(resident)]


async def move(resident: Resident, other: Resident) -> None:
    """Give `other`'s address to `resident`'s citizen, as a merge does."""
    citizen = (await resident.place()).citizen_id
    await _own(other, citizen)


async def _own(resident: Resident, citizen: Any) -> None:
    place = await resident.place()
    async with resident.line.database.begin() as session:
        await session.execute(update(Address).where(Address.id == place.id).values(citizen_id=citizen))


# The notice --------------------------------------------------------------------------------------


async def test_the_first_answer_carries_the_notice_and_the_second_does_not(chat: Resident) -> None:
    city = chat.line.city
    notice = city.notice("web_chat", "en")
    assert notice is not None
    assert await chat.says("Hello") == [f"{city.say('greet', 'en')}\n\n{notice[0]}"]
    assert await chat.says("Hello again") == [city.say("greet", "en")]
    (term,) = await terms(chat)
    assert (term.purpose, term.decision, term.basis) == (
        Purpose.SERVICE,
        Decision.INFORMED,
        Basis.PUBLIC_TASK,
    )
    assert (term.version, term.text, term.language, term.channel) == (notice[1], notice[0], "en", "web_chat")
    assert term.evidence == (await chat.written())[0].id
    wording = f"service\0{notice[1]}\0en\0{notice[0]}"
    assert term.text_sha256 == hashlib.sha256(wording.encode()).hexdigest()


async def test_a_new_version_of_the_notice_is_shown_once_more(
    chat: Resident, lines: Callable[..., Line], script: Script, whole_city: City
) -> None:
    from dataclasses import replace

    await chat.says("Hello")
    newer = {
        **whole_city.settings,
        "privacy_notice": {"url": "https://city.example/privacy", "version": "2027-01"},
    }
    chat.line = lines(brain_url=script.url, rasa_url=script.url, city=replace(whole_city, settings=newer))
    (words,) = await chat.says("Hello")
    assert "https://city.example/privacy" in words
    assert "https://city.example/privacy" not in (await chat.says("Hello"))[0]
    assert [term.version for term in await terms(chat)] == [whole_city.notice_version, "2027-01"]


async def test_below_an_answer_the_question_stays_beside_its_buttons(
    chat: Resident, phone: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"answer": found("answered", passage())})
    for resident in (chat, phone):
        city = resident.line.city
        notice, helps = city.notice(resident.channel, "en"), city.say("did_this_help", "en")
        assert notice is not None
        await resident.says("When is my recycling collected?")
        (answer,) = await resident.written()
        assert (answer.text or "").endswith(f"\n\n{notice[0]}\n\n{helps}")
    assert "STOP" not in str(chat.line.city.notice("web_chat", "en"))
    assert "STOP" in str(phone.line.city.notice("sms", "en"))


async def test_by_sms_the_notice_rides_in_the_first_answer_and_costs_no_message(phone: Resident) -> None:
    (words,) = await phone.says("Hello")
    notice = phone.line.city.notice("sms", "en")
    assert notice is not None
    assert words.endswith(notice[0])
    (delivery,) = await phone.line.deliveries()
    assert delivery.text == words


async def test_whoever_writes_from_a_second_address_has_seen_it_already(asking: Line) -> None:
    first, second = await asking.visitor(), await asking.visitor()
    await first.says("Hello")
    await second.does(words="Hello")
    await move(first, second)
    await asking.work()
    assert await second.reads() == [asking.city.say("greet", "en")]


async def test_in_danger_no_notice_stands_beside_the_number_to_call(chat: Resident) -> None:
    words = await chat.says("Help, my house is on fire")
    assert not any("Details:" in said for said in words)
    assert await terms(chat) == []


async def test_whoever_begins_with_stop_is_told_only_that_it_is_done(chat: Resident) -> None:
    assert await chat.says("stop") == [chat.line.city.say("stop_confirmed", "en")]


# Asking ------------------------------------------------------------------------------------------


def _reported(asked: dict[str, Any]) -> dict[str, Any]:
    report = {"category": "pothole", "place": "Mill Lane", "description": "deep", "photo": None}
    return turn({"report": report}, intent="report_problem")


async def test_after_a_report_alerts_are_offered_once_and_a_button_agrees(
    chat: Resident, script: Script
) -> None:
    script.on_turn = _reported
    (words,) = await chat.says("There is a pothole in Mill Lane")
    assert chat.line.city.say("consent_alerts_terms", "en", city="Larkhaven") in words
    assert not await may(chat, Purpose.ALERTS)
    yes, _ = await chat.buttons()
    (thanks,) = await chat.presses(yes["id"])
    assert "no more alerts" in thanks
    assert await may(chat, Purpose.ALERTS)
    term = (await terms(chat))[-1]
    assert (term.purpose, term.decision, term.by) == (Purpose.ALERTS, Decision.GRANTED, "citizen")
    assert term.version == "2026-12"
    pressed = [t for t in await chat.touchpoints() if t.kind == "button"]
    assert term.evidence == pressed[-1].id
    (again,) = await chat.says("And another one")
    assert "agree" not in again
    assert await chat.buttons() == []


async def test_a_no_is_kept_and_not_asked_again(chat: Resident, script: Script) -> None:
    script.on_turn = _reported
    await chat.says("There is a pothole in Mill Lane")
    _, no = await chat.buttons()
    assert await chat.presses(no["id"]) == [chat.line.city.say("consent_refused", "en")]
    assert (await decisions(chat))[-1] == (Purpose.ALERTS, Decision.REFUSED)
    assert not await may(chat, Purpose.ALERTS)
    await chat.says("And another one")
    assert await chat.buttons() == []


async def test_by_sms_the_number_of_a_choice_answers(phone: Resident, script: Script) -> None:
    script.on_turn = _reported
    await phone.says("There is a pothole in Mill Lane")
    await phone.says("1")
    assert await may(phone, Purpose.ALERTS)


@pytest.mark.parametrize(
    ("word", "decision"), [("Yes", Decision.GRANTED), ("sí", Decision.GRANTED), ("No.", Decision.REFUSED)]
)
async def test_by_sms_a_plain_yes_or_no_answers_as_well(
    phone: Resident, script: Script, word: str, decision: Decision
) -> None:
    script.on_turn = _reported
    await phone.says("There is a pothole in Mill Lane")
    await phone.says(word)
    assert (await decisions(phone))[-1] == (Purpose.ALERTS, decision)
    assert len(script.turns) == 1


async def test_a_yes_to_anything_else_agrees_to_nothing(phone: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    await phone.says("When is my recycling collected?")
    await phone.says("Yes")
    assert {decision for _, decision in await decisions(phone)} == {Decision.INFORMED}
    assert len(script.turns) == 2


async def test_after_an_answer_that_helped_its_use_for_better_answers_is_asked_for(
    chat: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    await chat.says("When is recycling collected?")
    good, _ = await chat.buttons()
    (words,) = await chat.presses(good["id"])
    assert chat.line.city.say("consent_improvement_terms", "en", city="Larkhaven") in words
    yes, _ = await chat.buttons()
    await chat.presses(yes["id"])
    assert await may(chat, Purpose.IMPROVEMENT)


async def test_a_yes_button_agrees_and_takes_back_no_stop(chat: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    await chat.says("When is recycling collected?")
    good, _ = await chat.buttons()
    await chat.presses(good["id"])
    yes, _ = await chat.buttons()
    assert yes["title"] == "Yes"
    await chat.says("STOP")
    (thanks,) = await chat.presses(yes["id"])
    assert thanks != chat.line.city.say("start_confirmed", "en")
    assert await may(chat, Purpose.IMPROVEMENT)
    assert await chat.line.count("suppression") == 1


async def test_who_rates_unasked_is_asked_for_nothing_more(chat: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn(
        {"request": "rate_service", "values": {"rating": 5}}, intent="rate_service"
    )
    (words,) = await chat.says("five out of five")
    assert chat.line.city.say("consent_survey_terms", "en", city="Larkhaven") not in words
    assert await chat.buttons() == []


async def test_a_strangers_button_agrees_to_nothing(asking: Line, script: Script) -> None:
    script.on_turn = _reported
    mine, other = await asking.visitor(), await asking.visitor()
    await mine.says("There is a pothole in Mill Lane")
    yes, _ = await mine.buttons()
    script.on_turn = lambda asked: says("greet")
    await other.says("Hello")
    await other.presses(yes["id"])
    assert not await may(other, Purpose.ALERTS)
    assert not await may(mine, Purpose.ALERTS)


# Withdrawing -------------------------------------------------------------------------------------

WITHDRAWALS = [
    ("no more alerts", Purpose.ALERTS),
    ("Bitte keine Umfrage mehr", Purpose.SURVEY),
    ("no usen mis mensajes", Purpose.IMPROVEMENT),
    ("koniec ostrzeżeń", Purpose.ALERTS),
    ("不要使用我的消息", Purpose.IMPROVEMENT),
    ("أوقفوا الاستبيان", Purpose.SURVEY),
]


@pytest.mark.parametrize(("words", "purpose"), WITHDRAWALS)
async def test_one_message_withdraws_in_any_language_and_is_confirmed(
    chat: Resident, script: Script, words: str, purpose: Purpose
) -> None:
    for yes in ("send me alerts", "start the survey", "you may use my messages"):
        await chat.says(yes)
    assert await may(chat, purpose)
    asked = len(script.turns)
    assert await chat.says(words) == [chat.line.city.say(f"consent_{purpose}_withdrawn", "en")]
    assert not await may(chat, purpose)
    assert all([await may(chat, other) for other in consent.ASKED if other is not purpose])
    assert len(script.turns) == asked  # no model has a say in it
    last = (await terms(chat))[-1]
    said = [t for t in await chat.touchpoints() if t.kind == "text" and t.direction == "in"]
    assert (last.decision, last.evidence) == (Decision.WITHDRAWN, said[-1].id)
    assert [t.kind for t in await chat.touchpoints()][-2:] == ["consent", "text"]


async def test_withdrawing_consent_ends_every_purpose_and_not_the_service(
    chat: Resident, script: Script
) -> None:
    for yes in ("send me alerts", "start the survey", "you may use my messages"):
        await chat.says(yes)
    await chat.says("I withdraw my consent")
    assert [await may(chat, purpose) for purpose in consent.ASKED] == [False, False, False]
    assert await may(chat, Purpose.SERVICE)
    assert await chat.says("Hello") == [chat.line.city.say("greet", "en")]


async def test_granting_again_works_like_withdrawing(chat: Resident) -> None:
    await chat.says("send me alerts")
    await chat.says("no more alerts")
    await chat.says("send me alerts")
    assert await may(chat, Purpose.ALERTS)
    assert [decision for purpose, decision in await decisions(chat) if purpose is Purpose.ALERTS] == [
        Decision.GRANTED,
        Decision.WITHDRAWN,
        Decision.GRANTED,
    ]


async def test_withdrawing_works_while_a_person_helps(chat: Resident, script: Script) -> None:
    await chat.says("send me alerts")
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await chat.says("I want to talk to a person")
    assert (await chat.conversation()).state == "waiting"
    assert await chat.says("no more alerts") == [chat.line.city.say("consent_alerts_withdrawn", "en")]
    assert not await may(chat, Purpose.ALERTS)
    assert (await chat.conversation()).state == "waiting"


async def test_stop_by_sms_ends_alerts_and_surveys_as_well(phone: Resident) -> None:
    await phone.says("send me alerts")
    await phone.says("you may use my messages")
    assert await may(phone, Purpose.ALERTS)
    await phone.says("please stop texting me")
    assert not await may(phone, Purpose.ALERTS)
    assert await may(phone, Purpose.IMPROVEMENT)  # nothing is sent for it


async def test_what_have_i_agreed_to_is_answered(chat: Resident) -> None:
    await chat.says("send me alerts")
    (words,) = await chat.says("What have I agreed to?")
    assert words.splitlines()[1:] == [
        "Answering you: the city's task, no consent needed",
        f"Alerts: yes, since {chat.line.city.day((await terms(chat))[-1].decided_at, 'en')}",
        "Better answers: no",
        "Survey: no",
    ]


async def test_a_question_about_alerts_goes_to_the_assistant(chat: Resident, script: Script) -> None:
    await chat.says("How do I stop the flood alerts of my neighbour?")
    assert len(script.turns) == 1


# One citizen, several addresses ------------------------------------------------------------------


async def test_a_merge_keeps_the_stricter_and_undoing_it_restores_both(asking: Line) -> None:
    one, two = await asking.visitor(), await asking.visitor()
    await one.says("send me alerts")
    await two.says("no more alerts")
    own = (await two.place()).citizen_id
    await one.says("send me alerts")  # later than the no, and yet no answer to it
    await move(one, two)
    assert not await may(one, Purpose.ALERTS)
    await _own(two, own)
    assert await may(one, Purpose.ALERTS)
    assert not await may(two, Purpose.ALERTS)


async def test_a_withdrawal_holds_on_every_channel_and_a_later_yes_takes_it_back_everywhere(
    asking: Line,
) -> None:
    one, two = await asking.visitor(), await asking.visitor()
    await one.says("send me alerts")
    await two.says("Hello")
    stranger = (await two.place()).citizen_id
    await move(one, two)
    assert await may(two, Purpose.ALERTS)
    await two.says("no more alerts")
    assert not await may(one, Purpose.ALERTS)
    await one.says("send me alerts")
    assert await may(two, Purpose.ALERTS)
    # Parted again, each has what was said there: the yes went with the first, the no stays with the second.
    await _own(two, stranger)
    assert await may(one, Purpose.ALERTS)
    assert not await may(two, Purpose.ALERTS)


async def test_terms_name_what_is_in_force(asking: Line) -> None:
    one, two = await asking.visitor(), await asking.visitor()
    await one.says("send me alerts")
    await two.says("no more alerts")
    await move(one, two)
    standing = [(t.decision, t.in_force) for t in await terms(one) if t.purpose is Purpose.ALERTS]
    assert standing == [(Decision.GRANTED, False), (Decision.WITHDRAWN, True)]


# Using -------------------------------------------------------------------------------------------


async def test_an_alert_leaves_only_while_it_is_agreed_to(phone: Resident) -> None:
    line = phone.line
    await phone.says("send me alerts")

    async def alert(words: str) -> str:
        place, talk = await phone.place(), await phone.conversation()
        async with line.database.begin() as session:
            conversation = await citizens.lock_conversation(session, talk.id)
            await saying.say(
                session,
                line.writer,
                conversation,
                Reply(words, author="system"),
                channel="sms",
                address=place.value,
                language="en",
                purpose=Purpose.ALERTS,
            )
        return words

    await alert("Water is off in Mill Lane today.")
    queued = [d for d in await line.deliveries() if d.purpose == "alerts"]
    assert [await _stays(phone, d.id) for d in queued] == [None]
    await phone.does(words="no more alerts")
    await line.work(Lane.IN)
    assert [await _stays(phone, d.id) for d in queued] == ["the resident does not agree to: alerts"]


async def _stays(resident: Resident, delivery_id: Any) -> str | None:
    from contact_hub.journey import permission
    from contact_hub.outbox.models import Delivery

    async with resident.line.database.begin() as session:
        delivery = await session.get_one(Delivery, delivery_id)
        talk = await session.get_one(Conversation, delivery.conversation_id)
        address = await session.get_one(Address, delivery.address_id)
        stay = await permission.withdrawn(session, talk, delivery, address)
    return None if stay is None else stay.why


async def test_a_decision_is_never_changed(chat: Resident) -> None:
    await chat.says("send me alerts")
    with pytest.raises(DBAPIError, match="never changed"):
        await chat.line.sql("UPDATE consent SET decision = 'withdrawn'")


async def test_answering_cannot_be_agreed_to_or_withdrawn(chat: Resident) -> None:
    await chat.says("Hello")
    place = await chat.place()
    origin = consent.Origin(place.id, "web_chat")
    for decide in (consent.grant, consent.withdraw):
        async with chat.line.database.begin() as session:
            with pytest.raises(ValueError, match="city's task"):
                await decide(session, chat.line.city, origin, Purpose.SERVICE, language="en")
