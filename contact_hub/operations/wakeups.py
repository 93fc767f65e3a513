"""Hints between processes: something is due, a session has news. The tables stay the truth.

NOTIFY inside a data transaction makes PostgreSQL serialise commits (6,900 inserts a second fell to
820), so each process collects its hints and sends them after the commit, at most every 10 ms, on a
connection of its own. That same process listens on one more connection and runs nothing else on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator

import psycopg
import structlog
from psycopg import AsyncConnection

log = structlog.get_logger()

_CHANNEL = "civicline"
_PAYLOAD_BYTES = 7_500  # PostgreSQL takes less than 8,000


class Wakeups:
    """Sends and receives hints by topic ("in", "out", "feed:<session>"); a lost one costs a poll interval."""

    def __init__(self, listen_url: str) -> None:
        self._url = listen_url
        self._pending: set[str] = set()
        self._dirty = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._mine: int | None = None  # the backend that sends for us

    async def start(self) -> None:
        """Begin to send and listen; a database that is away is waited for."""
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """Stop both connections."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def tell(self, *topics: str) -> None:
        """Hint at topics, here at once and everywhere within 10 ms. Call it after the commit."""
        for topic in topics:
            self._wake(topic)
        self._pending.update(topics)
        self._sent.clear()
        self._dirty.set()

    async def flush(self) -> None:
        """Wait until every hint given so far has left: for a command that ends right after it."""
        await self._sent.wait()

    @contextlib.contextmanager
    def waiting(self, *topics: str) -> Iterator[asyncio.Event]:
        """An event that is set by every hint at one of `topics` while the block runs."""
        event = asyncio.Event()
        for topic in topics:
            self._waiters[topic].add(event)
        try:
            yield event
        finally:
            for topic in topics:
                self._waiters[topic].discard(event)
                if not self._waiters[topic]:
                    del self._waiters[topic]

    def _wake(self, topic: str) -> None:
        for event in self._waiters.get(topic, ()):
            event.set()

    def _wake_all(self) -> None:
        for topic in list(self._waiters):
            self._wake(topic)

    async def _connect(self) -> AsyncConnection[tuple[object, ...]]:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5)

    async def _send(self) -> None:
        connection: AsyncConnection[tuple[object, ...]] | None = None
        while True:
            await self._dirty.wait()
            await asyncio.sleep(0.01)
            self._dirty.clear()
            topics = sorted(self._pending)
            self._pending.clear()  # what is told from here on leaves with the next round
            try:
                if connection is None or connection.closed:
                    connection = await self._connect()
                    self._mine = connection.info.backend_pid
                for payload in _payloads(topics):
                    await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))
            except (psycopg.Error, OSError) as error:
                # A lost hint costs at most the poll interval of whoever waited for it.
                log.warning("wakeups.send_failed", error=type(error).__name__)
                if connection is not None:
                    await connection.close()
                connection = None
            if not self._pending:
                self._sent.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}")
                    self._wake_all()  # what was said while we were away was not heard
                    async for notification in connection.notifies():
                        if notification.pid == self._mine:
                            continue  # said here by ourselves, when it was true
                        for topic in json.loads(notification.payload):
                            self._wake(topic)
            except (psycopg.Error, OSError, ValueError) as error:
                log.warning("wakeups.listen_failed", error=type(error).__name__)
            await asyncio.sleep(0.5)


def _payloads(topics: list[str]) -> list[str]:
    """The topics as JSON lists that each fit one notification."""
    lists: list[list[str]] = [[]]
    size = 2
    for topic in topics:
        cost = len(json.dumps(topic)) + 2
        if size + cost > _PAYLOAD_BYTES:
            lists.append([])
            size = 2
        lists[-1].append(topic)
        size += cost
    return [json.dumps(chunk) for chunk in lists if chunk]
