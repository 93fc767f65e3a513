"""Who answers at the desk, what they have in hand, and where somebody was named."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import func, or_, select

from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import visible
from contact_hub.database import now
from contact_hub.desk import lines
from contact_hub.desk.look import clock_of, language_name, page
from contact_hub.desk.room import Room
from contact_hub.handoff.models import Mention
from contact_hub.staff.access import Action
from contact_hub.staff.models import Role, Staff, StaffSession
from contact_hub.timeline.models import Touchpoint

AT_WORK = timedelta(minutes=10)  # somebody who did something so lately is at the desk
KEPT = timedelta(days=14)  # mentions that were seen are shown for so long
MOST = 100


def add(routes: APIRouter, room: Room) -> None:
    """`/desk/people` and `/desk/mentions`."""

    @routes.get("/people")
    async def everybody(request: Request) -> Response:
        """Everybody who answers in one of the viewer's departments."""
        seat = await room.seat(request)
        last = (
            select(StaffSession.staff_id, func.max(StaffSession.last_seen_at).label("at"))
            .where(StaffSession.second_step.is_(False))
            .group_by(StaffSession.staff_id)
            .subquery()
        )
        held = (
            select(
                Conversation.holder,
                func.count().label("talks"),
                func.count(Conversation.unanswered_since).label("owed"),
            )
            .where(Conversation.state == ConversationState.AGENT)
            .group_by(Conversation.holder)
            .subquery()
        )
        async with room.database.begin() as session:
            rows = await session.execute(
                select(Staff, last.c.at, held.c.talks, held.c.owed)
                .outerjoin(last, last.c.staff_id == Staff.id)
                .outerjoin(held, held.c.holder == Staff.name)
                .where(Staff.disabled_at.is_(None), Staff.role.in_((Role.AGENT, Role.SUPERVISOR)))
                .order_by(Staff.name)
            )
            found = rows.all()
        names, clock, moment = room.departments, clock_of(room.city), now()
        ours = seat.viewer.departments
        return page(
            "people.html",
            seat,
            here="people",
            people=[
                {
                    "name": person.name,
                    "role": person.role,
                    "departments": [names.get(key, key) for key in person.departments],
                    "languages": [language_name(code) for code in person.languages],
                    "talks": talks or 0,
                    "owed": owed or 0,
                    "here": at is not None and moment - at < AT_WORK,
                    "last": f"last seen {clock(at)}" if at else "not signed in",
                }
                for person, at, talks, owed in found
                if ours & set(person.departments) or person.id == seat.me.staff.id
            ],
        )

    @routes.get("/mentions")
    async def mentions(request: Request) -> Response:
        """The notes in which the viewer was named, those they have not seen yet first."""
        seat = await room.seat(request, Action.READ)
        async with room.database.begin() as session:
            rows = await session.execute(
                select(Mention, Touchpoint.text, Citizen.id, Citizen.name, Address.channel, Address.value)
                .join(Conversation, Conversation.id == Mention.conversation_id)
                .join(Address, Address.id == Conversation.address_id)
                .join(Citizen, Citizen.id == Address.citizen_id)
                .join(Touchpoint, Touchpoint.id == Mention.touchpoint_id)
                .where(
                    Mention.staff_id == seat.me.staff.id,
                    visible(seat.viewer),
                    or_(Mention.seen_at.is_(None), Mention.seen_at > now() - KEPT),
                )
                .order_by(Mention.seen_at.isnot(None), Mention.made_at.desc())
                .limit(MOST)
            )
            found = rows.all()
            for citizen in dict.fromkeys(row[2] for row in found):
                await audit.record(session, seat.viewer, "note.read", citizen_id=citizen)
        clock = clock_of(room.city)
        return page(
            "mentions.html",
            seat,
            here="mentions",
            found=[
                {
                    "by": mention.by,
                    "clock": clock(mention.made_at),
                    "new": mention.seen_at is None,
                    "text": words,
                    "name": lines.called(citizen, name, channel, value),
                    "href": f"/desk/c/{mention.conversation_id}?at={mention.touchpoint_id}"
                    f"#t-{mention.touchpoint_id}",
                }
                for mention, words, citizen, name, channel, value in found
            ],
        )
