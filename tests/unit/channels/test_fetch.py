"""The fetcher reaches the public internet and nothing else."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from channels.base import fetch as fetching
from channels.base.errors import PermanentFailure, TemporaryFailure
from channels.base.fetch import fetch, identify, is_public
from tests.fakes import server


async def _answer(request: Request) -> Response:
    return Response(b"hello from " + request.headers["host"].encode())


async def _slow(_: Request) -> Response:
    await asyncio.sleep(5)
    return Response(b"late")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    app = Starlette(
        routes=[
            Route("/file", _answer),
            Route("/slow", _slow),
            Route("/large", lambda _: Response(b"0" * 2000)),
            Route("/gone", lambda _: Response(status_code=404)),
            Route("/busy", lambda _: Response(status_code=503)),
            Route("/to-metadata", lambda _: RedirectResponse("http://169.254.169.254/latest/meta-data")),
            Route("/to-file-scheme", lambda _: RedirectResponse("file:///etc/passwd")),
            Route("/round", lambda _: RedirectResponse("/round")),
            Route("/one-step", lambda _: RedirectResponse("/file")),
        ]
    )
    with server.running(app) as url:
        yield url


@pytest.fixture
def pretend_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's own server count as public; every other rule stays."""
    real = fetching.is_public
    loopback = ipaddress.ip_address("127.0.0.1")
    monkeypatch.setattr(fetching, "is_public", lambda address: address == loopback or real(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "2002:7f00:1::", "2001:db8::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_outer_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://[::1]/x", "http://2130706433/", "http://0x7f.1/",
        "http://127.1/", "file:///etc/passwd", "ftp://example.org/x", "gopher://x", "http://", "http://[bad",
        "http://user:pw@example.org/", "http://169.254.169.254/latest/meta-data", "http://a:99999/", "x",
    ],
)  # fmt: skip
async def test_refused_addresses(url: str) -> None:
    with pytest.raises((PermanentFailure, TemporaryFailure)):
        await fetch(url, max_bytes=1000)


async def test_one_private_answer_among_public_ones_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.5"]

    with pytest.raises(PermanentFailure) as failed:
        await fetch("http://rebind.example/x", max_bytes=1000, resolve=resolve)
    assert failed.value.code == "not_public"


async def test_connection_goes_to_the_address_that_was_checked(site: str, pretend_public: None) -> None:
    port, asked = site.rpartition(":")[2], []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    data = await fetch(f"http://media.example:{port}/file", max_bytes=1000, resolve=resolve)
    assert data == f"hello from media.example:{port}".encode()
    assert asked == ["media.example"]


@pytest.mark.parametrize("path", ["to-metadata", "to-file-scheme", "round", "large", "gone"])
async def test_permanent(site: str, pretend_public: None, path: str) -> None:
    with pytest.raises(PermanentFailure):
        await fetch(f"{site}/{path}", max_bytes=1000)


@pytest.mark.parametrize("path", ["busy", "slow"])
async def test_temporary(site: str, pretend_public: None, path: str) -> None:
    with pytest.raises(TemporaryFailure):
        await fetch(f"{site}/{path}", max_bytes=1000, seconds=0.5)


async def test_redirect_is_followed(site: str, pretend_public: None) -> None:
    assert (await fetch(f"{site}/one-step", max_bytes=1000)).startswith(b"hello")


@pytest.mark.parametrize(
    ("name", "data", "mime", "shown"),
    [
        ("photo.exe", b"\xff\xd8\xff\xe0", "image/jpeg", "photo.jpg"),
        ("../../etc/passwd", b"%PDF-1.7", "application/pdf", "passwd.pdf"),
        ("C:\\temp\\a.png", b"\x89PNG\r\n\x1a\n", "image/png", "a.png"),
        (None, b"OggS\0\2", "audio/ogg", "file.ogg"),
        ("ana.jpg", b"BEGIN:VCARD\r\nFN:Ana", "text/vcard", "ana.vcf"),
        ("page.jpg", b"<html><script>alert(1)</script>", "text/plain", "page.txt"),
        ("x\r\nSet-Cookie: a", b"\0\1\2", "application/octet-stream", "xSet-Cookie a.bin"),
        ("😀", b"", "application/octet-stream", "file.bin"),
    ],
)
def test_type_comes_from_the_content(name: str | None, data: bytes, mime: str, shown: str) -> None:
    media = identify(name, data)
    assert (media.mime, media.name) == (mime, shown)
