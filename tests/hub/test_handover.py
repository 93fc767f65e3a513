"""From the bot to a person and back to the bot: one holder at a time, nobody left unread."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from channels.base.contract import InboundKind, Media, MediaRef
from channels.base.errors import PermanentFailure
from channels.web_chat import WebChat
from contact_hub.citizens.models import ConversationState as State
from contact_hub.handoff import rules
from contact_hub.handoff import service as handoff
from contact_hub.journey import by_hand
from contact_hub.operations.queue import Lane
from contact_hub.staff.access import Viewer
from tests.hub.line import Line, Resident, Script, found, says, turn


def _hands_over(reason: str, asked: dict[str, Any]) -> dict[str, Any]:
    return turn({"handoff": {"reason": reason}})


@pytest.fixture
async def waiting(talking: Line, script: Script) -> Resident:
    """Somebody who asked for a person."""
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    resident = await talking.visitor()
    await resident.says("I want to talk to a person")
    script.on_turn = lambda asked: says("greet")
    assert (await resident.conversation()).state == "waiting"
    return resident


async def promise_of(resident: Resident, position: int) -> str:
    """What the city says to whoever waits at this moment, nothing having been measured yet."""
    city, talk = resident.line.city, await resident.conversation()
    assert talk.waiting_since is not None
    assert talk.promised_at is not None
    opens = None if city.is_open(talk.waiting_since) else city.next_opening(talk.waiting_since)
    if opens is None:
        place = city.say("handed_off", "en", position=position)
    else:
        place = city.say("handed_off_closed", "en", opens=city.moment(opens, "en"))
    until = city.say("wait_by", "en", until=city.moment(talk.promised_at, "en"))
    return f"{place} {until} {city.say('wait_close', 'en')}"


async def reply(resident: Resident, agent: str, words: str) -> None:
    which = str((await resident.conversation()).id)
    await by_hand.reply(resident.line.writer, resident.line.wakeups, which, Viewer("system", agent), words)


async def close(resident: Resident, agent: str = "Maria") -> None:
    which = str((await resident.conversation()).id)
    await by_hand.close(resident.line.writer, resident.line.wakeups, which, Viewer("system", agent))


async def test_whoever_asks_for_a_person_is_told_their_place(
    talking: Line, waiting: Resident, script: Script
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    second = await talking.visitor()
    (words,) = await second.says("A person please")
    assert words == await promise_of(second, position=2)
    (told,) = [t for t in await second.touchpoints() if t.kind == "handoff"]
    assert told.payload == {"from": "bot", "to": "waiting", "holder": None, "reason": "asked", "epoch": 1}


async def test_while_a_person_is_awaited_the_bot_is_silent_and_nothing_is_lost(
    waiting: Resident, script: Script
) -> None:
    asked = len(script.turns)
    (heard,) = await waiting.says("Hello?")
    assert heard.startswith("We have added this to your conversation")
    for words in ("Hello?", "🎉", "", "2", "/start", "x" * 9000):
        assert await waiting.says(words) == []
    await waiting.does(InboundKind.UNSUPPORTED, payload={"raw": {}})
    assert await waiting.presses("nonsense") == []
    assert len(script.turns) == asked
    assert set((await waiting.endings())[1:]) == {("handed_off", "held_by_person")}
    assert await waiting.line.unsettled() == 0


async def test_a_first_reply_takes_the_conversation_and_a_colleague_is_refused(waiting: Resident) -> None:
    await reply(waiting, "Maria", "Good morning, I am Maria.")
    talk = await waiting.conversation()
    assert (talk.state, talk.holder, talk.epoch, talk.waiting_since) == ("agent", "Maria", 2, None)
    assert (await waiting.reads())[-2:] == [
        waiting.line.city.say("agent_joined", "en", name="Maria"),
        "Good morning, I am Maria.",
    ]
    assert (await waiting.written())[-1].actor == "agent"
    with pytest.raises(by_hand.CannotDo, match="Maria is already answering"):
        await reply(waiting, "Ahmed", "Me too")
    await reply(waiting, "Maria", "How can I help?")
    assert (await waiting.reads())[-1] == "How can I help?"
    assert await waiting.says("My bin is gone") == []
    assert (await waiting.endings())[-1] == ("handed_off", "held_by_person")


class _RefusesFiles(WebChat):
    async def fetch(self, media: MediaRef) -> Media:
        raise PermanentFailure("too large")


async def test_a_file_that_is_too_large_is_a_message_to_the_person_like_any_other(waiting: Resident) -> None:
    await reply(waiting, "Maria", "Good morning, please send the plan.")
    assert (await waiting.conversation()).unanswered_since is None
    waiting.line.channels["web_chat"] = _RefusesFiles()
    await waiting.does(InboundKind.DOCUMENT, "Here it is", media=(MediaRef("plan", "document"),))
    await waiting.line.work()
    assert (await waiting.reads())[-1] == waiting.line.city.say("media_too_large", "en", limit=20)
    assert (await waiting.conversation()).unanswered_since is not None
    assert (await waiting.endings())[-1] == ("handed_off", "held_by_person")


async def test_of_two_agents_at_once_one_has_it(waiting: Resident) -> None:
    outcomes = await asyncio.gather(
        *(reply(waiting, name, f"I am {name}") for name in ("Maria", "Ahmed")), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, by_hand.CannotDo)]
    assert len(refused) == 1
    said = [t.text for t in await waiting.written() if t.actor == "agent"]
    assert said == [f"I am {(await waiting.conversation()).holder}"]


async def test_after_closing_the_next_message_opens_a_new_conversation_with_the_bot(
    waiting: Resident, script: Script
) -> None:
    await reply(waiting, "Maria", "Done.")
    await close(waiting)
    assert (await waiting.reads())[-1] == waiting.line.city.say("conversation_closed", "en")
    before = await waiting.line.store.feed(waiting.address, 0)
    assert await waiting.says("One more question") == [waiting.line.city.say("greet", "en")]
    first, second = await waiting.conversations()
    assert (first.state, second.state) == ("closed", "bot")
    assert second.language == "en"
    assert script.turns[-1]["conversation"] == str(second.id)
    after = await waiting.line.store.feed(waiting.address, before[-1].seq)
    assert [line.seq for line in after] == [before[-1].seq + 1, before[-1].seq + 2]
    assert [line.author for line in after] == ["citizen", "bot"]


async def test_nothing_can_be_done_with_a_closed_or_unknown_conversation(waiting: Resident) -> None:
    which = str((await waiting.conversation()).id)
    await close(waiting)
    parts = waiting.line.writer, waiting.line.wakeups
    for wrong in (which, "", "%", "_", "no-such-id", which[:-1] + "g"):
        with pytest.raises(by_hand.CannotDo, match="no open conversation"):
            await by_hand.reply(*parts, wrong, Viewer("system", "Maria"), "Hello")
        with pytest.raises(by_hand.CannotDo, match="no open conversation"):
            await by_hand.close(*parts, wrong, Viewer("system", "Maria"))


async def test_two_who_close_at_once_are_told_so_plainly(waiting: Resident) -> None:
    outcomes = await asyncio.gather(close(waiting), close(waiting), return_exceptions=True)
    assert [type(o) for o in outcomes if o is not None] == [by_hand.NotTheirs]
    assert (await waiting.reads()).count(waiting.line.city.say("conversation_closed", "en")) == 1


async def test_the_end_of_an_id_is_enough_when_it_is_the_only_one(waiting: Resident) -> None:
    which = str((await waiting.conversation()).id)
    await by_hand.reply(
        waiting.line.writer, waiting.line.wakeups, which[-6:].upper(), Viewer("system", "Maria"), "Hello"
    )
    assert (await waiting.conversation()).holder == "Maria"


@pytest.mark.parametrize("words", ["", "  \n", "\x00", "x" * 5001])
async def test_an_empty_or_endless_reply_is_refused(waiting: Resident, words: str) -> None:
    with pytest.raises(by_hand.CannotDo):
        await reply(waiting, "Maria", words)
    assert (await waiting.conversation()).state == "waiting"


async def test_words_that_nobody_read_are_not_closed_over(waiting: Resident) -> None:
    await waiting.does(words="Wait, one more thing")
    with pytest.raises(by_hand.CannotDo, match="just written"):
        await close(waiting)
    await waiting.line.work()
    await close(waiting)


async def test_a_message_and_a_closing_at_once_lose_nothing(waiting: Resident, script: Script) -> None:
    for _ in range(5):
        await asyncio.gather(waiting.does(words="And another"), close(waiting), return_exceptions=True)
        await waiting.line.work()
        if (await waiting.conversation()).state != "waiting":
            break
    assert await waiting.line.unsettled() == 0
    closed = [t for t in await waiting.conversations() if t.state == "closed"]
    for touchpoint in await waiting.touchpoints():
        if touchpoint.direction == "in" and touchpoint.conversation_id in {t.id for t in closed}:
            ending = await waiting.line.one(
                "SELECT outcome FROM inbound WHERE touchpoint_id = :id", id=touchpoint.id
            )
            assert ending == "handed_off"


async def test_whoever_wanted_silence_is_not_written_to_until_they_write_again(waiting: Resident) -> None:
    await waiting.says("stop")
    with pytest.raises(by_hand.CannotDo, match="silence"):
        await reply(waiting, "Maria", "Are you still there?")
    await waiting.says("Sorry, I meant the other one")
    await reply(waiting, "Maria", "No problem.")
    assert (await waiting.reads())[-1] == "No problem."


async def test_the_most_urgent_comes_first_and_then_the_longest_waiting(
    talking: Line, script: Script
) -> None:
    reasons = ("asked", "complaint", "asked", "unhelpful")
    residents = []
    for reason in reasons:
        script.on_turn = partial(_hands_over, reason)
        residents.append(await talking.visitor())
        await residents[-1].says("A person please")
    residents.append(await talking.visitor())
    await residents[-1].says("there is a gas leak")
    async with talking.database.begin() as session:
        queue = [line.conversation_id for line in await handoff.waiting(session)]
    talks = [(await resident.conversation()).id for resident in residents]
    assert queue == [talks[4], talks[1], talks[3], talks[0], talks[2]]


# While the bot is thinking ---------------------------------------------------------------------------


class Thinking:
    """A Rasa that answers when it is told to."""

    def __init__(self, script: Script, answer: dict[str, Any]) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        self._answer = answer
        script.on_turn = self._think

    async def _think(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.set()
        await asyncio.to_thread(self.go_on.wait, 5)
        return self._answer

    async def during(self, line: Line) -> asyncio.Task[int]:
        working = asyncio.create_task(line.work(Lane.IN))
        await asyncio.to_thread(self.asked.wait, 5)
        return working


async def test_a_takeover_while_the_bot_thinks_keeps_its_answer_back(talking: Line, script: Script) -> None:
    resident = await talking.visitor()
    thinking = Thinking(script, turn({"answer": found()}))
    await resident.does(words="When is my recycling collected?")
    working = await thinking.during(talking)
    await reply(resident, "Maria", "I take this one.")
    thinking.go_on.set()
    await working
    assert [t.actor for t in await resident.written()] == ["system", "agent"]
    assert await resident.endings() == [("handed_off", "held_by_person")]
    assert (await resident.conversation()).holder == "Maria"


async def test_a_handoff_that_the_bot_wanted_does_not_take_it_from_the_agent(
    talking: Line, script: Script
) -> None:
    resident = await talking.visitor()
    thinking = Thinking(script, turn({"handoff": {"reason": "complaint"}}))
    await resident.does(words="This is a scandal")
    working = await thinking.during(talking)
    await reply(resident, "Maria", "I am sorry.")
    thinking.go_on.set()
    await working
    talk = await resident.conversation()
    assert (talk.state, talk.holder) == ("agent", "Maria")


async def test_a_report_that_was_finished_during_a_takeover_is_written_and_not_announced(
    talking: Line, script: Script
) -> None:
    resident = await talking.visitor()
    report = {"category": "pothole", "place": "Mill Lane", "description": "Deep", "photo": None}
    thinking = Thinking(script, turn({"report": report}))
    await resident.does(words="no photo")
    working = await thinking.during(talking)
    await reply(resident, "Maria", "I am here.")
    thinking.go_on.set()
    await working
    assert await talking.count("report") == 1
    assert [t.actor for t in await resident.written()] == ["system", "agent"]
    assert "report" in [t.kind for t in await resident.touchpoints()]


async def test_an_agent_cannot_close_while_the_bot_is_about_to_answer(talking: Line, script: Script) -> None:
    resident = await talking.visitor()
    thinking = Thinking(script, says("greet"))
    await resident.does(words="Hello")
    working = await thinking.during(talking)
    with pytest.raises(by_hand.CannotDo, match="just written"):
        await close(resident)
    thinking.go_on.set()
    await working
    assert await resident.reads() == [talking.city.say("greet", "en")]


def test_every_change_of_hands_is_legal_or_refused() -> None:
    allowed = {(before, after) for before, moves in rules.MOVES.items() for after in moves}
    for before in State:
        for after in State:
            if (before, after) in allowed:
                rules.check(before, after)
            else:
                with pytest.raises(rules.IllegalMove):
                    rules.check(before, after)
    assert not any(before is State.CLOSED for before, _ in allowed)
