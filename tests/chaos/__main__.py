"""`python -m tests.chaos [--conversations 200] [--at-once 24] [--kills web,worker,...] [--json]`"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import PROCESSES, Chaos, show
from tests.whole import whole_line


def main() -> int:
    """Run it on a line of its own and print what was found; 1 when something was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=24, help="conversations at the same time")
    parser.add_argument("--kills", default=",".join(PROCESSES), help="processes to kill, in order")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="civicline-chaos-") as folder, whole_line(Path(folder)) as line:
        line.start()
        chaos = Chaos(
            line,
            conversations=given.conversations,
            at_once=given.at_once,
            kills=[name for name in given.kills.split(",") if name],
            say=lambda words: print(words, file=sys.stderr, flush=True),
        )
        result = asyncio.run(chaos.run())
    if given.json:
        print(json.dumps(result.as_dict(), ensure_ascii=False, indent=2))
    else:
        show(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
