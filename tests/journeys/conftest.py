"""Stories over the whole running line: the real processes, with fake providers in front of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contact_hub.city import City, load_city
from tests.journeys.residents import EVERYWHERE, Books, BySms, OnTelegram, OnTheWeb, Resident
from tests.whole import ROOT, WholeLine

HERE = Path(__file__).parent
LONGEST_STORY = 400  # seconds: one that kills waits for what it killed to come back


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the stories the time that they take on a busy machine."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONGEST_STORY))


@pytest.fixture(scope="session")
def city() -> City:
    """The city's own words."""
    return load_city(ROOT / "nlu_data")


@pytest.fixture(scope="session")
def books(line: WholeLine) -> Iterator[Books]:
    """The line's tables."""
    made = Books(line)
    yield made
    made.close()


@pytest.fixture(params=EVERYWHERE, ids=lambda kind: kind.channel)
def resident(request: pytest.FixtureRequest, line: WholeLine, books: Books) -> Resident:
    """A resident nobody has met, on each channel in turn."""
    made: Resident = request.param(line, books)
    return made


@pytest.fixture
def visitor(line: WholeLine, books: Books) -> OnTheWeb:
    """Somebody on the city's page."""
    return OnTheWeb(line, books)


@pytest.fixture
def visitors(line: WholeLine, books: Books) -> Callable[[], OnTheWeb]:
    """As many people on the city's page as a story needs."""
    return lambda: OnTheWeb(line, books)


@pytest.fixture
def texter(line: WholeLine, books: Books) -> BySms:
    """Somebody with a mobile phone."""
    return BySms(line, books)


@pytest.fixture
def chatter(line: WholeLine, books: Books) -> OnTelegram:
    """Somebody on Telegram."""
    return OnTelegram(line, books)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small picture: one grey pixel as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(b"\x00\x7f")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
