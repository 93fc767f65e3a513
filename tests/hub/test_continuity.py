"""Who comes back is known: greeted in their language, told of their reports, asked nothing twice."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from contact_hub.identity import codes
from contact_hub.operations.queue import Lane
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, found, says, turn

SLOTS = {"category": "pothole", "place": "Mill Lane", "beginning": "A deep hole"}


def rasa(asked: dict[str, Any]) -> dict[str, Any]:
    """Understands a few sentences, as the assistant does."""
    match asked["text"]:
        case "hi":
            return says("greet_returning" if asked["facts"]["returning"] else "greet", intent="greet")
        case "join":
            return turn({"request": "link_channel", "values": {}}, intent="link_channel")
        case "report":
            return turn(
                {
                    "report": {
                        "category": "pothole",
                        "place": "Mill Lane",
                        "description": "deep",
                        "photo": None,
                    }
                }
            )
        case "half a report":
            return says("report_ask_description", form="report_form") | {"unfinished": SLOTS}
        case "go on":
            return says("report_resume", form="report_form") | {"unfinished": SLOTS}
        case "unknown":
            return turn({"answer": found("refused")})
        case _:
            return turn({"answer": found("answered")})


@pytest.fixture
async def hub(lines: Callable[..., Line], script: Script) -> Line:
    script.on_turn = rasa
    sms = recorded.build("sms", twilio_from="+15550001000")
    return lines(brain_url=script.url, rasa_url=script.url, channels=[sms, recorded.build("telegram")])


async def tell(resident: Resident, words: str, **more: Any) -> list[str]:
    before = len(await resident.reads())
    await resident.does(words=words, **more)
    await resident.line.work(Lane.IN)
    return (await resident.reads())[before:]


async def link(one: Resident, other: Resident) -> None:
    (answer,) = await tell(one, "join")
    code = re.search(codes.SHOWN, answer)
    assert code is not None
    await tell(other, code[0])


async def away(line: Line, hours: int = 12) -> None:
    """Let hours pass: a touchpoint's id is its time."""
    rows = await line.sql("SELECT id FROM touchpoint WHERE direction = 'in'")
    for (id,) in rows:
        earlier = uuid.UUID(int=id.int - (hours * 3_600_000 << 80))
        await line.sql("UPDATE touchpoint SET id = :new WHERE id = :old", new=earlier, old=id)
        await line.sql(
            "UPDATE conversation"
            " SET unfinished = CAST(replace(CAST(unfinished AS text), :old, :new) AS jsonb)",
            new=str(earlier),
            old=str(id),
        )


def facts(script: Script) -> dict[str, Any]:
    given: dict[str, Any] = script.turns[-1]["facts"]
    return given


async def test_a_new_resident_is_not_welcomed_back_nor_is_one_in_the_middle_of_a_talk(hub: Line) -> None:
    phone = hub.texter()
    assert await tell(phone, "hi") == [hub.city.say("greet", "en")]
    assert await tell(phone, "hi") == [hub.city.say("greet", "en")]


async def test_who_returns_hears_of_their_open_reports_and_is_not_told_of_those_that_are_done(
    hub: Line,
) -> None:
    phone = hub.texter()
    await tell(phone, "report")
    await tell(phone, "report")
    await hub.sql("UPDATE report SET state = 'done' WHERE number = (SELECT min(number) FROM report)")
    await away(hub)
    (answer,) = await tell(phone, "hi")
    still = await hub.one("SELECT reference FROM report WHERE state = 'received'")
    assert answer.startswith(hub.city.say("greet_returning", "en"))
    assert hub.city.say("greet_open_reports", "en") in answer
    assert still in answer and answer.count("Mill Lane") == 1


async def test_a_report_made_by_sms_is_known_on_the_web_after_linking_and_not_before(
    hub: Line, script: Script
) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await tell(phone, "report")
    assert await tell(chat, "hi") == [hub.city.say("greet", "en")]
    await link(chat, phone)
    (answer,) = await tell(chat, "hi")
    assert "Mill Lane" in answer
    assert facts(script)["known"] == {"place": "Mill Lane"}, "the form need not ask for it again"


async def test_a_name_is_used_where_it_is_known(hub: Line) -> None:
    account, chat = hub.chatter(), await hub.visitor()
    await tell(account, "hello", payload={"profile_name": "Anna Weber"})
    await link(chat, account)
    (answer,) = await tell(chat, "hi")
    assert answer.startswith(hub.city.say("greet_returning_name", "en", name="Anna Weber"))


async def test_a_shared_computer_remembers_nobody(hub: Line, script: Script) -> None:
    kiosk = await hub.visitor(shared=True)
    await tell(kiosk, "unknown")
    await away(hub)
    assert await tell(kiosk, "hi") == [hub.city.say("greet", "en")]
    assert facts(script) == {"returning": False, "reports": []}


async def test_an_unfinished_report_is_offered_where_the_resident_goes_on(hub: Line, script: Script) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await tell(phone, "half a report")
    await link(chat, phone)
    await tell(chat, "hi")
    assert facts(script)["left_open"] == SLOTS
    await tell(chat, "go on")
    await tell(phone, "hi")
    assert facts(script)["left_open"] == SLOTS, "from now on it is the web chat's"
    assert await hub.count("conversation", "unfinished ? 'report'") == 1


async def test_an_unanswered_question_is_offered_once_and_asked_again_by_a_button(
    hub: Line, script: Script
) -> None:
    phone = hub.texter()
    await tell(phone, "unknown")
    await away(hub)
    (answer,) = await tell(phone, "hi")
    assert hub.city.say("left_open_question", "en", question="unknown") in answer
    (button,) = await phone.buttons()
    assert button["title"] == hub.city.say("button_look_again", "en")
    await tell(phone, "1")
    assert script.turns[-1]["text"] == "unknown"
    await tell(phone, "something that has an answer")
    await away(hub)
    (answer,) = await tell(phone, "hi")
    assert "unknown" not in answer


async def test_a_new_conversation_begins_in_the_language_that_the_resident_writes(
    hub: Line, script: Script
) -> None:
    script.on_read = lambda asked: {
        "language": "de" if "Guten" in asked["text"] else asked["hint"],
        "confidence": 1,
    }
    account = hub.chatter()
    await tell(account, "Guten Tag, wo ist das Rathaus?")
    await hub.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    await away(hub)
    (answer,) = await tell(account, "hi")
    assert answer == hub.city.say("greet_returning", "de")
