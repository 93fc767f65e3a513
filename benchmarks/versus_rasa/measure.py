"""The run itself: both bots up, phases in turn, and what the tables say afterwards."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from benchmarks import line
from benchmarks.load import Bot, Crowd, NoReply, Phase, percentile
from benchmarks.machine import CannotMeasure, cpu_seconds, memory
from benchmarks.versus_rasa import stock
from benchmarks.versus_rasa.ours import Civicline
from benchmarks.versus_rasa.words import Words
from contact_hub.operations import postgres
from contact_hub.operations.postgres import Postgres
from contact_hub.operations.processes import memory_mb

Say = Callable[[str], None]
MOST_UNANSWERED = 0.05  # more is no conversation that could be measured


@dataclass(frozen=True)
class Plan:
    """How long, how many, in which order."""

    residents: int = 16
    seconds: float = 10.0  # of one phase
    rounds: int = 4
    warm_up: float = 8.0
    alone: float = 4.0  # seconds of each round with one resident only
    stock_threads: int = 1


@dataclass
class Side:
    """One bot with its residents and what was measured of it."""

    name: str
    crowd: Crowd
    processes: Mapping[str, int]
    database: str
    phases: list[Phase] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    turns: int = 0  # all of them, warm-up included
    unanswered: list[str] = field(default_factory=list)

    async def phase(self, plan: Plan, seconds: float, server: Postgres, *, counts: bool) -> Phase:
        """Let the residents talk, and keep what it took if it counts."""
        watched = {**{name: [pid] for name, pid in self.processes.items()}, "postgres": [server.pid]}
        before = {name: cpu_seconds(pids) for name, pids in watched.items()} | {"load": time.process_time()}
        done = await self.crowd.talk(plan.residents, seconds)
        after = {name: cpu_seconds(pids) for name, pids in watched.items()} | {"load": time.process_time()}
        self.turns += len(done.latencies)
        self.unanswered += done.failures
        if len(self.unanswered) > MOST_UNANSWERED * self.turns:
            raise CannotMeasure(
                f"{self.name}: {len(self.unanswered)} turns were not answered: {self.unanswered[0]}"
            )
        if counts:
            self.phases.append(done)
            for name, spent in after.items():
                self.cpu[name] = self.cpu.get(name, 0.0) + spent - before[name]
        return done

    async def by_oneself(self, seconds: float) -> None:
        """Measure turns that nobody else is in the way of."""
        done = await self.crowd.talk(1, seconds)
        self.turns += len(done.latencies)
        self.unanswered += done.failures
        self.alone += done.latencies

    def figures(self) -> dict[str, Any]:
        """What the contract asks for, and what explains it."""
        latencies = [latency for phase in self.phases for latency in phase.latencies]
        seconds = sum(phase.seconds for phase in self.phases)
        mine = {name: memory([pid]) for name, pid in self.processes.items()}
        if "up" in mine:  # the others are its children
            mine["up"] = memory_mb(self.processes["up"])
            self.cpu["up"] -= sum(self.cpu[name] for name in self.processes if name != "up")
        return {
            "turns_per_second": round(len(latencies) / seconds, 2),
            "p50_ms": round(percentile(latencies, 0.5) * 1000, 1),
            "p95_ms": round(percentile(latencies, 0.95) * 1000, 1),
            "alone_p50_ms": round(percentile(self.alone, 0.5) * 1000, 1),
            "alone_p95_ms": round(percentile(self.alone, 0.95) * 1000, 1),
            "rss_mb": round(sum(mine.values())),
            "rss_mb_by_process": {name: round(megabytes) for name, megabytes in mine.items()},
            "cpu_ms_per_turn": {
                name: round(spent * 1000 / len(latencies), 1) for name, spent in self.cpu.items()
            },
            "turns": len(latencies),
            "unanswered": len(self.unanswered),
            "senders": self.crowd.senders,
        }


async def compare(plan: Plan, city: Path, say: Say) -> dict[str, Any]:
    """Measure both bots beside each other and give the figures; raises CannotMeasure."""
    line.forget_settings()
    stock.prepare()
    with tempfile.TemporaryDirectory(prefix="civicline-versus-") as folder:
        server = postgres.start(Path(folder))
        try:
            return await _with_database(server, plan, city, say)
        finally:
            server.stop()


async def _with_database(server: Postgres, plan: Plan, city: Path, say: Say) -> dict[str, Any]:
    say("Starting Civicline ...")
    ours = line.start(
        stock.KEPT / "line",
        stock.KEPT / "up.log",
        fresh=True,
        DATABASE_URL=server.create_database("ours"),
    )
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=60),
        ) as client:
            say("Starting stock Rasa ...")
            server.create_database("stock")
            theirs = stock.Stock.start(client, server.libpq("stock"), plan.stock_threads)
            try:
                words = Words(city)
                sides = (
                    _side("ours", Civicline(client, ours.url), words.for_us, ours.processes, server),
                    _side("stock", theirs, words.for_stock, theirs.processes, server),
                )
                await _phases(sides, plan, server, say)
                return _result(sides, plan)
            finally:
                theirs.stop()
    finally:
        ours.stop()


def _side(
    name: str,
    bot: Bot,
    conversation: Callable[[int], Sequence[str]],
    processes: Mapping[str, int],
    server: Postgres,
) -> Side:
    return Side(name, Crowd(bot, conversation), processes, server.libpq(name))


async def _phases(sides: tuple[Side, Side], plan: Plan, server: Postgres, say: Say) -> None:
    try:
        for side in sides:
            await side.phase(plan, plan.warm_up, server, counts=False)
        for number in range(plan.rounds):
            told = []
            # Each round begins with the other one: a machine that gets slower favours neither.
            for side in sides if number % 2 == 0 else sides[::-1]:
                done = await side.phase(plan, plan.seconds, server, counts=True)
                await side.by_oneself(plan.alone)
                told.append(f"{side.name} {done.turns_per_second:.1f}/s")
            say(f"Round {number + 1} of {plan.rounds}: {', '.join(sorted(told))}")
    except NoReply as error:
        raise CannotMeasure(str(error)) from None


def _result(sides: tuple[Side, Side], plan: Plan) -> dict[str, Any]:
    ours, theirs = (side.figures() for side in sides)
    rounds = [
        mine.turns_per_second / other.turns_per_second
        for mine, other in zip(sides[0].phases, sides[1].phases, strict=True)
    ]
    ours |= _kept_by_us(sides[0])
    theirs |= _kept_by_stock(sides[1])
    return {
        "ours": ours,
        "stock": theirs,
        "ratio": round(ours["turns_per_second"] / theirs["turns_per_second"], 2),
        "ratio_by_round": [round(ratio, 2) for ratio in rounds],
        "ratio_median": round(statistics.median(rounds), 2),
        "p50_ratio": round(ours["p50_ms"] / theirs["p50_ms"], 2),
        "alone_p50_ratio": round(ours["alone_p50_ms"] / theirs["alone_p50_ms"], 2),
        "memory_ratio": round(ours["rss_mb"] / theirs["rss_mb"], 2),
        "plan": {
            "residents": plan.residents,
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "stock_threads": plan.stock_threads,
        },
    }


def _kept_by_us(side: Side) -> dict[str, Any]:
    """What the history holds of the run: every turn must be in it, and settled."""
    with psycopg.connect(side.database) as connection:
        rows = connection.execute(
            "SELECT step, count(*) FROM inbound GROUP BY step ORDER BY 2 DESC"
        ).fetchall()
        reports = connection.execute("SELECT count(*) FROM report").fetchone()
    steps = {str(step): int(count) for step, count in rows}
    if "None" in steps or sum(steps.values()) < side.turns:
        raise CannotMeasure(f"Of {side.turns} turns the history holds these: {steps}.")
    shares = {step: round(count / side.turns, 3) for step, count in steps.items()}
    return {"share_of_turns": shares, "reports": int(reports[0]) if reports else 0}


def _kept_by_stock(side: Side) -> dict[str, Any]:
    with psycopg.connect(side.database) as connection:
        asked = "SELECT count(*) FROM events WHERE action_name = 'action_city_answer'"
        called = connection.execute(asked).fetchone()
    return {"share_of_turns": {"custom_action": round((called[0] if called else 0) / side.turns, 3)}}
