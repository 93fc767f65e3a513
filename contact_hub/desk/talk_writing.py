"""Writing to a resident and to one another: replies that can be taken back, notes, drafts, what is put in."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Annotated, Protocol

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.desk import talk_screen as screen
from contact_hub.desk import talk_view
from contact_hub.desk.look import part
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_canned import Shelf, fill, left_open
from contact_hub.desk.talk_compose import (
    Composer,
    composer_of,
    cost_of,
    heard_language,
    language_of,
    values_for,
)
from contact_hub.desk.talk_files import given
from contact_hub.desk.talk_room import Here, enter, seat_at
from contact_hub.desk.talk_view import Asked
from contact_hub.handoff.rules import rules_of
from contact_hub.journey import by_hand
from contact_hub.journey.by_hand import CannotDo
from contact_hub.staff.access import Action
from contact_hub.staff.look import go

Words = Annotated[str, Form(max_length=20_000)]


class Whole(Protocol):
    """Makes the whole screen, for browsers that send forms by themselves."""

    def __call__(
        self,
        session: AsyncSession,
        room: Room,
        here: Here,
        asked: Asked,
        composer: Composer,
        *,
        done: str = "",
        wrong: str = "",
        status: int = 200,
    ) -> Awaitable[Response]:
        """The screen as a page."""
        ...


def by_htmx(request: Request) -> bool:
    """Whether only a part of the screen is wanted."""
    return "hx-request" in request.headers


def back(which: uuid.UUID, done: str = "") -> Response:
    """To the conversation again."""
    return go(f"/desk/c/{which}{f'?done={done}' if done else ''}")


def add(routes: APIRouter, room: Room, shelf: Shelf, whole: Whole) -> None:
    """`reply`, `undo`, `note`, `draft` and `insert`."""
    _reply(routes, room, shelf, whole)
    _undo(routes, room, shelf, whole)
    _note(routes, room, shelf, whole)
    _draft(routes, room, shelf)


def _reply(routes: APIRouter, room: Room, shelf: Shelf, whole: Whole) -> None:
    @routes.post("/c/{which}/reply")
    async def reply(
        request: Request,
        which: uuid.UUID,
        words: Words = "",
        files: Annotated[list[UploadFile] | None, File()] = None,
    ) -> Response:
        """Let words leave in a few seconds; until then their writer can take them back."""
        seat = await seat_at(room, request, which, Action.ANSWER)
        try:
            if gaps := left_open(words):
                raise CannotDo(f"Fill in {', '.join(gaps)} before you send.")
            async with room.database.begin() as session:
                await enter(room, session, seat, which)
                topics = await by_hand.reply_within(
                    session,
                    room.writer,
                    which,
                    seat.viewer,
                    words,
                    await given(files),
                    rules_of(room.city).hold_seconds,
                )
        except CannotDo as why:
            return await _not_sent(request, seat, which, words, str(why))
        room.wakeups.tell(*topics)
        if not by_htmx(request):
            return back(which, "held")
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            return await _composer(session, room, shelf, here, words="")

    async def _not_sent(request: Request, seat: Seat, which: uuid.UUID, words: str, why: str) -> Response:
        """What was typed stays where it is, and is kept as a draft."""
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            if here.answers and here.open:
                await by_hand.present_within(
                    session, room.writer, which, seat.viewer, draft=words, typing=True
                )
            if by_htmx(request):
                return part("talk_refused.html", status=409, wrong=why)
            composer = await composer_of(session, room, shelf, here, words=words, wrong=why)
            return await whole(session, room, here, Asked.of(request), composer, wrong=why, status=409)


def _undo(routes: APIRouter, room: Room, shelf: Shelf, whole: Whole) -> None:
    @routes.post("/c/{which}/undo/{held}")
    async def undo(request: Request, which: uuid.UUID, held: uuid.UUID, words: Words = "") -> Response:
        """Take words back before they left: they return to the field, before what was typed since."""
        seat = await seat_at(room, request, which, Action.ANSWER)
        wrong = ""
        try:
            async with room.database.begin() as session:
                here = await enter(room, session, seat, which)
                typed = words or await screen.draft_of(session, here)
                taken = await by_hand.undo_within(session, held, seat.viewer)
                words = f"{taken.words}\n\n{typed}" if typed.strip() else taken.words
                await by_hand.present_within(
                    session, room.writer, which, seat.viewer, draft=words, typing=True
                )
            if taken.files:
                wrong = f"Attach again what you want to send with it: {', '.join(taken.files)}."
            room.wakeups.tell(*taken.topics)
        except CannotDo as why:
            if by_htmx(request):
                return part("talk_refused.html", status=409, wrong=str(why))
            wrong = str(why)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            if by_htmx(request):
                return await _composer(session, room, shelf, here, words=words, wrong=wrong, focus=True)
            composer = await composer_of(session, room, shelf, here, words=words, wrong=wrong)
            return await whole(session, room, here, Asked.of(request), composer, wrong=wrong)


def _note(routes: APIRouter, room: Room, shelf: Shelf, whole: Whole) -> None:
    @routes.post("/c/{which}/note")
    async def note(request: Request, which: uuid.UUID, words: Words = "") -> Response:
        """Keep something that only colleagues read; whoever is named is told."""
        seat = await seat_at(room, request, which, Action.NOTE)
        wrong = ""
        try:
            async with room.database.begin() as session:
                await enter(room, session, seat, which)
                topics = await by_hand.note_within(session, room.writer, which, seat.viewer, words)
        except CannotDo as why:
            wrong, topics = str(why), ()
        room.wakeups.tell(*topics)
        if not (wrong or by_htmx(request)):
            return back(which, "noted")
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            composer = await composer_of(
                session, room, shelf, here, tab="note", note=words if wrong else "", note_wrong=wrong
            )
            if by_htmx(request):
                frame = await talk_view.frame(session, room.city, here, Asked(), uuid.UUID(int=0), {})
                return part("talk_note.html", talk=frame, composer=composer)
            return await whole(session, room, here, Asked.of(request), composer, wrong=wrong, status=409)


def _draft(routes: APIRouter, room: Room, shelf: Shelf) -> None:
    @routes.post("/c/{which}/draft")
    async def draft(request: Request, which: uuid.UUID, words: Words = "") -> Response:
        """Keep what is being written, tell colleagues that it is, and say what it would come to."""
        seat = await seat_at(room, request, which, Action.ANSWER)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            topics = await _kept(session, room, here, words)
        room.wakeups.tell(*topics)
        cost = await heard_language(room, here, words, cost_of(room, here, words))
        return part("talk_cost.html", cost=cost)

    @routes.post("/c/{which}/insert")
    async def insert(
        request: Request,
        which: uuid.UUID,
        words: Words = "",
        insert: Annotated[str, Form(max_length=80)] = "",
        suggestion: Words = "",
    ) -> Response:
        """Put a canned reply or a suggested answer behind what is written, for browsers without script."""
        seat = await seat_at(room, request, which, Action.ANSWER)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            canned = shelf.get(language_of(room, here), insert)
            more = suggestion if canned is None else fill(canned.text, await values_for(session, room, here))
            joined = "\n\n".join(one for one in (words.strip(), more.strip()) if one)
            topics = await _kept(session, room, here, joined)
        room.wakeups.tell(*topics)
        return go(f"/desk/c/{which}#composer")


async def _kept(session: AsyncSession, room: Room, here: Here, words: str) -> tuple[str, ...]:
    if not (here.answers and here.open):
        return ()
    topics = await by_hand.present_within(
        session, room.writer, here.id, here.viewer, draft=words, typing=True
    )
    # Colleagues are told that somebody writes, not each of their letters.
    return topics or (f"talk:{here.id}",)


async def _composer(
    session: AsyncSession,
    room: Room,
    shelf: Shelf,
    here: Here,
    *,
    words: str,
    wrong: str = "",
    focus: bool = False,
) -> Response:
    """The field anew, and what is about to leave beside it."""
    composer = await composer_of(session, room, shelf, here, words=words, wrong=wrong)
    frame = await talk_view.frame(session, room.city, here, Asked(), uuid.UUID(int=0), {})
    held = await screen.held_replies(session, here)
    return part("talk_composer.html", talk=frame, composer=composer, held=held, focus=focus)
