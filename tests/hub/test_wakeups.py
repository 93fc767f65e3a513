"""Hints between processes: quick, and never needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from contact_hub.operations.wakeups import Wakeups


@pytest.fixture
async def two(listen_url: str) -> AsyncIterator[tuple[Wakeups, Wakeups]]:
    """Two processes' wake-ups, both listening."""
    pair = Wakeups(listen_url), Wakeups(listen_url)
    for wakeups in pair:
        await wakeups.start()
    async with asyncio.timeout(20):  # until each hears the other
        for speaker, listener in (pair, pair[::-1]):
            with listener.waiting("hello") as heard:
                while not heard.is_set():
                    speaker.tell("hello")
                    await asyncio.sleep(0.05)
    yield pair
    for wakeups in pair:
        await wakeups.stop()


async def test_no_hint_is_lost_that_is_given_while_others_leave(two: tuple[Wakeups, Wakeups]) -> None:
    speaker, listener = two
    with listener.waiting("in") as heard:
        for _ in range(40):
            heard.clear()
            speaker.tell("in")
            # The next hint of the same topic comes while the first is on its way.
            await asyncio.sleep(0.011)
            heard.clear()
            speaker.tell("in")
            async with asyncio.timeout(5):
                await heard.wait()
                await speaker.flush()


async def test_flushed_hints_have_left(two: tuple[Wakeups, Wakeups]) -> None:
    speaker, listener = two
    topics = [f"feed:{number:05d}-{'x' * 60}" for number in range(400)]  # more than one notification holds
    with listener.waiting(topics[0]) as first, listener.waiting(topics[-1]) as last:
        speaker.tell(*topics)
        async with asyncio.timeout(5):
            await speaker.flush()
            await first.wait()
            await last.wait()


async def test_a_listener_whose_connection_was_cut_hears_again_and_looks_at_everything(
    two: tuple[Wakeups, Wakeups], listen_url: str
) -> None:
    speaker, listener = two
    with listener.waiting("in") as heard:
        async with await psycopg.AsyncConnection.connect(listen_url, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        async with asyncio.timeout(10):
            await heard.wait()  # by itself: what was said in between was not heard
            heard.clear()
            while not heard.is_set():
                speaker.tell("in")
                await asyncio.sleep(0.05)


async def test_a_foreign_notification_does_not_deafen_the_listener(
    two: tuple[Wakeups, Wakeups], listen_url: str
) -> None:
    speaker, listener = two
    async with await psycopg.AsyncConnection.connect(listen_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_notify('civicline', 'this is not ours')")
    with listener.waiting("in") as heard:
        async with asyncio.timeout(10):
            while not heard.is_set():
                speaker.tell("in")
                await asyncio.sleep(0.05)
