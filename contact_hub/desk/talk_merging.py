"""Making two citizens one from a conversation's screen, looked at before, with a reason, and undone alike."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens import identity
from contact_hub.citizens.scope import find
from contact_hub.citizens.service import DESK, find_address
from contact_hub.city import City
from contact_hub.desk.look import page
from contact_hub.desk.room import Room
from contact_hub.desk.talk_room import Here, enter, refuse, seat_at
from contact_hub.desk.talk_view import identity_of
from contact_hub.desk.talk_words import CHANNELS, language_name
from contact_hub.desk.talk_writing import back
from contact_hub.identity import merging, suggestions
from contact_hub.identity.merging import CannotMerge, Side
from contact_hub.identity.models import Merge, Suggestion
from contact_hub.staff.access import Action

_NOBODY = "Nobody whom you may see writes from there."
Reason = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Compared:
    """One of two citizens, as the page shows them side by side."""

    id: uuid.UUID
    name: str
    since: str
    language: str
    addresses: tuple[str, ...]
    touchpoints: int
    open_conversations: int


def add(routes: APIRouter, room: Room) -> None:
    """`merge`, `merges/{merge}/undo` and `likeness/{suggestion}/dismiss`."""
    _merge(routes, room)
    _undo(routes, room)
    _likeness(routes, room)


def _merge(routes: APIRouter, room: Room) -> None:
    @routes.get("/c/{which}/merge")
    async def compare(
        request: Request,
        which: uuid.UUID,
        other: str = "",
        suggestion: str = "",
        channel: str = "",
        address: str = "",
    ) -> Response:
        """Both citizens side by side, or the question who the other is."""
        seat = await seat_at(room, request, which, Action.LINK)
        wrong = ""
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            second = identity_of(other)
            if second is None and address.strip():
                place = await find_address(session, channel, address.strip())
                seen = None if place is None else await find(session, seat.viewer, place.citizen_id)
                second, wrong = (None, _NOBODY) if seen is None else (seen.id, "")
            return await _page(session, room, here, second, suggestion, wrong=wrong)

    @routes.post("/c/{which}/merge")
    async def merge(
        request: Request,
        which: uuid.UUID,
        other: Annotated[str, Form()] = "",
        survivor: Annotated[str, Form()] = "",
        why: Reason = "",
        suggestion: Annotated[str, Form()] = "",
    ) -> Response:
        """Merge them. It can be undone at any time, without loss."""
        seat = await seat_at(room, request, which, Action.LINK)
        second = identity_of(other)
        try:
            async with room.database.begin() as session:
                here = await enter(room, session, seat, which)
                if second is None or await find(session, seat.viewer, second) is None:
                    return await refuse(room, seat.viewer, other)
                first, last = here.citizen.id, second
                if survivor == str(second):
                    first, last = last, first
                await merging.merge(session, first, last, by=seat.viewer, reason=why)
        except CannotMerge as error:
            async with room.database.begin() as session:
                here = await enter(room, session, seat, which)
                return await _page(
                    session, room, here, second, suggestion, wrong=str(error), why=why, status=409
                )
        room.wakeups.tell(f"talk:{which}", "desk")
        return back(which, "merged")


async def _page(
    session: AsyncSession,
    room: Room,
    here: Here,
    second: uuid.UUID | None,
    suggestion: str,
    *,
    wrong: str = "",
    why: str = "",
    status: int = 200,
) -> Response:
    sides: list[Compared] = []
    warnings: list[str] = []
    if second is not None:
        if await find(session, here.viewer, second) is None:
            return await refuse(room, here.viewer, second)
        try:
            found = await merging.preview(session, here.citizen.id, second)
        except CannotMerge as error:
            wrong = wrong or str(error)
        else:
            sides = [_compared(room.city, side) for side in (found.survivor, found.absorbed)]
            warnings = found.warnings
            for one in (here.citizen.id, second):
                await audit.record(session, here.viewer, "merge.previewed", citizen_id=one)
    return page(
        "talk_merge.html",
        here.seat,
        status=status,
        here="talk",
        wrong=wrong,
        talk=here.id,
        name=here.name,
        reason=here.viewer.reason or "",
        sides=sides,
        warnings=warnings,
        suggestion=identity_of(suggestion),
        channels=[(key, name) for key, name in CHANNELS.items() if key not in {DESK, "console", "web_chat"}],
        why=why,
    )


def _compared(city: City, side: Side) -> Compared:
    return Compared(
        side.citizen,
        side.name or "no name known",
        city.day(side.since, "en"),
        language_name(city, side.language),
        tuple(
            f"{CHANNELS.get(place.channel, place.channel)} {place.value}"
            if place.channel in {"sms", "telegram"}
            else CHANNELS.get(place.channel, place.channel)
            for place in side.addresses
            if place.channel != DESK
        ),
        sum(side.touchpoints.values()),
        side.open_conversations,
    )


def _undo(routes: APIRouter, room: Room) -> None:
    @routes.get("/c/{which}/merges/{merge}/undo")
    async def ask(request: Request, which: uuid.UUID, merge: uuid.UUID) -> Response:
        """What undoing means, before it is done."""
        seat = await seat_at(room, request, which, Action.LINK)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            await _theirs(session, room, here, merge)
            return _asked(here, merge)

    @routes.post("/c/{which}/merges/{merge}/undo")
    async def undo(request: Request, which: uuid.UUID, merge: uuid.UUID, why: Reason = "") -> Response:
        """Part what a merge joined, whatever has happened since."""
        seat = await seat_at(room, request, which, Action.LINK)
        try:
            async with room.database.begin() as session:
                here = await enter(room, session, seat, which)
                await _theirs(session, room, here, merge)
                await merging.undo(session, merge, by=seat.viewer, reason=why)
        except CannotMerge as error:
            return _asked(here, merge, wrong=str(error), why=why, status=409)
        room.wakeups.tell(f"talk:{which}", "desk")
        return back(which, "parted")


def _asked(here: Here, merge: uuid.UUID, *, wrong: str = "", why: str = "", status: int = 200) -> Response:
    return page(
        "talk_unmerge.html",
        here.seat,
        status=status,
        here="talk",
        wrong=wrong,
        talk=here.id,
        name=here.name,
        reason=here.viewer.reason or "",
        merge=merge,
        why=why,
    )


async def _theirs(session: AsyncSession, room: Room, here: Here, merge: uuid.UUID) -> None:
    """Refuse a merge that is not of this citizen."""
    entry = await session.get(Merge, merge)
    if entry is None or await identity.current(session, entry.absorbed_id) != here.citizen.id:
        await refuse(room, here.viewer, merge)


def _likeness(routes: APIRouter, room: Room) -> None:
    @routes.post("/c/{which}/likeness/{suggestion}/dismiss")
    async def dismiss(request: Request, which: uuid.UUID, suggestion: uuid.UUID) -> Response:
        """Say that two citizens are not one; the same likeness is not suggested again."""
        seat = await seat_at(room, request, which, Action.LINK)
        async with room.database.begin() as session:
            here = await enter(room, session, seat, which)
            known = await session.get(Suggestion, suggestion)
            within = await identity.within(session, here.citizen.id)
            if known is None or not within & {known.first_id, known.second_id}:
                return await refuse(room, seat.viewer, suggestion)
            await suggestions.dismiss(session, suggestion, seat.viewer)
            await audit.record(session, seat.viewer, "suggestion.dismissed", subject=str(suggestion))
        room.wakeups.tell(f"talk:{which}")
        return back(which, "apart")
