"""What an open conversation hears without asking: new lines, who else is there, and when it must stop."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from contact_hub.desk import talk_live, talk_suggestions
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_compose import Cost, heard_language
from contact_hub.desk.talk_room import enter
from contact_hub.desk.talk_view import Asked
from contact_hub.journey import by_hand
from contact_hub.staff import sessions
from contact_hub.staff.guard import Guard
from contact_hub.staff.models import Role, StaffSession
from contact_hub.staff.service import make
from contact_hub.staff.sessions import Browser, SignedIn
from tests.hub.line import Line, Resident, Script, found, passage

QUESTION = "When are the blue bins emptied?"


@pytest.fixture
async def talking(lines: Callable[..., Line], script: Script) -> Line:
    """A line whose brain is scripted; nobody's Rasa answers, so that everybody waits for a person."""
    return lines(brain_url=script.url)


@pytest.fixture
def room(talking: Line) -> Room:
    guard = Guard(talking.database, site_url="https://line.example", front_department="contact_centre")
    return Room(talking.database, guard, talking.city, talking.writer, talking.wakeups, talking.neighbours)


async def seated(room: Room, name: str, *departments: str) -> Seat:
    """Somebody at the desk whose browser is signed in."""
    async with room.database.begin() as session:
        person = await make(session, name, Role.AGENT, departments or ("contact_centre",))
        secret = await sessions.begin(session, person, Browser("10.0.0.1", "test"))
    async with room.database.begin() as session:
        me = await sessions.find(session, secret)
    assert isinstance(me, SignedIn)
    return Seat(me, room.guard.viewer_of(me), 0)


@pytest.fixture
async def resident(talking: Line) -> Resident:
    somebody = await talking.visitor()
    await somebody.does(words=QUESTION)
    return somebody


async def opened(room: Room, seat: Seat, resident: Resident) -> tuple[AsyncIterator[str], str]:
    """A stream as a page opens it, and the first thing it says."""
    talk = await resident.conversation()
    last = (await resident.touchpoints())[-1].id
    stream = talk_live.stream(room, seat, talk.id, Asked(), last)
    return stream, await anext(stream)


async def test_a_new_message_is_pushed_once_and_only_what_changed_comes_with_it(
    talking: Line, room: Room, resident: Resident
) -> None:
    ada = await seated(room, "Ada")
    stream, _ = await opened(room, ada, resident)
    await resident.does(words="Hello, is anybody there?")
    pushed = await anext(stream)
    assert pushed.count("Hello, is anybody there?") == 1
    assert 'hx-target="#lines" hx-swap="beforeend"' in pushed
    assert "event: heard" in pushed
    assert 'hx-target="#panel"' not in pushed
    async with room.database.begin() as session:
        topics = await by_hand.claim_within(
            session, room.writer, (await resident.conversation()).id, ada.viewer
        )
    talking.wakeups.tell(*topics)
    taken = await anext(stream)
    assert "Hello, is anybody there?" not in taken
    assert "Ada took over" in taken
    assert 'hx-target="#talk-head"' in taken


async def test_a_stream_goes_on_behind_what_was_shown(room: Room, resident: Resident) -> None:
    ada = await seated(room, "Ada")
    shown = (await resident.touchpoints())[-1].id
    await resident.does(words="While the line was broken.")
    stream = talk_live.stream(room, ada, (await resident.conversation()).id, Asked(), shown)
    first = await anext(stream)
    assert "While the line was broken." in first
    assert f"id: {(await resident.touchpoints())[-1].id}\n" in first


async def test_no_text_ends_a_line_of_the_stream(room: Room, resident: Resident) -> None:
    ada = await seated(room, "Ada")
    stream, _ = await opened(room, ada, resident)
    await resident.does(words="one\revent: over\r\rdata: two\r\nevent: over\n\nthree")
    pushed = await anext(stream)
    assert "\r" not in pushed
    events = [part for part in pushed.split("\n") if part.startswith("event:")]
    assert events == ["event: heard"]


async def test_a_message_that_is_removed_goes_from_the_screen(
    talking: Line, room: Room, resident: Resident
) -> None:
    from contact_hub.privacy.redaction import redact

    ada = await seated(room, "Ada")
    stream, _ = await opened(room, ada, resident)
    said = (await resident.touchpoints())[0]
    async with room.database.begin() as session:
        await redact(session, said.id, ada.viewer, reason="private details")
    talking.wakeups.tell(f"talk:{(await resident.conversation()).id}")
    pushed = await anext(stream)
    assert f'<li id="t-{said.id}" class="line message citizen removed"' in pushed
    assert 'hx-swap-oob="true"' in pushed
    assert QUESTION not in pushed


async def test_looking_on_does_not_keep_anybody_signed_in(
    talking: Line, room: Room, resident: Resident
) -> None:
    ada = await seated(room, "Ada")
    stream, _ = await opened(room, ada, resident)
    await talking.sql("UPDATE staff_session SET last_seen_at = now() - interval '20 minutes'")
    await resident.does(words="Still there?")
    await anext(stream)
    async with room.database.begin() as session:
        kept = await session.get_one(StaffSession, ada.me.session.id)
    assert (kept.last_seen_at - ada.me.session.last_seen_at).total_seconds() < -1000
    await talking.sql("UPDATE staff_session SET last_seen_at = now() - interval '31 minutes'")
    await resident.does(words="And now?")
    assert await anext(stream) == "event: over\ndata: \n\n"
    assert [rest async for rest in stream] == []


async def test_a_stream_ends_when_the_conversation_is_passed_on(
    talking: Line, room: Room, resident: Resident
) -> None:
    ada = await seated(room, "Ada")
    stream, _ = await opened(room, ada, resident)
    talk = (await resident.conversation()).id
    async with room.database.begin() as session:
        topics = await by_hand.transfer_within(
            session, room.writer, talk, ada.viewer, "roads", "A street lamp"
        )
    talking.wakeups.tell(*topics)
    assert await anext(stream) == "event: over\ndata: \n\n"
    assert await talking.count("audit", "action = 'citizen.refused'") == 1


async def test_answers_come_with_their_source_for_the_last_real_question(
    talking: Line, room: Room, script: Script, resident: Resident
) -> None:
    script.on_search = lambda asked: found(
        "answered",
        passage(1),
        passage(2, quote="Bring it to the centre.", url="javascript:alert(1)", language="es"),
    )
    await resident.does(words="ok")
    ada = await seated(room, "Ada")
    async with room.database.begin() as session:
        here = await enter(room, session, ada, (await resident.conversation()).id)
        question, history = await talk_suggestions.question_of(session, here)
    assert question == QUESTION
    told = await talk_suggestions.suggest(room, question, "en", history)
    first, second = told.answers
    assert first.text.startswith("Blue bins are emptied every second Tuesday.\n\nSource: Recycling, part 1")
    assert first.url == "https://www.larkhaven.example/waste/1"
    assert second.foreign == "in Spanish"
    assert second.url is None
    assert "javascript" not in second.text
    assert script.searches[-1]["text"] == QUESTION


async def test_without_the_brain_it_says_so(line: Line, resident: Resident, room: Room) -> None:
    away = Room(line.database, room.guard, line.city, line.writer, line.wakeups, line.neighbours)
    told = await talk_suggestions.suggest(away, QUESTION, "en")
    assert told.answers == ()
    assert told.trouble == "The knowledge base does not answer right now."
    ada = await seated(away, "Ada")
    async with away.database.begin() as session:
        here = await enter(away, session, ada, (await resident.conversation()).id)
    plain = Cost("40 characters")
    assert await heard_language(away, here, "Good morning, what can I do for you?", plain) == plain


async def test_a_reply_in_another_language_is_noticed(room: Room, script: Script, resident: Resident) -> None:
    script.on_read = lambda asked: {"language": "de", "confidence": 0.95}
    ada = await seated(room, "Ada")
    async with room.database.begin() as session:
        here = await enter(room, session, ada, (await resident.conversation()).id)
    told = await heard_language(room, here, "Guten Morgen, was kann ich tun?", Cost(""))
    assert told.warning == "This reads like German; the resident writes English."
    assert (await heard_language(room, here, "Guten Tag", Cost(""))).warning == ""  # too short to tell


def test_an_event_of_a_stream_carries_any_text() -> None:
    identity = str(uuid.UUID(int=7))
    assert talk_live.event("a\r\nb\rc\nd", "x", identity) == (
        f"event: x\nid: {identity}\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    )
