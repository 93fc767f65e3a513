"""The worker itself: woken by hints, by the clock without them, and alive after everything is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from channels.base.contract import Channel
from channels.console import Console
from channels.web_chat import WebChat
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.events.kinds import Kind
from contact_hub.journey.neighbours import Neighbours
from contact_hub.operations import migrate
from contact_hub.operations.postgres import start
from contact_hub.settings import libpq_url
from contact_hub.webhooks import service as webhooks
from contact_hub.webhooks.delivery import Telling
from contact_hub.webhooks.reach import Reach
from contact_hub.worker import Worker
from tests.conftest import FAST
from tests.contract.providers import nobody_listens
from tests.fakes import receiver, twilio
from tests.hub.line import SECRET_KEY, Line, Resident, Script
from tests.hub.test_sending import sms_channel


@asynccontextmanager
async def running(
    url: str, city: City, script: Script | None = None, *more: Channel
) -> AsyncIterator[Worker]:
    """A worker in this very process, stopped as a signal would stop it."""
    where = script.url if script else nobody_listens()
    database = Database(url, pool_size=8, secret_key=SECRET_KEY)
    worker = Worker(
        database=database,
        listen_url=libpq_url(url),
        city=city,
        channels={channel.name: channel for channel in (WebChat(), Console(), *more)},
        neighbours=Neighbours(brain_url=where, rasa_url=where, secret="only-among-ourselves"),
        telling=Telling(database, "https://line.larkhaven.example", Reach.of("127.0.0.0/8")),
    )
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await working


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 15) -> float:
    """Wait for something; gives how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - it becomes true in a database
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def insist(resident: Resident, words: str) -> None:
    """Write until it is taken, as a provider does: the door's own connections were cut as well."""
    while True:
        try:
            await resident.does(words=words, key=words)
        except OperationalError:
            await asyncio.sleep(0.1)
        else:
            return


async def answered(resident: Resident, count: int) -> bool:
    return len(await resident.reads()) >= count


@pytest.fixture
async def hinting(talking: Line) -> AsyncIterator[Line]:
    """A line that tells the workers what came."""
    await talking.wakeups.start()
    yield talking
    await talking.wakeups.stop()


async def test_a_worker_answers_many_residents_in_order_and_settles_everything(
    hinting: Line, script: Script, emptied_url: str, city: City
) -> None:
    residents = [await hinting.visitor() for _ in range(8)]
    async with running(emptied_url, city, script):
        for number in range(4):
            await asyncio.gather(*(r.does(words=f"Message {number}") for r in residents))

        async def settled() -> bool:
            return await hinting.unsettled() == 0

        await until(settled, 40)
    for resident in residents:
        history = await resident.touchpoints()
        asked = [t for t in history if t.direction == "in"]
        replied = [t.in_reply_to for t in history if t.direction == "out"]
        assert replied == [t.id for t in asked], "one answer each, in order"
    assert await hinting.count("task") == 0


async def test_two_workers_share_the_work_and_nothing_is_done_twice(
    hinting: Line, script: Script, emptied_url: str, city: City
) -> None:
    residents = [await hinting.visitor() for _ in range(6)]
    async with running(emptied_url, city, script), running(emptied_url, city, script):
        await asyncio.gather(*(r.does(words=f"{n}th") for n in range(3) for r in residents))

        async def settled() -> bool:
            return await hinting.unsettled() == 0

        await until(settled, 40)
    assert [len(await r.reads()) for r in residents] == [3] * 6
    assert len(script.turns) == 18


async def test_without_a_hint_the_clock_finds_the_work(
    talking: Line, script: Script, emptied_url: str, city: City
) -> None:
    async with running(emptied_url, city, script):
        resident = await talking.visitor()
        await resident.does(words="Nobody tells the worker")  # these wake-ups were never started
        await until(lambda: answered(resident, 1), 10)


async def test_a_worker_whose_every_connection_was_cut_goes_on(
    hinting: Line, script: Script, emptied_url: str, city: City
) -> None:
    resident = await hinting.visitor()
    async with running(emptied_url, city, script):
        await resident.does(words="Before")
        await until(lambda: answered(resident, 1))
        for round_ in range(2):
            with psycopg.connect(libpq_url(emptied_url), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await insist(resident, f"After {round_}")
            await until(lambda: answered(resident, 2 + round_), 20)  # noqa: B023
    assert await hinting.unsettled() == 0
    assert len(await resident.reads()) == 3


async def test_a_worker_sends_by_a_real_channel_and_takes_what_its_sweeper_finds(
    hinting: Line, script: Script, emptied_url: str, city: City, fake_twilio: twilio.FakeTwilio
) -> None:
    """A text whose webhook was lost in an outage is found in Twilio's list and answered once."""
    fake_twilio.text("+15551230001", "Is anybody there?", deliver=False)
    async with running(emptied_url, city, script, sms_channel(fake_twilio)):

        async def sent() -> bool:
            return len(fake_twilio.sent) > 0

        await until(sent, 25)
        phone = hinting.texter()
        assert (await phone.touchpoints())[0].text == "Is anybody there?"

        async def recorded() -> bool:
            return await hinting.count("task") == 0

        await until(recorded)
    assert fake_twilio.texts("+15551230001") == [hinting.city.say("greet", "en")]
    assert await hinting.unsettled() == 0


async def test_stopping_finishes_what_is_in_hand(
    hinting: Line, script: Script, emptied_url: str, city: City
) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(question: object) -> dict[str, object]:
        loop.call_soon_threadsafe(asked.set)
        await asyncio.sleep(0.7)
        return {"messages": [{"say": "greet"}], "intent": {}, "form": None}

    script.on_turn = slow
    resident = await hinting.visitor()
    async with running(emptied_url, city, script):
        await resident.does(words="Hello")
        async with asyncio.timeout(15):
            await asked.wait()
    assert await resident.reads() == [hinting.city.say("greet", "en")]
    assert await hinting.count("task") == 0


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Room for a database that may be restarted without disturbing the other tests."""
    return tmp_path_factory.mktemp("own-postgres")


async def test_a_worker_outlives_a_restart_of_the_database(
    lines: Callable[..., Line], script: Script, city: City, folder: Path
) -> None:
    server = await asyncio.to_thread(start, folder, options=FAST)
    try:
        url = server.create_database("restarted")
        await asyncio.to_thread(migrate.upgrade, url)
        line = Line(url, city)
        resident = await line.visitor()
        async with running(url, city, script):
            await resident.does(words="Before")
            await until(lambda: answered(resident, 1))
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(1.5)  # long enough for every loop to meet a closed door
            server = await asyncio.to_thread(start, folder, options=FAST)
            assert server.database("restarted") == url, "the same socket again"
            await resident.does(words="After")
            await until(lambda: answered(resident, 2), 25)
        assert await line.unsettled() == 0
        await line.close()
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_worker_tells_other_systems_and_answers_residents_while_one_of_them_sleeps(
    line: Line, city: City
) -> None:
    with receiver.running() as other, receiver.running() as sleeper:
        sleeper.slow = 5
        for system in (other, sleeper):
            async with line.database.begin() as session:
                _, secret = await webhooks.add(session, system.url, [Kind.HANDOFF])
            system.secrets.append(secret)
        async with running(line.database.url, city):
            for _ in range(2):
                resident = await line.visitor()
                await resident.does(words="I want to talk to a person")
                assert await asyncio.to_thread(sleeper.arrived.wait, 15)

                async def answered(who: Resident = resident) -> bool:
                    return bool(await who.reads())

                await until(answered)

            async def told() -> bool:
                return len(other.received) == 2

            await until(told)
