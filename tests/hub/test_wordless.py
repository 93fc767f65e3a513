"""What comes without words: a place that was shared, a photo, an album of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from channels.base.contract import InboundKind, Media, MediaRef
from channels.base.errors import PermanentFailure
from channels.web_chat import WebChat
from contact_hub.database import now
from contact_hub.journey.wordless import AGAIN
from tests.hub.line import Line, Resident, Script, says, turn


class _Photos(WebChat):
    """A web chat whose files are kept by somebody else, as Telegram's are."""

    async def fetch(self, media: MediaRef) -> Media:
        if media.ref == "huge":
            raise PermanentFailure("too large")
        return Media("photo.jpg", "image/jpeg", b"\xff\xd8\xff" + media.ref.encode())


def _answers(asked: dict[str, Any]) -> dict[str, Any]:
    """What the assistant says outside a report to a place, a file and words."""
    if asked["choice"] is not None:
        place = asked["choice"]["entities"]["place"]
        report = {"title": "button_report", "intent": "report_problem", "entities": {"place": place}}
        return says("location_received", choices=[report], intent="inform")
    return says("greet" if asked["text"] else "media_received")


@pytest.fixture
async def sender(lines: Callable[..., Line], script: Script) -> Resident:
    """Somebody who sends photos."""
    script.on_turn = _answers
    line = lines(brain_url=script.url, rasa_url=script.url, channels=[_Photos()])
    return await line.visitor()


@pytest.fixture
async def forsaken(lines: Callable[..., Line]) -> Resident:
    """The same while Rasa and the brain are away."""
    return await lines(channels=[_Photos()]).visitor()


async def send(resident: Resident, *refs: str, words: str = "", album: str | None = None) -> list[str]:
    """Send photos as fast as they go, and give what came back."""
    before = len(await resident.reads())
    payload = {} if album is None else {"album": album}
    for ref in refs:
        await resident.does(InboundKind.PHOTO, words, payload=payload, media=(MediaRef(ref, "photo"),))
    await resident.line.work()
    return (await resident.reads())[before:]


# Places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "place"),
    [
        (None, "53.349805, -6.26031"),
        ("Town Hall, High Street 1", "Town Hall, High Street 1 (53.349805, -6.26031)"),
        ("x" * 900, f"{'x' * 150} (53.349805, -6.26031)"),
    ],
)
async def test_a_shared_place_is_given_to_the_report_as_its_place(
    sender: Resident, script: Script, label: str | None, place: str
) -> None:
    script.on_turn = lambda asked: says("report_ask_place", form="report_form")
    await sender.says("There is a pothole")
    script.on_turn = lambda asked: says("report_ask_description", form="report_form")
    shared = {"latitude": 53.349805, "longitude": -6.26031, **({"label": label} if label else {})}
    await sender.does(InboundKind.LOCATION, payload=shared)
    await sender.line.work()
    asked = script.turns[-1]
    assert (asked["text"], asked["choice"]) == (place, {"intent": "inform", "entities": {"place": place}})


async def test_a_place_shared_outside_a_report_is_no_question_and_begins_one(
    sender: Resident, script: Script
) -> None:
    await sender.does(InboundKind.LOCATION, payload={"latitude": 53.34, "longitude": -6.26})
    await sender.line.work()
    assert await sender.reads() == [sender.line.city.say("location_received", "en")]
    (report,) = await sender.buttons()
    script.on_turn = lambda asked: says("report_start", form="report_form")
    await sender.presses(report["id"])
    assert script.turns[-1]["choice"] == {
        "intent": "report_problem",
        "entities": {"place": "53.34, -6.26"},
    }
    assert script.searches == []


async def test_without_rasa_a_shared_place_is_received_all_the_same(forsaken: Resident) -> None:
    await forsaken.does(InboundKind.LOCATION, payload={"latitude": 53.34, "longitude": -6.26})
    await forsaken.line.work()
    assert await forsaken.reads() == [forsaken.line.city.say("location_received", "en")]
    assert (await forsaken.conversation()).state == "bot"


# Files ---------------------------------------------------------------------------------------------


async def test_a_photo_before_any_words_reaches_the_assistant(sender: Resident, script: Script) -> None:
    assert await send(sender, "one") == [sender.line.city.say("media_received", "en")]
    (asked,) = script.turns
    kept = await sender.line.one("SELECT id FROM attachment")
    assert (asked["text"], asked["media"]) == ("", [{"attachment": str(kept), "kind": "photo"}])


async def test_without_rasa_a_photo_is_received_all_the_same(forsaken: Resident) -> None:
    assert await send(forsaken, "one") == [forsaken.line.city.say("media_received", "en")]
    talk = await forsaken.conversation()
    assert (talk.state, talk.given_up) == ("bot", [str((await forsaken.touchpoints())[0].id)])


async def test_thirty_photos_are_kept_and_answered_once(sender: Resident, script: Script) -> None:
    (answer,) = await send(sender, *(f"photo-{number}" for number in range(30)))
    assert answer == sender.line.city.say("media_received", "en")
    assert await sender.line.count("attachment") == 30
    assert len(script.turns) == 30
    assert await sender.line.unsettled() == 0


async def test_below_the_notice_that_the_first_answer_carries_a_second_photo_is_not_answered_again(
    lines: Callable[..., Line], script: Script, whole_city: Any
) -> None:
    script.on_turn = _answers
    line = lines(brain_url=script.url, rasa_url=script.url, channels=[_Photos()], city=whole_city)
    assert len(await send(await line.visitor(), "one", "two")) == 1


async def test_a_photo_a_while_later_and_one_after_words_are_answered(sender: Resident) -> None:
    received = [sender.line.city.say("media_received", "en")]
    assert await send(sender, "one") == received
    await sender.says("Hello")
    assert await send(sender, "two") == received
    with time_machine.travel(now() + AGAIN + timedelta(seconds=1), tick=True):
        assert await send(sender, "three") == received


async def test_an_album_that_ended_a_report_does_not_begin_another(sender: Resident, script: Script) -> None:
    report = {"category": "pothole", "place": "Mill Lane", "description": "Deep", "photo": None}
    script.on_turn = lambda asked: turn({"report": report})
    (done,) = await send(sender, "one", "two", "three", album="a-1")
    assert "pothole" in done.lower()
    assert len(script.turns) == 1
    assert await sender.line.count("attachment") == 3
    assert len(await send(sender, "four", album="a-2")) == 1


async def test_words_below_one_picture_of_an_album_are_answered(sender: Resident) -> None:
    city = sender.line.city
    assert await send(sender, "one", album="a-1") == [city.say("media_received", "en")]
    assert await send(sender, "two", words="Hello", album="a-1") == [city.say("greet", "en")]


async def test_a_picture_that_was_refused_is_no_answer_for_the_rest_of_its_album(sender: Resident) -> None:
    city = sender.line.city
    assert await send(sender, "huge", "two", "three", album="a-1") == [
        city.say("media_too_large", "en", limit=20),
        city.say("media_received", "en"),
    ]
