"""Shows that a page of a history and a search stay as fast at ten million touchpoints as at ten thousand.

    python -m benchmarks.timeline [--touchpoints 10000000] [--plans docs/plans-timeline.md] [--json]

Makes two invented cities in a PostgreSQL of its own under `var/benchmark-timeline` (about 10 GB at ten
million, removed afterwards unless --keep), and asks the hub's own services, warm, as the API does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import shutil
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.cities import OPTIONS, city_of
from benchmarks.timeline import data, plans
from contact_hub.database import Database
from contact_hub.operations import postgres
from contact_hub.search.service import Order, people, search
from contact_hub.search.walking import Filters
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.staff.models import Role
from contact_hub.timeline.reading import Wanted, first_id_at, page

FOLDER = Path("var/benchmark-timeline")
SMALL = 10_000
WARM = 20

Work = Callable[[AsyncSession], Awaitable[object]]
ALONE = Viewer("staff", "an agent of one department", uuid.uuid4(), Role.AGENT, frozenset({"waste"}))
WITH_REASON = Viewer(
    "staff", "an agent with a reason", uuid.uuid4(), Role.AGENT, frozenset({"waste"}), reason="asked"
)
BUSY_DESK = Viewer("staff", "an agent of many", uuid.uuid4(), Role.AGENT, frozenset({"waste", ""}))


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--touchpoints", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=60, help="how often each thing is asked")
    parser.add_argument("--only", default="", help="measure only what begins so, such as page")
    parser.add_argument("--plans", type=Path, help="where to write the query plans")
    parser.add_argument("--keep", action="store_true", help="leave the data for another run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    server = postgres.start(FOLDER, options=OPTIONS)
    try:
        urls = {size: city_of(server, size, data.make) for size in (SMALL, arguments.touchpoints)}
        result = asyncio.run(_measure(urls, arguments.rounds, arguments.only))
        if arguments.plans is not None:
            arguments.plans.write_text(
                asyncio.run(plans.record(urls[arguments.touchpoints], arguments.touchpoints)),
                encoding="utf-8",
            )
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(FOLDER, ignore_errors=True)
    small, large = result[str(SMALL)], result[str(arguments.touchpoints)]
    result["ratio"] = {
        name: {p: round(large[name][p] / small[name][p], 2) for p in ("p50_ms", "p95_ms")} for name in large
    }
    _print(result, as_json=arguments.json)


async def _measure(urls: dict[int, str], rounds: int, only: str) -> dict[str, Any]:
    """Ask the small city and the large one in turn, so that whatever else the machine does meets both."""
    databases = {size: Database(url, pool_size=1) for size, url in urls.items()}
    result: dict[str, Any] = {str(size): {} for size in urls}
    try:
        questions = {}
        for size, database in databases.items():
            async with database.begin() as session:
                questions[size] = _asked(size, await _known(session))
        for name in questions[SMALL]:
            if not name.startswith(only):
                continue
            took: dict[int, list[float]] = {size: [] for size in databases}
            for _ in range(WARM + rounds):
                for size, database in databases.items():
                    took[size].append(await _time(database, questions[size][name]))
            for size, times in took.items():
                result[str(size)][name] = _summary(times[WARM:])
    finally:
        for database in databases.values():
            await database.close()
    return result


async def _known(session: AsyncSession) -> dict[str, str]:
    """Words and numbers that are there to be found: in a hundredth, in one sentence, in one touchpoint."""
    rows = await session.execute(
        text("SELECT word, ndoc FROM ts_stat('SELECT words FROM sentence WHERE language = ''en''')")
    )
    counted = sorted((count, word) for word, count in rows)
    middle = min(counted, key=lambda row: abs(row[0] - data.SENTENCES // 100))
    number = await session.scalar(
        text("SELECT payload ->> 'reference' FROM touchpoint WHERE kind = 'report' ORDER BY id LIMIT 1")
    )
    return {"middle": middle[1], "rare": counted[0][1], "reference": str(number)}


def _asked(touchpoints: int, known: dict[str, str]) -> dict[str, Work]:
    busy = uuid.UUID(data.person(data.BUSY))
    dice = random.Random(3)
    now = datetime.now(UTC)

    def anybody() -> uuid.UUID:
        return uuid.UUID(data.person(dice.randint(2, max(touchpoints // 10, 100))))

    def somewhere() -> uuid.UUID:
        return first_id_at(now - timedelta(days=dice.uniform(0, 390)))

    # Warm is what was asked for a moment ago; the last of the pages are nobody's that was.
    people_met = itertools.cycle([anybody() for _ in range(WARM)])
    places_met = itertools.cycle([somewhere() for _ in range(WARM)])

    def half_a_year_ago() -> Wanted:
        return Wanted(since=now - timedelta(days=190), until=now - timedelta(days=180))

    def found(typed: str, viewer: Viewer = SYSTEM, **more: Any) -> Work:
        return lambda session: search(session, viewer, typed, **more)

    return {
        "page, busy citizen, newest": lambda s: page(s, busy),
        "page, busy citizen, anywhere": lambda s: page(s, busy, before=next(places_met)),
        "page, any citizen": lambda s: page(s, next(people_met)),
        "page, any citizen, for the first time": lambda s: page(s, anybody()),
        "page, two channels": lambda s: page(s, busy, wanted=Wanted(channels=("sms", "telegram"))),
        "page, ratings and notes": lambda s: page(s, busy, wanted=Wanted(kinds=("rating", "note"))),
        "page, a kind that never was": lambda s: page(s, busy, wanted=Wanted(kinds=("merge",))),
        "page, inner events": lambda s: page(s, busy, wanted=Wanted(directions=("inner",))),
        "page, until half a year ago": lambda s: page(s, busy, wanted=Wanted(until=half_a_year_ago().until)),
        "page, ten days half a year ago": lambda s: page(s, busy, wanted=half_a_year_ago()),
        "search, a third has it": found("please"),
        "search, two common words": found("please street"),
        "search, common but not": found("please -street"),
        "search, phrase": found('"street collection"'),
        "search, a hundredth has it": found(known["middle"]),
        "search, one sentence has it": found(known["rare"]),
        "search, nobody said it": found("zzyzzx"),
        "search, Chinese": found("垃圾"),
        "search, reference number": found(known["reference"]),
        "search, most relevant of common": found("please street", order=Order.RELEVANCE),
        "search, common among notes": found("please", filters=Filters(kinds=("note",))),
        "search, common in a kind that never was": found("please", filters=Filters(kinds=("merge",))),
        "search, common where one waits": found("please", filters=Filters(states=("waiting",))),
        "search, common, ten days half a year ago": found(
            "please", filters=Filters(since=now - timedelta(days=190), until=now - timedelta(days=180))
        ),
        "search, few visible, common": found("please", ALONE),
        "search, few visible, rare": found(known["rare"], ALONE),
        "search, few visible, nobody said it": found("zzyzzx", ALONE),
        "search, 3 % visible, common": found("please", BUSY_DESK),
        "search, 3 % visible, rare": found(known["rare"], BUSY_DESK),
        "search, with a reason, common": found("please", WITH_REASON),
        "people, by name": lambda s: people(s, SYSTEM, "maria 4b"),
        "people, by first name": lambda s: people(s, SYSTEM, "maria"),
        "people, by phone number": lambda s: people(s, SYSTEM, "0800 000 003"),
    }


async def _time(database: Database, work: Work) -> float:
    async with database.begin() as session:
        began = time.perf_counter()
        await work(session)
        return (time.perf_counter() - began) * 1000


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
    }


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
        return
    sizes = [size for size in result if size != "ratio"]
    print(
        f"{'p50 / p95 in ms':44}" + "".join(f"{int(size):>20,}" for size in sizes) + f"{'ratio of p95':>15}"
    )
    for name, ratio in result["ratio"].items():
        cells = (f"{result[size][name]['p50_ms']:>10} {result[size][name]['p95_ms']:>9}" for size in sizes)
        print(f"{name:44}" + "".join(cells) + f"{ratio['p50_ms']:>8}{ratio['p95_ms']:>7}")


if __name__ == "__main__":
    main()
