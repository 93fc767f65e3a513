"""What stands around the field in which a reply is written: its cost, its language, what can be put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.gsm7 import economical, segments
from contact_hub.citizens.models import ConversationState
from contact_hub.database import now
from contact_hub.desk import talk_screen as screen
from contact_hub.desk.room import Room
from contact_hub.desk.talk_canned import Canned, Shelf, fill
from contact_hub.desk.talk_room import Here
from contact_hub.desk.talk_suggestions import Suggested
from contact_hub.desk.talk_words import CHANNELS, departments, language_name
from contact_hub.journey.by_hand import LONGEST_REPLY
from contact_hub.journey.neighbours import NeighbourDown
from contact_hub.reports import service as reports

LONG_SMS = 320  # characters: two joined messages in most languages; beyond, people stop reading
_TELLING = 20  # characters that are enough to hear a language from
_SURE = 0.7


@dataclass(frozen=True, slots=True)
class Cost:
    """What some words come to, in words; `much` where they should be looked at again."""

    words: str
    much: bool = False
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Composer:
    """The field and everything around it."""

    channel: str
    to: str
    language: str
    words: str
    cost: Cost
    canned: Sequence[Canned]
    suggested: Suggested | None
    colleagues: str
    most_files: int
    most_mb: int
    wrong: str = ""
    note: str = ""
    note_wrong: str = ""
    tab: str = "reply"
    longest: int = LONGEST_REPLY
    placeholder: str = ""


def cost_of(room: Room, here: Here, words: str) -> Cost:
    """Characters and, by SMS, the messages they are billed as."""
    words = words.strip()
    if here.address.channel != "sms":
        return Cost(f"{len(words)} of {LONGEST_REPLY} characters" if words else "")
    if not words:
        return Cost("0 characters, 0 text messages")
    adapter = room.writer.channels.get("sms")
    parts = [economical(words)] if adapter is None else adapter.split(words)
    counted = [segments(part) for part in parts]
    count = sum(one.count for one in counted)
    encoding = "UCS-2" if any(one.encoding == "UCS-2" for one in counted) else "GSM-7"
    told = f"{len(words)} characters in {encoding}, billed as {count} text message{'s' if count > 1 else ''}"
    if len(words) > LONG_SMS:
        return Cost(told, True, f"Longer than {LONG_SMS} characters: shorter is read sooner, and cheaper.")
    return Cost(told)


async def heard_language(room: Room, here: Here, words: str, cost: Cost) -> Cost:
    """The same with a warning where the words are not in the resident's language.

    Nothing is said while the brain is away: it is a hint, and sending works without it.
    """
    wanted = here.conversation.language or here.citizen.language
    if wanted is None or len(words.strip()) < _TELLING:
        return cost
    try:
        read = await room.neighbours.read(words, None)
    except NeighbourDown:
        return cost
    if read.language == wanted or read.confidence < _SURE:
        return cost
    ours, theirs = language_name(room.city, read.language), language_name(room.city, wanted)
    said = f"This reads like {ours}; the resident writes {theirs}."
    return replace(cost, warning=f"{cost.warning} {said}".strip())


def language_of(room: Room, here: Here) -> str:
    """In which language the resident is to be answered."""
    return room.city.speaks(here.conversation.language or here.citizen.language)


async def values_for(session: AsyncSession, room: Room, here: Here) -> dict[str, str]:
    """What canned replies are filled with."""
    city, language = room.city, language_of(room, here)
    known = await reports.of_citizen(session, here.citizen.id, limit=1)
    opens = city.next_opening(now())
    return {
        "name": here.citizen.name or "",
        "agent": here.viewer.name,
        "reference": known[0].reference if known else "",
        "department": departments(city).get(here.conversation.department or "", ""),
        "opens": city.moment(opens, language) if opens else "",
    }


async def composer_of(
    session: AsyncSession,
    room: Room,
    shelf: Shelf,
    here: Here,
    *,
    words: str | None = None,
    wrong: str = "",
    suggested: Suggested | None = None,
    tab: str = "",
    note: str = "",
    note_wrong: str = "",
) -> Composer:
    """The field with what was written in it; without `words` the draft that was kept."""
    city, language = room.city, language_of(room, here)
    values = await values_for(session, room, here)
    kept = await screen.draft_of(session, here) if words is None else words
    limits = city.settings.get("limits", {})
    name = language_name(city, language)
    return Composer(
        channel=CHANNELS.get(here.address.channel, here.address.channel),
        to=here.address.value if here.address.channel == "sms" else "",
        language=name,
        words=kept,
        cost=cost_of(room, here, kept),
        canned=[replace(one, text=fill(one.text, values)) for one in shelf.of(language)],
        suggested=suggested,
        colleagues="\n".join(
            person.name for person in await screen.at_the_desk(session) if person.id != here.viewer.id
        ),
        most_files=int(limits.get("uploads_per_message", 5)),
        most_mb=int(limits.get("upload_mb", 20)),
        wrong=wrong,
        note=note,
        note_wrong=note_wrong,
        tab=tab or ("reply" if here.mine or here.conversation.state != ConversationState.AGENT else "note"),
        placeholder=f"Write in {name}",
    )
