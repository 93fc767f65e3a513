"""One screen of a conversation, put together: what its templates are given."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from contact_hub.citizens import identity
from contact_hub.citizens.service import DESK
from contact_hub.city import City
from contact_hub.desk import talk_screen as screen
from contact_hub.desk.talk_lines import Line, Telling, pressed_titles
from contact_hub.desk.talk_room import Here
from contact_hub.desk.talk_words import CHANNELS, departments, resolutions
from contact_hub.staff.access import Action, allows
from contact_hub.staff.models import Staff
from contact_hub.timeline import reading
from contact_hub.timeline.reading import Event, Wanted

PAGE = 50
SHOWS: Mapping[str, tuple[str, Sequence[str]]] = {
    "": ("Everything", ()),
    "said": (
        "Messages",
        ("text", "photo", "voice", "document", "location", "contact", "button", "edit", "unsupported"),
    ),
    "notes": ("Notes", ("note",)),
    "flags": ("Flags and ratings", ("flag", "flag_dismissed", "rating")),
    "events": (
        "What happened",
        (
            *("handoff", "snooze", "snooze_ended", "report", "consent", "merge", "redaction", "delivery"),
            *("silence", "silence_ended", "opt_out", "opt_in", "reachable"),
        ),
    ),
}
SNOOZES = (("hour", "1 hour"), ("tomorrow", "Tomorrow, 9:00"), ("monday", "Monday, 9:00"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the history somebody wants to see, as the address says it."""

    channel: str = ""
    show: str = ""
    before: uuid.UUID | None = None
    at: uuid.UUID | None = None

    @classmethod
    def of(cls, request: Request) -> Asked:
        """What stands in the address; what cannot be read is left out."""
        query = request.query_params
        channel, show = query.get("channel", ""), query.get("show", "")
        return cls(
            channel if channel in CHANNELS else "",
            show if show in SHOWS else "",
            identity_of(query.get("before")),
            identity_of(query.get("at")),
        )

    @property
    def wanted(self) -> Wanted:
        """The same for the reading of the history."""
        channels = (self.channel, DESK) if self.channel else ()
        return Wanted(channels=channels, kinds=SHOWS[self.show][1])

    @property
    def past(self) -> bool:
        """Whether an earlier part is asked for."""
        return self.before is not None or self.at is not None

    @property
    def end(self) -> uuid.UUID | None:
        """Before which event the page ends; the one that was jumped to is its last."""
        return uuid.UUID(int=min(self.at.int + 1, 2**128 - 1)) if self.at is not None else self.before


@dataclass(frozen=True, slots=True)
class Frame:
    """What every part of the screen needs to know."""

    id: uuid.UUID
    name: str
    answers: bool
    open: bool
    mine: bool
    may_note: bool
    may_link: bool
    may_assign: bool
    may_pass: bool  # nobody else has it in hand, or the viewer may take it from them
    held_by: str  # a colleague who is answering
    reason: str
    channel: str
    show: str
    past: bool
    newest: uuid.UUID
    channels: list[tuple[str, str]]
    departments: list[tuple[str, str]]
    resolutions: list[tuple[str, str]]
    colleagues: Sequence[Staff] = ()
    evidence: Mapping[str, list[str]] = field(default_factory=dict)
    flag: str = ""  # the newest one that stands
    shows: Sequence[tuple[str, str]] = tuple((key, name) for key, (name, _) in SHOWS.items())
    snoozes: Sequence[tuple[str, str]] = SNOOZES

    @property
    def reason_part(self) -> str:
        """The reason to look, for an address that goes on."""
        return f"reason={quote(self.reason, safe='')}&" if self.reason else ""

    @property
    def reason_query(self) -> str:
        """The same for an address that ends with it."""
        return f"?reason={quote(self.reason, safe='')}" if self.reason else ""

    @property
    def query(self) -> str:
        """The filters and the reason, for an address that goes on."""
        kept = {"channel": self.channel, "show": self.show, "reason": self.reason}
        found = urlencode({name: value for name, value in kept.items() if value}, quote_via=quote)
        return f"{found}&" if found else ""

    @staticmethod
    def is_id(words: str) -> bool:
        """Whether some words are the id of an event."""
        return identity_of(words) is not None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A page of the history, oldest first, and the cursor of what lies before it."""

    lines: list[Line]
    older: uuid.UUID | None
    newest: uuid.UUID


def identity_of(words: str | None) -> uuid.UUID | None:
    """The id that some words are; None for all others."""
    try:
        return uuid.UUID(words) if words and len(words) == 36 else None
    except ValueError:
        return None


async def timeline(
    session: AsyncSession, city: City, here: Here, asked: Asked, limit: int = PAGE
) -> Timeline:
    """The events that are asked for, in words."""
    found = await reading.page(session, here.citizen.id, before=asked.end, limit=limit, wanted=asked.wanted)
    return Timeline(
        await lines(session, city, here, list(reversed(found.events))),
        found.older,
        found.events[0].id if found.events else reading.OLDEST,
    )


async def lines(session: AsyncSession, city: City, here: Here, events: Sequence[Event]) -> list[Line]:
    """Events in words, in their order."""
    telling = Telling(city, here.id, here.name, await pressed_titles(session, events))
    return [telling.line(event) for event in events]


async def frame(
    session: AsyncSession,
    city: City,
    here: Here,
    asked: Asked,
    newest: uuid.UUID,
    evidence: Mapping[str, list[str]],
    flag: str = "",
) -> Frame:
    """What the parts of the screen need to know."""
    places = await identity.addresses_of(session, here.citizen.id)
    channels = dict.fromkeys(place.channel for place in places if place.channel != DESK)
    assigns = here.answers and allows(here.viewer, Action.ASSIGN)
    ours = departments(city)
    held_by = "" if here.mine or here.conversation.state != "agent" else here.conversation.holder or ""
    return Frame(
        id=here.id,
        name=here.name,
        answers=here.answers and allows(here.viewer, Action.ANSWER),
        open=here.open,
        mine=here.mine,
        may_note=allows(here.viewer, Action.NOTE),
        may_link=allows(here.viewer, Action.LINK),
        may_assign=assigns,
        may_pass=assigns or not held_by,
        held_by=held_by,
        reason=here.viewer.reason or "",
        channel=asked.channel,
        show=asked.show,
        past=asked.past,
        newest=newest,
        channels=[(key, CHANNELS.get(key, key)) for key in channels],
        departments=[(key, name) for key, name in ours.items() if key != here.conversation.department],
        resolutions=list(resolutions(city).items()),
        colleagues=await screen.at_the_desk(session) if assigns else (),
        evidence=evidence,
        flag=flag,
    )
