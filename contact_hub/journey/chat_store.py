"""Web chat's sessions and feed in PostgreSQL: any web process can serve any session."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from channels.base.contract import Archive, Button, FeedMessage, Inbound, Media, Source, Upload
from channels.base.errors import Malformed
from contact_hub.city import City
from contact_hub.database import Database, new_id, now
from contact_hub.handoff.rules import DANGERS
from contact_hub.journey import my_data
from contact_hub.journey.buttons import pressed_title
from contact_hub.journey.inbox import Inbox
from contact_hub.journey.rights import ARCHIVE
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups
from contact_hub.privacy import copies
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import ChatSession, ChatTicket, FeedEntry, StoredFile, Touchpoint
from contact_hub.timeline.service import FeedLine

TICKET_SECONDS = 60
_POLL_SECONDS = 1.0
_KNOWN_SECONDS = 30.0  # an erased session opens nothing any more after that, and shows nothing at once
_MOST_KNOWN = 10_000

_SESSION: LiteralString = "SELECT id FROM chat_session WHERE token_hash = %(token_hash)s"
_NEWS: LiteralString = (
    "SELECT EXISTS (SELECT FROM feed_entry WHERE session_id = %(session)s AND seq > %(after)s)"
)
# Whether the conversation of the session's last line has something to be read.
_TYPING: LiteralString = """
    SELECT EXISTS (
        SELECT FROM chat_session s
        JOIN feed_entry f ON f.session_id = s.id AND f.seq = s.last_seq
        JOIN touchpoint t ON t.id = f.touchpoint_id
        JOIN task k ON k.conversation_id = t.conversation_id AND k.lane = 'in'
        WHERE s.id = %(session)s)
"""


class PostgresChatStore:
    """Implements `channels.base.contract.ChatStore`."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        inbox: Inbox,
        city: City,
        *,
        writer: Writer | None = None,
    ) -> None:
        self._writer = writer  # for copies of one's data, where they can be fetched
        self._database = database
        self._wakeups = wakeups
        self._inbox = inbox
        self._city = city
        self._read: dict[str, int] = {}  # how far each session's browser was seen to have read
        self._known: dict[bytes, tuple[str, float]] = {}  # sessions by their token's hash, and until when

    async def open_session(
        self, *, language: str | None, ip: str, shared: bool = False, channel: str = "web_chat"
    ) -> tuple[str, str]:
        """A new session and its secret token, of which only the hash is kept."""
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
                    shared=shared,
                )
            )
        return str(session_id), token

    async def session_of(self, token: str) -> str | None:
        """The session this token opens, or None."""
        hashed, moment = _hash(token), time.monotonic()
        session, until = self._known.get(hashed, ("", 0.0))
        if moment < until:
            return session
        rows = await self._database.glance(_SESSION, token_hash=hashed)
        if not rows:
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        session = str(rows[0][0])
        self._known[hashed] = session, moment + _KNOWN_SECONDS
        return session

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
        try:
            stored = await self._inbox.accept(inbound, uploads)
        except LookupError:  # erased a moment ago, and remembered here for another
            self._known = {
                token: known for token, known in self._known.items() if known[0] != inbound.address
            }
            raise Malformed("This token opens no session: start a new one.", status=401) from None
        if stored.seq is None:
            raise RuntimeError("a web-chat message has no line in its session")
        return stored.seq

    async def feed(self, session: str, after: int, limit: int = 100) -> list[FeedMessage]:
        """Messages with seq > after, oldest first."""
        if after and self._read.get(session) != after:  # what a browser asks behind, it has
            await timeline.has_read(self._database, uuid.UUID(session), after)
            if len(self._read) >= _MOST_KNOWN:
                self._read.clear()
            self._read[session] = after
        lines = await timeline.read_feed(self._database, uuid.UUID(session), after, limit)
        files, pressed = await self._beside(lines)
        return [
            FeedMessage(
                seq=line.seq,
                author=line.actor,
                text=line.words or pressed.get(line.touchpoint, ""),
                sent_at=line.recorded_at,
                buttons=tuple(Button(b["id"], b["title"]) for b in line.payload.get("buttons") or ()),
                sources=tuple(Source(s["title"], s["url"]) for s in line.payload.get("sources") or ()),
                attachments=tuple(
                    {"id": str(f.id), "name": f.name, "mime": f.mime, "size": f.size}
                    for f in files.get(line.touchpoint, ())
                )
                + _copy(line.payload),
                client_id=line.payload.get("client_id"),
                touchpoint=str(line.touchpoint),
                calls=self._calls(line),
            )
            for line in lines
        ]

    def _calls(self, line: FeedLine) -> tuple[str, ...]:
        """The numbers that the safe words name."""
        if line.payload.get("say") not in DANGERS:
            return ()
        lines = self._city.helplines
        numbers = (lines["number"], lines["crisis_number"])
        return tuple(number for number in numbers if number and number in (line.words or ""))

    async def _beside(
        self, lines: Sequence[FeedLine]
    ) -> tuple[dict[uuid.UUID, list[StoredFile]], dict[uuid.UUID, str]]:
        """Files and pressed buttons, which few lines have."""
        with_files = [line.touchpoint for line in lines if line.has_files]
        presses = [line.touchpoint for line in lines if line.kind == "button" and not line.words]
        if not with_files and not presses:
            return {}, {}
        async with self._database.begin() as db:
            files = await timeline.files_of(db, with_files)
            pressed = {id: await pressed_title(db, await db.get_one(Touchpoint, id)) for id in presses}
        return files, pressed

    async def wait(self, session: str, after: int, timeout: float) -> None:
        """Return when the session may have news after `after`, or after `timeout` seconds. A hint only."""
        deadline = asyncio.get_running_loop().time() + timeout
        with self._wakeups.waiting(f"feed:{session}") as hint:
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                if (await self._database.glance(_NEWS, session=uuid.UUID(session), after=after))[0][0]:
                    return
                # The clock beside the hint: a notification may be lost, the table is the truth.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _POLL_SECONDS)):
                        await hint.wait()
                        return

    async def typing(self, session: str) -> bool:
        """Whether an answer is being prepared."""
        return bool((await self._database.glance(_TYPING, session=uuid.UUID(session)))[0][0])

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

    async def archive(self, session: str, attachment: str) -> Archive | None:
        """The copy of their data that was asked for in this very session, once."""
        if self._writer is None:
            return None
        try:
            copy_id = uuid.UUID(attachment)
        except ValueError:
            return None
        async with self._database.begin() as db:
            wanted = await copies.at_session(db, copy_id, session)
        found = None if wanted is None else await my_data.fetched(self._writer, wanted)
        return None if found is None else Archive(ARCHIVE, "application/zip", my_data.pieces(found))


def _copy(payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """A copy of the resident's data as a file of the feed; it is made when it is fetched."""
    if "copy" not in payload:
        return ()
    return ({"id": payload["copy"], "name": ARCHIVE, "mime": "application/zip", "size": 0},)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
