"""How often something may be tried, counted in PostgreSQL: it holds over all processes and restarts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import LiteralString

from contact_hub.database import Database


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many tries in so many seconds."""

    what: str
    most: int
    seconds: int


SIGN_IN_NAME = Limit("sign-in of a name", 10, 900)
SIGN_IN_NETWORK = Limit("sign-in from a network", 60, 900)
SECOND_STEP = Limit("code of a person", 6, 900)
INVITATION = Limit("invitation from a network", 60, 900)

_HIT: LiteralString = """
    INSERT INTO throttle AS t (key, count, until)
    VALUES (%(key)s, 1, clock_timestamp() + make_interval(secs => %(seconds)s))
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN t.until <= clock_timestamp() THEN 1 ELSE t.count + 1 END,
        until = CASE WHEN t.until <= clock_timestamp() THEN excluded.until ELSE t.until END
    RETURNING count, extract(epoch FROM until - clock_timestamp())::float
"""


class TooOften(Exception):
    """It was tried too often; `wait` says in how many seconds it may be tried again."""

    def __init__(self, wait: int) -> None:
        self.wait = wait
        super().__init__(f"tried too often, {wait} s to wait")


async def hit(database: Database, limit: Limit, who: str) -> None:
    """Count one more try before it is made; raises TooOften."""
    ((count, left),) = await database.glance(_HIT, key=_key(limit, who), seconds=limit.seconds)
    if count > limit.most:
        raise TooOften(max(1, math.ceil(left)))


async def forget(database: Database, limit: Limit, who: str) -> None:
    """Begin to count anew: it went well."""
    await database.glance("DELETE FROM throttle WHERE key = %(key)s", key=_key(limit, who))


def network_of(address: str) -> str:
    """The network an address is in: a household's for IPv6, where everybody has many addresses."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


def _key(limit: Limit, who: str) -> bytes:
    return hashlib.sha256(f"{limit.what}\n{who.casefold()}".encode("utf-8", "replace")).digest()
