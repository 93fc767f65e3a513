"""Web chat's sessions and feed in PostgreSQL: any web process can serve any session."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert

from channels.base.contract import Button, FeedMessage, Inbound, Media, Source, Upload
from contact_hub.city import City
from contact_hub.database import Database, new_id, now
from contact_hub.journey.effects import pressed_title
from contact_hub.journey.inbox import Inbox
from contact_hub.operations.queue import Task
from contact_hub.operations.wakeups import Wakeups
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import ChatSession, ChatTicket, FeedEntry, Touchpoint

TICKET_SECONDS = 60
_POLL_SECONDS = 1.0


class PostgresChatStore:
    """Implements `channels.base.contract.ChatStore`."""

    def __init__(self, database: Database, wakeups: Wakeups, inbox: Inbox, city: City) -> None:
        self._database = database
        self._wakeups = wakeups
        self._inbox = inbox
        self._city = city

    async def open_session(
        self, *, language: str | None, ip: str, channel: str = "web_chat"
    ) -> tuple[str, str]:
        """A new session and its secret token. Only the token's hash is kept."""
        token = secrets.token_urlsafe(32)
        session_id = new_id()
        spoken = language if language in self._city.languages else None
        async with self._database.begin() as session:
            await session.execute(
                insert(ChatSession).values(
                    id=session_id,
                    channel=channel,
                    token_hash=_hash(token),
                    language=spoken,
                    last_seq=0,
                    created_at=now(),
                )
            )
        return str(session_id), token

    async def session_of(self, token: str) -> str | None:
        """The session this token opens, or None."""
        async with self._database.begin() as session:
            found = await session.scalar(select(ChatSession.id).where(ChatSession.token_hash == _hash(token)))
        return None if found is None else str(found)

    async def ticket(self, session: str) -> str:
        """A one-use ticket (60 s) that opens a WebSocket without a token in the URL."""
        ticket = secrets.token_urlsafe(32)
        async with self._database.begin() as db:
            await db.execute(
                insert(ChatTicket).values(
                    ticket_hash=_hash(ticket),
                    session_id=uuid.UUID(session),
                    expires_at=now() + timedelta(seconds=TICKET_SECONDS),
                )
            )
        return ticket

    async def redeem(self, ticket: str) -> str | None:
        """The session of an unused, unexpired ticket, which is used up by this call; else None."""
        async with self._database.begin() as db:
            row = (
                await db.execute(
                    delete(ChatTicket)
                    .where(ChatTicket.ticket_hash == _hash(ticket))
                    .returning(ChatTicket.session_id, ChatTicket.expires_at)
                )
            ).first()
        return str(row.session_id) if row is not None and row.expires_at > now() else None

    async def accept(self, inbound: Inbound, uploads: Sequence[Upload] = ()) -> int:
        """Store what the resident did and return its `seq`; the same client_id returns the same seq."""
        stored = await self._inbox.accept(inbound, uploads)
        if stored.seq is None:
            raise RuntimeError("a web-chat message has no line in its session")
        return stored.seq

    async def feed(self, session: str, after: int, limit: int = 100) -> list[FeedMessage]:
        """Messages with seq > after, oldest first."""
        async with self._database.begin() as db:
            rows = await timeline.read_feed(db, uuid.UUID(session), after, limit)
            files = await timeline.files_of(db, [touchpoint.id for _, touchpoint in rows])
            pressed = {t.id: await pressed_title(db, t) for _, t in rows if t.kind == "button" and not t.text}
        return [
            FeedMessage(
                seq=seq,
                author=t.actor,
                text=t.text or pressed.get(t.id, ""),
                sent_at=t.recorded_at,
                buttons=tuple(Button(b["id"], b["title"]) for b in t.payload.get("buttons") or ()),
                sources=tuple(Source(s["title"], s["url"]) for s in t.payload.get("sources") or ()),
                attachments=tuple(
                    {"id": str(f.id), "name": f.name, "mime": f.mime, "size": f.size}
                    for f in files.get(t.id, ())
                ),
                client_id=t.payload.get("client_id"),
                touchpoint=str(t.id),
            )
            for seq, t in rows
        ]

    async def wait(self, session: str, after: int, timeout: float) -> None:
        """Return when the session may have news after `after`, or after `timeout` seconds. A hint only."""
        deadline = asyncio.get_running_loop().time() + timeout
        with self._wakeups.waiting(f"feed:{session}") as hint:
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                async with self._database.begin() as db:
                    newest = select(
                        exists().where(FeedEntry.session_id == uuid.UUID(session), FeedEntry.seq > after)
                    )
                    if await db.scalar(newest):
                        return
                # The clock beside the hint: a notification may be lost, the table is the truth.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _POLL_SECONDS)):
                        await hint.wait()
                hint.clear()

    async def typing(self, session: str) -> bool:
        """Whether an answer is being prepared."""
        async with self._database.begin() as db:
            waiting = await db.scalar(
                select(
                    exists()
                    .where(Task.lane == "in", Task.conversation_id == Touchpoint.conversation_id)
                    .where(Touchpoint.id == FeedEntry.touchpoint_id)
                    .where(FeedEntry.session_id == uuid.UUID(session))
                    .where(
                        FeedEntry.seq
                        == select(ChatSession.last_seq)
                        .where(ChatSession.id == uuid.UUID(session))
                        .scalar_subquery()
                    )
                )
            )
        return bool(waiting)

    async def attachment(self, session: str, attachment: str) -> Media | None:
        """A file of this very session, or None."""
        try:
            file_id = uuid.UUID(attachment)
        except ValueError:
            return None
        async with self._database.begin() as db:
            found = await timeline.read_file(db, file_id)
            if found is None:
                return None
            mine = await db.scalar(
                select(FeedEntry.seq).where(
                    FeedEntry.session_id == uuid.UUID(session),
                    FeedEntry.touchpoint_id == found[0].touchpoint_id,
                )
            )
        return None if mine is None else Media(found[0].name, found[0].mime, found[1])


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
