"""The queue as everybody at the desk sees it: read once for all who see the same, and told on at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.sealed import SealedReader
from contact_hub.database import Database, now
from contact_hub.desk import lines
from contact_hub.desk.lines import Row, Snapshot, Talk
from contact_hub.desk.room import Seat
from contact_hub.desk.views import Filters
from contact_hub.handoff.rules import Rules
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.access import Viewer
from contact_hub.web.errors import DATABASE_AWAY

log = structlog.get_logger(__name__)

POLL = 3.0  # seconds until the tables are looked at although nobody hinted at anything
TOGETHER = 0.2  # seconds in which hints are gathered
REST = 4.0  # times as long as a reading took nothing is read, so that the desk stays quick on a busy line
LONGEST_REST = 0.4  # seconds
ALL_ROWS = timedelta(seconds=3)  # after which a row is read again although nothing was said there
KEPT = timedelta(seconds=1)  # without a hint a reading is as good as new for so long


@dataclass(frozen=True, slots=True)
class Sight:
    """What decides which part of the queue somebody sees; whoever has the same sees the same."""

    viewer: Viewer  # without a name, but for who is named on a sealed record
    languages: frozenset[str]  # empty: any
    filters: Filters


@dataclass(slots=True, eq=False)
class Audience:
    """Everybody who sees the same of the queue."""

    sight: Sight
    rules: Rules
    database: Database
    hint: asyncio.Event
    snapshot: Snapshot | None = None
    watchers: int = 0
    took: float = 0.0  # seconds
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def fresh(self) -> Snapshot:
        """The queue as it is, read anew only where something may have happened since."""
        async with self.lock:
            known = self.snapshot
            if known is None or self.hint.is_set() or now() - known.at > KEPT:
                self.hint.clear()  # before the reading: what happens during it is read next time
                await self._read(known)
            assert self.snapshot is not None
            return self.snapshot

    async def last(self) -> Snapshot:
        """The queue as it was read last: for whoever is told of every change."""
        return self.snapshot or await self.fresh()

    async def _read(self, known: Snapshot | None) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with self.database.begin() as session:
            sight = self.sight
            new = await lines.read(
                session,
                sight.viewer,
                self.rules,
                sight.languages,
                sight.filters.conditions,
                sight.filters.show,
            )
            if known is not None:
                await self._carry(session, known, new)
        self.took = loop.time() - begun
        if (
            known is not None
            and new.same(known)
            and all(known.rows.get(key) is row for key, row in new.rows.items())
        ):
            known.at, known.rows_at = new.at, new.rows_at
            return
        self.snapshot = new
        told, self.changed = self.changed, asyncio.Event()
        told.set()

    async def _carry(self, session: AsyncSession, known: Snapshot, new: Snapshot) -> None:
        """Bring the rows that somebody looks at up to date: at once where something was said or done, and
        all of them every few seconds.

        A row that reads the same stays the same object: whoever shows it compares no words.
        """
        seen = [talk for talk in new.talks if talk.id in known.asked]
        due = new.at - known.rows_at > ALL_ROWS
        old = {} if due else known.rows
        kept = {talk.id: old[talk.id] for talk in seen if talk.id in old and old[talk.id].talk == talk}
        read = await lines.rows_of(session, [talk for talk in seen if talk.id not in kept])
        new.rows = kept | {key: _kept(known.rows.get(key), row) for key, row in read.items()}
        new.rows_at = new.at if due else known.rows_at

    async def rows(self, snapshot: Snapshot, talks: Sequence[Talk]) -> list[Row]:
        """The lines of these conversations as they were at that moment; the rest is read."""
        snapshot.asked.update(talk.id for talk in talks)
        missing = [talk for talk in talks if talk.id not in snapshot.rows]
        if missing:
            async with self.lock, self.database.begin() as session:
                missing = [talk for talk in missing if talk.id not in snapshot.rows]
                snapshot.rows |= await lines.rows_of(session, missing)
        return [snapshot.rows[talk.id] for talk in talks]


def _kept(old: Row | None, new: Row) -> Row:
    return old if old == new else new


class Board:
    """The audiences of this process. One that nobody watches costs nothing."""

    def __init__(self, database: Database, wakeups: Wakeups, rules: Rules) -> None:
        self._database = database
        self._wakeups = wakeups
        self._rules = rules
        self._audiences: dict[Sight, Audience] = {}
        # One reading after the other: together they would stand in the way of whoever claims or answers.
        self._turn = asyncio.Lock()

    async def audience(self, seat: Seat, filters: Filters) -> Audience:
        """Those who see the same as this person."""
        sight = await self._sight(seat, filters)
        return self._audiences.get(sight) or self._made(sight)

    def _made(self, sight: Sight) -> Audience:
        return Audience(sight, self._rules, self._database, asyncio.Event())

    async def _sight(self, seat: Seat, filters: Filters) -> Sight:
        """Somebody who is named on a sealed record sees more than their colleagues."""
        async with self._database.begin() as session:
            named = await session.scalar(select(exists().where(SealedReader.staff_id == seat.me.staff.id)))
        viewer = seat.viewer if named else replace(seat.viewer, id=None, name="")
        return Sight(replace(viewer, reason=None), frozenset(seat.me.staff.languages), filters)

    @contextlib.asynccontextmanager
    async def watching(self, seat: Seat, filters: Filters) -> AsyncIterator[Audience]:
        """An audience that is told of every change while the block runs."""
        sight = await self._sight(seat, filters)
        found = self._audiences.get(sight)
        if found is None:
            found = self._audiences[sight] = self._made(sight)
            runner = asyncio.create_task(self._run(found), name="desk-audience")
            _RUNNING.add(runner)
            runner.add_done_callback(_RUNNING.discard)
        found.watchers += 1
        try:
            yield found
        finally:
            found.watchers -= 1
            if not found.watchers and self._audiences.get(sight) is found:
                del self._audiences[sight]
                found.hint.set()  # its runner sees that nobody is left

    async def _run(self, audience: Audience) -> None:
        """Read the queue whenever there may be news, until nobody watches any more."""
        with self._wakeups.waiting("desk") as audience.hint:
            audience.hint.set()
            while audience.watchers:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await audience.hint.wait()
                await asyncio.sleep(max(TOGETHER, min(REST * audience.took, LONGEST_REST)))
                if not audience.watchers:
                    return
                audience.hint.set()
                try:
                    async with self._turn:
                        await audience.fresh()
                except DATABASE_AWAY as error:
                    log.warning("desk.queue_unread", error=type(error).__name__)
                except Exception:  # everybody who watches would look at an old queue for ever
                    log.exception("desk.queue_unread")


_RUNNING: set[asyncio.Task[None]] = set()  # a task that nobody holds may vanish
