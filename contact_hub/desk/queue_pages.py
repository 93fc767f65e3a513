"""The queue: the page, its lists as they change, and taking a conversation from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from contact_hub.audit import service as audit
from contact_hub.database import now
from contact_hub.desk.board import Audience, Board
from contact_hub.desk.drawing import Drawing
from contact_hub.desk.look import page
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.views import MOST, STEP, Filters, view_of
from contact_hub.journey import by_hand
from contact_hub.staff.access import Action
from contact_hub.staff.look import go

BEAT = 15.0  # seconds after which a stream says that it is alive
COMES_BACK = 2000  # milliseconds after which a browser whose stream broke comes back
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
    return Filters(department, language, channel, reason, show)


def _page(routes: APIRouter, room: Room, board: Board) -> None:
    async def shown(
        seat: Seat, filters: Filters, *, done: str = "", wrong: str = "", status: int = 200
    ) -> Response:
        audience = await board.audience(seat.viewer)
        drawing = Drawing(room, seat, filters)
        snapshot = await audience.fresh()
        view = view_of(snapshot, seat.viewer, filters)
        rows = await audience.rows(snapshot, view.shown)
        async with room.database.begin() as session:
            await audit.record(session, seat.viewer, "queue.read", shown=len(rows))
        words = drawing.page(view, rows, snapshot.at)
        return page("queue.html", seat, status=status, here="queue", wrong=wrong, done=done, **words)

    @routes.get("")
    async def queue(
        request: Request, filters: Annotated[Filters, Query()], done: str = ""
    ) -> Response:
        return await shown(await room.seat(request), filters, done=DONE.get(done, ""))

    @routes.post("/queue/{conversation}/claim")
    async def claim(request: Request, conversation: uuid.UUID) -> Response:
        """Take a conversation; whoever comes second is told who has it."""
        seat = await room.seat(request, Action.ANSWER)
        page_wanted = not request.headers.get("accept", "").startswith("application/json")
        try:
            async with room.database.begin() as session:
                topics = await by_hand.claim_within(session, room.writer, conversation, seat.viewer)
        except by_hand.CannotDo as error:
            if page_wanted:
                return await shown(seat, Filters(), wrong=str(error), status=409)
            raise HTTPException(409, str(error)) from None
        room.wakeups.tell(*topics)
        return go("/desk?done=claimed") if page_wanted else JSONResponse({"claimed": str(conversation)})
