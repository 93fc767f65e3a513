"""Fetches a file from an address that somebody else chose, without letting them choose our own machines.

Every name is resolved first, every address it resolves to must be public, and the connection goes to
exactly the address that was checked: a name that resolves differently a second later changes nothing.
Redirects are followed by hand and checked again. Proxies from the environment are not used, because a
proxy would resolve the name once more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

import filetype
import httpx

from channels.base.contract import Media
from channels.base.errors import PermanentFailure, TemporaryFailure

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address in IPv6 clothes (RFC 6052)


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates are believed, for every client of this process: certifi's, or SSL_CERT_FILE's.

    Reading them takes 25 to 90 ms in which nothing else of the process runs: too long for each request.
    """
    return httpx.create_ssl_context()


async def fetch(url: str, *, max_bytes: int, seconds: float = 15.0, resolve: Resolve | None = None) -> bytes:
    """The content behind a public http(s) URL.

    Raises PermanentFailure (not public, too large, gone) or TemporaryFailure (time-out, 5xx, no route).
    """
    try:
        async with asyncio.timeout(seconds):
            return await _follow(url, max_bytes, seconds, resolve or resolve_name)
    except TimeoutError:
        failure = TemporaryFailure("The file did not arrive in time.")
    except httpx.HTTPError as error:
        failure = TemporaryFailure(f"The file could not be fetched ({type(error).__name__}).")
    raise failure  # outside the handler: the library's error carries the URL


async def read_within(response: httpx.Response, max_bytes: int) -> bytes:
    """The body of a streamed response. Raises PermanentFailure beyond `max_bytes`, without reading on."""
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large(max_bytes)
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def refuse_status(status: int) -> None:
    """Raise the failure an HTTP status stands for; nothing for 2xx."""
    if 200 <= status < 300:
        return
    if status in {408, 425, 429} or status >= 500:
        raise TemporaryFailure("The file's server is not ready.", code=str(status))
    raise PermanentFailure("The file is gone or not ours to read.", code=str(status))


def too_large(max_bytes: int) -> PermanentFailure:
    """The failure for a file beyond the limit."""
    return PermanentFailure(f"The file is larger than {max_bytes // (1024 * 1024)} MB.", code="too_large")


def identify(name: str | None, data: bytes) -> Media:
    """The file with the type its content shows and a harmless name whose ending says the same."""
    kind = filetype.guess(data)
    if kind is not None:
        mime, ending = str(kind.mime), str(kind.extension)
    elif data[:15].upper().startswith(b"BEGIN:VCARD"):
        mime, ending = "text/vcard", "vcf"
    elif _is_text(data):
        mime, ending = "text/plain", "txt"
    else:
        mime, ending = "application/octet-stream", "bin"
    stem = PurePosixPath((name or "").replace("\\", "/")).name
    stem = re.sub(r"\.[A-Za-z0-9]{1,8}$", "", stem)
    stem = re.sub(r"[^\w .()-]", "", stem).strip(" .")[:80]
    return Media(name=f"{stem or 'file'}.{ending}", mime=mime, data=data)


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the open internet, also when it hides inside another one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo:
            inner = address.teredo[1]
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


async def _follow(url: str, max_bytes: int, seconds: float, resolve: Resolve) -> bytes:
    limits = httpx.Timeout(seconds, connect=min(5.0, seconds))
    async with httpx.AsyncClient(
        verify=trusted(), timeout=limits, trust_env=False, follow_redirects=False
    ) as client:
        for _ in range(MAX_REDIRECTS + 1):
            request = await _pinned(client, url, resolve)
            response = await client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                refuse_status(response.status_code)
                return await read_within(response, max_bytes)
            finally:
                await response.aclose()
    raise PermanentFailure("The file hides behind too many redirects.")


async def _pinned(client: httpx.AsyncClient, url: str, resolve: Resolve) -> httpx.Request:
    """A request to the very address that was checked, with the name kept for Host and TLS."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise PermanentFailure("The file's address is not a web address.") from None
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise PermanentFailure("The file's address is not a plain web address.")
    address = await _public_address(host, port, resolve)
    return pin(client, "GET", url, address, headers={"Accept-Encoding": "identity"})


def pin(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    address: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx.Request:
    """A request for `url` that goes to exactly this address, with the name kept for Host and TLS."""
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    host, port = parts.hostname or "", parts.port or usual
    literal = f"[{address}]" if ":" in address else address
    pinned = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
    shown = f"[{host}]" if ":" in host else host
    return client.build_request(
        method,
        pinned,
        content=content,
        headers={"Host": shown if port == usual else f"{shown}:{port}", **headers},
        extensions={**client.build_request(method, pinned).extensions, "sni_hostname": host},
    )


async def _public_address(host: str, port: int, resolve: Resolve) -> str:
    try:
        addresses = await resolve(host, port)
    except OSError:
        raise TemporaryFailure("The file's host name has no address.") from None
    if not addresses or not all(is_public(ipaddress.ip_address(address)) for address in addresses):
        raise PermanentFailure("The file's address is not on the public internet.", code="not_public")
    return addresses[0]


async def resolve_name(host: str, port: int) -> list[str]:
    """Every address of a host name; raises OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _is_text(data: bytes) -> bool:
    if not data or b"\0" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
