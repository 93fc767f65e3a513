"""How much one visitor may ask of the web chat. Each web process counts what it sees itself."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from channels.base.errors import Malformed

# One a second with a burst of five: any five seconds hold at most five messages.
MESSAGES = RateLimitItemPerSecond(5, 5, namespace="web_chat_messages")
# Far above one visitor's needs, low enough that a script cannot fill the database with empty sessions.
SESSIONS = RateLimitItemPerSecond(600, 60, namespace="web_chat_sessions")

Network = IPv4Network | IPv6Network


class Pace:
    """Counts what happens per key over the last seconds."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def step(self, rate: RateLimitItem, key: str) -> None:
        """Counts one more; raises Malformed (429) with the seconds to wait when it is one too many."""
        if await self._limiter.hit(rate, key):
            return
        stats = await self._limiter.get_window_stats(rate, key)
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        raise Malformed(
            f"That was too fast: please wait {wait} second{'s' if wait > 1 else ''}.",
            status=429,
            retry_after=wait,
        )


class Connections:
    """Counts open connections per key."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, *limits: tuple[str, int]) -> Iterator[None]:
        """Holds one connection under each key; raises Malformed (429) when a key has its share already."""
        if any(self._open[key] >= most for key, most in limits):
            raise Malformed("Too many open connections: close a window first.", status=429, retry_after=5)
        keys = [key for key, _ in limits]
        self._open.update(keys)
        try:
            yield
        finally:
            self._open.subtract(keys)
            for key in keys:
                if self._open[key] <= 0:
                    del self._open[key]


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Reads the addresses of trusted proxies; raises ValueError for one that is none."""
    return tuple(ip_network(name, strict=False) for name in names)


def visitor_ip(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Tells whose address to count: the connection's, or behind trusted proxies the nearest stranger's.

    Anybody can write the left of X-Forwarded-For, so it is read from the right.
    """
    hops = [peer, *(hop.strip() for hop in reversed(forwarded.split(",")))]
    for hop in hops:
        try:
            address = ip_address(hop.strip("[]"))
        except ValueError:
            return peer
        if not any(address in network for network in trusted):
            return str(address)
    return peer
