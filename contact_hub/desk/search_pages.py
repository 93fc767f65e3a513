"""Search over everything ever said, by whoever may see it, and the searches that somebody keeps."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response

from contact_hub.citizens.models import ConversationState
from contact_hub.city import City
from contact_hub.desk import lines
from contact_hub.desk.look import clock_of, language_name, page
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_words import CHANNELS, KINDS, STATES
from contact_hub.search import saved
from contact_hub.search.query import LONGEST, CannotSearch
from contact_hub.search.service import Found, Hit, Order, Person, noted, people, search
from contact_hub.search.walking import Filters
from contact_hub.staff.access import Action
from contact_hub.staff.guard import LONGEST_REASON
from contact_hub.staff.look import go

LONGEST_NAME = 80
Words = Annotated[str, Query(max_length=LONGEST)]
Word = Annotated[str, Query(max_length=40)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form of the search holds; what is empty narrows nothing."""

    q: str = ""
    channel: str = ""
    kind: str = ""
    language: str = ""
    state: str = ""
    since: str = ""
    until: str = ""
    order: str = ""
    reason: str = ""

    def filters(self, city: City) -> Filters:
        """The same for the search; days are the city's own. Raises CannotSearch."""
        return Filters(
            (self.channel,) if self.channel in CHANNELS else (),
            (self.kind,) if self.kind in KINDS else (),
            (self.language,) if self.language in city.languages else (),
            (self.state,) if self.state in {*ConversationState} else (),
            _beginning(self.since, city) if self.since else None,
            _beginning(self.until, city, after=1) if self.until else None,
        )

    @property
    def given(self) -> dict[str, str]:
        """What was filled in, by the names of the fields."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value}

    @property
    def narrows(self) -> bool:
        """Whether anything but words and the reason was given."""
        return bool(self.given.keys() - {"q", "reason"})

    def query(self, **more: str) -> str:
        """The search as it stands in an address."""
        return urlencode(self.given | more, quote_via=quote)


def _beginning(day: str, city: City, *, after: int = 0) -> datetime:
    """When a day begins in the city, or one so many days after it."""
    try:
        found = date.fromisoformat(day) + timedelta(days=after)
    except (ValueError, OverflowError):
        raise CannotSearch("A day looks like 2026-11-28.") from None
    return datetime.combine(found, time.min, city.zone)


def asked(
    q: Words = "",
    channel: Word = "",
    kind: Word = "",
    language: Word = "",
    state: Word = "",
    since: Word = "",
    until: Word = "",
    order: Word = "",
    reason: Annotated[str, Query(max_length=LONGEST_REASON)] = "",
) -> Asked:
    """What stands in the address."""
    words = " ".join(q.replace("\x00", "").split())
    ordered = order if order in {*Order} else ""
    return Asked(words, channel, kind, language, state, since, until, ordered, " ".join(reason.split()))


def add(routes: APIRouter, room: Room) -> None:
    """`/desk/search` and `/desk/search/saved`."""

    @routes.get("/search")
    async def search_page(
        request: Request,
        asked: Annotated[Asked, Depends(asked)],
        cursor: Annotated[str, Query(max_length=90)] = "",
    ) -> Response:
        seat = await room.seat(request, Action.SEARCH, reason=asked.reason)
        return await _shown(room, seat, asked, cursor)

    @routes.post("/search/saved")
    async def save(
        request: Request,
        asked: Annotated[Asked, Depends(asked)],
        name: Annotated[str, Form(max_length=LONGEST_NAME)] = "",
    ) -> Response:
        """Keep the search in the address; the reason is of the day and is not kept."""
        seat = await room.seat(request, Action.SEARCH)
        name = " ".join(name.replace("\x00", "").split())
        kept = {key: value for key, value in asked.given.items() if key not in {"q", "reason"}}
        try:
            if not name:
                raise CannotSearch("The search needs a name to be kept under.")
            async with room.database.begin() as session:
                await saved.save(session, seat.me.staff.id, name, asked.q, kept)
        except CannotSearch as error:
            return await _shown(room, seat, asked, "", wrong=str(error))
        return go(f"/desk/search?{asked.query()}")

    @routes.post("/search/saved/{which}/forget")
    async def forget(request: Request, which: uuid.UUID) -> Response:
        seat = await room.seat(request, Action.SEARCH)
        async with room.database.begin() as session:
            await saved.forget(session, seat.me.staff.id, which)
        return go("/desk/search")


async def _shown(room: Room, seat: Seat, asked: Asked, cursor: str, *, wrong: str = "") -> Response:
    found, known = Found([], None), list[Person]()
    names: dict[uuid.UUID, str] = {}
    async with room.database.begin() as session:
        if asked.q and not wrong:
            try:
                found = await search(
                    session,
                    seat.viewer,
                    asked.q,
                    filters=asked.filters(room.city),
                    order=Order(asked.order or Order.NEWEST),
                    cursor=cursor or None,
                )
                known = [] if cursor else await people(session, seat.viewer, asked.q)
                await noted(session, seat.viewer, found, known)
                names = await lines.names_of(session, {hit.touchpoint.address_id for hit in found.hits})
            except CannotSearch as error:
                wrong = str(error)
        kept = await saved.kept_by(session, seat.me.staff.id)
    clock = clock_of(room.city)
    return page(
        "search.html",
        seat,
        here="search",
        status=422 if wrong else 200,
        wrong=wrong,
        asked=asked,
        searched=bool(asked.q) and not wrong,
        hits=[_hit(hit, names, clock, asked.reason) for hit in found.hits],
        people=[_person(person, asked.reason) for person in known],
        more=f"/desk/search?{asked.query(cursor=found.next)}" if found.next else "",
        saved=[(one.id, one.name, _link(one.query, one.filters), one.query) for one in kept],
        choices={
            "channel": ("Channel", [(key, CHANNELS[key]) for key in CHANNELS]),
            "kind": ("What", [(key, name.capitalize()) for key, name in KINDS.items()]),
            "language": ("Language", [(code, language_name(code)) for code in room.city.languages]),
            "state": ("Conversation", list(STATES.items())),
            "order": ("Order", [("newest", "newest first"), ("relevance", "best match first")]),
        },
        longest=LONGEST,
        longest_reason=LONGEST_REASON,
    )


def _hit(hit: Hit, names: dict[uuid.UUID, str], clock: Any, reason: str) -> dict[str, Any]:
    touchpoint = hit.touchpoint
    why = f"reason={quote(reason, safe='')}&" if reason else ""
    where = (
        f"/desk/citizens/{hit.citizen_id}?{why}at={touchpoint.id}"
        if touchpoint.conversation_id is None
        else f"/desk/c/{touchpoint.conversation_id}?{why}at={touchpoint.id}"
    )
    return {
        "who": names.get(touchpoint.address_id, ""),
        "said_by": {"citizen": "", "bot": "the assistant", "agent": "the desk"}.get(
            touchpoint.actor, "Civicline"
        ),
        "kind": KINDS.get(touchpoint.kind, touchpoint.kind.replace("_", " ")),
        "channel": CHANNELS.get(hit.channel, hit.channel),
        "clock": clock(touchpoint.recorded_at),
        "at": touchpoint.recorded_at.isoformat(),
        "language": touchpoint.language,
        "pieces": hit.excerpt,
        "href": f"{where}#t-{touchpoint.id}",
        "citizen": _citizen(hit.citizen_id, reason),
    }


def _person(person: Person, reason: str) -> dict[str, Any]:
    named = lines.called(person.citizen_id, person.name, person.channel or "", person.address or "")
    return {
        "name": named,
        "channel": CHANNELS.get(person.channel or "", ""),
        "address": person.address if person.channel in {"sms", "telegram"} else None,
        "href": _citizen(person.citizen_id, reason),
    }


def _citizen(citizen_id: uuid.UUID, reason: str) -> str:
    return f"/desk/citizens/{citizen_id}" + (f"?reason={quote(reason, safe='')}" if reason else "")


def _link(query: str, filters: dict[str, Any]) -> str:
    """The address of a kept search; one that another system kept has lists, of which one can be shown."""
    kept = {
        name: str(value[0] if isinstance(value, list) else value)
        for name, value in filters.items()
        if value and name in Asked.__slots__
    }
    return f"/desk/search?{urlencode({'q': query} | kept, quote_via=quote)}"
