"""A citizen's whole history to read, for whoever may see it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from contact_hub.audit import service as audit
from contact_hub.citizens import identity, scope
from contact_hub.citizens.models import Address, Conversation
from contact_hub.citizens.service import DESK
from contact_hub.desk import lines
from contact_hub.desk.look import clock_of, page
from contact_hub.desk.room import Room
from contact_hub.desk.talk_lines import Telling, pressed_titles
from contact_hub.desk.talk_room import seat_at
from contact_hub.desk.talk_view import PAGE, SHOWS, identity_of
from contact_hub.desk.talk_words import CHANNELS, STATES
from contact_hub.staff.access import Action
from contact_hub.staff.guard import LONGEST_REASON
from contact_hub.timeline import reading

NOBODY = "There is no such citizen, or it is not yours to see."


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Somebody who reads: what the events' templates ask of the screen that they are drawn on."""

    id: uuid.UUID | None  # of the conversation in which evidence is looked at
    reason: str
    may_note: bool = False
    evidence: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def reason_part(self) -> str:
        """The reason to look, for an address that goes on."""
        return f"reason={quote(self.reason, safe='')}&" if self.reason else ""

    @property
    def reason_query(self) -> str:
        """The same for an address that ends with it."""
        return f"?reason={quote(self.reason, safe='')}" if self.reason else ""

    def is_id(self, words: str) -> bool:
        """Whether some words are the id of an event that there is a screen for."""
        return self.id is not None and identity_of(words) is not None


def add(routes: APIRouter, room: Room) -> None:
    """`/desk/citizens/{citizen}`."""

    @routes.get("/citizens/{citizen}")
    async def timeline(
        request: Request,
        citizen: uuid.UUID,
        before: uuid.UUID | None = None,
        at: uuid.UUID | None = None,
        show: str = "",
        channel: str = "",
        reason: Annotated[str, Query(max_length=LONGEST_REASON)] = "",
    ) -> Response:
        """Everything between a citizen and the city, a page at a time, the newest first."""
        seat = await seat_at(room, request, citizen, Action.READ, reason=reason)
        show, channel = show if show in SHOWS else "", channel if channel in CHANNELS else ""
        wanted = reading.Wanted(channels=(channel, DESK) if channel else (), kinds=SHOWS[show][1])
        end = uuid.UUID(int=min(at.int + 1, 2**128 - 1)) if at is not None else before
        async with room.database.begin() as session:
            found = await scope.find(session, seat.viewer, citizen)
            if found is not None:
                read = await reading.page(session, citizen, before=end, limit=PAGE, wanted=wanted)
                places = await identity.addresses_of(session, citizen)
                talks = (
                    await session.scalars(
                        select(Conversation)
                        .join(Address, Address.id == Conversation.address_id)
                        .where(Address.citizen_id == citizen)
                        .order_by(Conversation.opened_at.desc())
                        .limit(20)
                    )
                ).all()
                pressed = await pressed_titles(session, read.events)
                await audit.record(
                    session, seat.viewer, "timeline.read", citizen_id=citizen, shown=len(read.events)
                )
        if found is None:
            async with room.database.begin() as session:
                await audit.record(session, seat.viewer, "citizen.refused", subject=str(citizen))
            raise HTTPException(404, NOBODY)
        outside = [place for place in places if place.channel != DESK]
        name = lines.called(
            citizen, found.name, outside[0].channel if outside else "", outside[0].value if outside else ""
        )
        telling = Telling(room.city, uuid.UUID(int=0), name, pressed)
        kept = {"show": show, "channel": channel, "reason": seat.viewer.reason or ""}
        query = urlencode({key: value for key, value in kept.items() if value}, quote_via=quote)
        clock = clock_of(room.city)
        return page(
            "citizen.html",
            seat,
            here="search",
            name=name,
            talk=Onlooker(talks[0].id if talks else None, seat.viewer.reason or ""),
            lines=[replace(telling.line(event), elsewhere=False) for event in read.events],
            older=f"/desk/citizens/{citizen}?{query}{'&' if query else ''}before={read.older}"
            if read.older
            else "",
            newest=f"/desk/citizens/{citizen}?{query}" if end is not None else "",
            places=[(CHANNELS.get(place.channel, place.channel), _shown(place)) for place in outside],
            talks=[
                (talk.id, STATES.get(talk.state, talk.state), clock(talk.opened_at), talk.holder)
                for talk in talks
            ],
            shows=[(key, words) for key, (words, _) in SHOWS.items()],
            show=show,
            channel=channel,
            channels=sorted(
                {(place.channel, CHANNELS.get(place.channel, place.channel)) for place in outside}
            ),
            citizen=citizen,
        )


def _shown(place: Address) -> str:
    """An address as people know it; a browser's is a secret of ours."""
    words = place.value.partition("#")[0] if place.channel in {"sms", "telegram"} else ""
    return f"{words} (no longer theirs)" if place.retired_at else words
