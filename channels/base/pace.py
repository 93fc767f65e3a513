"""Keeps to a provider's sending rates, in one process; a 429 covers what several do together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from channels.base.errors import TemporaryFailure


class Pace:
    """Waits a moment for its turn, and asks to be called again later when the moment would be long.

    `patience` is in seconds: a sender that slept longer would hold a worker's slot, and a takeover by an
    agent would have to wait for a message that already counts as leaving.
    """

    def __init__(self, patience: float = 2.0) -> None:
        self._patience = patience
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._lock = asyncio.Lock()

    async def turn(self, rules: Sequence[tuple[RateLimitItem, str]]) -> None:
        """Return when one more message keeps every rule (limit, key). Raises TemporaryFailure."""
        deadline = time.monotonic() + self._patience
        while (wait := await self._claim(rules)) > 0:
            if time.monotonic() + wait > deadline:
                raise TemporaryFailure("The provider's sending rate is used up.", retry_after=wait)
            await asyncio.sleep(wait)

    async def _claim(self, rules: Sequence[tuple[RateLimitItem, str]]) -> float:
        """0 with every window counted, else the seconds until the fullest one has room."""
        async with self._lock:  # the windows are tested and counted as one
            wait = 0.0
            for item, key in rules:
                if not await self._limiter.test(item, key):
                    stats = await self._limiter.get_window_stats(item, key)
                    wait = max(wait, stats.reset_time - time.time(), 0.01)
            if wait == 0.0:
                for item, key in rules:
                    await self._limiter.hit(item, key)
            return wait
