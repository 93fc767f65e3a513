"""People at the desk, each in a browser of their own, and residents who write to them."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Dialog, Locator, Page

from contact_hub.database import Database
from contact_hub.settings import libpq_url
from contact_hub.staff import sessions
from contact_hub.staff.models import Role
from contact_hub.staff.service import make
from contact_hub.staff.sessions import Browser
from tests.browser.conftest import DESKTOP, PATIENCE
from tests.whole import WholeLine

DEPARTMENTS = ("contact_centre", "waste", "roads")


@dataclass
class Clerk:
    """Somebody who is signed in at the desk."""

    name: str
    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    @property
    def field(self) -> Locator:
        """Where a reply is written."""
        return self.page.locator("#words")

    @property
    def lines(self) -> Locator:
        """What stands in the history."""
        return self.page.locator("#lines .line")

    def opens(self, talk: str) -> None:
        """Go to a conversation and wait until it is live."""
        with self.page.expect_response(re.compile(f"/desk/c/{talk}/live")):
            self.page.goto(f"/desk/c/{talk}")


Sit = Callable[..., Clerk]


@pytest.fixture
def sit(browser: Chromium, line: WholeLine) -> Iterator[Sit]:
    """Gives a function that signs somebody new in; at the end no page may have complained."""
    clerks: list[Clerk] = []

    def signed_in(name: str, *, role: str = "agent", allow: tuple[str, ...] = (), **more: Any) -> Clerk:
        name = f"{name} {secrets.token_hex(2)}"
        cookie = seated(line, name, role)
        context = browser.new_context(base_url=line.base_url, **({"viewport": DESKTOP} | more))
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        clerk = Clerk(name, page, context)

        def complain(words: str) -> None:
            if not any(known in words for known in allow):
                clerk.complaints.append(words)

        page.on("console", lambda note: complain(note.text) if note.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complain(str(error)))

        def dismiss(dialog: Dialog) -> None:
            complain(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", dismiss)
        context.add_cookies([{"name": "civicline_staff", "value": cookie, "url": line.base_url}])
        page.goto("/managers" if role == "manager" else "/desk")
        clerks.append(clerk)
        return clerk

    yield signed_in
    for clerk in clerks:
        clerk.context.close()
    complaints = [complaint for clerk in clerks for complaint in clerk.complaints]
    assert complaints == [], complaints


def seated(line: WholeLine, name: str, role: str) -> str:
    """Make somebody who works here and sign them in; how people do that themselves is told elsewhere."""

    async def work() -> str:
        key = (line.data / "secret_key").read_text(encoding="utf-8").strip()
        database = Database(line.database_url, pool_size=1, secret_key=key)
        try:
            async with database.begin() as session:
                offices = [] if role == "manager" else DEPARTMENTS
                person = await make(session, name, Role(role), offices)
                return await sessions.begin(session, person, Browser("127.0.0.1", "a test's browser"))
        finally:
            await database.close()

    # The browser's own loop runs in this thread.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(lambda: asyncio.run(work())).result()


WAITING = """
    SELECT c.id FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE a.value = %s AND c.state = 'waiting'
"""


@dataclass
class Chatter:
    """A resident on the web chat, asked over HTTP."""

    line: WholeLine
    session: str
    token: str
    sent: int = 0

    def says(self, words: str) -> None:
        self.sent += 1
        body = {"text": words, "client_id": f"m{self.sent}-{time.time_ns()}"}
        ask(self.line, "/channels/web_chat/messages", body, self.token)

    def presses(self, button: str) -> None:
        self.sent += 1
        body = {"button": button, "client_id": f"m{self.sent}-{time.time_ns()}"}
        ask(self.line, "/channels/web_chat/messages", body, self.token)

    def reads(self, after: int = 0) -> list[dict[str, Any]]:
        """What stands in their chat."""
        found = ask(self.line, f"/channels/web_chat/messages?after={after}", None, self.token)
        messages: list[dict[str, Any]] = found["messages"]
        return messages

    def waits_for(self, words: str, seconds: float = 20) -> dict[str, Any]:
        """The message with these words, once it is there."""
        until = time.monotonic() + seconds
        after, seen = 0, []
        while time.monotonic() < until:
            path = f"/channels/web_chat/messages?after={after}&wait=5"
            for message in ask(self.line, path, None, self.token)["messages"]:
                seen.append(message["text"])
                after = message["seq"]
                if words in message["text"]:
                    return dict(message)
        raise AssertionError(f"{words!r} is not among {seen}")


def ask(line: WholeLine, path: str, body: dict[str, Any] | None, token: str = "") -> dict[str, Any]:
    """One request of the web chat's."""
    head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{line.base_url}{path}", data, head), timeout=40) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def chatter(line: WholeLine, language: str = "en") -> Chatter:
    """Somebody new on the web chat."""
    return Chatter(line, **ask(line, "/channels/web_chat/sessions", {"language": language}))


def unhappy(
    line: WholeLine, words: str = "I want to talk to a person please", language: str = "en"
) -> tuple[Chatter, str]:
    """A resident who waits for a person, and the id of their conversation."""
    resident = chatter(line, language)
    return resident, handed_over(line, resident, words)


def handed_over(line: WholeLine, resident: Chatter, words: str = "I want to talk to a person please") -> str:
    """Have a resident say what a person must answer; the id of the conversation, once it waits."""
    resident.says(words)
    until = time.monotonic() + 30
    with psycopg.connect(libpq_url(line.database_url), autocommit=True) as connection:
        while time.monotonic() < until:
            if found := connection.execute(WAITING, [resident.session]).fetchone():
                return str(found[0])
            time.sleep(0.05)
    raise AssertionError("nobody waits")
