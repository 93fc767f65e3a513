"""The providers' side of the contract suite: for each channel that somebody else delivers, its fake.

A new channel with a provider of its own adds a class here and a line to `PROVIDERS`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from channels.base.contract import Channel, MediaRef, Outbound
from tests.contract import recorded
from tests.fakes import telegram, twilio

JPEG = bytes.fromhex("ffd8ffe000104a46494600010101004800480000ffdb0043") + b"\0" * 64


class Provider(Protocol):
    """What the suite asks of a fake provider, in the words of the contract."""

    name: str
    resident: str  # an address that can be written to
    fake: Any

    def channel(self, **changes: Any) -> Channel:
        """The channel, speaking to this fake."""

    def arrived(self) -> list[str]:
        """What the resident can read, oldest first."""

    def refuses_for_good(self) -> str:
        """An address whose owner cannot be reached any more."""

    def refuses_oddly(self) -> None:
        """The next send meets a refusal that is in no table."""

    def asks_to_wait(self) -> None:
        """The next send is told to slow down."""

    def hangs(self, seconds: float) -> None:
        """The next send is taken, but its answer does not come."""

    def breaks_off(self) -> None:
        """The next send is taken, but the connection breaks before the answer."""

    def file(self, data: bytes) -> MediaRef:
        """A file of a resident that the provider keeps."""


class TelegramSide:
    """A bot and its residents."""

    name, resident = "telegram", "4711"

    def __init__(self, fake: telegram.FakeTelegram) -> None:
        self.fake = fake

    def channel(self, **changes: Any) -> Channel:
        given = {"telegram_bot_token": telegram.TOKEN, "telegram_api_url": self.fake.url}
        return recorded.build(self.name, **{**given, **changes})

    def arrived(self) -> list[str]:
        return self.fake.texts(int(self.resident))

    def refuses_for_good(self) -> str:
        self.fake.blocked.add(4712)
        return "4712"

    def refuses_oddly(self) -> None:
        self.fake.fail_next(1, 400, "Bad Request: the moon is in the wrong house, 'Mill Lane' 4711")

    def asks_to_wait(self) -> None:
        self.fake.fail_next(1, 429, "Too Many Requests: retry after 7", retry_after=7)

    def hangs(self, seconds: float) -> None:
        self.fake.hang_next(1, seconds, accept=True)

    def breaks_off(self) -> None:
        self.fake.drop_after_accept(1)

    def file(self, data: bytes) -> MediaRef:
        return MediaRef(self.fake.add_file(data, "photos/file_9.exe"), "photo")


class TwilioSide:
    """An account and its residents."""

    name, resident = "sms", "+15551230001"

    def __init__(self, fake: twilio.FakeTwilio) -> None:
        self.fake = fake

    def channel(self, **changes: Any) -> Channel:
        given = {"twilio_api_url": self.fake.url, "public_url": "http://127.0.0.1:9"}
        return recorded.build(self.name, **{**given, **changes})

    def arrived(self) -> list[str]:
        return self.fake.texts(self.resident)

    def refuses_for_good(self) -> str:
        self.fake.refuses("+15551230002", 21614)
        return "+15551230002"

    def refuses_oddly(self) -> None:
        self.fake.fail_next(1, 29999)

    def asks_to_wait(self) -> None:
        self.fake.fail_next(1, 20429, status=429)

    def hangs(self, seconds: float) -> None:
        self.fake.hang_next(1, seconds, accept=True)

    def breaks_off(self) -> None:
        self.fake.drop_after_accept(1)

    def file(self, data: bytes) -> MediaRef:
        sid = self.fake.text(self.resident, "", [("image/jpeg", data)], deliver=False)
        media = next(message["_media"][0] for message in self.fake.messages if message["sid"] == sid)
        path = f"/2010-04-01/Accounts/{self.fake.account}/Messages/{sid}/Media/{media}"
        return MediaRef(self.fake.url + path, "photo", mime="text/html")


@contextmanager
def _telegram() -> Iterator[Provider]:
    with telegram.running(pace=20) as fake:
        yield TelegramSide(fake)


@contextmanager
def _twilio() -> Iterator[Provider]:
    with twilio.running(pace=20) as fake:
        yield TwilioSide(fake)


PROVIDERS = {"telegram": _telegram, "sms": _twilio}


def outbound(provider: Provider, text: str = "Your bin is collected on Tuesday.", **more: Any) -> Outbound:
    """A message to the provider's resident."""
    given: dict[str, Any] = {
        "delivery": "0190e7c0-0000-7000-8000-00000000000a",
        "address": provider.resident,
        "text": text,
        "first_tried_at": datetime.now(UTC),
        **more,
    }
    return Outbound(**given)


def nobody_listens() -> str:
    """A URL at which every connection is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
