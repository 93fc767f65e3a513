"""The queue: the page, its lists as they change, and taking a conversation from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from contact_hub.audit import service as audit
from contact_hub.database import now
from contact_hub.desk.board import Audience, Board
from contact_hub.desk.drawing import Drawing
from contact_hub.desk.lines import Snapshot
from contact_hub.desk.look import page
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_room import refused, seat_at
from contact_hub.desk.views import MOST, STEP, Filters, view_of
from contact_hub.journey import by_hand
from contact_hub.staff.access import Action
from contact_hub.staff.look import go
from contact_hub.web.errors import DATABASE_AWAY

BEAT = 15.0  # seconds after which a stream says that it is alive
COMES_BACK = 2000  # milliseconds after which a browser whose stream broke comes back
READ, WATCHED = "queue.read", "queue.watched"
LATELY = timedelta(minutes=15)  # who reads on for longer is written down again
_NOT_KEPT = {"Cache-Control": "no-store"}
DONE = {"claimed": "The conversation is yours: you find it under Mine."}

Word = Annotated[str, Query(max_length=80)]


def add(routes: APIRouter, room: Room, board: Board) -> None:
    """`/desk`, `/desk/lists`, `/desk/counts`, `/desk/events` and `/desk/queue/...`."""
    _page(routes, room, board)
    _live(routes, room, board)


def _filters(
    department: Word = "",
    language: Word = "",
    channel: Word = "",
    reason: Word = "",
    show: Annotated[int, Query(ge=1, le=MOST)] = STEP,
) -> Filters:
    department, language, channel, reason = (
        words.replace("\x00", "") for words in (department, language, channel, reason)
    )
    return Filters(department, language, channel, reason, show)


def _page(routes: APIRouter, room: Room, board: Board) -> None:
    async def shown(
        seat: Seat, filters: Filters, *, done: str = "", wrong: str = "", status: int = 200
    ) -> Response:
        audience = await board.audience(seat, filters)
        drawing = Drawing(room, seat, filters)
        snapshot = await audience.fresh()
        view = view_of(snapshot, seat.viewer, filters)
        rows = await audience.rows(snapshot, view.shown)
        async with room.database.begin() as session:
            await audit.record(session, seat.viewer, READ, shown=len(rows))
        words = drawing.page(view, rows, snapshot.at)
        return page("queue.html", seat, status=status, here="queue", wrong=wrong, done=done, **words)

    @routes.get("")
    async def queue(
        request: Request, filters: Annotated[Filters, Depends(_filters)], done: str = ""
    ) -> Response:
        return await shown(await room.seat(request), filters, done=DONE.get(done, ""))

    @routes.post("/queue/{conversation}/claim")
    async def claim(request: Request, conversation: uuid.UUID) -> Response:
        """Take a conversation; whoever comes second is told who has it."""
        seat = await seat_at(room, request, conversation, Action.ANSWER)
        page_wanted = not request.headers.get("accept", "").startswith("application/json")
        try:
            async with room.database.begin() as session:
                topics = await by_hand.claim_within(session, room.writer, conversation, seat.viewer)
        except by_hand.CannotDo as error:
            status = 409
            if isinstance(error, by_hand.NotTheirs):
                status = 404
                await refused(room, seat.viewer, conversation)
            if page_wanted:
                return await shown(seat, Filters(), wrong=str(error), status=status)
            raise HTTPException(status, str(error)) from None
        room.wakeups.tell(*topics)
        return go("/desk?done=claimed") if page_wanted else JSONResponse({"claimed": str(conversation)})


def _live(routes: APIRouter, room: Room, board: Board) -> None:
    @routes.get("/lists")
    async def lists(request: Request, filters: Annotated[Filters, Depends(_filters)]) -> Response:
        """The queue as it is now: for browsers whose stream does not come through."""
        seat = await room.seat(request, quietly=True)
        async with room.database.begin() as session:  # they ask every moment
            await audit.record_once_in(session, seat.viewer, WATCHED, LATELY, like=[READ])
        audience = await board.audience(seat, filters)
        _, news = await _news(audience, await audience.fresh(), Drawing(room, seat, filters))
        return JSONResponse(news, headers=_NOT_KEPT)

    @routes.get("/counts")
    async def counts(request: Request) -> Response:
        """How many wait, are mine, name me and need me: for the desk's other pages."""
        seat = await room.seat(request, quietly=True)
        audience = await board.audience(seat, Filters())
        view = view_of(await audience.fresh(), seat.viewer, Filters())
        return JSONResponse(view.counts | {"alarms": view.alarms}, headers=_NOT_KEPT)

    @routes.get("/events")
    async def events(request: Request, filters: Annotated[Filters, Depends(_filters)]) -> Response:
        """The queue as it changes, as server-sent events.

        `queue` carries what Drawing.news says, `beat` comes in between, `end` closes the stream for whoever
        is signed out or may do something else by now. The id of an event is its snapshot's mark.
        """
        seat = await room.seat(request, quietly=True)
        async with room.database.begin() as session:
            await audit.record(session, seat.viewer, WATCHED)
        return StreamingResponse(
            _stream(room, board, request, seat, filters),
            media_type="text/event-stream",
            headers=_NOT_KEPT | {"X-Accel-Buffering": "no"},
        )


async def _news(
    audience: Audience, snapshot: Snapshot, drawing: Drawing
) -> tuple[str, dict[str, Any] | None]:
    """What changed on somebody's screen, and the mark of what it then shows."""
    view = view_of(snapshot, drawing.seat.viewer, drawing.filters)
    return snapshot.mark, drawing.news(view, await audience.rows(snapshot, view.shown), snapshot.at)


async def _stream(
    room: Room, board: Board, request: Request, seat: Seat, filters: Filters
) -> AsyncIterator[str]:
    yield f"retry: {COMES_BACK}\n\n"
    drawing = Drawing(room, seat, filters)
    seen = request.headers.get("last-event-id", "")
    loop = asyncio.get_running_loop()
    async with board.watching(seat, filters) as audience:
        beat = loop.time() + BEAT
        while True:
            changed = audience.changed  # before the look: what comes after it is heard
            try:
                mark, news = await _news(audience, await audience.last(), drawing)
            except DATABASE_AWAY:
                return  # the browser comes back
            if news is not None and mark != seen:
                yield _event("queue", news, mark)
            seen = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, beat - loop.time())):
                    await changed.wait()
            if loop.time() >= beat:
                beat = loop.time() + BEAT
                if not await _still(room, request, seat):
                    yield _event("end", {})
                    return
                yield _event("beat", {"now": now().isoformat()})


async def _still(room: Room, request: Request, seat: Seat) -> bool:
    """Whether this is still the same person with the same rights."""
    me = await room.guard.signed_in(request, quietly=True)
    same = me is not None and me.staff.languages == seat.me.staff.languages
    return me is not None and same and room.guard.viewer_of(me) == seat.viewer


def _event(name: str, data: dict[str, Any], mark: str = "") -> str:
    """An event on the wire; JSON has no line break of its own."""
    identity = f"id: {mark}\n" if mark else ""
    return f"{identity}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
