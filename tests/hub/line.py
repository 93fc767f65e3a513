"""The hub's real parts over a test's own database, worked by hand instead of by a worker's clock."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from channels.base.contract import Channel, Inbound, InboundKind, MediaRef, Receipt, Received
from channels.console import Console
from channels.web_chat import WebChat
from contact_hub.citizens.models import Address, Conversation
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.handoff.models import Ticket
from contact_hub.journey.chat_store import PostgresChatStore
from contact_hub.journey.inbox import Inbox, Stored
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.saying import Writer
from contact_hub.journey.sending import Sending
from contact_hub.journey.turns import Turns
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, Lane, LeaseLost
from contact_hub.operations.wakeups import Wakeups
from contact_hub.outbox.models import Delivery
from contact_hub.settings import libpq_url
from contact_hub.timeline import models
from contact_hub.timeline.models import Touchpoint
from tests.contract.providers import nobody_listens
from tests.fakes import server

SECRET = "only-among-ourselves"
SECRET_KEY = "the-key-that-signs-and-seals-in-tests"


class Line:
    """Everything between a channel's door and its provider; `work` does what is due, in this very task."""

    def __init__(
        self,
        database_url: str,
        city: City,
        *,
        channels: Sequence[Channel] = (),
        brain_url: str | None = None,
        rasa_url: str | None = None,
    ) -> None:
        self.database = Database(database_url, pool_size=10, secret_key=SECRET_KEY)
        self.city = city
        self.channels: dict[str, Channel] = {
            channel.name: channel for channel in (WebChat(), Console(), *channels)
        }
        self.neighbours = Neighbours(
            brain_url=brain_url or nobody_listens(), rasa_url=rasa_url or nobody_listens(), secret=SECRET
        )
        self.wakeups = Wakeups(libpq_url(database_url))  # not started: nobody else is there to hear
        self.inbox = Inbox(self.database, self.wakeups)
        self.folder = Path(tempfile.mkdtemp(prefix="civicline-line-"))
        self.writer = Writer(
            self.database, city, self.channels, folder=self.folder, site_url="https://line.larkhaven.example"
        )
        self.store = PostgresChatStore(self.database, self.wakeups, self.inbox, city, writer=self.writer)
        self.turns = Turns(self.writer, self.neighbours, self.wakeups)
        self.sending = Sending(self.writer, self.wakeups)
        self._handlers = {Lane.IN: self.turns.handle, Lane.OUT: self.sending.handle}

    async def close(self) -> None:
        shutil.rmtree(self.folder)
        for channel in self.channels.values():
            await channel.close()
        await self.neighbours.close()
        await self.database.close()

    # Working

    async def claim(self, lane: Lane) -> Claimed | None:
        """Take one task, as a worker would."""
        found = await queue.claim(self.database, lane, 1)
        return found[0] if found else None

    async def handle(self, task: Claimed) -> None:
        await self._handlers[task.lane](task)

    async def work(self, *lanes: Lane) -> int:
        """Do everything that is due now; returns how many tasks that were."""
        done = 0
        while True:
            tasks = [
                task for lane in lanes or tuple(Lane) for task in await queue.claim(self.database, lane, 16)
            ]
            if not tasks:
                return done
            for task in tasks:
                done += 1
                try:
                    await self.handle(task)
                except LeaseLost:
                    pass

    async def hurry(self, lane: Lane | None = None) -> None:
        """Let every waiting task be due, and every lease run out."""
        where = "" if lane is None else f" WHERE lane = '{lane}'"
        await self.sql(f"UPDATE task SET due = now() - interval '1 second'{where}")

    # Looking

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.begin() as session:
            result = await session.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []  # type: ignore[attr-defined]

    async def one(self, statement: str, **values: Any) -> Any:
        """The only column of the only row."""
        ((found,),) = await self.sql(statement, **values)
        return found

    async def count(self, table: str, where: str = "true", **values: Any) -> int:
        return int(await self.one(f"SELECT count(*) FROM {table} WHERE {where}", **values))

    async def unsettled(self) -> int:
        return await self.count("inbound", "outcome IS NULL")

    async def deliveries(self) -> list[Delivery]:
        async with self.database.begin() as session:
            return list(await session.scalars(select(Delivery).order_by(Delivery.id)))

    async def tickets(self) -> list[Ticket]:
        async with self.database.begin() as session:
            return list(await session.scalars(select(Ticket).order_by(Ticket.created_at)))

    # Residents

    async def visitor(self, language: str | None = "en", *, shared: bool = False) -> Resident:
        """Somebody in the web chat, perhaps at a computer that others use as well."""
        session, _ = await self.store.open_session(language=language, ip="", shared=shared)
        return Resident(self, "web_chat", session, "web")

    def texter(self, number: str = "+15551230001") -> Resident:
        """Somebody with a phone."""
        return Resident(self, "sms", number, "+15550001000")

    def chatter(self, chat: int = 4711) -> Resident:
        """Somebody on Telegram."""
        return Resident(self, "telegram", str(chat), "110201543")


_numbers = itertools.count(1)


@dataclass
class Resident:
    """One address and what happens there."""

    line: Line
    channel: str
    address: str
    account: str

    async def does(
        self,
        kind: InboundKind = InboundKind.TEXT,
        words: str = "",
        *,
        key: str | None = None,
        payload: dict[str, Any] | None = None,
        media: tuple[MediaRef, ...] = (),
    ) -> Stored:
        """Something arrives and is stored; nothing answers it yet."""
        return await self.line.inbox.accept(self.inbound(kind, words, key=key, payload=payload, media=media))

    def inbound(
        self,
        kind: InboundKind = InboundKind.TEXT,
        words: str = "",
        *,
        key: str | None = None,
        payload: dict[str, Any] | None = None,
        media: tuple[MediaRef, ...] = (),
    ) -> Inbound:
        identity = key or f"{self.channel}-{next(_numbers)}"
        return Inbound(
            self.channel,
            self.account,
            identity,
            self.address,
            kind,
            text=words,
            payload=payload or {},
            media=media,
            message_id=identity,
        )

    async def says(self, words: str) -> list[str]:
        """Write, let everything be done that is due, and give what came back since."""
        before = len(await self.reads())
        await self.does(words=words)
        await self.line.work()
        return (await self.reads())[before:]

    async def presses(self, button: str) -> list[str]:
        before = len(await self.reads())
        await self.does(InboundKind.BUTTON, payload={"button": button})
        await self.line.work()
        return (await self.reads())[before:]

    async def reads(self) -> list[str]:
        """What the city wrote here, oldest first."""
        return [touchpoint.text or "" for touchpoint in await self.written()]

    async def written(self) -> list[Touchpoint]:
        return [t for t in await self.touchpoints() if t.direction == "out"]

    async def touchpoints(self) -> list[Touchpoint]:
        """The whole history of this address, oldest first."""
        query = select(Touchpoint).join(Address, Address.id == Touchpoint.address_id)
        query = query.where(Address.channel == self.channel, Address.value == self.address)
        async with self.line.database.begin() as session:
            return list(await session.scalars(query.order_by(Touchpoint.id)))

    async def buttons(self) -> list[dict[str, Any]]:
        """The choices under the city's last message."""
        return list((await self.written())[-1].payload.get("buttons") or [])

    async def conversations(self) -> list[Conversation]:
        query = select(Conversation).join(Address, Address.id == Conversation.address_id)
        query = query.where(Address.channel == self.channel, Address.value == self.address)
        async with self.line.database.begin() as session:
            return list(await session.scalars(query.order_by(Conversation.opened_at, Conversation.id)))

    async def conversation(self) -> Conversation:
        return (await self.conversations())[-1]

    async def place(self) -> Address:
        query = select(Address).where(Address.channel == self.channel, Address.value == self.address)
        async with self.line.database.begin() as session:
            return (await session.scalars(query)).one()

    async def endings(self) -> list[tuple[str | None, str | None]]:
        """Outcome and step of everything received here, in the order of arrival."""
        query = select(models.Inbound.outcome, models.Inbound.step)
        query = query.join(Touchpoint, Touchpoint.id == models.Inbound.touchpoint_id)
        query = query.join(Address, Address.id == Touchpoint.address_id)
        query = query.where(Address.channel == self.channel, Address.value == self.address)
        async with self.line.database.begin() as session:
            rows = await session.execute(query.order_by(Touchpoint.id))
            return [(outcome, step) for outcome, step in rows]


def receipts(*told: Receipt) -> Received:
    """What a status callback brings."""
    return Received(receipts=told)


# Neighbours that speak the documented contract ------------------------------------------------------

Answer = dict[str, Any] | tuple[int, Any]


def says(key: str, *, form: str | None = None, intent: str = "ask_question", **more: Any) -> dict[str, Any]:
    """A turn of Rasa that says one sentence."""
    return turn({"say": key, **more}, form=form, intent=intent)


def turn(*messages: dict[str, Any], form: str | None = None, intent: str = "ask_question") -> dict[str, Any]:
    """A turn of Rasa."""
    return {
        "repeated": False,
        "intent": {"name": intent, "confidence": 0.93},
        "form": form,
        "asking": None,
        "messages": list(messages),
    }


def passage(number: int = 1, **more: Any) -> dict[str, Any]:
    """A passage as the brain's search gives it."""
    return {
        "passage": number,
        "article": f"waste/article-{number}",
        "version": 40 + number,
        "language": "en",
        "title": f"Recycling, part {number}",
        "url": f"https://www.larkhaven.example/waste/{number}",
        "text": "Blue bins are emptied every second Tuesday.",
        "quote": "Blue bins are emptied every second Tuesday.",
        "score": 0.71,
        **more,
    }


def found(outcome: str = "answered", *passages: dict[str, Any]) -> dict[str, Any]:
    """An answer of the search."""
    return {
        "outcome": outcome,
        "probability": 0.87,
        "kb_version": 3,
        "language": "en",
        "passages": list(passages or (passage(),)),
    }


@dataclass
class Script:
    """A brain and a Rasa that say what a test tells them to, and remember what they were asked."""

    url: str = ""
    turns: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    asked_passages: list[list[dict[str, Any]]] = field(default_factory=list)
    on_turn: Callable[[dict[str, Any]], Any] = lambda asked: says("greet")
    on_search: Callable[[dict[str, Any]], Any] = lambda asked: found()
    on_read: Callable[[dict[str, Any]], Any] = lambda asked: {
        "language": asked["hint"] or "en",
        "confidence": 0.9,
        "unhappy": None,
        "repeats": None,
        "danger": None,
    }
    on_group: Callable[[list[str]], Any] = lambda texts: [[at] for at in range(len(texts))]
    on_passages: Callable[[list[dict[str, Any]]], Any] | None = None
    fingerprint: str = "model-1"

    def app(self) -> Starlette:
        async def rasa(request: Request) -> Response:
            asked = await _asked(request)
            if asked is None:
                return JSONResponse({"error": "secret"}, 403)
            self.turns.append(asked)
            return await _say(self.on_turn(asked), {"touchpoint": asked["touchpoint"]})

        async def read(request: Request) -> Response:
            asked = await _asked(request) or {}
            self.readings.append(asked)
            return await _say(self.on_read(asked))

        async def search(request: Request) -> Response:
            asked = await _asked(request) or {}
            self.searches.append(asked)
            return await _say(self.on_search(asked))

        async def passages(request: Request) -> Response:
            articles = (await _asked(request) or {})["articles"]
            self.asked_passages.append(articles)
            told = self.on_passages(articles) if self.on_passages else self.embedded(articles)
            return await _say(told)

        async def group(request: Request) -> Response:
            texts = (await _asked(request) or {})["texts"]
            return await _say({"groups": self.on_group(texts)})

        async def healthz(request: Request) -> Response:
            return JSONResponse({"ready": True, "fingerprint": self.fingerprint})

        return Starlette(
            routes=[
                Route("/webhooks/civicline/turn", rasa, methods=["POST"]),
                Route("/webhooks/civicline/", healthz),
                Route("/read", read, methods=["POST"]),
                Route("/search", search, methods=["POST"]),
                Route("/passages", passages, methods=["POST"]),
                Route("/group", group, methods=["POST"]),
                Route("/healthz", healthz),
            ]
        )

    def embedded(self, articles: list[dict[str, Any]]) -> dict[str, Any]:
        """One passage for each article, its vector made of the model's name and the words."""
        import base64
        import hashlib

        def vector(words: str) -> str:
            return base64.b64encode(
                hashlib.sha256((self.fingerprint + words).encode()).digest()[:16]
            ).decode()

        return {
            "fingerprint": self.fingerprint,
            "dimensions": 4,
            "articles": [
                {
                    "article": article["article"],
                    "language": article["language"],
                    "passages": [
                        {
                            "ordinal": 0,
                            "kind": "body",
                            "text": article["text"],
                            "vector": vector(article["text"]),
                        }
                    ],
                }
                for article in articles
            ],
        }


async def _asked(request: Request) -> dict[str, Any] | None:
    if request.headers.get("x-internal-secret") != SECRET:
        return None
    asked: dict[str, Any] = await request.json()
    return asked


async def _say(told: Any, more: dict[str, Any] | None = None) -> Response:
    if hasattr(told, "__await__"):
        told = await told
    if isinstance(told, Response):
        return told
    status, body = told if isinstance(told, tuple) else (200, told)
    return JSONResponse({**(more or {}), **body} if isinstance(body, dict) else body, status)


@contextmanager
def scripted() -> Iterator[Script]:
    """Serve a script over real HTTP until the block ends."""
    script = Script()
    with server.running(script.app()) as script.url:
        yield script


def identity() -> uuid.UUID:
    return uuid.uuid4()
