"""What nobody should send: covered before it travels, offered to be removed, and removed without a trace."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from channels.base.contract import InboundKind
from contact_hub.citizens import service as citizens
from contact_hub.city import City
from contact_hub.identity import merging
from contact_hub.knowledge import drafts
from contact_hub.knowledge.models import Answer, DraftArticle
from contact_hub.privacy import holds, redaction
from contact_hub.privacy.holds import Held
from contact_hub.privacy.improvement import unanswered
from contact_hub.privacy.masking import SENSITIVE
from contact_hub.privacy.scrubbing import REMOVED
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role
from contact_hub.timeline import service as timeline
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, found, says, turn
from tests.hub.looked_after import look_after

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
AGENT = Viewer("system", "Maria")


@pytest.fixture
async def chat(talking: Line) -> Resident:
    """Somebody in the web chat."""
    return await talking.visitor()


@pytest.fixture
async def phone(lines: Callable[..., Line], script: Script) -> Resident:
    """Somebody with a phone, on a line whose texts go nowhere yet."""
    sms = recorded.build("sms", twilio_from="+15550001000")
    return lines(brain_url=script.url, rasa_url=script.url, channels=[sms]).texter()


async def everywhere(line: Line, words: str) -> list[str]:
    """Every column of every table that holds these words, however deep."""
    columns = await line.sql(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('public', 'assistant') AND data_type IN"
        " ('text', 'jsonb', 'json', 'tsvector', 'ARRAY', 'bytea') AND table_name NOT LIKE 'touchpoint\\_%'"
    )
    hits = []
    for schema, table, column in columns:
        where = f'"{schema}"."{table}" WHERE CAST("{column}" AS text) ILIKE :words'
        if await line.one(f"SELECT count(*) FROM {where}", words=f"%{words}%"):
            hits.append(f"{table}.{column}")
    return sorted(hits)


async def remove(line: Line, touchpoint: uuid.UUID, viewer: Viewer = AGENT, **how: Any) -> redaction.Redacted:
    async with line.database.begin() as session:
        return await redaction.redact(session, touchpoint, viewer, reason="sent by mistake", **how)


async def first(resident: Resident) -> uuid.UUID:
    return (await resident.touchpoints())[0].id


# Whatever staff have in hand ---------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
async def test_what_staff_wrote_about_a_message_loses_its_words_as_well(
    chat: Resident, script: Script, whole: bool
) -> None:
    line, secret = chat.line, "my code word is heliotrope"
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await chat.says(secret)
    await look_after(chat, secret)
    talk = await chat.conversation()
    place = await chat.place()
    async with line.database.begin() as session:
        for address, kind in (
            (place.id, "note"),
            (place.id, "flag"),
            (await citizens.desk_address(session, place.citizen_id), "note"),
        ):
            await timeline.record(
                session,
                address_id=address,
                conversation_id=talk.id,
                direction="inner",
                actor="agent",
                kind=kind,
                words=f"They wrote: {secret}" if kind == "note" else None,
                payload={"signals": [{"words": secret}]} if kind == "flag" else {},
            )
        (answer,) = await session.scalars(select(Answer))
        session.add(
            DraftArticle(
                article="x/my-code-word-is-heliotrope",
                language="en",
                title=secret,
                text=secret,
                answers=[str(answer.id)],
                written_by="M",
            )
        )
    await line.sql(
        "UPDATE conversation SET unfinished = jsonb_build_object('description', CAST(:w AS text))", w=secret
    )
    hits = await everywhere(line, "heliotrope")
    for place_of_words in (
        "flag.signals",
        "review.why",
        "held_reply.text",
        "presence.draft",
        "conversation.unfinished",
    ):
        assert place_of_words in hits
    await remove(line, await first(chat), parts=() if whole else ["heliotrope"])
    assert await everywhere(line, "heliotrope") == []


# Covering ----------------------------------------------------------------------------------------


async def test_a_card_number_never_reaches_the_assistant(chat: Resident, script: Script) -> None:
    await chat.says(f"Can I pay my council tax with {CARD}?")
    assert script.turns[-1]["text"] == "Can I pay my council tax with [card]?"
    await chat.says("And how long does that take?")
    assert CARD not in json.dumps(script.turns)
    assert script.turns[-1]["history"][0]["text"] == "Can I pay my council tax with [card]?"


async def test_without_rasa_the_search_sees_no_card_number_either(
    lines: Callable[..., Line], script: Script
) -> None:
    chat = await lines(brain_url=script.url).visitor()
    await chat.says(f"Can I pay with {CARD}?")
    assert [asked["text"] for asked in script.searches] == ["Can I pay with [card]?"]


async def test_where_to_be_called_back_may_be_said(chat: Resident, script: Script) -> None:
    await chat.says("Call me on 087 123 4567 or write to jo@mail.example")
    assert script.turns[-1]["text"] == "Call me on 087 123 4567 or write to jo@mail.example"
    assert await chat.buttons() == []


async def test_the_kept_question_holds_no_numbers_at_all(chat: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await chat.says("Who calls me back on 087 123 4567 about R26-00001-8?")
    assert (
        await chat.line.one("SELECT question FROM answer")
        == "Who calls me back on [phone] about R26-00001-8?"
    )


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "it", "pl", "pt", "tr", "ar", "zh"])
async def test_the_resident_is_warned_in_their_language_and_answered(
    talking: Line, script: Script, language: str
) -> None:
    resident = await talking.visitor(language)
    answer, warning = await resident.says(f"Hello {CARD} {IBAN}")
    city = talking.city
    assert answer == city.say("greet", language)
    what = f"{city.say('sensitive_card', language)}, {city.say('sensitive_iban', language)}"
    assert warning == city.say("sensitive_warning", language, what=what)
    assert [b["title"] for b in await resident.buttons()] == [
        city.say("button_remove", language),
        city.say("button_keep", language),
    ]


async def test_nothing_but_a_number_is_only_warned_about(chat: Resident, script: Script) -> None:
    (warning,) = await chat.says(CARD)
    assert "card number" in warning
    assert script.turns == []
    assert (await chat.endings())[-1] == ("answered", "warned")


async def test_while_a_person_helps_the_bot_does_not_warn(chat: Resident, script: Script) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await chat.says("A person please")
    await chat.says(f"My card is {CARD}")
    *_, said, notice = await chat.touchpoints()
    assert said.text == f"My card is {CARD}"  # the agent may need it
    assert notice.payload["say"] == "wait_heard"


# Removing ----------------------------------------------------------------------------------------


async def test_one_press_removes_the_number_and_leaves_the_words(chat: Resident) -> None:
    await chat.says(f"My card is {CARD}, can I pay with it?")
    button, _ = await chat.buttons()
    assert await chat.presses(button["id"]) == [chat.line.city.say("sensitive_removed", "en")]
    assert (await chat.touchpoints())[0].text == "My card is [card], can I pay with it?"
    assert await everywhere(chat.line, "1111") == []
    (noted,) = [t for t in await chat.touchpoints() if t.kind == "redaction"]
    assert (noted.actor, noted.in_reply_to) == ("citizen", await first(chat))
    (line, *_) = await chat.line.store.feed(chat.address, 0)
    assert line.text == "My card is [card], can I pay with it?"


async def test_under_a_legal_hold_nothing_is_removed_and_a_person_is_told(chat: Resident) -> None:
    line = chat.line
    await chat.says(f"My card is {CARD}")
    async with line.database.begin() as session:
        await holds.add(session, AGENT, (await chat.place()).citizen_id, "a claim", None)
    with pytest.raises(Held):
        await remove(line, await first(chat))
    button, _ = await chat.buttons()
    assert await chat.presses(button["id"]) == [line.city.say("erase_held", "en")]
    assert (await chat.touchpoints())[0].text == f"My card is {CARD}"
    assert [ticket.kind for ticket in await line.tickets()] == ["erasure_request"]
    async with line.database.begin() as session:
        await holds.lift(session, AGENT, (await chat.place()).citizen_id)
    await remove(line, await first(chat))
    assert await everywhere(line, "1111") == []


async def test_leaving_it_leaves_it(chat: Resident) -> None:
    await chat.says(f"My card is {CARD}")
    _, button = await chat.buttons()
    assert await chat.presses(button["id"]) == [chat.line.city.say("sensitive_kept", "en")]
    assert (await chat.touchpoints())[0].text == f"My card is {CARD}"


async def test_by_sms_a_number_alone_removes_it(phone: Resident) -> None:
    await phone.says(f"My card is {CARD}, when is the office open?")
    await phone.says("1")
    assert (await phone.touchpoints())[0].text == "My card is [card], when is the office open?"


async def test_a_stranger_removes_nothing(talking: Line) -> None:
    mine, other = await talking.visitor(), await talking.visitor()
    await mine.says(f"My card is {CARD}")
    button, _ = await mine.buttons()
    await other.presses(button["id"])
    assert (await mine.touchpoints())[0].text == f"My card is {CARD}"


async def test_a_message_is_removed_with_every_copy_and_nothing_remembers_it(
    chat: Resident, script: Script
) -> None:
    canary = "my neighbour Quintus Fabelhaft drinks"
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await chat.says(canary)
    touchpoint = await first(chat)
    await _rasa_remembers(chat, canary)
    assert {"touchpoint.text", "answer.question", "tracker.events"} <= set(
        await everywhere(chat.line, canary)
    )
    assert "touchpoint.words" in await everywhere(chat.line, "fabelhaft")

    done = await remove(chat.line, touchpoint)
    assert done.places >= 2
    assert await everywhere(chat.line, "fabelhaft") == []
    kept = (await chat.touchpoints())[0]
    assert (kept.id, kept.text, kept.payload["redacted"]) == (touchpoint, REMOVED, True)
    assert kept.payload["client_id"]
    assert await chat.line.one("SELECT question FROM answer") == REMOVED
    entry = (await chat.line.sql("SELECT action, viewer_name, subject, words FROM audit"))[-1]
    assert (entry[0], entry[1], entry[2]) == ("redact", "Maria", str(touchpoint))
    assert entry[3]["reason"] == "sent by mistake"


async def _rasa_remembers(resident: Resident, words: str) -> None:
    """Rasa's own tables, as it makes them, with what it was told."""
    talk = str((await resident.conversation()).id)
    line = resident.line
    await line.sql("CREATE SCHEMA IF NOT EXISTS assistant")
    await line.sql(
        "CREATE TABLE IF NOT EXISTS assistant.tracker (conversation text PRIMARY KEY,"
        " revision bigint NOT NULL, events text NOT NULL, changed_at timestamptz NOT NULL DEFAULT now())"
    )
    await line.sql(
        "CREATE TABLE IF NOT EXISTS assistant.turn (conversation text NOT NULL, touchpoint text NOT NULL,"
        " outcome text, taken_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (conversation, touchpoint))"
    )
    events = json.dumps([{"event": "user", "text": words}, {"event": "slot", "value": words}])
    await line.sql("INSERT INTO assistant.tracker VALUES (:c, 7, :e)", c=talk, e=events)
    await line.sql(
        "INSERT INTO assistant.turn VALUES (:c, :t, :o)", c=talk, t="t1", o=json.dumps({"said": words})
    )


async def test_some_words_of_a_message_are_removed_wherever_the_talk_repeats_them(
    chat: Resident, script: Script
) -> None:
    await chat.says("Hello, I am Quintus Fabelhaft")
    report = {
        "category": "pothole",
        "place": "Mill Lane",
        "description": "Quintus Fabelhaft fell",
        "photo": None,
    }
    script.on_turn = lambda asked: turn({"report": report}, intent="report_problem")
    await chat.says("Quintus Fabelhaft fell into a pothole in Mill Lane")
    await remove(chat.line, await first(chat), parts=["Quintus Fabelhaft"])
    assert await everywhere(chat.line, "fabelhaft") == []
    inbound = [t.text for t in await chat.touchpoints() if t.direction == "in"]
    assert inbound == ["Hello, I am [removed]", "[removed] fell into a pothole in Mill Lane"]
    assert await chat.line.one("SELECT description FROM report") == "[removed] fell"


async def test_a_common_word_is_removed_from_its_own_message_only(chat: Resident, script: Script) -> None:
    for _ in range(2):
        await chat.says("yes")
    await remove(chat.line, await first(chat))
    assert [t.text for t in await chat.touchpoints() if t.direction == "in"] == ["[removed]", "yes"]


async def test_the_photo_goes_with_the_message(chat: Resident) -> None:
    stored = await chat.does(InboundKind.PHOTO, "here is my passport")
    async with chat.line.database.begin() as session:
        await timeline.keep_file(
            session,
            touchpoint_id=stored.touchpoint_id,
            address_id=(await chat.place()).id,
            name="passport.jpg",
            mime="image/jpeg",
            data=b"picture",
        )
    done = await remove(chat.line, stored.touchpoint_id)
    assert done.files == 1
    assert await chat.line.count("attachment") == 0
    assert await chat.line.count("attachment_chunk") == 0


async def test_what_was_sent_by_an_agent_is_removed_from_the_outbox_too(phone: Resident) -> None:
    from contact_hub.journey import by_hand

    await phone.says("Hello")
    which = str((await phone.conversation()).id)
    words = "The file of Fabelhaft is here."
    await by_hand.reply(phone.line.writer, phone.line.wakeups, which, Viewer("system", "Maria"), words)
    said = [t for t in await phone.written() if t.actor == "agent"][-1]
    await remove(phone.line, said.id)
    assert await everywhere(phone.line, "fabelhaft") == []


async def test_words_that_are_not_there_and_messages_of_others_are_refused(chat: Resident) -> None:
    await chat.says("Hello there")
    touchpoint = await first(chat)
    with pytest.raises(redaction.WordsMissing):
        await remove(chat.line, touchpoint, parts=["goodbye"])
    with pytest.raises(redaction.NotThere):
        await remove(chat.line, uuid.uuid4())
    elsewhere = Viewer("staff", "Ahmed", uuid.uuid4(), Role.AGENT, frozenset({"parks"}))
    with pytest.raises(redaction.NotThere):
        await remove(chat.line, touchpoint, elsewhere)
    assert (await chat.touchpoints())[0].text == "Hello there"


async def test_removing_twice_changes_nothing_more(chat: Resident) -> None:
    await chat.says(f"My card is {CARD}")
    await remove(chat.line, await first(chat), kinds=SENSITIVE)
    again = await remove(chat.line, await first(chat), kinds=SENSITIVE)
    assert (again.places, again.files) == (0, 0)


# In other conversations -------------------------------------------------------------------------


LONG = (
    "My neighbour Quintus Fabelhaft  keeps a goose behind the house and it cries all night long,"
    " who can tell me\nwhether that may be so, and where it is that I complain about it by the letter R?"
)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_question_is_removed_from_whatever_quoted_it_in_another_conversation(
    chat: Resident, script: Script, whole: bool
) -> None:
    line, cut = chat.line, LONG[:160]
    folded = " ".join(LONG.split())
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    await chat.says(LONG)
    asked = await first(chat)
    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    script.on_turn = lambda asked: says("greet")
    await chat.says("Hello, it is me again")
    later = await chat.conversation()
    place = await chat.place()
    assert len(await chat.conversations()) == 2
    told = f"You asked us: “{folded[:79].rstrip()}…” Now we can answer."
    async with line.database.begin() as session:
        await timeline.record(
            session,
            address_id=place.id,
            conversation_id=later.id,
            direction="out",
            actor="bot",
            kind="text",
            words=f"Last time I could not answer this: “{cut}”. Shall I look again?",
            payload={"buttons": [{"title": "Look again", "meaning": {"ask": cut}}]},
        )
        await timeline.record(
            session,
            address_id=place.id,
            conversation_id=later.id,
            direction="out",
            actor="system",
            kind="text",
            words=told,
        )
        (answer,) = await session.scalars(select(Answer))
        written = drafts.Written("parks", "en", folded[:200], "", "https://x.example")
        await drafts.begin(session, AGENT, written, [answer.id])
    await _rasa_remembers(chat, cut)
    assert "tracker.events" in await everywhere(line, "fabelhaft")
    await remove(
        line, asked, parts=() if whole else ["Quintus Fabelhaft", "I complain about it by the letter R"]
    )
    assert await everywhere(line, "fabelhaft") == []
    assert await everywhere(line, "it is that I compl") == [], "what a quote cut in two is gone as well"
    assert "Hello, it is me again" in [t.text for t in await chat.touchpoints()]


async def test_a_few_letters_are_removed_in_other_conversations_only_where_the_message_is_quoted(
    chat: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: says("greet")
    await chat.says("My code is 1234, and who reads it here?")
    await chat.line.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    await chat.says("Invoice 1234 is too high")
    await chat.says("I said: My code is 1234, and who reads it here?")
    elsewhere, stranger = await chat.line.visitor(), await chat.line.visitor()
    for other in (elsewhere, stranger):
        await other.says("My code is 1234, and who reads it here?")
    async with chat.line.database.begin() as session:
        one, two = [(await resident.place()).citizen_id for resident in (chat, elsewhere)]
        await merging.merge(session, one, two, by=AGENT, reason="seen the passport")
    await remove(chat.line, await first(chat), parts=["1234"])
    said = [(await other.touchpoints())[0].text for other in (elsewhere, stranger)]
    assert said == ["My code is [removed], and who reads it here?", "My code is 1234, and who reads it here?"]
    assert [t.text for t in await chat.touchpoints() if t.direction == "in"] == [
        "My code is [removed], and who reads it here?",
        "Invoice 1234 is too high",
        "I said: My code is [removed], and who reads it here?",
    ]


# What may be learnt from ---------------------------------------------------------------------------


async def test_only_who_agreed_is_on_the_list_of_unanswered_questions(
    lines: Callable[..., Line], script: Script, whole_city: City
) -> None:
    line = lines(brain_url=script.url, rasa_url=script.url, city=whole_city)
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    willing, other = await line.visitor(), await line.visitor()
    await other.says("Where do dragons live?")
    await willing.says("Who feeds the swans? I am on +353871234567")
    await willing.says("you may use my messages")

    async def listed() -> list[str]:
        async with line.database.begin() as session:
            return [one.question for one in await unanswered(session)]

    assert await listed() == ["Who feeds the swans? I am on [phone]"]
    await willing.says("don't use my messages")
    assert await listed() == []


async def test_rasa_keeps_talking_after_a_warning(chat: Resident, script: Script) -> None:
    await chat.says(f"Hi {CARD}")
    script.on_turn = lambda asked: says("goodbye")
    assert await chat.says("Bye") == [chat.line.city.say("goodbye", "en")]
