"""The worker process: runs the journey, sends the outbox, polls channels, keeps time."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import structlog

from channels.base.contract import Channel
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import clock, closing, rating
from contact_hub.journey.inbox import Inbox
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.saying import Writer
from contact_hub.journey.sending import Sending
from contact_hub.journey.turns import Turns
from contact_hub.managers import drawing
from contact_hub.operations import metrics, queue, timers
from contact_hub.operations.queue import Claimed, Lane, LeaseLost
from contact_hub.operations.wakeups import Wakeups
from contact_hub.outbox.service import TableMemory
from contact_hub.privacy import retention
from contact_hub.webhooks.delivery import Telling

log = structlog.get_logger()

POLL_SECONDS = 1.0
_TELLING = "webhooks"
SLOTS = {Lane.IN: 16, Lane.OUT: 16}

Handler = Callable[[Claimed], Awaitable[None]]


class Worker:
    """Claims tasks of both lanes into a bounded number of slots and keeps their leases alive."""

    def __init__(
        self,
        *,
        database: Database,
        listen_url: str,
        city: City,
        channels: dict[str, Channel],
        neighbours: Neighbours,
        telling: Telling | None = None,
        folder: Path | None = None,
        site_url: str = "",
    ) -> None:
        self._database = database
        self._listen_url = listen_url
        self._channels = channels
        self._neighbours = neighbours
        self.wakeups = Wakeups(listen_url)
        writer = self._writer = Writer(database, city, channels, folder=folder, site_url=site_url)
        closing.idle_after(city)  # a city that is wrong is told at the start, not by the clock
        rating.comments_within(city)
        rules_of(city)
        _ = writer.flags
        self._chores = {**retention.chores(database, city, folder), **drawing.chores(database, city)}
        self._handlers: dict[Lane, Handler] = {
            Lane.IN: Turns(writer, neighbours, self.wakeups).handle,
            Lane.OUT: Sending(writer, self.wakeups).handle,
        }
        self._inbox = Inbox(database, self.wakeups)
        self._telling = telling
        self._held: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is in hand."""
        await self.wakeups.start()
        for channel in self._channels.values():
            await channel.start()
        background = [
            asyncio.create_task(self._renew(), name="leases"),
            asyncio.create_task(
                self._alone("timers", timers.run, self._database, self._chores), name="timers"
            ),
            asyncio.create_task(self._alone("clock", clock.run, self._writer, self.wakeups), name="clock"),
            *([] if self._telling is None else [asyncio.create_task(self._telling.run(stop), name=_TELLING)]),
            *(asyncio.create_task(self._drain(lane, stop), name=lane) for lane in Lane),
            *(
                asyncio.create_task(self._alone(f"poll:{name}", self._poll, channel), name=f"poll:{name}")
                for name, channel in self._channels.items()
                if channel.polls()
            ),
        ]
        metrics.watch(self._channels)
        log.info("worker.ready", channels=sorted(self._channels))
        await stop.wait()
        await asyncio.gather(*(task for task in background if task.get_name() in {*Lane, _TELLING}))
        for task in background:
            task.cancel()
        for task in background:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for channel in self._channels.values():
            await channel.close()
        await self._neighbours.close()
        await self.wakeups.stop()
        await self._database.close()

    async def _drain(self, lane: Lane, stop: asyncio.Event) -> None:
        """Keep the lane's slots busy; wake by hint, by a freed slot, or by the clock."""
        running: set[asyncio.Task[None]] = set()
        with self.wakeups.waiting(lane) as hint:
            while not stop.is_set():
                hint.clear()
                room = SLOTS[lane] - len(running)
                claimed: list[Claimed] = []
                if room:
                    try:
                        claimed = await queue.claim(self._database, lane, room)
                    except Exception as error:  # the database is away: keep asking
                        log.warning("worker.claim_failed", error=type(error).__name__)
                for task in claimed:
                    job = asyncio.create_task(self._handle(task))
                    running.add(job)
                    job.add_done_callback(running.discard)
                    job.add_done_callback(lambda _: hint.set())
                if len(claimed) < room or len(running) == SLOTS[lane]:  # nothing more is due, or no room
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await hint.wait()
        if running:
            await asyncio.wait(running, timeout=10)

    async def _handle(self, task: Claimed) -> None:
        structlog.contextvars.clear_contextvars()
        current = asyncio.current_task()
        if current is not None:
            self._held[task.token] = current
        try:
            await self._handlers[task.lane](task)
        except LeaseLost:
            log.warning("worker.lease_lost", lane=task.lane, task=task.id)
        except asyncio.CancelledError:
            log.warning("worker.abandoned", lane=task.lane, task=task.id)
        except Exception:
            # The lease runs out and the task is tried again; nothing of it was committed.
            log.exception("worker.task_crashed", lane=task.lane, task=task.id)
        finally:
            self._held.pop(task.token, None)

    async def _renew(self) -> None:
        """Prolong every lease in hand; a job whose lease is lost is counted, and can commit nothing."""
        while True:
            await asyncio.sleep(queue.LEASE_SECONDS / 3)
            if not self._held:
                continue
            tokens = list(self._held)
            try:
                kept = await queue.renew(self._database, tokens)
            except Exception as error:
                log.warning("worker.renew_failed", error=type(error).__name__)
                continue
            for token in tokens:
                job = self._held.get(token)
                # A job that completed in between has left `_held`; one still there lost its lease.
                if token not in kept and job is not None and not job.done():
                    metrics.leases_lost.inc()

    async def _poll(self, channel: Channel) -> None:
        """Bring what the channel's provider holds for us into the inbox."""
        async for received in channel.poll(TableMemory(self._database, channel.name)):
            await self._inbox.receive(received)

    async def _alone(self, name: str, work: Callable[..., Awaitable[None]], *given: object) -> None:
        """Run something in one process of the whole system at a time, for ever."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._listen_url, autocommit=True, connect_timeout=5
                ) as connection:
                    row = await (
                        await connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (name,))
                    ).fetchone()
                    if row is not None and row[0]:
                        await self._guarded(connection, name, work, *given)
            except (psycopg.Error, OSError) as error:
                log.warning("worker.alone_failed", name=name, error=type(error).__name__)
            await asyncio.sleep(5)

    async def _guarded(
        self,
        connection: psycopg.AsyncConnection[tuple[object, ...]],
        name: str,
        work: Callable[..., Awaitable[None]],
        *given: object,
    ) -> None:
        """Work while the connection that holds the lock lives."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(2)
                await connection.execute("SELECT 1")

        jobs = [asyncio.ensure_future(work(*given)), asyncio.create_task(watch())]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                if job.exception() is not None:
                    log.warning("worker.alone_stopped", name=name, error=repr(job.exception())[:200])
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
