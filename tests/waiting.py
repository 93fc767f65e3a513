"""Waiting for what another thread or process does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0  # seconds: a busy machine is slow, and a test that passes does not wait for it


async def until(true: Callable[[], Any]) -> None:
    """Returns as soon as it is true; raises TimeoutError when it stays false."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what is waited for lives in another thread
            await asyncio.sleep(0.01)
