"""A talk with the bot ends by itself once nobody has written for a day."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from contact_hub.city import City, CityError
from contact_hub.journey import clock, closing
from contact_hub.journey.closing import idle_after
from tests.hub.line import Line, Resident, Script, found, turn
from tests.hub.test_continuity import away


async def rests(resident: Resident, hours: float) -> None:
    """Let time pass in which nobody writes."""
    talk = await resident.conversation()
    await resident.line.sql(
        "UPDATE conversation SET last_activity_at = last_activity_at - make_interval(hours => :h)"
        " WHERE id = :c",
        h=hours,
        c=talk.id,
    )


async def test_a_talk_in_which_nobody_writes_ends_quietly_and_the_next_message_begins_another(
    talking: Line, script: Script
) -> None:
    ana = await talking.visitor()
    script.on_turn = lambda asked: turn({"answer": found()})
    await ana.says("When is my recycling collected?")
    read = await ana.reads()
    await rests(ana, 23)
    await clock.once(talking.writer, talking.wakeups)
    assert (await ana.conversation()).state == "bot"

    await rests(ana, 2)
    await clock.once(talking.writer, talking.wakeups)
    ended = await ana.conversation()
    assert ended.state == "closed"
    assert ended.closed_at is not None
    (moved,) = [t for t in await ana.touchpoints() if t.kind == "handoff"]
    assert (moved.payload["reason"], moved.actor) == ("idle", "system")
    assert await ana.reads() == read, "nothing is said"
    await ana.says("And my green bin?")
    first, second = await ana.conversations()
    assert (first.state, second.state) == ("closed", "bot")


async def test_what_still_has_work_or_waits_for_a_person_does_not_end(talking: Line, script: Script) -> None:
    waiting, writing = await talking.visitor(), await talking.visitor()
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await waiting.says("A person, please")
    await writing.does(words="I have just written this")
    for resident in (waiting, writing):
        await rests(resident, 100)
    await clock.once(talking.writer, talking.wakeups)
    assert (await waiting.conversation()).state == "waiting"
    assert (await writing.conversation()).state == "bot"


async def test_a_report_that_was_begun_is_offered_again_in_the_next_conversation(
    talking: Line, script: Script
) -> None:
    ana = await talking.visitor()
    script.on_turn = lambda asked: {
        **turn({"say": "report_ask_place"}, form="report_form", intent="report_problem"),
        "unfinished": {"category": "pothole"},
    }
    await ana.says("There is a pothole")
    await away(talking, 25)
    await rests(ana, 25)
    await clock.once(talking.writer, talking.wakeups)
    ended = await ana.conversation()
    assert (ended.state, ended.form) == ("closed", None)

    script.on_turn = lambda asked: turn({"say": "greet_returning"})
    await ana.says("Hello")
    assert (await ana.conversation()).id != ended.id
    assert script.turns[-1]["facts"]["left_open"] == {"category": "pothole"}


async def test_two_clocks_at_once_end_a_talk_once(talking: Line, script: Script) -> None:
    for _ in range(5):
        ana = await talking.visitor()
        await ana.says("Hello")
        await rests(ana, 30)
    await asyncio.gather(*(closing.close_idle(talking.writer) for _ in range(4)))
    assert await talking.count("touchpoint", "kind = 'handoff'") == 5
    assert await talking.count("conversation", "state = 'closed' AND epoch = 1") == 5


async def test_a_sweep_that_fails_does_not_stop_the_others(talking: Line) -> None:
    ana = await talking.visitor()
    await ana.says("Hello")
    await rests(ana, 30)

    async def broken(writer: object) -> tuple[str, ...]:
        raise RuntimeError("a fault of our own")

    await clock.once(talking.writer, talking.wakeups, {"broken": broken, **clock.SWEEPS})
    assert (await ana.conversation()).state == "closed"


@pytest.mark.parametrize("hours", [None, 0, "a day", True, 10_000])
def test_hours_that_make_no_sense_are_told_at_the_start(city: City, hours: Any) -> None:
    wrong = replace(city, settings={**city.settings, "conversations": {"idle_hours": hours}})
    with pytest.raises(CityError, match="idle_hours"):
        idle_after(wrong)
