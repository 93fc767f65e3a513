"""One run of chaos: conversations on every channel, and every process killed in the middle of them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from rich.console import Console
from rich.table import Table

from contact_hub.city import load_city
from tests.chaos.reckoning import Reckoning, reckon
from tests.chaos.residents import BySms, Ended, OnTelegram, OnTheWeb, Resident, Sentences
from tests.chaos.watch import Watch
from tests.whole import ROOT, WholeLine

PROCESSES = ("web", "worker", "brain", "rasa", "postgres")
LONGEST_RETURN = 180.0  # seconds until a killed process has to be back, on a busy machine
LONGEST_RUN = 1500.0
TELEGRAM_PACE = 2.0  # its pauses between deliveries are halved; Twilio's 15 seconds are kept

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kill:
    """One kill, what it interrupted, and when the line was whole again."""

    process: str
    at_s: float
    conversations: int  # in the middle
    forms: int  # open
    in_hand: int  # tasks that were being worked on
    tasks: int
    back_s: float


@dataclass
class Result:
    """A run and its reckoning."""

    conversations: dict[str, int]
    kills: list[Kill] = field(default_factory=list)
    seconds: float = 0.0
    reckoning: Reckoning = field(default_factory=Reckoning)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The same for a program."""
        return dataclasses.asdict(self)


class Chaos:
    """Lets residents in, a few at a time, and kills while they talk."""

    def __init__(
        self,
        line: WholeLine,
        *,
        conversations: int,
        at_once: int,
        kills: Sequence[str] = PROCESSES,
        thinks: tuple[float, float] = (0.5, 4.0),
        first_number: int = 0,
        say: Say = print,
    ) -> None:
        self.line, self.kills, self.say = line, kills, say
        self.at_once = asyncio.Semaphore(at_once)
        self.watch = Watch(line)
        self.http = httpx.AsyncClient(
            base_url=line.base_url, timeout=30, trust_env=False, limits=httpx.Limits(max_connections=100)
        )
        sentences = Sentences.of(load_city(ROOT / "nlu_data"))
        self.residents: list[Resident] = []
        for number in range(first_number, first_number + conversations):
            # Channels by thirds and reports by halves, every one with every other.
            same = (line, self.watch, sentences, number // 3 % 2 == 0, thinks)
            match number % 3:
                case 0:
                    self.residents.append(OnTheWeb(number, *same, http=self.http))
                case 1:
                    self.residents.append(OnTelegram(number, *same))
                case _:
                    self.residents.append(BySms(number, *same))
        self.begun = time.monotonic()
        self.result = Result({})

    async def run(self) -> Result:
        """Let everybody live, kill, and reckon."""
        before = self.line.twilio.pace, self.line.telegram.pace
        self.line.twilio.pace, self.line.telegram.pace = 1.0, TELEGRAM_PACE
        self.begun = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_RUN), self.watch.running(), self.http:
                lives = [asyncio.create_task(self._live(resident)) for resident in self.residents]
                await self._kill_in_turn()
                sweeper = asyncio.create_task(self._bring_the_sweep_forward(lives))
                await asyncio.gather(*lives)
                sweeper.cancel()
        finally:
            self.line.twilio.pace, self.line.telegram.pace = before
        self.result.seconds = round(time.monotonic() - self.begun, 1)
        self.result.conversations = dict(Counter(resident.channel for resident in self.residents))
        found = self.result.reckoning = await asyncio.to_thread(reckon, self.line, self.residents)
        self.result.problems += found.problems
        if found.marked_duplicates > len(self.result.kills):
            self.result.problems.append(
                f"{found.marked_duplicates} duplicates on Telegram for {len(self.result.kills)} kills"
            )
        return self.result

    async def _live(self, resident: Resident) -> None:
        async with self.at_once:
            try:
                await resident.live()
            except AssertionError as error:
                self.result.problems.append(f"{resident.channel} {resident.number}: {error}")

    async def _kill_in_turn(self) -> None:
        """Kill the next process when its share of the conversations is over and the last one is back."""
        for turn, process in enumerate(self.kills, start=1):
            share = len(self.residents) * turn / (len(self.kills) + 2)
            while self._over() < share:  # noqa: ASYNC110 - nobody but the residents knows
                await asyncio.sleep(0.05)
            await self._kill(process)

    def _over(self) -> int:
        return sum(resident.ended is not None for resident in self.residents)

    async def _kill(self, process: str) -> None:
        in_the_middle = sum(bool(resident.said) and resident.ended is None for resident in self.residents)
        in_hand, tasks, forms = await self.watch.in_hand()
        pid, workers = self.line.pid(process), self._workers()
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        interrupted = f"{in_the_middle} conversations and {forms} forms open"
        self.say(f"{at - self.begun:6.1f} s  killed {process} with {interrupted}")
        deadline = at + LONGEST_RETURN
        while not await self._back(process, pid) or (process == "worker" and self._workers() == workers):
            if time.monotonic() > deadline:
                self.result.problems.append(f"{process} was not back after {LONGEST_RETURN:.0f} s")
                break
            await asyncio.sleep(0.1)
        back = time.monotonic() - at
        self.say(f"{time.monotonic() - self.begun:6.1f} s  whole again after {back:.1f} s")
        self.result.kills.append(
            Kill(process, round(at - self.begun, 1), in_the_middle, forms, in_hand, tasks, round(back, 1))
        )

    async def _back(self, process: str, killed: int) -> bool:
        """Whether another process has taken the place of the killed one, and everything is well."""
        try:
            if self.line.pid(process) == killed:
                return False
            return (await self.http.get("/readyz", timeout=5)).is_success
        except (httpx.HTTPError, ValueError, StopIteration):
            return False

    def _workers(self) -> int:
        """How many workers have begun to work; nothing else tells, as nobody asks a worker anything."""
        return (self.line.data / "log" / "worker.log").read_bytes().count(b"worker.ready")

    async def _bring_the_sweep_forward(self, lives: list[asyncio.Task[None]]) -> None:
        """A text that Twilio gave up on comes with the next sweep, which a worker makes when it starts.

        Waiting five minutes for the regular one would show no more.
        """
        before: set[tuple[int, int]] = set()
        while not all(life.done() for life in lives):
            await asyncio.sleep(20)  # by then Twilio has tried four times
            stored = self.watch.stored()
            missing = {
                (resident.number, len(resident.said))
                for resident in self.residents
                if resident.channel == "sms"
                and resident.ended is not Ended.UNHEARD
                and stored.get(resident.address, 0) < len(resident.said)
            }
            if missing & before:
                self.say(f"{len(missing & before)} texts wait for the sweeper")
                await self._kill("worker")
            before = missing


def show(result: Result) -> None:
    """Print a run as tables."""
    console = Console(width=110)
    kills = Table(
        "killed", "at", "conversations", "open forms", "tasks in hand", "tasks", "whole again after"
    )
    for kill in result.kills:
        kills.add_row(
            kill.process,
            f"{kill.at_s:.1f} s",
            str(kill.conversations),
            str(kill.forms),
            str(kill.in_hand),
            str(kill.tasks),
            f"{kill.back_s:.1f} s",
        )
    console.print(kills)
    found = result.reckoning
    table = Table(show_header=False)
    for name, value in (
        ("conversations", _words(result.conversations)),
        ("ended", _words(found.ended)),
        ("messages said", found.messages),
        ("outcomes", _words(found.outcomes)),
        ("not settled", found.unsettled),
        ("tasks left over", found.left_tasks),
        ("given up (dead letters)", found.dead_letters),
        ("messages received", _words(found.sent)),
        ("reports, each exactly what was said", found.reports),
        ("sent again with a mark (Telegram)", found.marked),
        ("of these arrived twice", found.marked_duplicates),
        ("lost, doubled, mixed up or wrong", len(result.problems)),
        ("seconds", result.seconds),
    ):
        table.add_row(name, str(value))
    console.print(table)
    for problem in result.problems:
        console.print(f"- {problem}", markup=False)


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
