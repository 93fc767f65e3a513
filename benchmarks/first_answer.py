"""`python -m benchmarks.first_answer [--from-nothing] [--json]`: how soon, how fast, how large.

Starts the line with `make run` on a data folder of its own, as a new city would, with fake
providers beside it, and measures: the time to the first answer, the time of a start when
everything is there, the memory of each process, and one turn by channel. `--from-nothing` does it
in a clean clone first; that takes minutes, and pip's, npm's and uv's caches are used as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks import line
from benchmarks.line import OurLine
from benchmarks.load import percentile
from benchmarks.machine import ROOT, CannotMeasure, memory
from benchmarks.versus_rasa.ours import Civicline
from contact_hub.operations.processes import memory_mb
from tests.fakes import telegram, twilio

QUESTION = "When is my recycling collected?"
PACE = 1.1  # seconds between turns by phone: the providers' own limits are not what is measured
LONGEST = 30.0  # seconds
# Three questions, a greeting and two turns of a report, each resident's own.
TURNS = (
    "hello",
    QUESTION,
    "How do I get rid of an old sofa?",
    "What does a library card cost?",
    "The street light is broken at {number} Mill Lane",
    "It has been dark for {number} nights",
)


def main() -> int:
    """Measure, print JSON, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_answer", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (it always does)")
    parser.add_argument("--from-nothing", action="store_true", help="also measure in a clean clone")
    parser.add_argument("--residents", type=int, default=5, help="six turns each (default %(default)s)")
    given = parser.parse_args()
    try:
        print(json.dumps(measure(given.from_nothing, given.residents), indent=2))
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(from_nothing: bool, residents: int) -> dict[str, Any]:
    """Give all figures."""
    line.forget_settings()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="civicline-first-") as name:
        folder = Path(name)
        if from_nothing:
            found["from_nothing"] = _from_nothing(folder)
        with telegram.running(pace=20.0) as bot, twilio.running(pace=20.0) as account:
            told = _providers(bot, account)
            found["new_data_folder"] = _start_and_ask(folder / "data", ROOT, told)
            with _running(folder / "data", ROOT, told) as running:
                found["warm_start_s"] = round(running.seconds_to_ready, 1)
                account.point_webhook(f"{running.url}/channels/sms/webhook")
                found["turns"] = {
                    "web_chat": _figures(uvloop.run(_by_web(running, residents))),
                    "telegram": _figures(_by_telegram(bot, residents)),
                    "sms": _figures(_by_sms(account, residents)),
                }
                found["memory_mb"] = _memory(running)
    return found


def _from_nothing(folder: Path) -> dict[str, Any]:
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    found = _start_and_ask(folder / "nothing", clone, {})
    with _running(folder / "nothing", clone, {}) as running:
        found["warm_start_s"] = round(running.seconds_to_ready, 1)
    shutil.rmtree(clone)
    return found


def _start_and_ask(data: Path, where: Path, told: dict[str, str]) -> dict[str, Any]:
    began = time.monotonic()
    with _running(data, where, told) as running:
        first = uvloop.run(_ask(running))
        return {
            "ready_s": round(running.seconds_to_ready, 1),
            "first_answer_s": round(time.monotonic() - began, 1),
            "its_turn_ms": round(first * 1000),
        }


@contextmanager
def _running(data: Path, where: Path, told: dict[str, str]) -> Iterator[OurLine]:
    started = line.start(
        data, data.with_suffix(".log"), fresh=False, command=("make", "run"), folder=where, **told
    )
    try:
        yield started
    finally:
        started.stop()


def _providers(bot: telegram.FakeTelegram, account: twilio.FakeTwilio) -> dict[str, str]:
    return {
        "TELEGRAM_BOT_TOKEN": telegram.TOKEN,
        "TELEGRAM_WEBHOOK_SECRET": line.SECRET,
        "TELEGRAM_API_URL": bot.url,
        "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
        "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
        "TWILIO_FROM": twilio.NUMBER,
        "TWILIO_API_URL": account.url,
    }


async def _ask(running: OurLine) -> float:
    async with aiohttp.ClientSession() as client:
        resident = await Civicline(client, running.url).new_sender()
        began = time.perf_counter()
        await resident.say(QUESTION)
        return time.perf_counter() - began


async def _by_web(running: OurLine, residents: int) -> list[float]:
    """From POST to the answer in the feed."""
    taken = []
    async with aiohttp.ClientSession() as client:
        for number in range(residents):
            resident = await Civicline(client, running.url).new_sender()
            for words in TURNS:
                began = time.perf_counter()
                await resident.say(words.format(number=number + 10))
                taken.append(time.perf_counter() - began)
                await asyncio.sleep(PACE)
    return taken


def _by_telegram(bot: telegram.FakeTelegram, residents: int) -> list[float]:
    """From the update's webhook to the message that arrives at Telegram."""
    return [
        _turn(bot.sent, partial(bot.says, 7_000 + number, words.format(number=number + 30)))
        for number in range(residents)
        for words in TURNS
    ]


def _by_sms(account: twilio.FakeTwilio, residents: int) -> list[float]:
    """From the signed webhook to the message that arrives at Twilio."""
    return [
        _turn(
            account.sent, partial(account.text, f"+155512300{number:02d}", words.format(number=number + 50))
        )
        for number in range(residents)
        for words in TURNS
    ]


def _turn(sent: list[dict[str, Any]], say: Callable[[], object]) -> float:
    time.sleep(PACE)
    before = len(sent)
    began = time.time()
    say()
    while len(sent) == before:
        if time.time() - began > LONGEST:
            raise CannotMeasure(f"No answer arrived at the fake provider within {LONGEST:.0f} s.")
        time.sleep(0.001)
    return float(sent[before]["at"]) - began


def _figures(taken: list[float]) -> dict[str, float]:
    return {
        "p50_ms": round(percentile(taken, 0.5) * 1000),
        "p95_ms": round(percentile(taken, 0.95) * 1000),
        "turns": len(taken),
    }


def _memory(running: OurLine) -> dict[str, int]:
    """Each process with what it started; memory that processes share is divided among them."""
    found = {str(p["name"]): round(memory([int(p["pid"])])) for p in running.run["processes"]}
    found["up"] = round(memory_mb(int(running.run["pid"])))  # the others are its children
    return found | {"all": sum(found.values())}


if __name__ == "__main__":
    sys.exit(main())
