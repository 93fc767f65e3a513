"""Whatever residents and agents do in whatever order, everybody keeps what is theirs.

`civicline`'s ledger is compared, after every step, with a model that knows nothing of tables: who said
what where, who was made one with whom, and what was taken back. A longer run:

    IDENTITY_STEPS=long .venv/bin/python -m pytest tests/hub/test_identity_machine.py
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psycopg
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

from contact_hub.citizens import identity
from contact_hub.citizens.models import Address
from contact_hub.city import City
from contact_hub.database import new_id
from contact_hub.identity import codes, linking, merging
from contact_hub.identity.linking import Outcome
from contact_hub.identity.models import Merge
from contact_hub.privacy import consent, erasure
from contact_hub.privacy.consent import Origin, Purpose
from contact_hub.privacy.schedule import schedule_of
from contact_hub.settings import libpq_url
from contact_hub.staff.access import Viewer
from contact_hub.timeline import reading
from contact_hub.timeline.models import Touchpoint
from tests.hub.conftest import EMPTY
from tests.hub.line import Line, Resident

LONG = os.environ.get("IDENTITY_STEPS") == "long"
AGENT = Viewer("system", "Maria")
T = TypeVar("T")


@dataclass(eq=False)
class Place:
    """An address as the model knows it."""

    resident: Resident
    id: uuid.UUID
    first: uuid.UUID  # the citizen it was born to
    said: set[uuid.UUID] = field(default_factory=set)
    retired: bool = False


@dataclass
class Entry:
    """A merge as the model knows it."""

    id: uuid.UUID
    survivor: uuid.UUID
    absorbed: uuid.UUID
    undone: bool = False


@dataclass(frozen=True)
class Word:
    """A yes or a no to a purpose."""

    place: Place
    purpose: Purpose
    yes: bool


class People(RuleBasedStateMachine):
    """Residents who write, link, consent and go; agents who merge and undo."""

    url: str
    city: City

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        with psycopg.connect(libpq_url(self.url), autocommit=True) as connection:
            connection.execute(EMPTY)
        self.line = Line(self.url, self.city)
        self.places: list[Place] = []
        self.entries: list[Entry] = []
        self.words: list[Word] = []
        self.numbers = 0
        for _ in range(3):
            self.arrive("sms")
        self.arrive("web_chat")

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self._look())
            self.run(self.line.close())
            self.runner.close()

    def run(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.runner.run(waited())

    # The model ---------------------------------------------------------------------------------------

    def owner(self, place: Place) -> uuid.UUID:
        """Follow the merges that stand, one after the other."""
        holder = place.first
        for entry in self.entries:
            if not entry.undone and holder == entry.absorbed:
                holder = entry.survivor
        return holder

    def citizens(self) -> list[uuid.UUID]:
        return sorted({self.owner(place) for place in self.places})

    def live(self, channel: str | None = None) -> list[Place]:
        return [p for p in self.places if not p.retired and channel in (None, p.resident.channel)]

    def pick(self, things: list[Any], number: int) -> Any:
        return things[number % len(things)]

    # What residents do -------------------------------------------------------------------------------

    @rule(channel=st.sampled_from(["sms", "telegram", "web_chat"]))
    @precondition(lambda self: len(self.places) < 9)
    def arrive(self, channel: str) -> None:
        self.numbers += 1
        if channel == "web_chat":
            resident = self.run(self.line.visitor())
        elif channel == "telegram":
            resident = self.line.chatter(5000 + self.numbers)
        else:
            resident = self.line.texter(f"+1555123{self.numbers:04}")
        stored = self.run(resident.does(words="hello"))
        address = self.run(resident.place())
        self.places.append(Place(resident, address.id, address.citizen_id, {stored.touchpoint_id}))

    @rule(number=st.integers(0, 50))
    @precondition(lambda self: self.live())
    def write(self, number: int) -> None:
        place = self.pick(self.live(), number)
        stored = self.run(place.resident.does(words="and another thing"))
        place.said.add(stored.touchpoint_id)

    @rule(number=st.integers(0, 50), unreachable=st.booleans())
    @precondition(lambda self: self.live("sms"))
    def number_changes_hands(self, number: int, unreachable: bool) -> None:
        """A number is silent for long or lost, and then somebody writes from it: a stranger, until proved."""
        place: Place = self.pick(self.live("sms"), number)
        long_ago = "now() - interval '91 days'"
        change = f"last_inbound_at = {long_ago}, created_at = {long_ago}, verified_at = {long_ago}"
        self.run(
            self.line.sql(
                f"UPDATE address SET {'reachable = false' if unreachable else change} WHERE id = :id",
                id=place.id,
            )
        )
        before = {self.owner(other) for other in self.places}
        stored = self.run(place.resident.does(words="hello, I am new here"))
        address = self.run(place.resident.place())
        assert address.id != place.id and address.citizen_id not in before
        place.retired = True
        self.places.append(Place(place.resident, address.id, address.citizen_id, {stored.touchpoint_id}))

    @rule(shown=st.integers(0, 50), sent=st.integers(0, 50))
    def link(self, shown: int, sent: int) -> None:
        one, other = self.pick(self.places, shown), self.pick(self.places, sent)

        async def work() -> linking.Link:
            async with self.line.database.begin() as session:
                code = await codes.give(session, one.id, new_id())
            if code is None:
                return linking.Link(Outcome.WRONG)
            async with self.line.database.begin() as session:
                return await linking.by_code(session, other.id, code, new_id())

        link = self.run(work())
        if link.outcome is Outcome.LINKED:
            assert link.merge is not None
            joined = {self.owner(one), self.owner(other)}
            self.entries.append(self.run(self._entry(link.merge)))
            assert {self.entries[-1].survivor, self.entries[-1].absorbed} == joined

    async def _entry(self, merge: uuid.UUID) -> Entry:
        async with self.line.database.begin() as session:
            found = await session.get_one(Merge, merge)
            return Entry(found.id, found.survivor_id, found.absorbed_id)

    @rule(number=st.integers(0, 50))
    def unlink(self, number: int) -> None:
        place: Place = self.pick(self.places, number)

        async def work() -> uuid.UUID | None:
            async with self.line.database.begin() as session:
                try:
                    return (await merging.unlink(session, place.id, by=AGENT, reason="not the same")).id
                except merging.CannotMerge:
                    return None

        undone = self.run(work())
        assert (undone is None) == (self.owner(place) == place.first)
        for entry in self.entries:
            entry.undone = entry.undone or entry.id == undone

    @rule(number=st.integers(0, 50), purpose=st.sampled_from(consent.ASKED), yes=st.booleans())
    def decide(self, number: int, purpose: Purpose, yes: bool) -> None:
        place: Place = self.pick(self.places, number)

        async def work() -> None:
            origin = Origin(place.id, place.resident.channel)
            say = consent.grant if yes else consent.withdraw
            async with self.line.database.begin() as session:
                await say(session, self.city, origin, purpose, language="en")

        self.run(work())
        self.words.append(Word(place, purpose, yes))

    # What agents do ----------------------------------------------------------------------------------

    @rule(first=st.integers(0, 50), second=st.integers(0, 50))
    def merge(self, first: int, second: int) -> None:
        everybody = sorted({place.first for place in self.places})
        survivor, other = self.pick(everybody, first), self.pick(everybody, second)
        alive = self.citizens()

        async def work() -> Entry | None:
            async with self.line.database.begin() as session:
                try:
                    made = await merging.merge(session, survivor, other, by=AGENT, reason="seen a passport")
                except merging.CannotMerge:
                    return None
                return Entry(made.id, made.survivor_id, made.absorbed_id)

        made = self.run(work())
        assert (made is not None) == (survivor != other and survivor in alive and other in alive)
        if made is not None:
            self.entries.append(made)

    @rule(number=st.integers(0, 50))
    @precondition(lambda self: self.entries)
    def undo(self, number: int) -> None:
        entry: Entry = self.pick(self.entries, number)

        async def work() -> None:
            async with self.line.database.begin() as session:
                await merging.undo(session, entry.id, by=AGENT, reason="two people after all")

        self.run(work())
        entry.undone = True

    @rule(number=st.integers(0, 50))
    @precondition(lambda self: len({self.owner(place) for place in self.places}) > 2)
    def erase(self, number: int) -> None:
        """A person goes, with every address and every citizen that is them by now."""
        person = self.pick(self.citizens(), number)

        async def work() -> None:
            with TemporaryDirectory() as folder:
                async with self.line.database.begin() as session:
                    await erasure.erase(
                        session,
                        AGENT,
                        person,
                        schedule=schedule_of(self.city),
                        folder=Path(folder),
                        reason="asked",
                    )

        self.run(work())
        gone = [place for place in self.places if self.owner(place) == person]
        firsts = {place.first for place in gone} | {person}
        self.words = [word for word in self.words if word.place not in gone]
        self.places = [place for place in self.places if place not in gone]
        self.entries = [e for e in self.entries if not {e.survivor, e.absorbed} & firsts]

    # What always holds -------------------------------------------------------------------------------

    @invariant()
    def everything_is_where_it_belongs(self) -> None:
        if hasattr(self, "line"):
            self.run(self._compare())

    async def _compare(self) -> None:
        async with self.line.database.begin() as session:
            owners = {
                address.id: address.citizen_id
                for address in await session.scalars(select(Address).where(Address.channel != "desk"))
            }
            assert owners == {place.id: self.owner(place) for place in self.places}
            kept = {place.id: place.said for place in self.places}
            stored: dict[uuid.UUID, set[uuid.UUID]] = {}
            for at, id in await session.execute(
                select(Touchpoint.address_id, Touchpoint.id).where(Touchpoint.direction == "in")
            ):
                stored.setdefault(at, set()).add(id)
            assert stored == kept, "no touchpoint is lost, and none moves to another address"

    @rule()
    def look(self) -> None:
        self.run(self._look())

    async def _look(self) -> None:
        """What an agent sees on each citizen's page, and what may be done with each one's data."""
        async with self.line.database.begin() as session:
            for citizen in self.citizens():
                mine = [place for place in self.places if self.owner(place) == citizen]
                page = await reading.page(session, citizen, limit=200)
                seen = {event.id for event in page.events if event.direction == "in"}
                assert seen == set().union(*(place.said for place in mine))
                assert await identity.current(session, citizen) == citizen
                for purpose in consent.ASKED:
                    may = await consent.allowed(session, citizen, purpose)
                    assert not (may and self._must_not(mine, purpose)), f"{purpose} was taken back"

    def _must_not(self, mine: list[Place], purpose: Purpose) -> bool:
        """Whether the last word of these addresses on a purpose is no, or there is none."""
        said = [w.yes for w in self.words if w.purpose is purpose and w.place in mine]
        return not said or not said[-1]


def test_whatever_happens_everybody_keeps_what_is_theirs(module_database_url: str, city: City) -> None:
    People.url, People.city = module_database_url, city
    run_state_machine_as_test(
        People,
        settings=settings(
            max_examples=200 if LONG else 6,
            stateful_step_count=60 if LONG else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Every step is a journey to a database: making a failure smaller takes minutes.
            phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if LONG else [])],
            print_blob=True,
        ),
    )
