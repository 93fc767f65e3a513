"""`python -m benchmarks.versus_rasa [--json]`: how many turns a second, how fast, with how much memory."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import uvloop

from benchmarks.machine import ROOT, CannotMeasure
from benchmarks.versus_rasa.measure import Plan, compare

SHOWN = (
    ("turns_per_second", "turns a second"),
    ("p50_ms", "half of the turns within, ms"),
    ("p95_ms", "19 of 20 turns within, ms"),
    ("alone_p50_ms", "one resident alone, half within, ms"),
    ("rss_mb", "resident memory, MB"),
)


def main() -> int:
    """Measure, print, and give the exit status."""
    plan, as_json = _arguments()

    def say(words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    try:
        found = uvloop.run(compare(plan, ROOT / "nlu_data", say))
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    print(json.dumps(found, indent=2) if as_json else _table(found))
    return 0


def _arguments() -> tuple[Plan, bool]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus_rasa", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--residents", type=int, default=Plan.residents, help="at once (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="a phase (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="phases a side (default %(default)s)")
    parser.add_argument(
        "--stock-threads",
        type=int,
        default=Plan.stock_threads,
        help="threads TensorFlow may use, 0 for its own choice (default %(default)s, as our models have)",
    )
    given = parser.parse_args()
    plan = Plan(
        residents=given.residents,
        seconds=given.seconds,
        rounds=given.rounds,
        stock_threads=given.stock_threads,
    )
    return plan, given.json


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':38}{'Civicline':>12}{'stock Rasa':>12}{'ratio':>8}"]
    for key, words in SHOWN:
        ours, theirs = found["ours"][key], found["stock"][key]
        lines.append(f"{words:38}{ours:>12}{theirs:>12}{ours / theirs:>8.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
