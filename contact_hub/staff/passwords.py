"""Passwords as argon2id, in a few threads of their own: the event loop never waits for a hash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError, VerifyMismatchError

from channels.base.errors import Malformed

_Found = TypeVar("_Found")

SHORTEST = 12
LONGEST = 256
# OWASP's choice for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Checked where there is no such person, so that both take as long. No password gives it.
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
_THREADS = 2
_MOST_WAITING = 32  # each holds 19 MiB for 20 ms or so: one second's work
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
_waiting = 0


async def hashed(password: str) -> str:
    """What is kept of a password; raises Malformed (503) when too many wait already."""
    return await _aside(lambda: _hasher.hash(password))


async def matches(kept: str | None, password: str) -> bool:
    """Whether this is the password that was kept; takes as long where none was."""

    def check() -> bool:
        try:
            return _hasher.verify(kept or NOBODYS, password) and kept is not None
        except VerifyMismatchError:
            return False
        except VerificationError:  # a hash that cannot be computed is nobody's
            return False

    return await _aside(check)


def outdated(kept: str) -> bool:
    """Whether a password was kept with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


async def _aside(work: Callable[[], _Found]) -> _Found:
    global _waiting  # noqa: PLW0603 - how many wait is the process's, not one request's
    if _waiting >= _MOST_WAITING:
        raise Malformed("Too many people are signing in at this moment.", status=503, retry_after=2)
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    finally:
        _waiting -= 1
