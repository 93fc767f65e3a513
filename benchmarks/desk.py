"""The desk with many who wait and many who answer: how soon a claim is done, how soon everybody sees news.

    python -m benchmarks.desk [--waiting 2000] [--agents 50] [--json]

Starts a PostgreSQL and a web process of its own on this machine's loopback. Every agent has the queue open
as a browser does, over server-sent events. New conversations are committed and hinted at as a worker does
it; an event counts once its client has it, parsed. Meanwhile agents claim what they see, sometimes two the
same. Leaves nothing behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.line import SECRET, forget_settings
from benchmarks.load import percentile
from benchmarks.machine import CannotMeasure, Program, cpu_seconds, free_port
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.database import Database, new_id, now
from contact_hub.flags.models import Flag
from contact_hub.operations import migrate
from contact_hub.operations.postgres import Postgres, start
from contact_hub.operations.processes import memory_mb
from contact_hub.operations.wakeups import Wakeups
from contact_hub.settings import libpq_url
from contact_hub.staff import sessions
from contact_hub.staff.models import Role
from contact_hub.staff.service import make
from contact_hub.staff.sessions import Browser
from contact_hub.timeline import service as timeline

DEPARTMENTS = ("contact_centre", "waste", "roads", "parking", "revenues")
NEWS = 60  # conversations that come while everybody looks
CLAIMS = 200
PAGES = 30
EVERY = 0.5  # seconds between two that come
PACE = 0.2  # seconds between two claims
SHARED = 8  # every so often two agents claim the same at once
LATEST = 10.0  # seconds after which news counts as missed
SEED = 20261128
COOKIE = "civicline_staff"
WORDS = (
    "My bin has not been emptied for three weeks",
    "¿Cuándo arreglan la farola de mi calle?",
    "وصلت الفاتورة مرتين",
    "I asked this twice already, is anybody there?",
)


@dataclass(slots=True)
class Agent:
    """Somebody with the queue open, and what they have seen come."""

    name: str
    cookie: str
    departments: frozenset[str]
    waiting: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def sees(self, which: str) -> None:
        """Wait until a conversation is on their screen."""
        while which not in self.seen:
            self.told.clear()
            await self.told.wait()


def main() -> int:
    """Measure, print, and give the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.desk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--waiting", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print JSON (it always does)")
    given = parser.parse_args()
    forget_settings()
    try:
        with tempfile.TemporaryDirectory(prefix="civicline-desk-") as folder:
            server = start(Path(folder) / "postgres")
            try:
                print(json.dumps(_measure(server, Path(folder), given.waiting, given.agents), indent=2))
            finally:
                server.stop()
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measure(server: Postgres, folder: Path, waiting: int, agents: int) -> dict[str, Any]:
    migrate.upgrade(server.url)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    web = Program(
        "the web process",
        (sys.executable, "-m", "contact_hub.cli", "web"),
        {
            "CIVICLINE_DATA": str(folder / "data"),
            "DATABASE_URL": server.url,
            "PORT": str(port),
            "PUBLIC_URL": url,
            "INTERNAL_SECRET": SECRET,
            "SECRET_KEY": SECRET * 2,
        },
        folder / "web.log",
    )
    try:
        web.wait_for(f"{url}/healthz", 60)
        return asyncio.run(_run(server.url, url, web, waiting, agents))
    finally:
        web.stop()


async def _run(database_url: str, url: str, web: Program, waiting: int, agents: int) -> dict[str, Any]:
    database = Database(database_url, pool_size=4, secret_key=SECRET * 2)
    wakeups = Wakeups(libpq_url(database_url))
    await wakeups.start()
    chance = random.Random(SEED)
    try:
        await _fill(database, waiting, chance)
        everybody = await _staff(database, agents)
        async with AsyncExitStack() as open_ones:
            client = await open_ones.enter_async_context(
                aiohttp.ClientSession(
                    url, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(None)
                )
            )
            streams = [asyncio.create_task(_watch(client, agent)) for agent in everybody]
            try:
                async with asyncio.timeout(60):
                    await asyncio.gather(*(agent.ready.wait() for agent in everybody))
                pages = await _pages(client, everybody, chance)
                before, began = cpu_seconds([web.pid]), time.monotonic()
                claims = Claims(client)
                news, _ = await asyncio.gather(
                    _news(database, wakeups, everybody, claims, chance), claims.go_on(everybody, chance)
                )
                spent = (cpu_seconds([web.pid]) - before) / (time.monotonic() - began)
            finally:
                for stream in streams:
                    stream.cancel()
                await asyncio.gather(*streams, return_exceptions=True)
        return {
            "waiting": waiting,
            "agents": agents,
            "claim": claims.figures(),
            "live_update": news,
            "page": _figures(pages),
            "web_process": {"cores_used": round(spent, 2), "memory_mb": round(memory_mb(web.pid))},
            "load_average": [round(value, 1) for value in os.getloadavg()],
        }
    finally:
        await wakeups.stop()
        await database.close()


# What is there ---------------------------------------------------------------------------------------


async def _fill(database: Database, waiting: int, chance: random.Random) -> None:
    for begun in range(0, waiting, 200):
        async with database.begin() as session:
            for number in range(begun, min(begun + 200, waiting)):
                await _somebody(session, number, chance, priority=chance.choice((0, 0, 10, 20, 30)))


async def _somebody(session: Any, number: int, chance: random.Random, *, priority: int) -> uuid.UUID:
    """Somebody who waits for a person, a third of them flagged."""
    department = DEPARTMENTS[number % len(DEPARTMENTS)]
    citizen = Citizen(id=new_id(), name=f"Resident {number}")
    address = Address(id=new_id(), citizen_id=citizen.id, channel="sms", value=f"+3531{number:08d}")
    moment = now() - timedelta(minutes=chance.randrange(1, 600))
    talk = Conversation(
        id=new_id(),
        address_id=address.id,
        state=ConversationState.WAITING,
        department=department,
        language=chance.choice(("en", "es", "ar")),
        priority=priority,
        reason="asked",
        epoch=1,
        waiting_since=now() if priority >= 100 else moment,
    )
    session.add(citizen)
    await session.flush()
    session.add(address)
    await session.flush()
    session.add(talk)
    await session.flush()
    said = await timeline.record(
        session,
        address_id=address.id,
        conversation_id=talk.id,
        direction="in",
        actor="citizen",
        kind="text",
        words=chance.choice(WORDS),
    )
    if number % 3 == 0:
        session.add(
            Flag(
                conversation_id=talk.id,
                address_id=address.id,
                touchpoint_id=said,
                channel="sms",
                score=0.8,
                level="unhappy",
                signals=[{"signal": "words", "weight": 0.8, "evidence": str(said), "words": "sounds angry"}],
            )
        )
    return talk.id


async def _staff(database: Database, agents: int) -> list[Agent]:
    """Agents of two neighbouring departments each; every tenth is a supervisor of all."""
    found = []
    async with database.begin() as session:
        for number in range(agents):
            all_of_them = number % 10 == 9
            own = (
                DEPARTMENTS if all_of_them else [DEPARTMENTS[(number + k) % len(DEPARTMENTS)] for k in (0, 1)]
            )
            role = Role.SUPERVISOR if all_of_them else Role.AGENT
            person = await make(session, f"Agent {number}", role, own)
            cookie = await sessions.begin(session, person, Browser("127.0.0.1", "benchmark"))
            found.append(Agent(person.name, cookie, frozenset(own)))
    return found


# What happens ----------------------------------------------------------------------------------------


async def _watch(client: aiohttp.ClientSession, agent: Agent) -> None:
    """Keep the queue on the screen, and remember when what came."""
    async for told in _events(client, agent):
        arrived = time.monotonic()
        agent.waiting = told["lists"]["waiting"]
        for which in agent.waiting:
            agent.seen.setdefault(which, arrived)
        agent.ready.set()
        agent.told.set()


async def _events(client: aiohttp.ClientSession, agent: Agent) -> AsyncIterator[dict[str, Any]]:
    async with client.get("/desk/events", headers=_head(agent)) as answer:
        if answer.status != 200:
            raise CannotMeasure(f"The desk answers a stream with {answer.status}.")
        name, rest = "", b""
        async for chunk in answer.content.iter_any():  # a line may be longer than a reader's buffer
            *whole, rest = (rest + chunk).split(b"\n")
            for words in whole:
                if words.startswith(b"event: "):
                    name = words[7:].decode()
                elif words.startswith(b"data: ") and name == "queue":
                    yield json.loads(words[6:])


def _head(agent: Agent) -> dict[str, str]:
    return {
        "Cookie": f"{COOKIE}={agent.cookie}",
        "Accept": "application/json",
        "Sec-Fetch-Site": "same-origin",
    }


@dataclass(slots=True)
class Claims:
    """Conversations that are taken, and how long each of it took."""

    client: aiohttp.ClientSession
    took: list[float] = field(default_factory=list)
    refused: int = 0
    holders: dict[str, set[str]] = field(default_factory=dict)

    async def take(self, agent: Agent, which: str) -> None:
        """One press of the button."""
        begun = time.monotonic()
        async with self.client.post(f"/desk/queue/{which}/claim", headers=_head(agent)) as answer:
            await answer.read()
        self.took.append(time.monotonic() - begun)
        if answer.status == 200:
            self.holders.setdefault(which, set()).add(agent.name)
        elif answer.status in {404, 409}:
            self.refused += 1
        else:
            raise CannotMeasure(f"A claim was answered with {answer.status}.")

    async def go_on(self, everybody: Sequence[Agent], chance: random.Random) -> None:
        """Let agents take what they see, one after the other; some take the same at once."""
        for number in range(CLAIMS):
            await asyncio.sleep(PACE)
            first = chance.choice(everybody)
            # Not the head of the queue: those stay for whoever is to see them come.
            which = chance.choice(first.waiting[-20:])
            pair = [first]
            if number % SHARED == 0:
                pair += [agent for agent in everybody if agent is not first and which in agent.waiting][:1]
            await asyncio.gather(*(self.take(agent, which) for agent in pair))

    def figures(self) -> dict[str, Any]:
        """What it came to; raises CannotMeasure where somebody was given what another has."""
        if twice := [which for which, names in self.holders.items() if len(names) > 1]:
            raise CannotMeasure(f"{len(twice)} conversations were given to two agents.")
        return {**_figures(self.took), "claims": len(self.took), "refused": self.refused, "held_by_two": 0}


async def _news(
    database: Database,
    wakeups: Wakeups,
    everybody: Sequence[Agent],
    claims: Claims,
    chance: random.Random,
) -> dict[str, Any]:
    """Let one after the other come to the head of the queue, time each client that is to see it, and let
    one of them take it."""
    took: list[float] = []
    slowest: list[float] = []
    missed = 0
    for number in range(NEWS):
        async with database.begin() as session:
            which = str(await _somebody(session, 90_000 + number, chance, priority=100))
        committed = time.monotonic()
        wakeups.tell("desk")
        who = [agent for agent in everybody if DEPARTMENTS[(90_000 + number) % 5] in agent.departments]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATEST):
                await asyncio.gather(*(agent.sees(which) for agent in who))
        await asyncio.sleep(max(0.0, EVERY + committed - time.monotonic()))
        times = [agent.seen[which] - committed for agent in who if which in agent.seen]
        missed += len(who) - len(times)
        took += times
        slowest += [max(times)] if times else []
        await claims.take(chance.choice(who), which)
    return {
        **_figures(took),
        "last_client_p95_ms": round(percentile(slowest, 0.95) * 1000, 1),
        "events": len(took),
        "missed": missed,
    }


async def _pages(
    client: aiohttp.ClientSession, everybody: Sequence[Agent], chance: random.Random
) -> list[float]:
    took = []
    for _ in range(PAGES):
        begun = time.monotonic()
        async with client.get("/desk", headers=_head(chance.choice(everybody))) as answer:
            await answer.read()
            if answer.status != 200:
                raise CannotMeasure(f"The desk answers with {answer.status}.")
        took.append(time.monotonic() - begun)
    return took


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "max_ms": 1.0}
    return {name: round(percentile(seconds, share) * 1000, 1) for name, share in shares.items()}


if __name__ == "__main__":
    sys.exit(main())
