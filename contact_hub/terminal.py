"""The journey in a terminal: one question for `civicline ask`, a whole talk for `civicline chat`."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from channels.base.contract import FeedMessage, Inbound, InboundKind
from contact_hub.composition import Parts
from contact_hub.flags.models import Flag
from contact_hub.journey.chat_store import PostgresChatStore
from contact_hub.timeline.models import Inbound as InboundRow
from contact_hub.timeline.models import Touchpoint

ACCOUNT = "terminal"


class NoAnswer(RuntimeError):
    """Nothing came back in time: no worker is running."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message and everything that came back before the journey settled it."""

    step: str
    replies: list[FeedMessage]
    payloads: list[dict[str, Any]]
    language: str
    intent: str | None
    flags: list[dict[str, Any]]  # what was raised by it: level, score, signals with their evidence


class Console:
    """A resident at a terminal, with a session and a feed like any other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = PostgresChatStore(parts.database, parts.wakeups, parts.inbox, parts.city)
        self._session = ""
        self._seen = 0

    async def start(self) -> None:
        """Open a session; the wake-ups must be running."""
        self._session, _ = await self._store.open_session(language=None, ip="", channel="console")

    async def say(self, text: str, *, button: str | None = None, timeout: float = 15) -> Exchange:
        """Send one message and wait until the journey has settled it; raises NoAnswer."""
        client_id = str(uuid.uuid4())
        sent = await self._store.accept(
            Inbound(
                channel="console",
                account=ACCOUNT,
                external_id=f"{self._session}:{client_id}",
                address=self._session,
                kind=InboundKind.BUTTON if button else InboundKind.TEXT,
                text=text,
                payload={"button": button} if button else {},
                message_id=client_id,
            )
        )
        self._seen = sent
        row = await self._settled(client_id, timeout)
        replies = await self._store.feed(self._session, self._seen)
        if replies:
            self._seen = replies[-1].seq
        async with self._parts.database.begin() as session:
            said = [await session.get_one(Touchpoint, uuid.UUID(reply.touchpoint)) for reply in replies]
            raised = await session.scalars(
                select(Flag)
                .join(Touchpoint, Touchpoint.address_id == Flag.address_id)
                .where(Touchpoint.id == row.touchpoint_id, Flag.touchpoint_id == row.touchpoint_id)
                .order_by(Flag.id)
            )
            flags = [
                {"level": flag.level, "score": flag.score, "signals": flag.signals} for flag in raised.all()
            ]
        payloads = [touchpoint.payload for touchpoint in said]
        understood: dict[str, Any] = next((p["understood"] for p in payloads if "understood" in p), {})
        return Exchange(
            step=row.step or "",
            replies=replies,
            payloads=payloads,
            language=next((t.language for t in said if t.language), self._parts.city.default_language),
            intent=understood.get("intent"),
            flags=flags,
        )

    async def news(self) -> list[FeedMessage]:
        """What came in the meantime, such as an agent's words."""
        found = await self._store.feed(self._session, self._seen)
        if found:
            self._seen = found[-1].seq
        return found

    async def _settled(self, client_id: str, timeout: float) -> InboundRow:
        key = ("console", ACCOUNT, f"{self._session}:{client_id}")
        with self._parts.wakeups.waiting(f"feed:{self._session}") as hint:
            try:
                async with asyncio.timeout(timeout):
                    while True:
                        async with self._parts.database.begin() as session:
                            row = await session.get(InboundRow, key)
                        if row is not None and row.outcome is not None:
                            return row
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(0.25):
                                await hint.wait()
                        hint.clear()
            except TimeoutError:
                raise NoAnswer(
                    "No answer came. Is Civicline running? Start it with `make run` or `civicline up`."
                ) from None


_OUTCOMES = {
    "searched_without_rasa": "answered",
    "self_harm": "emergency",
    "reported": "form",
}


def summary(exchange: Exchange) -> dict[str, Any]:
    """What `civicline ask --json` prints."""
    sources = [
        {"title": source.title, "url": source.url} for reply in exchange.replies for source in reply.sources
    ]
    return {
        "outcome": _OUTCOMES.get(exchange.step, exchange.step),
        "text": "\n\n".join(reply.text for reply in exchange.replies),
        "sources": sources,
        "language": exchange.language,
        "intent": exchange.intent,
        "flags": exchange.flags,
    }
