"""Shows that message 300 of one conversation is as fast as message 3.

    python -m benchmarks.long_conversation [--turns 310] [--json]

Speaks to a running assistant (RASA_URL, INTERNAL_SECRET), in turn with small talk, questions
and a report that is never finished, and prints the median of the first, middle and last turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import uuid

import httpx

WINDOWS = ((1, 20), (140, 160), (290, 310))
SAID = (
    "When is my recycling collected?",
    "thanks",
    "there's a huge pothole in Mill Lane",
    "It is as deep as a bucket",
    "How much is a parking permit?",
    "cancel the report",
)


def main() -> None:
    """Talk, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=310)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    milliseconds = talk(arguments.turns)
    result = {
        f"{first}-{last}": round(statistics.median(milliseconds[first - 1 : last]), 1)
        for first, last in WINDOWS
        if last <= len(milliseconds)
    }
    if arguments.json:
        print(json.dumps({"p50_ms": result}))
        return
    for window, median in result.items():
        print(f"turns {window:>8}: {median:6.1f} ms")


def talk(turns: int) -> list[float]:
    """Return how long each turn of one conversation took."""
    conversation = str(uuid.uuid4())
    took = []
    headers = {"X-Internal-Secret": os.environ["INTERNAL_SECRET"]}
    url = os.environ.get("RASA_URL", "http://127.0.0.1:8702")
    with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
        for number in range(turns):
            body = {
                "conversation": conversation,
                "touchpoint": str(uuid.uuid4()),
                "text": SAID[number % len(SAID)],
                "language": "en",
            }
            started = time.perf_counter()
            client.post("/webhooks/civicline/turn", json=body).raise_for_status()
            took.append((time.perf_counter() - started) * 1000)
    return took


if __name__ == "__main__":
    main()
