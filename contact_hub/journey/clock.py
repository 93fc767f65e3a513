"""What happens to conversations by the clock, whether or not anybody writes.

One process of the whole system runs this. A sweep takes one batch in one transaction, in which it locks
what it changes and passes over what somebody else has locked, and names whom to wake after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from contact_hub.journey import asking, closing, found, patience
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups

log = structlog.get_logger()

INTERVAL_SECONDS = 2.0

Sweep = Callable[[Writer], Awaitable[Collection[str]]]

SWEEPS: Mapping[str, Sweep] = {
    "close idle conversations": closing.close_idle,
    "ask how it was": asking.ask_due,
    "let questions lapse": asking.lapse,
    "renew promises": patience.renew_promises,
    "give back silent conversations": patience.give_back_silent,
    "give back what somebody held who left": patience.give_back_left,
    "wake what was put aside": patience.wake_snoozed,
    "tell elsewhere what waits": patience.tell_elsewhere,
    "tell those who asked": found.tell_those_who_asked,
}


async def run(writer: Writer, wakeups: Wakeups) -> None:
    """Sweep now and every two seconds."""
    while True:
        await once(writer, wakeups)
        await asyncio.sleep(INTERVAL_SECONDS)


async def once(writer: Writer, wakeups: Wakeups, sweeps: Mapping[str, Sweep] = SWEEPS) -> None:
    """Do every sweep once; a failing one is logged and does not keep the others from their turn."""
    for name, sweep in sweeps.items():
        try:
            topics = await sweep(writer)
        except Exception as error:
            log.warning("clock.failed", sweep=name, error=type(error).__name__, exc_info=True)
        else:
            wakeups.tell(*topics)
