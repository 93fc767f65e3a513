"""Sees for all residents at once what the city has done with their messages, and what arrived for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator

import psycopg

from contact_hub.settings import libpq_url
from tests.whole import WholeLine

EVERY = 0.15  # seconds between looks

_LOOK = """
    SELECT a.value,
           (SELECT count(*) FROM touchpoint t WHERE t.address_id = a.id AND t.direction = 'in') AS stored,
           EXISTS (SELECT FROM task k JOIN conversation c ON c.id = k.conversation_id
                   WHERE c.address_id = a.id) AS busy
    FROM address a WHERE a.value = ANY(%s)
"""
_IN_HAND = "SELECT count(*) FILTER (WHERE token IS NOT NULL AND due > now()), count(*) FROM task"
_FORMS = "SELECT count(*) FROM conversation WHERE form IS NOT NULL AND state = 'bot'"


class Watch:
    """Reads the tables with one query for everybody; a database that is away is asked again."""

    def __init__(self, line: WholeLine) -> None:
        self._line = line
        self._followed: set[str] = set()
        self._seen: dict[str, tuple[int, bool]] = {}
        self._looked = asyncio.Event()
        self._telegram: dict[str, list[str]] = defaultdict(list)
        self._sms: dict[str, list[str]] = defaultdict(list)
        self._telegram_read = len(line.telegram.sent)
        self._sms_read = len(line.twilio.sent)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Watch]:
        """Look while the block runs."""
        looking = asyncio.create_task(self._look(), name="watch")
        try:
            yield self
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    def follow(self, address: str) -> None:
        """Look at this address as well."""
        self._followed.add(address)

    async def done_with(self, address: str, messages: int) -> None:
        """Wait until so many messages of an address are stored and nothing of it waits or is on its way."""
        while True:
            stored, busy = self._seen.get(address, (0, True))
            if stored >= messages and not busy:
                return
            await self._looked.wait()

    def stored(self) -> dict[str, int]:
        """How many messages of each address were stored at the last look."""
        return {address: stored for address, (stored, _) in self._seen.items()}

    def telegram(self, chat: str) -> list[str]:
        """What a chat shows."""
        fresh = self._line.telegram.sent[self._telegram_read :]
        self._telegram_read += len(fresh)
        for entry in fresh:
            self._telegram[str(entry["chat"])].append(entry["text"])
        return list(self._telegram[chat])

    def sms(self, number: str) -> list[str]:
        """What a phone shows."""
        fresh = self._line.twilio.sent[self._sms_read :]
        self._sms_read += len(fresh)
        for entry in fresh:
            self._sms[entry["to"]].append(entry["body"])
        return list(self._sms[number])

    async def in_hand(self) -> tuple[int, int, int]:
        """How many tasks are worked on, how many there are, and how many forms are open, just now."""
        try:
            async with await self._connect() as connection:
                working, tasks = await (await connection.execute(_IN_HAND)).fetchone() or (0, 0)
                [forms] = await (await connection.execute(_FORMS)).fetchone() or (0,)
        except psycopg.OperationalError:
            return 0, 0, 0
        return int(working), int(tasks), int(forms)

    async def _connect(self) -> psycopg.AsyncConnection[tuple[int, ...]]:
        url = libpq_url(self._line.database_url)
        return await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5)

    async def _look(self) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    while True:
                        rows = await (await connection.execute(_LOOK, (list(self._followed),))).fetchall()
                        self._seen = {str(address): (stored, bool(busy)) for address, stored, busy in rows}
                        self._looked.set()
                        self._looked.clear()
                        await asyncio.sleep(EVERY)
            except psycopg.OperationalError:
                await asyncio.sleep(0.5)
