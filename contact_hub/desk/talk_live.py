"""What changes on an open conversation, pushed to whoever looks at it.

One stream for each screen. It remembers what it has shown and sends only what is new: lines of the
history, deliveries that got further, and whichever part of the screen reads differently than before.
A hint wakes it; without one it looks by itself every few seconds. Looking on by itself does not count
as being at work: a stream ends when the session behind it has run out.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.database import now
from contact_hub.desk import talk_screen as screen
from contact_hub.desk import talk_view as view
from contact_hub.desk.look import environment
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_lines import Line
from contact_hub.desk.talk_panel import panel_of
from contact_hub.desk.talk_room import Here, enter
from contact_hub.desk.talk_view import Asked, Frame
from contact_hub.journey import by_hand
from contact_hub.staff import sessions
from contact_hub.staff.models import Staff, StaffSession
from contact_hub.timeline import reading
from contact_hub.web.errors import DATABASE_AWAY

GLANCE = 10.0  # seconds between looks without a hint; a proxy sees a sign of life as often
_LATE = timedelta(seconds=10)  # an event may be committed so long after its id was made
_KEPT = 400
_BREAKS = re.compile(r"\r\n|\r|\n")  # all three end a line of a stream, so no text may bring its own


@dataclass
class Shown:
    """What a screen has on it by now."""

    after: uuid.UUID
    ids: set[uuid.UUID] = field(default_factory=set)
    ways: dict[uuid.UUID, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    day: str = ""

    def fresh(self, line: Line) -> bool:
        """Whether a line is not on the screen yet, as far as is known here."""
        return line.id not in self.ids and reading.moment_of(line.id) > reading.moment_of(self.after) - _LATE


async def stream(
    room: Room, seat: Seat, which: uuid.UUID, asked: Asked, after: uuid.UUID
) -> AsyncIterator[str]:
    """The pieces of the stream, until the screen goes away or may no longer be seen."""
    shown = Shown(after)
    topics = await _topics(room, seat, which)
    with room.wakeups.waiting(*topics) as news:
        while True:
            news.clear()
            try:
                async with room.database.begin() as session:
                    if not await still_signed_in(session, seat):
                        yield event("", "over")
                        return
                    here = await enter(room, session, seat, which)
                    wake = await _present(session, room, here)
                    pushed = await _news(session, room, here, asked, shown)
            except (HTTPException, by_hand.NotTheirs):  # not theirs any more: transferred, sealed, closed
                yield event("", "over")
                return
            except DATABASE_AWAY:
                return  # the browser comes back
            room.wakeups.tell(*wake)
            yield pushed or ": nothing new\n\n"
            try:
                await asyncio.wait_for(news.wait(), GLANCE)
            except TimeoutError:
                continue


def event(data: str, name: str = "", identity: str = "") -> str:
    """One event of a stream, whatever its text holds."""
    head = (f"event: {name}\n" if name else "") + (f"id: {identity}\n" if identity else "")
    return head + "".join(f"data: {line}\n" for line in _BREAKS.split(data)) + "\n"


async def still_signed_in(session: AsyncSession, seat: Seat) -> bool:
    """Whether the session behind a stream holds, with the same rights; asking does not prolong it."""
    moment, me = now(), seat.me.staff
    found = await session.execute(
        select(Staff.role, Staff.departments)
        .join(StaffSession, StaffSession.staff_id == Staff.id)
        .where(
            StaffSession.id == seat.me.session.id,
            StaffSession.created_at > moment - sessions.LONGEST,
            StaffSession.last_seen_at > moment - sessions.IDLE,
            Staff.disabled_at.is_(None),
        )
    )
    row = found.first()
    return row is not None and (row.role, set(row.departments)) == (me.role, set(me.departments))


async def _topics(room: Room, seat: Seat, which: uuid.UUID) -> list[str]:
    """What to listen to: the conversation, and the resident's others that go on."""
    async with room.database.begin() as session:
        here = await enter(room, session, seat, which)
        others = await session.scalars(
            select(Conversation.id)
            .join(Address, Address.id == Conversation.address_id)
            .where(Address.citizen_id == here.citizen.id, Conversation.state != ConversationState.CLOSED)
        )
        return [f"talk:{one}" for one in {which, *others}]


async def _present(session: AsyncSession, room: Room, here: Here) -> tuple[str, ...]:
    if not (here.answers and here.open):
        return ()
    return await by_hand.present_within(session, room.writer, here.id, here.viewer)


async def _news(session: AsyncSession, room: Room, here: Here, asked: Asked, shown: Shown) -> str:
    """What a screen lacks, as one event."""
    city = room.city
    found = await view.timeline(session, city, here, asked)
    panel = await panel_of(session, here, city)
    frame = await view.frame(session, city, here, asked, found.newest, panel.evidence, panel.flag)
    events, parts = _macros("events.html"), _macros("talk_parts.html")
    pieces: list[str] = []
    fresh = [line for line in found.lines if shown.fresh(line)]
    if not shown.day:  # the first look: what is on the screen already ends with this day
        shown.day = next((line.day for line in reversed(found.lines) if line not in fresh), "")
    if fresh:
        told = events.lines(fresh, frame, shown.day)
        pieces.append(f'<hx-partial hx-target="#lines" hx-swap="beforeend">{told}</hx-partial>')
        pieces += await _changed(session, room, here, frame, fresh)
    if found.lines:
        shown.day = found.lines[-1].day
    pieces += _ways(events, found.lines, fresh, shown)
    company, held = await screen.colleagues(session, here), await screen.held_replies(session, here)
    drawn = {
        "talk-head": parts.head(frame, screen.head_of(here, city)),
        "panel": parts.panel(frame, panel),
        "company": parts.company(company),
        "pending": parts.pending(frame, held),
    }
    for name, piece in drawn.items():
        if shown.parts.get(name) != piece:
            pieces.append(f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{piece}</hx-partial>')
    shown.parts = {name: str(piece) for name, piece in drawn.items()}
    shown.ids |= {line.id for line in found.lines}
    if len(shown.ids) > _KEPT:  # what is not among the newest any more is older than anything new
        shown.ids = {line.id for line in found.lines}
        shown.after = found.lines[0].id
    if not pieces:
        return ""
    pushed = event("".join(pieces), identity=str(found.newest))
    heard = any(line.side == "citizen" and line.look == "message" and line.id > shown.after for line in fresh)
    return pushed + (event("", "heard") if heard else "")


async def _changed(
    session: AsyncSession, room: Room, here: Here, frame: Frame, fresh: Iterable[Line]
) -> list[str]:
    """Lines that what is new has changed: a message that was removed."""
    changed = [line.changes for line in fresh if line.changes is not None]
    events = await reading.events(session, changed)
    macros = _macros("events.html")
    return [macros.event(line, frame, True) for line in await view.lines(session, room.city, here, events)]


def _ways(events: Any, lines: Iterable[Line], fresh: list[Line], shown: Shown) -> list[str]:
    """How far messages got that are on the screen already."""
    new = {line.id for line in fresh}
    pieces = []
    for line in lines:
        if line.way is None:
            continue
        before = shown.ways.get(line.id)
        shown.ways[line.id] = line.way.words
        if line.id not in new and before != line.way.words:
            pieces.append(events.way(line, True))
    return pieces


def _macros(name: str) -> Any:
    return environment.get_template(name).module
