"""`/desk/c/{conversation}`: one screen with everything, read here; what is done there is in `talk_acts`."""

from __future__ import annotations

import uuid
from dataclasses import replace

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import StreamingResponse

from contact_hub.desk import (
    talk_acts,
    talk_files,
    talk_live,
    talk_merging,
    talk_suggestions,
    talk_view,
    talk_writing,
)
from contact_hub.desk import talk_screen as screen
from contact_hub.desk.look import page, part
from contact_hub.desk.room import Room
from contact_hub.desk.talk_canned import Shelf, shelf_of
from contact_hub.desk.talk_compose import Composer, composer_of, language_of
from contact_hub.desk.talk_panel import panel_of
from contact_hub.desk.talk_room import Here, enter, go_on_reading, read, seat_at
from contact_hub.desk.talk_suggestions import Suggested
from contact_hub.desk.talk_view import Asked
from contact_hub.journey import by_hand
from contact_hub.staff.access import Action

_NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def add(routes: APIRouter, room: Room) -> None:
    """Everything under `/desk/c` and `/desk/files`; raises CityError where canned replies are wrong."""
    shelf = shelf_of(room.city)
    _screen(routes, room, shelf)
    _pieces(routes, room)
    talk_files.add(routes, room)
    talk_writing.add(routes, room, shelf, whole)
    talk_acts.add(routes, room, shelf, whole)
    talk_merging.add(routes, room)


def _screen(routes: APIRouter, room: Room, shelf: Shelf) -> None:
    @routes.get("/c/{which}")
    async def conversation(
        request: Request, which: uuid.UUID, done: str = "", suggest: bool = False, q: str = ""
    ) -> Response:
        """The whole screen. Opening it is an entry of the audit; that it stays open is none."""
        seat = await seat_at(room, request, which)
        suggested = None
        if suggest:
            suggested = await _suggested(room, await _seen(room, request, which), q)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            seen = await screen.mentions_seen(session, here)
            wake: tuple[str, ...] = ("desk",) if seen else ()
            if here.answers and here.open:
                wake += await by_hand.present_within(session, room.writer, which, here.viewer)
            composer = await composer_of(session, room, shelf, here, suggested=suggested)
            answer = await whole(
                session, room, here, Asked.of(request), composer, done=talk_acts.DONE.get(done, "")
            )
        room.wakeups.tell(*wake)
        return answer


async def whole(
    session: AsyncSession,
    room: Room,
    here: Here,
    asked: Asked,
    composer: Composer,
    *,
    done: str = "",
    wrong: str = "",
    status: int = 200,
) -> Response:
    """The screen as a page; each one that is drawn is an entry of the audit."""
    await read(session, here)
    city = room.city
    found = await talk_view.timeline(session, city, here, asked)
    panel = await panel_of(session, here, city)
    return page(
        "talk.html",
        here.seat,
        status=status,
        here="talk",
        wrong=wrong,
        done=done,
        talk=await talk_view.frame(session, city, here, asked, found.newest, panel.evidence, panel.flag),
        head=screen.head_of(here, city),
        lines=found.lines,
        older=found.older,
        panel=panel,
        company=await screen.colleagues(session, here),
        held=await screen.held_replies(session, here),
        composer=composer,
    )


def _pieces(routes: APIRouter, room: Room) -> None:
    @routes.get("/c/{which}/older")
    async def older(request: Request, which: uuid.UUID) -> Response:
        """The page of the history before the one on the screen."""
        seat, asked = await seat_at(room, request, which), Asked.of(request)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            await go_on_reading(session, here)
            found = await talk_view.timeline(session, room.city, here, asked)
            panel = await panel_of(session, here, room.city)
            frame = await talk_view.frame(
                session, room.city, here, asked, found.newest, panel.evidence, panel.flag
            )
        return part("talk_older.html", talk=frame, lines=found.lines, older=found.older)

    @routes.get("/c/{which}/live")
    async def live(request: Request, which: uuid.UUID, after: str = "") -> Response:
        """What changes, as it changes; a stream that broke goes on behind what it showed last."""
        seat, asked = await seat_at(room, request, which, quietly=True), Asked.of(request)
        async with room.database.begin() as session:
            await go_on_reading(session, await enter(room, session, seat, which))
        last = talk_view.identity_of(request.headers.get("last-event-id")) or talk_view.identity_of(after)
        if last is None:
            raise HTTPException(422, "after: must be the id of the last event that is shown.")
        stream = talk_live.stream(room, seat, which, asked, last)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_NOT_KEPT)

    @routes.get("/c/{which}/suggestions")
    async def suggestions(request: Request, which: uuid.UUID, q: str = "") -> Response:
        """Answers from the knowledge base to the resident's last question, or to one that is typed.

        The screen asks for the first by itself, with every message that comes.
        """
        here = await _seen(room, request, which, Action.ANSWER, quietly=not q.strip())
        async with room.database.begin() as session:
            await go_on_reading(session, here)
            frame = await talk_view.frame(session, room.city, here, Asked(), uuid.UUID(int=0), {})
        return part("talk_suggestions.html", talk=frame, found=await _suggested(room, here, q))


async def _seen(
    room: Room,
    request: Request,
    which: uuid.UUID,
    action: Action = Action.READ,
    *,
    quietly: bool = False,
) -> Here:
    """Who asks about what, in a transaction that is over before anybody else is asked."""
    seat = await seat_at(room, request, which, action, quietly=quietly)
    async with room.database.begin() as session:
        return await enter(room, session, seat, which)


async def _suggested(room: Room, here: Here, q: str) -> Suggested:
    """What is found; no transaction is open while the brain is asked."""
    language, typed = language_of(room, here), bool(q.strip())
    if typed:
        return replace(await talk_suggestions.suggest(room, q, language), typed=True)
    if here.danger:
        return talk_suggestions.IN_DANGER
    async with room.database.begin() as session:
        q, history = await talk_suggestions.question_of(session, here)
    return await talk_suggestions.suggest(room, q, language, history)
