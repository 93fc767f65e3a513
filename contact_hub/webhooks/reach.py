"""Posting to an address that somebody chose, without letting them choose the city's inner machines.

Every name is resolved anew for each attempt, every address it resolves to must be allowed, and the
connection goes to exactly the address that was checked. Redirects are not followed: they would lead
past the check, and a receiver that moved has to be told to us. Proxies from the environment are not
used, because a proxy would resolve the name once more.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from channels.base.fetch import IPAddress, Resolve, is_public, pin, resolve_name, trusted

SECONDS = 10.0  # for everything: name, connection, TLS, request and the head of the answer
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotAllowed(ValueError):
    """Says in one sentence why this address is not posted to."""


class NotReached(Exception):
    """Says in a few words why no answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a receiver answered."""

    status: int
    retry_after: float | None = None


@dataclass(frozen=True)
class Reach:
    """Where webhooks may go: the open internet by https, and the networks the operator allows."""

    networks: Sequence[Network] = ()
    resolve: Resolve = resolve_name
    seconds: float = SECONDS

    @classmethod
    def of(cls, setting: str | None) -> Reach:
        """The reach that WEBHOOK_NETWORKS gives; raises ValueError for a network that is none."""
        names = [name.strip() for name in (setting or "").split(",") if name.strip()]
        return cls(tuple(ipaddress.ip_network(name, strict=False) for name in names))

    async def check(self, url: str) -> None:
        """Raise NotAllowed, or NotReached when the name has no address."""
        try:
            async with asyncio.timeout(self.seconds):
                await self._address(url)
        except TimeoutError:
            raise NotReached(f"its name was not found within {self.seconds:.0f} seconds") from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once; raises NotAllowed and NotReached."""
        try:
            async with asyncio.timeout(self.seconds):
                address = await self._address(url)
                async with httpx.AsyncClient(
                    verify=trusted(), timeout=self.seconds, trust_env=False, follow_redirects=False
                ) as client:
                    request = pin(client, "POST", url, address, headers=headers, content=body)
                    response = await client.send(request, stream=True)
                    await response.aclose()  # what it says is of no interest, and may be endless
        except TimeoutError:
            raise NotReached(f"no answer within {self.seconds:.0f} seconds") from None
        except httpx.HTTPError as error:
            raise NotReached(f"no connection ({type(error).__name__})") from None
        return Answer(response.status_code, _seconds(response.headers.get("retry-after")))

    async def _address(self, url: str) -> str:
        parts, port = _parts(url)
        try:
            found = [
                ipaddress.ip_address(address) for address in await self.resolve(parts.hostname or "", port)
            ]
        except (OSError, UnicodeError):  # the latter for a name that can be none
            raise NotReached(f"the name {parts.hostname} has no address") from None
        if not found:
            raise NotReached(f"the name {parts.hostname} has no address")
        for address in found:
            self._allow(address, parts.scheme)
        return str(found[0])

    def _allow(self, address: IPAddress, scheme: str) -> None:
        if any(address in network for network in self.networks):
            return
        if not is_public(address):
            raise NotAllowed(
                f"{address} is not on the open internet; WEBHOOK_NETWORKS has to allow it if it is meant."
            )
        if scheme != "https":
            raise NotAllowed("On the open internet a webhook needs an https address.")


def _parts(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        httpx.URL(url)  # whose rules are stricter, and which is to post there
    except (ValueError, httpx.InvalidURL):
        raise NotAllowed("This is not a web address.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotAllowed("This is not a web address: it needs https:// and a name.")
    if parts.username or parts.password:
        raise NotAllowed("A webhook's address holds no user name and no password: the signature proves us.")
    return parts, port


def _seconds(value: str | None) -> float | None:
    """Retry-After in its simple form; a date is treated as absent."""
    return float(value) if value is not None and value.isdigit() else None
