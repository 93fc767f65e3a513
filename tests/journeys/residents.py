"""Residents who write to the running line, each through their own provider, and read what arrives there."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeVar

import httpx
import psycopg
from psycopg.rows import dict_row

from contact_hub.settings import libpq_url
from tests.whole import WholeLine

PATIENCE = 40.0  # seconds: a busy machine; what has to be quick is measured where it is promised
FIRST_NUMBER = int(time.time()) % 10_000 * 100  # nobody meets a conversation of an earlier run

T = TypeVar("T")


def until(found: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Ask again until something true comes back, and give that; fail with what did not happen."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"within {seconds:g} s this did not happen: {what}")
        time.sleep(0.05)
    return value


@dataclass
class Books:
    """The line's own tables, for looking at what became of what was said."""

    line: WholeLine
    _connection: psycopg.Connection[dict[str, Any]] | None = None

    def rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        """Ask the database; one that is just starting again is asked again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(
                        libpq_url(self.line.database_url), autocommit=True, row_factory=dict_row
                    )
                return self._connection.execute(query, values).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                if self._connection is not None:
                    self._connection.close()
                time.sleep(0.1)

    def one(self, query: LiteralString, *values: Any) -> Any:
        """The first value of the first row; None without one."""
        found = self.rows(query, *values)
        return next(iter(found[0].values())) if found else None

    def unsettled(self) -> int:
        """How many messages have not ended in an outcome."""
        return int(self.one("SELECT count(*) FROM inbound WHERE outcome IS NULL"))

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()


@dataclass
class Heard:
    """One message as its resident sees it."""

    words: str
    author: str = ""
    buttons: list[tuple[str, str]] = field(default_factory=list)  # (id, title)
    sources: list[str] = field(default_factory=list)


class Resident(ABC):
    """Somebody with one address."""

    channel: str
    address: str

    def __init__(self, line: WholeLine, books: Books) -> None:
        self.line, self.books = line, books
        self._read = 0

    @abstractmethod
    def says(self, words: str) -> None:
        """Write, and go on at once."""

    @abstractmethod
    def presses(self, button: str) -> None:
        """Press a button by its id."""

    @abstractmethod
    def sends_photo(self, data: bytes, words: str = "") -> None:
        """Send a picture."""

    @abstractmethod
    def inbox(self) -> list[Heard]:
        """Everything that ever arrived, oldest first."""

    def hears(self) -> list[Heard]:
        """What arrived since the last time of asking."""
        found = self.inbox()[self._read :]
        self._read += len(found)
        return found

    def delivers(self, words: str) -> None:
        """Write, and wait until the city has it: two texts that follow at once may arrive in either order."""
        self._arrives(lambda: self.says(words))

    def asks(self, words: str) -> str:
        """Write, wait until the city has done with it, and give all that came back."""
        return self._done(lambda: self.says(words))

    def answers_with(self, button: str) -> str:
        """Press, wait until the city has done with it, and give all that came back."""
        return self._done(lambda: self.presses(button))

    def shows(self, data: bytes, words: str = "") -> str:
        """Send a picture, wait until the city has done with it, and give all that came back."""
        return self._done(lambda: self.sends_photo(data, words))

    def _done(self, act: Callable[[], None]) -> str:
        self.hears()
        self._arrives(act)
        self.settles()
        return "\n".join(heard.words for heard in self.hears())

    def _arrives(self, act: Callable[[], None]) -> None:
        before = self.written()
        act()
        until(lambda: self.written() > before, f"{self.channel} brought in what was written")

    def written(self) -> int:
        """How many touchpoints of this resident the city has."""
        return int(
            self.books.one(
                "SELECT count(*) FROM touchpoint t JOIN address a ON a.id = t.address_id"
                " WHERE a.channel = %s AND a.value = %s AND t.direction = 'in'",
                self.channel,
                self.address,
            )
        )

    def settles(self) -> None:
        """Wait until nothing of this resident's is waited for, worked on or on its way."""
        until(
            lambda: (
                not self.books.rows(
                    "SELECT 1 FROM task k JOIN conversation c ON c.id = k.conversation_id"
                    " JOIN address a ON a.id = c.address_id WHERE a.channel = %s AND a.value = %s",
                    self.channel,
                    self.address,
                )
            ),
            f"what {self.channel}'s resident wrote is done with",
        )

    def last(self, query: LiteralString) -> Any:
        """The newest value of a column of this resident's touchpoints, conversation or answers."""
        return self.books.one(
            "SELECT " + query + " FROM address a JOIN touchpoint t ON t.address_id = a.id"
            " LEFT JOIN conversation c ON c.id = t.conversation_id"
            " LEFT JOIN answer w ON w.touchpoint_id = t.id LEFT JOIN inbound i ON i.touchpoint_id = t.id"
            " WHERE a.channel = %s AND a.value = %s AND " + query + " IS NOT NULL ORDER BY t.id DESC LIMIT 1",
            self.channel,
            self.address,
        )

    def state(self) -> str:
        """Who has the conversation: bot, waiting, agent or closed."""
        return str(
            self.books.one(
                "SELECT c.state FROM conversation c JOIN address a ON a.id = c.address_id"
                " WHERE a.channel = %s AND a.value = %s ORDER BY c.id DESC LIMIT 1",
                self.channel,
                self.address,
            )
        )

    def answered_from(self) -> tuple[str, str]:
        """Outcome of the newest answer, and the article it was quoted from."""
        outcome, passages = self.last("w.outcome"), self.last("w.passages")
        return str(outcome), str(passages[0]["article"]) if passages else ""

    def reports(self) -> list[dict[str, Any]]:
        """What this resident has reported, oldest first."""
        return self.books.rows(
            "SELECT r.* FROM report r JOIN address a ON a.id = r.address_id"
            " WHERE a.channel = %s AND a.value = %s ORDER BY r.number",
            self.channel,
            self.address,
        )


class OnTheWeb(Resident):
    """A visitor of the city's page."""

    channel = "web_chat"

    def __init__(self, line: WholeLine, books: Books) -> None:
        super().__init__(line, books)
        self.http = httpx.Client(base_url=line.base_url, timeout=30, trust_env=False)
        made = self.http.post("/channels/web_chat/sessions", json={})
        made.raise_for_status()
        self.address = made.json()["session"]
        self.http.headers["Authorization"] = f"Bearer {made.json()['token']}"

    def says(self, words: str) -> None:
        """Post, and wait as long as the city says when it is too fast, as the page does."""
        self.posts({"text": words, "client_id": uuid.uuid4().hex})

    def presses(self, button: str) -> None:
        """Post a button."""
        self.posts({"button": button, "client_id": uuid.uuid4().hex})

    def sends_photo(self, data: bytes, words: str = "") -> None:
        """Post a form with a file."""
        self.posts_form({"client_id": uuid.uuid4().hex, "text": words}, data)

    def posts(self, message: dict[str, Any]) -> int:
        """Post a message; gives its seq."""
        return self._patiently(lambda: self.http.post("/channels/web_chat/messages", json=message))

    def posts_form(self, message: dict[str, Any], data: bytes) -> int:
        """Post a message with a picture; gives its seq."""
        files = {"file": ("hole.png", data, "image/png")}
        return self._patiently(
            lambda: self.http.post("/channels/web_chat/messages", data=message, files=files)
        )

    def _patiently(self, post: Callable[[], httpx.Response]) -> int:
        while (answer := post()).status_code == httpx.codes.TOO_MANY_REQUESTS:
            time.sleep(float(answer.headers["retry-after"]))
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return int(answer.json()["seq"])

    def inbox(self) -> list[Heard]:
        """The session's feed."""
        found: list[dict[str, Any]] = []
        while page := self._page(found[-1]["seq"] if found else 0):
            found += page
        return [
            Heard(
                message["text"],
                message["from"],
                [(button["id"], button["title"]) for button in message["buttons"]],
                [source["url"] for source in message["sources"]],
            )
            for message in found
            if message["from"] != "citizen"
        ]

    def _page(self, after: int) -> list[dict[str, Any]]:
        answer = self.http.get("/channels/web_chat/messages", params={"after": after})
        answer.raise_for_status()
        page: list[dict[str, Any]] = answer.json()["messages"]
        return page


class OnTelegram(Resident):
    """Somebody who writes to the city's bot."""

    channel = "telegram"
    _numbers = itertools.count(50_000_000 + FIRST_NUMBER)

    def __init__(self, line: WholeLine, books: Books) -> None:
        super().__init__(line, books)
        self.chat = next(self._numbers)
        self.address = str(self.chat)

    def says(self, words: str) -> None:
        """Write to the bot."""
        self.line.telegram.says(self.chat, words)

    def presses(self, button: str) -> None:
        """Press an inline button."""
        self.line.telegram.presses(self.chat, button)

    def sends_photo(self, data: bytes, words: str = "") -> None:
        """Send a photo."""
        self.line.telegram.sends_photo(self.chat, data, words)

    def inbox(self) -> list[Heard]:
        """What the chat shows."""
        return [
            Heard(
                entry["text"],
                "",
                [(button["callback_data"], button["text"]) for button in entry["buttons"]],
                [entity["url"] for entity in entry["entities"] if "url" in entity],
            )
            for entry in list(self.line.telegram.sent)
            if entry["chat"] == self.chat
        ]


class BySms(Resident):
    """Somebody with a mobile phone."""

    channel = "sms"
    _numbers = itertools.count(1_555_200_0000 + FIRST_NUMBER)

    def __init__(self, line: WholeLine, books: Books) -> None:
        super().__init__(line, books)
        self.address = f"+{next(self._numbers)}"

    def says(self, words: str) -> None:
        """Text the city's number."""
        self.line.twilio.text(self.address, words)

    def presses(self, button: str) -> None:
        """There are no buttons here: text the number of the choice, as it was offered."""
        offered = json.loads(button) if button.startswith("[") else [button]
        self.says(str(offered[0]))

    def sends_photo(self, data: bytes, words: str = "") -> None:
        """Send an MMS."""
        self.line.twilio.text(self.address, words, [("image/png", data)])

    def inbox(self) -> list[Heard]:
        """What the phone shows; choices are lines such as `1 = Yes`."""
        return [
            Heard(text, "", _choices(text), [word for word in text.split() if word.startswith("https://")])
            for text in list(self.line.twilio.texts(self.address))
        ]


def _choices(text: str) -> list[tuple[str, str]]:
    lines = [line.partition(" = ") for line in text.splitlines()]
    return [(number, title) for number, equals, title in lines if equals and number.isdigit()]


EVERYWHERE: Sequence[type[Resident]] = (OnTheWeb, BySms, OnTelegram)
