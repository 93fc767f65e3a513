"""What happened, in words: each event of a history as the desk shows it.

Templates only lay out what stands here. Nothing in it is markup: whatever a resident, an article or
another system wrote stays a plain string until the template escapes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.widget.uploads import SHOWN
from contact_hub.city import City
from contact_hub.desk.talk_words import (
    ANSWERED,
    CHANNELS,
    DELIVERY,
    KINDS,
    REFUSED_KINDS,
    Happened,
    happened,
)
from contact_hub.journey.buttons import read_button_id
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import Event, File, Part

MESSAGES = ("text", "photo", "voice", "document", "location", "contact", "button", "edit", "unsupported")
_SAFE_SCHEMES = frozenset({"https", "http"})
_MAP = "https://www.openstreetmap.org/?mlat={0:.6f}&mlon={1:.6f}#map=17/{0:.6f}/{1:.6f}"
_WORST_FIRST = ("failed", "cancelled", "uncertain", "queued", "sending", "sent", "delivered", "read")


@dataclass(frozen=True, slots=True)
class Attached:
    """A file as the screen offers it."""

    id: uuid.UUID
    name: str
    size: str
    shown: bool  # drawn in place; everything else is downloaded


@dataclass(frozen=True, slots=True)
class Way:
    """How far a message got, in a word and in a sentence."""

    state: str
    words: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """What an answer rests on."""

    title: str
    article: str
    version: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One event as the screen shows it."""

    id: uuid.UUID
    look: str  # message, note, flag, happened: which macro draws it
    side: str  # citizen, city, inner
    who: str
    kind: str
    channel: str
    at: datetime
    clock: str
    day: str
    text: str | None
    language: str | None
    elsewhere: bool  # in another conversation than the one on the screen
    removed: bool
    happened: Happened | None
    place: str | None = None  # a link to a map
    buttons: tuple[str, ...] = ()
    sources: tuple[tuple[str, str | None], ...] = ()
    files: tuple[Attached, ...] = ()
    missing: tuple[str, ...] = ()  # files that their provider kept, or still keeps
    way: Way | None = None
    answer: str | None = None
    passages: tuple[Passage, ...] = ()
    helpful: bool | None = None
    changes: uuid.UUID | None = None  # another event that reads differently since this one

    @property
    def removable(self) -> bool:
        """Whether there are words or files that somebody may want gone."""
        return self.look in {"message", "note"} and not self.removed and bool(self.text or self.files)


@dataclass(frozen=True, slots=True)
class Telling:
    """Turns events into lines, for one screen."""

    city: City
    conversation: uuid.UUID
    citizen: str
    pressed: Mapping[uuid.UUID, str] = field(default_factory=dict)

    def line(self, event: Event) -> Line:
        """An event in words."""
        payload = event.payload
        look = self._look(event)
        local = event.recorded_at.astimezone(self.city.zone)
        return Line(
            id=event.id,
            look=look,
            side="inner" if event.direction == "inner" else "citizen" if event.direction == "in" else "city",
            who=self._who(event),
            kind=KINDS.get(event.kind, event.kind.replace("_", " ")),
            channel=CHANNELS.get(event.channel, event.channel),
            at=event.recorded_at,
            clock=local.strftime("%H:%M"),
            day=self.city.day(event.recorded_at, "en"),
            text=self._text(event),
            language=event.language,
            elsewhere=event.conversation_id not in {None, self.conversation},
            removed=bool(payload.get("redacted")),
            happened=happened(event, self.city) if look in {"flag", "happened"} else None,
            place=_place(event),
            buttons=tuple(
                str(button.get("title", ""))
                for button in _list(payload.get("buttons"))
                if button.get("title")
            ),
            sources=tuple(
                (str(source.get("title") or source.get("url") or ""), web_address(source.get("url")))
                for source in _list(payload.get("sources"))
            ),
            files=tuple(attached(file) for file in event.files),
            missing=_missing(event),
            way=way_of(event),
            answer=_answer(event),
            passages=tuple(
                Passage(
                    str(found.get("title") or found.get("article") or ""),
                    str(found.get("article") or ""),
                    found.get("version"),
                    found.get("score"),
                )
                for found in (event.answer.passages if event.answer else [])
            ),
            helpful=event.answer.helpful if event.answer else None,
            changes=event.in_reply_to if event.kind == "redaction" else None,
        )

    def _look(self, event: Event) -> str:
        if event.kind in {"note", "flag"}:
            return event.kind
        if event.direction == "inner" or event.kind in REFUSED_KINDS:
            return "happened"
        return "message"

    def _who(self, event: Event) -> str:
        named = event.payload.get("by") or event.payload.get("agent") or event.payload.get("holder")
        match event.actor:
            case "citizen":
                return self.citizen
            case "bot":
                return "Assistant"
            case "agent":
                return str(named) if isinstance(named, str) and named else "Colleague"
        return "Civicline"

    def _text(self, event: Event) -> str | None:
        if event.kind == "button" and not event.text:
            return self.pressed.get(event.id)
        return event.text


def attached(file: File) -> Attached:
    """A stored file in words."""
    return Attached(file.id, file.name, size_of(file.size), file.mime in SHOWN)


def size_of(number: int) -> str:
    """Bytes as people read them."""
    return f"{number / 1_000_000:.1f} MB" if number >= 1_000_000 else f"{max(1, round(number / 1000))} kB"


def way_of(event: Event) -> Way | None:
    """How far an outgoing message got, over its parts: the one that needs a look is what counts."""
    if event.direction != "out":
        return None
    if not event.deliveries:
        return Way("shown", "shown in their chat", True)
    latest: dict[int, Part] = {part.part: part for part in event.deliveries}
    worst = min(latest.values(), key=lambda part: _WORST_FIRST.index(part.state))
    words = DELIVERY.get(worst.state, worst.state)
    if len(latest) > 1:
        words = f"{words} (part {worst.part} of {worst.parts})"
    if worst.reason:
        words = f"{words}: {worst.reason}"
    if worst.possible_duplicate:
        words = f"{words}; it may have arrived twice"
    settled = worst.state in {"delivered", "read", "failed", "cancelled"}
    return Way(worst.state, words, settled)


def web_address(url: Any) -> str | None:
    """The address of a source where it is one that a link may lead to: never script or data."""
    if not isinstance(url, str):
        return None
    try:
        scheme = urlsplit(url.strip()).scheme.lower()
    except ValueError:
        return None
    return url.strip() if scheme in _SAFE_SCHEMES else None


async def pressed_titles(session: AsyncSession, events: Sequence[Event]) -> dict[uuid.UUID, str]:
    """What stood on the buttons that were pressed, by the press's id; their offers are read at once."""
    presses = {
        event.id: named
        for event in events
        if event.kind == "button" and (named := read_button_id(str(event.payload.get("button", ""))))
    }
    if not presses:
        return {}
    rows = await session.execute(
        select(Touchpoint.id, Touchpoint.payload).where(
            Touchpoint.id.in_({offer for offer, _ in presses.values()})
        )
    )
    offers = {identity: _list(payload.get("buttons")) for identity, payload in rows}
    titles = {}
    for press, (offer, number) in presses.items():
        buttons = offers.get(offer, [])
        if 1 <= number <= len(buttons):
            titles[press] = str(buttons[number - 1].get("title", ""))
    return titles


def _answer(event: Event) -> str | None:
    if event.answer is None or event.direction != "out":
        return None
    outcome = ANSWERED.get(event.answer.outcome, event.answer.outcome)
    version = event.answer.knowledge_version
    known = f", knowledge version {version}" if version else ""
    return f"{outcome}, {event.answer.probability:.0%} sure{known}"


def _place(event: Event) -> str | None:
    if event.kind != "location":
        return None
    try:
        return _MAP.format(float(event.payload["latitude"]), float(event.payload["longitude"]))
    except (KeyError, TypeError, ValueError):
        return None


def _missing(event: Event) -> tuple[str, ...]:
    """What was sent along and is not here."""
    sent = _list(event.payload.get("media"))
    return tuple(str(one.get("name") or one.get("kind") or "file") for one in sent[len(event.files) :])


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
