"""One session's messages as its page asks for them: held open until there is news, or sent as they come.

The socket speaks JSON. From the server: {"type": "messages", "messages": [...]}, {"type": "typing",
"typing": bool}, {"type": "accepted", "client_id", "seq"}, {"type": "refused", "client_id", "error",
"reason", "retry_after"?} and {"type": "beat"}. From the page: {"type": "message", ...} with what POST
messages takes, and {"type": "beat"}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from time import monotonic
from typing import Any

from fastapi import Request, WebSocket, WebSocketDisconnect

from channels.base.contract import ChatStore, FeedMessage
from channels.base.errors import Malformed
from channels.base.widget.requests import MessageIn, object_of, parsed

GLANCE = 15.0  # seconds between looks of our own, should the store never give a hint


class Close(IntEnum):
    """Why we close a socket."""

    TOO_BIG = 1009
    TRY_LATER = 1013
    UNKNOWN_TICKET = 4401
    SILENT = 4408
    TOO_MANY = 4429


REFUSALS = {
    400: "malformed",
    401: "unknown_session",
    404: "not_found",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "too_fast",
}


def as_json(message: FeedMessage) -> dict[str, Any]:
    """A message in the shape of the contract."""
    return {
        "seq": message.seq,
        "from": message.author,
        "text": message.text,
        "buttons": [{"id": button.id, "title": button.title} for button in message.buttons],
        "sources": [{"title": source.title, "url": source.url} for source in message.sources],
        "attachments": [dict(attachment) for attachment in message.attachments],
        "sent_at": message.sent_at.isoformat(),
        "client_id": message.client_id,
        "calls": list(message.calls),
    }


def refusal(error: Malformed) -> dict[str, Any]:
    """A refusal in the shape every answer of ours has: a word for programs, a reason for people."""
    found: dict[str, Any] = {"error": REFUSALS.get(error.status, "refused"), "reason": error.reason}
    if error.retry_after is not None:
        found["retry_after"] = error.retry_after
    return found


async def news(
    store: ChatStore, session: str, after: int, request: Request, *, wait: float, typing: bool | None
) -> dict[str, Any]:
    """Gives messages after `after`, holding the request for up to `wait` seconds until there are some.

    With `typing` (what the page shows) a change of that is news too.
    """
    gone = asyncio.ensure_future(_gone(request))
    until = monotonic() + wait
    try:
        while True:
            messages = await store.feed(session, after)
            left = until - monotonic()
            over = bool(messages) or left <= 0 or gone.done()
            if over or typing is not None:
                now = await store.typing(session)
                if over or typing != now:
                    return {"messages": [as_json(message) for message in messages], "typing": now}
            hint = asyncio.ensure_future(store.wait(session, after, min(left, GLANCE)))
            try:
                await asyncio.wait({hint, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(hint)
    finally:
        await _end(gone)


async def _gone(request: Request) -> None:
    """Returns when the page has left, so that its share of connections is free at once."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            raise outcome


@dataclass(slots=True)
class Line:
    """One open socket of one session."""

    socket: WebSocket
    store: ChatStore
    session: str
    accept: Callable[[str, MessageIn], Awaitable[int]]
    heartbeat: float
    frame: int
    heard: float = field(default_factory=monotonic)
    said: float = field(default_factory=monotonic)

    async def run(self, after: int) -> None:
        """Carries messages both ways until either side ends."""
        tasks = [asyncio.ensure_future(self._hear()), asyncio.ensure_future(self._tell(after))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(*tasks)

    async def _say(self, **message: Any) -> None:
        self.said = monotonic()
        await self.socket.send_text(json.dumps(message, ensure_ascii=False))

    async def _tell(self, after: int) -> None:
        typing = False
        while True:
            messages = await self.store.feed(self.session, after)
            if messages:
                after = messages[-1].seq
                await self._say(type="messages", messages=[as_json(message) for message in messages])
            now = await self.store.typing(self.session)
            if now != typing:
                typing = now
                await self._say(type="typing", typing=typing)
            if monotonic() - self.heard > 2.5 * self.heartbeat:
                await self.socket.close(Close.SILENT, "No heartbeat was heard.")
                return
            if monotonic() - self.said >= self.heartbeat:
                await self._say(type="beat")
            if not messages:
                await self.store.wait(self.session, after, min(GLANCE, self.heartbeat))

    async def _hear(self) -> None:
        while True:
            event = await self.socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            self.heard = monotonic()
            data = event.get("text")
            data = event.get("bytes") or b"" if data is None else data.encode("utf-8", "replace")
            if len(data) > self.frame:
                await self.socket.close(Close.TOO_BIG, f"A frame holds at most {self.frame} bytes.")
                return
            await self._answer(data)

    async def _answer(self, data: bytes) -> None:
        client_id = None
        try:
            frame = object_of(data)
            if frame.get("type") == "beat":
                return
            client_id = frame.get("client_id")
            if frame.get("type") != "message":
                raise Malformed("type must be message or beat.")
            seq = await self.accept(self.session, parsed(MessageIn, frame))
        except Malformed as error:
            await self._say(type="refused", client_id=client_id, **refusal(error))
        else:
            await self._say(type="accepted", client_id=client_id, seq=seq)
