"""What people do with a conversation from its screen; what each act means is `journey.by_hand`'s."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.desk.look import part
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_canned import Shelf
from contact_hub.desk.talk_compose import composer_of
from contact_hub.desk.talk_room import Here, enter, refuse, seat_at
from contact_hub.desk.talk_view import Asked, identity_of
from contact_hub.desk.talk_writing import Whole, back, by_htmx
from contact_hub.flags import service as flags
from contact_hub.flags.models import Flag
from contact_hub.journey import by_hand
from contact_hub.journey.by_hand import CannotDo
from contact_hub.privacy import redaction
from contact_hub.privacy.holds import Held
from contact_hub.staff.access import Action
from contact_hub.staff.look import go
from contact_hub.timeline.models import Touchpoint

DONE: Mapping[str, str] = {
    "claimed": "It is yours. The resident was told your name.",
    "held": "Your reply leaves in a moment.",
    "noted": "The note is kept.",
    "snoozed": "It is put aside and comes back by itself.",
    "woken": "It is back in front of you.",
    "assigned": "It is your colleague's now.",
    "removed": "The message is removed.",
    "dismissed": "The flag is taken away. A manager looks at it.",
    "merged": "They are one citizen now.",
    "parted": "They are two citizens again.",
    "apart": "They are kept apart; this is not suggested again.",
}
_MORNING = time(9)
Work = Callable[[AsyncSession, Here], Awaitable[tuple[str, ...]]]


def add(routes: APIRouter, room: Room, shelf: Shelf, whole: Whole) -> None:
    """Every act of a conversation's screen."""
    acts = Acts(room, shelf, whole)
    _hands(routes, room, acts)
    _ends(routes, room, acts)
    _mending(routes, room, acts)


class Acts:
    """Does something in a transaction of its own and answers as the browser can take it."""

    def __init__(self, room: Room, shelf: Shelf, whole: Whole) -> None:
        self._room = room
        self._shelf = shelf
        self._whole = whole

    async def do(
        self,
        request: Request,
        which: uuid.UUID,
        done: str,
        work: Work,
        *,
        action: Action = Action.ANSWER,
        leaves: bool = False,
    ) -> Response:
        """The outcome in words where the act was asked for, or why it cannot be; the screen stays as it is.

        `leaves` says that the conversation is nobody's business here any more: on to the queue.
        """
        room = self._room
        seat = await seat_at(room, request, which, action)
        try:
            async with room.database.begin() as session:
                topics = await work(session, await enter(room, session, seat, which))
        except CannotDo as why:
            return await self.refused(request, seat, which, str(why))
        room.wakeups.tell(*topics)
        if leaves:
            return self._onward(request)
        if by_htmx(request):
            return part("talk_told.html", done=DONE[done])
        return back(which, done)

    async def refused(self, request: Request, seat: Seat, which: uuid.UUID, why: str) -> Response:
        """Why something cannot be done, in place."""
        if by_htmx(request):
            return part("talk_refused.html", status=409, wrong=why)
        async with self._room.database.begin() as session:
            here = await enter(self._room, session, seat, which)
            composer = await composer_of(session, self._room, self._shelf, here)
            return await self._whole(
                session, self._room, here, Asked.of(request), composer, wrong=why, status=409
            )

    @staticmethod
    def _onward(request: Request) -> Response:
        if by_htmx(request):
            return Response(status_code=204, headers={"HX-Redirect": "/desk"})
        return go("/desk")


def _hands(routes: APIRouter, room: Room, acts: Acts) -> None:
    @routes.post("/c/{which}/claim")
    async def claim(request: Request, which: uuid.UUID) -> Response:
        return await acts.do(
            request,
            which,
            "claimed",
            lambda session, here: by_hand.claim_within(session, room.writer, which, here.viewer),
        )

    @routes.post("/c/{which}/transfer")
    async def transfer(
        request: Request,
        which: uuid.UUID,
        department: Annotated[str, Form()] = "",
        why: Annotated[str, Form(max_length=2000)] = "",
    ) -> Response:
        return await acts.do(
            request,
            which,
            "",
            lambda session, here: by_hand.transfer_within(
                session, room.writer, which, here.viewer, department, why
            ),
            leaves=True,
        )

    @routes.post("/c/{which}/assign")
    async def assign(request: Request, which: uuid.UUID, staff: Annotated[str, Form()] = "") -> Response:
        async def work(session: AsyncSession, here: Here) -> tuple[str, ...]:
            person = identity_of(staff)
            if person is None:
                raise CannotDo("Choose somebody.")
            return await by_hand.assign_within(session, room.writer, which, here.viewer, person)

        return await acts.do(request, which, "assigned", work, action=Action.ASSIGN)

    @routes.post("/c/{which}/give-back")
    async def give_back(request: Request, which: uuid.UUID) -> Response:
        return await acts.do(
            request,
            which,
            "",
            lambda session, here: by_hand.give_back_within(session, room.writer, which, here.viewer),
            leaves=True,
        )


def _ends(routes: APIRouter, room: Room, acts: Acts) -> None:
    @routes.post("/c/{which}/snooze")
    async def snooze(
        request: Request,
        which: uuid.UUID,
        until: Annotated[str, Form()] = "",
        own: Annotated[str, Form(max_length=40)] = "",
    ) -> Response:
        async def work(session: AsyncSession, here: Here) -> tuple[str, ...]:
            moment = snoozed_until(room.city, until, own, now())
            return await by_hand.snooze_within(session, room.writer, which, here.viewer, moment)

        return await acts.do(request, which, "snoozed", work)

    @routes.post("/c/{which}/wake")
    async def wake(request: Request, which: uuid.UUID) -> Response:
        return await acts.do(
            request,
            which,
            "woken",
            lambda session, here: by_hand.snooze_within(session, room.writer, which, here.viewer, None),
        )

    @routes.post("/c/{which}/resolve")
    async def resolve(
        request: Request, which: uuid.UUID, resolution: Annotated[str, Form()] = ""
    ) -> Response:
        async def work(session: AsyncSession, here: Here) -> tuple[str, ...]:
            if not resolution:
                raise CannotDo("Choose how it ended.")
            return await by_hand.resolve_within(session, room.writer, which, here.viewer, resolution)

        return await acts.do(request, which, "", work, leaves=True)


def snoozed_until(city: City, key: str, own: str, moment: datetime) -> datetime:
    """When a conversation comes back, in the city's own time; raises CannotDo."""
    local = moment.astimezone(city.zone)
    match key:
        case "hour":
            return moment + timedelta(hours=1)
        case "tomorrow":
            return _morning(city, local + timedelta(days=1))
        case "monday":
            return _morning(city, local + timedelta(days=7 - local.weekday()))
    try:
        wanted = datetime.fromisoformat(own)
    except ValueError:
        raise CannotDo("Say until when, as a day and a time.") from None
    # The field has no zone: it means what the clock on the wall says.
    return wanted.replace(tzinfo=city.zone) if wanted.tzinfo is None else wanted


def _morning(city: City, day: datetime) -> datetime:
    return datetime.combine(day.date(), _MORNING, city.zone)


def _mending(routes: APIRouter, room: Room, acts: Acts) -> None:
    @routes.post("/c/{which}/remove/{touchpoint}")
    async def remove(
        request: Request,
        which: uuid.UUID,
        touchpoint: uuid.UUID,
        why: Annotated[str, Form(max_length=500)] = "",
    ) -> Response:
        """Remove a message of this resident's history, with every copy."""

        async def work(session: AsyncSession, here: Here) -> tuple[str, ...]:
            theirs = await session.scalar(
                select(Touchpoint.id)
                .join(Address, Address.id == Touchpoint.address_id)
                .where(Touchpoint.id == touchpoint, Address.citizen_id == here.citizen.id)
            )
            reason = " ".join(why.replace("\x00", "").split())
            if theirs is None:
                return await refuse(room, here.viewer, touchpoint)
            if len(reason) < 3:
                raise CannotDo("Say why it is removed.")
            try:
                await redaction.redact(session, touchpoint, here.viewer, reason=reason)
            except Held:
                raise CannotDo("A legal hold keeps this record: nothing is removed while it lasts.") from None
            return (f"talk:{which}", "desk")

        return await acts.do(request, which, "removed", work, action=Action.NOTE)

    @routes.post("/c/{which}/flags/{flag}/dismiss")
    async def dismiss(
        request: Request,
        which: uuid.UUID,
        flag: uuid.UUID,
        why: Annotated[str, Form(max_length=500)] = "",
    ) -> Response:
        """Take a flag of this resident's away; a manager judges whether that was right."""

        async def work(session: AsyncSession, here: Here) -> tuple[str, ...]:
            theirs = await session.scalar(
                select(Flag.id)
                .join(Address, Address.id == Flag.address_id)
                .where(Flag.id == flag, Address.citizen_id == here.citizen.id)
            )
            if theirs is None:
                return await refuse(room, here.viewer, flag)
            if not here.answers:
                raise CannotDo("This is another department's to answer, and so are its flags.")
            reason = " ".join(why.replace("\x00", "").split())
            if len(reason) < 5:
                raise CannotDo("Say in a few words why the flag is wrong.")
            if not await flags.dismiss(session, flag, here.viewer, reason):
                raise CannotDo("This flag was taken away already.")
            return (f"talk:{which}", "desk")

        return await acts.do(request, which, "dismissed", work)
