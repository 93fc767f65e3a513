"""The one way to PostgreSQL: declarative base, engine, sessions and time-ordered ids."""

from __future__ import annotations

import asyncio
import select
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import uuid_utils.compat
from sqlalchemy import DateTime, MetaData, Text, Uuid, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from contact_hub.sealing import Sealer
from contact_hub.settings import libpq_url


class Base(DeclarativeBase):
    """Every table of the hub; times are UTC with time zone, free-form data is JSONB."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        uuid.UUID: Uuid,
        str: Text,
    }


def new_id(at: datetime | None = None) -> uuid.UUID:
    """A UUIDv7: its order is the order of making, within a process even inside one millisecond.

    `at` is when it happened, where that was not now.
    """
    return uuid_utils.compat.uuid7(nanoseconds=None if at is None else int(at.timestamp() * 1e9))


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


class Database:
    """An engine with its sessions; every session is one transaction that commits at the end of its block.

    `secret_key` is SECRET_KEY, for what is signed or sealed on its way into a table; `former_keys` are
    those before it, which still open what they sealed.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        secret_key: str | None = None,
        former_keys: tuple[str, ...] = (),
    ) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=5,
            pool_use_lifo=True,  # few connections stay warm, with their statements prepared
            hide_parameters=True,  # an error's text ends in a log, and parameters are residents' words
            connect_args={"connect_timeout": 5},
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_dead)
        known: dict[str, Any] = {_MEMORY: {}}
        if secret_key is not None:
            known |= {_SECRET: secret_key, _SEALER: Sealer(secret_key, *former_keys)}
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, info=known)
        self._glances = _Glances(libpq_url(url), pool_size)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A session whose work commits together, or not at all when the block raises."""
        async with self._sessions.begin() as session:
            yield session
            for last in session.info.get(_LAST, ()):
                await last(session)
        for work in session.info.get(_AFTER, ()):
            work()

    async def glance(self, statement: LiteralString, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement by itself, committed as it ends, and give its rows.

        A session costs five times as much, which counts where every turn of every resident looks
        several times. Raises psycopg.Error.
        """
        return await self._glances.run(statement, values)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()
        await self._glances.close()


_SECRET = "secret_key"  # noqa: S105 - its name
_SEALER = "sealer"
_MEMORY = "memory"
_LAST = "at_the_end"
_AFTER = "after_the_commit"
Last = Callable[[AsyncSession], Awaitable[None]]


def secret_of(session: AsyncSession) -> str:
    """SECRET_KEY, as the session's database was given it; raises LookupError where it was not."""
    found: str | None = session.info.get(_SECRET)
    if found is None:
        raise LookupError("this database was opened without SECRET_KEY, and something must be signed")
    return found


def sealer_of(session: AsyncSession) -> Sealer:
    """What seals and opens for this database; raises LookupError where it was given no SECRET_KEY."""
    found: Sealer | None = session.info.get(_SEALER)
    if found is None:
        raise LookupError("this database was opened without SECRET_KEY, and something must be sealed")
    return found


def memory_of(session: AsyncSession) -> dict[str, Any]:
    """What this process remembers of this database from one session to the next."""
    found: dict[str, Any] = session.info.setdefault(_MEMORY, {})
    return found


def at_the_end(session: AsyncSession, work: Last) -> None:
    """Do this as the last thing before the session commits.

    For rows that everybody locks: held for the moment of the commit only, and after every other lock,
    so that two transactions never wait for one another.
    """
    session.info.setdefault(_LAST, []).append(work)


def after_commit(session: AsyncSession, work: Callable[[], None]) -> None:
    """Do this once the session has committed, and never where it did not: for what is only counted."""
    session.info.setdefault(_AFTER, []).append(work)


class _Glances:
    """Connections in autocommit, the last used first; the rest of a crowd waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._url = url
        self._room = asyncio.Semaphore(most)
        self._idle: list[psycopg.AsyncConnection[tuple[Any, ...]]] = []

    async def run(self, statement: LiteralString, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._room:
            connection = await self._connection()
            try:
                cursor = await connection.execute(statement, values)
                rows = await cursor.fetchall() if cursor.description else []
            except BaseException:
                await connection.close()  # also when cancelled half-way: nobody reads that answer now
                raise
            self._idle.append(connection)
            return rows

    async def _connection(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        while self._idle:
            connection = self._idle.pop()
            if not _hung_up(connection.fileno()):
                return connection
            await connection.close()
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _refuse_dead(connection: Any, *_: object) -> None:
    """Keep a connection whose server has gone from being lent; asking the server costs a journey there."""
    if _hung_up(connection.driver_connection.fileno()):
        raise DisconnectionError


def _hung_up(socket: int) -> bool:
    """Whether something waits to be read on an idle connection: with PostgreSQL that is its end."""
    asked = select.poll()
    asked.register(socket, select.POLLIN)
    return bool(asked.poll(0))
