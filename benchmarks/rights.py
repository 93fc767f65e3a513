"""Times a copy of everything about one person, and their erasure, in a city of ten million touchpoints.

    python -m benchmarks.rights [--touchpoints 10000000] [--keep] [--json]

The person is the invented city's busiest: 10 addresses and a hundredth of all touchpoints. Works in a copy
of the city that `benchmarks.timeline` makes (as large again for the while), in which the person is erased.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.cities import OPTIONS, city_of
from benchmarks.timeline import data
from benchmarks.timeline.__main__ import FOLDER
from contact_hub.city import load_city
from contact_hub.database import Database
from contact_hub.operations import postgres
from contact_hub.privacy import erasure, export
from contact_hub.privacy.schedule import schedule_of
from contact_hub.settings import libpq_url
from contact_hub.staff.access import SYSTEM

COPY = "city_of_rights"


def main() -> None:
    """Copy the city, then export and erase its busiest citizen, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--touchpoints", type=int, default=10_000_000)
    parser.add_argument("--keep", action="store_true", help="leave the city for another run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    server = postgres.start(FOLDER, options=OPTIONS)
    try:
        url = city_of(server, arguments.touchpoints, data.make)
        with psycopg.connect(libpq_url(server.create_database("postgres")), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {COPY}")
            template = f"city_{arguments.touchpoints}"
            connection.execute(f"CREATE DATABASE {COPY} TEMPLATE {template} STRATEGY file_copy")
            result = asyncio.run(_measure(url.replace(template, COPY)))
            connection.execute(f"DROP DATABASE {COPY}")
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(FOLDER, ignore_errors=True)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name, figure in result.items():
        print(f"{name:32}{figure:>12,}")


async def _measure(url: str) -> dict[str, Any]:
    city, busy = load_city(Path("nlu_data")), uuid.UUID(data.person(data.BUSY))
    database = Database(url, pool_size=2, secret_key="k" * 32)
    result: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            before = _megabytes()
            began = time.perf_counter()
            with (Path(folder) / "copy.zip").open("wb") as target:
                copy = await export.write(
                    database, busy, target, city=city, site_url="https://line.larkhaven.example"
                )
                size = target.tell()
            result |= {
                "touchpoints in the copy": copy.touchpoints,
                "answers in the copy": copy.answers,
                "copy, s": round(time.perf_counter() - began, 1),
                "copy, MB": round(size / 1e6, 1),
                "more memory for the copy, MB": _megabytes() - before,
            }
            began = time.perf_counter()
            async with database.begin() as session:
                shown = await erasure.preview(session, busy, schedule_of(city))
            result["dry run of the erasure, s"] = round(time.perf_counter() - began, 1)
            began = time.perf_counter()
            async with database.begin() as session:
                done = await erasure.erase(
                    session,
                    SYSTEM,
                    busy,
                    schedule=schedule_of(city),
                    folder=Path(folder),
                    reason="measured",
                )
            result["erasure, s"] = round(time.perf_counter() - began, 1)
            result["rows erased"] = sum(line.erased for line in done.lines)
            if result["rows erased"] != sum(line.erased for line in shown.lines):
                raise RuntimeError("The erasure did something else than its dry run said.")
    finally:
        await database.close()
    return result


def _megabytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
