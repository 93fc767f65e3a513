"""Whatever residents, agents, clocks and dying workers do in whatever order, one holds the talk at a time.

A longer run:

    HANDOFF_STEPS=long .venv/bin/python -m pytest tests/hub/test_handoff_machine.py
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from channels.base.contract import Channel, Outbound, Sent
from contact_hub.citizens.models import Conversation
from contact_hub.city import City
from contact_hub.database import new_id, now
from contact_hub.handoff import service as handoff
from contact_hub.handoff.models import HeldReply
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import by_hand, clock
from contact_hub.journey.hands.colleagues import viewer_of
from contact_hub.journey.waiting import HEARD
from contact_hub.operations.queue import Claimed, Lane, LeaseLost
from contact_hub.settings import libpq_url
from contact_hub.staff import service as staff
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role
from contact_hub.timeline.models import Touchpoint
from tests.hub.conftest import EMPTY
from tests.hub.line import Line, Resident, Script, says, turn
from tests.hub.test_waiting import ALWAYS, with_hours

LONG = os.environ.get("HANDOFF_STEPS") == "long"
T = TypeVar("T")
PERSON = "a person please"


class Carrier(Channel):
    """A channel whose provider is this test: it sees when words start to leave, and can take its time."""

    name: ClassVar[str] = "carrier"

    def __init__(self, starts: Callable[[Outbound], None]) -> None:
        self._starts = starts
        self.open = asyncio.Event()
        self.open.set()
        self.on_its_way = 0

    @classmethod
    def from_settings(cls, settings: Any) -> Channel | None:
        return None

    @property
    def account(self) -> str:
        return "carrier"

    def split(self, text: str) -> list[str]:
        return [part for part in text.split("|") if part]

    async def send(self, message: Outbound) -> Sent:
        self._starts(message)
        self.on_its_way += 1
        try:
            await self.open.wait()
        finally:
            self.on_its_way -= 1
        return Sent(message.delivery)


@dataclass
class Thought:
    """A turn that a worker is at, its Rasa waiting for a sign."""

    touchpoint: str
    sign: threading.Event
    working: asyncio.Task[None]


class Desk(RuleBasedStateMachine):
    """Two residents, two agents, a supervisor, a clock, and workers that die."""

    url: str
    city: City
    script: Script

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        with psycopg.connect(libpq_url(self.url), autocommit=True) as connection:
            connection.execute(EMPTY)
        self.signs: dict[str, threading.Event] = {}
        self.thoughts: list[Thought] = []
        self.sending: list[asyncio.Task[None]] = []
        self.held: dict[uuid.UUID, str] = {}  # replies that were told to wait, and their words
        self.undone: set[uuid.UUID] = set()
        self.spoken: list[str] = []
        self.numbers = 0
        self.with_people: set[str] = set()  # addresses whose talk a person has, or will have
        self.awaiting: set[str] = set()  # those of them who still wait for one
        self.run(self._set_up())

    async def _set_up(self) -> None:
        self.carrier = Carrier(self._starts)
        self.script.on_turn = self._rasa
        self.line = Line(
            self.url,
            self.city,
            channels=[self.carrier],
            brain_url=self.script.url,
            rasa_url=self.script.url,
        )
        self.residents = [
            Resident(self.line, "carrier", "one", "carrier"),
            await self.line.visitor(),
            Resident(self.line, "carrier", "two", "carrier"),
        ]
        self.people = [
            await self._person("Maria", Role.AGENT),
            await self._person("Ahmed", Role.AGENT),
            await self._person("Ruth", Role.SUPERVISOR),
        ]
        for resident in self.residents:
            await resident.does(words="hello")

    async def _person(self, name: str, role: Role) -> Viewer:
        departments = [str(item["key"]) for item in self.city.settings["departments"]]
        async with self.line.database.begin() as session:
            made = await staff.make(session, name, role, departments, password_hash=None)
        return viewer_of(made, self.city)

    def run(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.runner.run(waited())

    async def _rasa(self, asked: dict[str, Any]) -> dict[str, Any]:
        sign = self.signs.get(asked["touchpoint"])
        if sign is not None:
            await asyncio.to_thread(sign.wait, 5)
        if asked["text"] == PERSON:
            return turn({"handoff": {"reason": "asked"}})
        return says("greet")

    def _starts(self, message: Outbound) -> None:
        """Words start to leave: never the bot's once a person has the talk, nor what is for who waits."""
        late = message.author == "bot" and message.address in self.with_people
        if late or (self._heard(message.text) and message.address not in self.awaiting):
            self.spoken.append(message.text)  # whoever sends takes an error for its channel's

    def _heard(self, words: str) -> bool:
        return words.startswith(self.city.say(HEARD, "en").partition("{")[0])

    # Residents -----------------------------------------------------------------------------------------

    @rule(who=st.integers(0, 2), person=st.booleans())
    def write(self, who: int, person: bool) -> None:
        self.numbers += 1
        self.run(self.residents[who].does(words=PERSON if person else f"question {self.numbers}"))

    # Workers -------------------------------------------------------------------------------------------

    @rule(lane=st.sampled_from(list(Lane)), late=st.booleans())
    def work(self, lane: Lane, late: bool) -> None:
        """Some of what is due is done; late, once leases have run out and held replies are due."""

        async def work() -> None:
            if late:
                await self.line.hurry()
            for _ in range(3):
                await self._work(lane)

        self.run(work())

    async def _work(self, lane: Lane) -> None:
        task = await self.line.claim(lane)
        if task is not None:
            await self._handle(task)

    async def _handle(self, task: Claimed) -> None:
        try:
            await self.line.handle(task)
        except LeaseLost:
            pass
        await self._look()

    @rule(who=st.integers(0, 2))
    @precondition(lambda self: not self.thoughts)
    def begin_to_think(self, who: int) -> None:
        """A message is read, and Rasa takes its time over it."""
        self.numbers += 1

        async def work() -> None:
            for _ in range(3):
                await self._work(Lane.IN)
            await self.residents[who].does(words=f"question {self.numbers}")
            task = await self.line.claim(Lane.IN)
            if task is None:
                return
            sign = threading.Event()
            self.signs[task.payload["touchpoint"]] = sign
            working = asyncio.create_task(self._handle(task))
            self.thoughts.append(Thought(task.payload["touchpoint"], sign, working))
            await asyncio.wait({working}, timeout=0.05)

        self.run(work())

    @rule(dies=st.booleans())
    @precondition(lambda self: self.thoughts)
    def end_thinking(self, dies: bool) -> None:
        thought = self.thoughts.pop(0)

        async def work() -> None:
            if dies:
                thought.working.cancel()
            thought.sign.set()
            del self.signs[thought.touchpoint]
            await asyncio.gather(thought.working, return_exceptions=True)

        self.run(work())

    @rule()
    @precondition(lambda self: not self.sending)
    def begin_to_send(self) -> None:
        async def work() -> None:
            task = await self.line.claim(Lane.OUT)
            if task is None:
                return
            self.carrier.open.clear()
            sending = asyncio.create_task(self._handle(task))
            self.sending.append(sending)
            while not sending.done() and not self.carrier.on_its_way:  # noqa: ASYNC110 - until it has left
                await asyncio.sleep(0.001)

        self.run(work())

    @rule(dies=st.booleans())
    @precondition(lambda self: self.sending)
    def end_sending(self, dies: bool) -> None:
        sending = self.sending.pop()

        async def work() -> None:
            if dies:
                sending.cancel()
            self.carrier.open.set()
            done = (await asyncio.gather(sending, return_exceptions=True))[0]
            assert done is None or isinstance(done, asyncio.CancelledError | LeaseLost), done

        self.run(work())

    @rule(what=st.sampled_from(["promised_at", "unanswered_since, holder_seen_at", "snoozed_until"]))
    def time_passes(self, what: str) -> None:
        """An hour passes for whoever waits for it, and the clock does its work."""
        names = what.split(", ")
        changes = ", ".join(f"{name} = {name} - interval '30 days'" for name in names)

        async def work() -> None:
            await self.line.sql(f"UPDATE conversation SET {changes} WHERE state <> 'closed'")
            await clock.once(self.line.writer, self.line.wakeups)
            await self._look()

        self.run(work())

    # People --------------------------------------------------------------------------------------------

    async def _act(self, who: int, which: int, act: Callable[..., Any], *given: Any, **more: Any) -> bool:
        """Whether it could be done."""
        talk = (await self.residents[which].conversations())[-1]
        try:
            async with self.line.database.begin() as session:
                await act(session, self.line.writer, talk.id, self.people[who], *given, **more)
        except by_hand.CannotDo:
            return False
        await self._look()
        return True

    @rule(
        act=st.sampled_from(["claim", "race", "assign", "transfer", "snooze", "give back", "resolve"]),
        who=st.integers(0, 2),
        which=st.integers(0, 2),
        to=st.integers(0, 2),
    )
    def somebody_acts(self, act: str, who: int, which: int, to: int) -> None:
        match act:
            case "claim":
                work = self._act(who, which, by_hand.claim_within)
            case "race":
                work = self._race(which)
            case "assign":
                work = self._act(2, which, by_hand.assign_within, self.people[to].id)
            case "transfer":
                office = ("parks", "waste", "roads")[to]
                work = self._act(who, which, by_hand.transfer_within, office, "It is theirs")
            case "snooze":
                work = self._act(who, which, by_hand.snooze_within, now() + timedelta(days=1))
            case "give back":
                work = self._act(who, which, by_hand.give_back_within)
            case _:
                work = self._act(who, which, by_hand.resolve_within, "solved")
        self.run(work)

    async def _race(self, which: int) -> bool:
        """Two claim at once: exactly one has it, where nobody had it before."""
        before = (await self.residents[which].conversations())[-1]
        done = await asyncio.gather(*(self._act(who, which, by_hand.claim_within) for who in (0, 1)))
        if before.state in {"bot", "waiting"}:
            assert sorted(done) == [False, True]
        return any(done)

    @rule(who=st.integers(0, 2), which=st.integers(0, 2), waits=st.booleans())
    def reply(self, who: int, which: int, waits: bool) -> None:
        self.numbers += 1
        held_id, words = new_id(), f"answer {self.numbers}"

        async def work() -> None:
            done = await self._act(
                who, which, by_hand.reply_within, words, hold=5 if waits else 0, held_id=held_id
            )
            if done and waits:
                self.held[held_id] = words

        self.run(work())

    @rule(number=st.integers(0, 20))
    @precondition(lambda self: self.held)
    def undo(self, number: int) -> None:
        held_id = sorted(self.held)[number % len(self.held)]

        async def work() -> None:
            async with self.line.database.begin() as session:
                found = await session.get(HeldReply, held_id)
                if found is None:
                    return
                (viewer,) = [person for person in self.people if person.name == found.agent]
                back = await by_hand.undo_within(session, held_id, viewer)
                assert back.words == self.held[held_id]
            self.undone.add(held_id)

        self.run(work())

    # What always holds -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Remember whose talk a person has by now."""
        for resident in self.residents:
            state = (await resident.conversations())[-1].state
            (self.with_people.add if state in {"waiting", "agent"} else self.with_people.discard)(
                resident.address
            )
            (self.awaiting.add if state == "waiting" else self.awaiting.discard)(resident.address)

    @invariant()
    def everybody_is_in_one_pair_of_hands(self) -> None:
        if hasattr(self, "line"):
            self.run(self._compare())

    async def _compare(self) -> None:
        assert not self.spoken, "the bot spoke after a takeover"
        async with self.line.database.begin() as session:
            talks = (await session.scalars(select(Conversation))).all()
            listed = {line.conversation_id for line in await handoff.waiting(session)}
        waits = dict(
            await self.line.sql("SELECT conversation_id, count(*) FROM wait WHERE ended IS NULL GROUP BY 1")
        )
        for talk in talks:
            assert (talk.holder is not None) == (talk.state in {"agent", "closed"}), talk.state
            assert (talk.waiting_since is not None) == (talk.state == "waiting")
            assert waits.get(talk.id, 0) == (talk.state == "waiting")
            assert (talk.id in listed) == (talk.state in {"waiting", "agent"})
            assert talk.state == "agent" or talk.snoozed_until is talk.unanswered_since is None
        for resident in self.residents:
            _told_by_whom_it_was(await resident.touchpoints())

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        for thought in self.thoughts:
            thought.sign.set()
        self.run(self._end())
        self.run(self.line.close())
        self.runner.close()

    async def _end(self) -> None:
        """Everything comes to rest, and then the people at the desk find everybody who waits."""
        self.carrier.open.set()
        running = [*self.sending, *(thought.working for thought in self.thoughts)]
        await asyncio.gather(*running, return_exceptions=True)
        while await self.line.count("task"):
            await self.line.hurry()
            for lane in Lane:
                await self._work(lane)
        assert await self.line.unsettled() == 0
        assert await self.line.count("held_reply") == 0
        written = [t for resident in self.residents for t in await resident.touchpoints()]
        for held_id, words in self.held.items():
            left = [t.kind for t in written if t.text == words]
            assert len(left) == (held_id not in self.undone), (left, words)
        maria, rules = self.people[0], rules_of(self.city)
        for _ in range(len(self.residents) + 1):
            async with self.line.database.begin() as session:
                found = await handoff.waiting(session, 1, viewer=maria, rules=rules)
                if not found or found[0].state != "waiting":
                    break
                await by_hand.claim_within(session, self.line.writer, found[0].conversation_id, maria)
        assert await self.line.count("conversation", "state = 'waiting'") == 0
        await self._compare()


def _told_by_whom_it_was(history: list[Touchpoint]) -> None:
    """Read a history: the bot speaks only while the talk is its own, an agent only while holding it.

    That their words were added hears only who waits, and once.
    """
    hands: dict[uuid.UUID | None, tuple[str, str | None]] = {}
    heard = set[uuid.UUID | None]()
    for touchpoint in sorted(history, key=lambda one: (one.recorded_at, one.id)):  # as they left, if held
        state, holder = hands.get(touchpoint.conversation_id, ("bot", None))
        if touchpoint.kind == "handoff":
            assert touchpoint.payload["from"] == state
            hands[touchpoint.conversation_id] = touchpoint.payload["to"], touchpoint.payload["holder"]
        elif touchpoint.direction == "out" and touchpoint.actor == "bot":
            assert state == "bot", "the bot's words were written to a talk that a person has"
        elif touchpoint.payload.get("say") == HEARD:
            assert state == "waiting"
            assert touchpoint.conversation_id not in heard, "told twice within ten minutes"
            heard.add(touchpoint.conversation_id)
        elif touchpoint.direction == "out" and touchpoint.actor == "agent":
            assert (state, holder) == ("agent", touchpoint.payload["by"])


@pytest.mark.parametrize("half", [1, 2])  # each within the time that one test may take
def test_whatever_happens_a_talk_is_in_one_pair_of_hands(
    module_database_url: str, city: City, script: Script, half: int
) -> None:
    Desk.url, Desk.city, Desk.script = module_database_url, with_hours(city, ALWAYS), script
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=100 if LONG else 6,
            stateful_step_count=60 if LONG else 40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Every step is a journey to a database: making a failure smaller takes minutes.
            phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if LONG else [])],
            print_blob=True,
        ),
    )
