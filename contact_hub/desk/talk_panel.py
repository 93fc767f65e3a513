"""What stands beside a conversation: who the resident is, what is open, what was agreed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import identity
from contact_hub.citizens.models import Address, Conversation
from contact_hub.citizens.sealed import SealedRecord
from contact_hub.citizens.service import DESK, silent_among
from contact_hub.city import City
from contact_hub.desk.talk_room import Here
from contact_hub.desk.talk_words import (
    CHANNELS,
    DECISIONS,
    LEVELS,
    LIKENESS,
    PROOFS,
    PURPOSES,
    REPORT_STATES,
    STATES,
    language_name,
    resolutions,
)
from contact_hub.flags.models import Flag
from contact_hub.handoff.models import Ticket
from contact_hub.identity import merging, suggestions
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Purpose
from contact_hub.reports import service as reports
from contact_hub.staff.access import Action, allows

EARLIER = 10  # of a kind that are shown


@dataclass(frozen=True, slots=True)
class Place:
    """An address as the panel shows it."""

    channel: str
    value: str
    proof: str
    notes: tuple[str, ...]
    here: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A report."""

    reference: str
    category: str
    place: str
    state: str
    since: str


@dataclass(frozen=True, slots=True)
class Raised:
    """A flag with what says so."""

    id: uuid.UUID
    level: str
    percent: int
    at: str
    signals: tuple[tuple[str, str, str], ...]  # words, what it adds, the touchpoint that shows it
    dismissed: str | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What stands about one purpose."""

    purpose: str
    words: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Talk:
    """Another conversation with the same resident."""

    id: uuid.UUID
    channel: str
    state: str
    opened: str
    resolution: str | None


@dataclass(frozen=True, slots=True)
class Likely:
    """Somebody who may be the same person."""

    id: uuid.UUID
    other: uuid.UUID
    why: str


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge that can be undone."""

    id: uuid.UUID
    words: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What the side shows."""

    places: list[Place]
    reports: list[Known]
    flags: list[Raised]
    terms: list[Agreed]
    earlier: list[Talk]
    likely: list[Likely]
    merges: list[Merged]
    tickets: list[tuple[str, str]]
    sealed: str | None
    since: str
    language: str
    evidence: dict[str, list[str]] = field(default_factory=dict)  # touchpoint -> what it is evidence of

    @property
    def flag(self) -> str:
        """The newest flag that stands, in a word; of danger the reason tells as long as it lasts."""
        standing = next(
            (flag for flag in self.flags if not flag.dismissed and flag.level != LEVELS["danger"]), None
        )
        return "" if standing is None else f"{standing.level}, {standing.percent} %"


async def panel_of(session: AsyncSession, here: Here, city: City) -> Panel:
    """Everything the side shows of a citizen, for whoever may see them."""
    citizen = here.citizen.id
    flags = await _flags(session, here, city)
    evidence: dict[str, list[str]] = {}
    for flag in flags:
        for words, _, touchpoint in () if flag.dismissed else flag.signals:
            evidence.setdefault(touchpoint, []).append(words)
    return Panel(
        places=await _places(session, here, city),
        reports=[
            Known(
                report.reference,
                city.category(report.category, "en"),
                report.place,
                REPORT_STATES.get(report.state, report.state),
                city.day(report.created_at, "en"),
            )
            for report in await reports.of_citizen(session, citizen)
        ],
        flags=flags,
        terms=await _terms(session, citizen, city),
        earlier=await _earlier(session, here, city),
        likely=await _likely(session, here) if allows(here.viewer, Action.LINK) else [],
        merges=await _merges(session, here, city) if allows(here.viewer, Action.LINK) else [],
        tickets=await _tickets(session, here),
        sealed=await session.scalar(
            select(SealedRecord.reason).where(SealedRecord.citizen_id == citizen).limit(1)
        ),
        since=city.day(here.citizen.created_at, "en"),
        language=language_name(city, here.citizen.language),
        evidence=evidence,
    )


async def _places(session: AsyncSession, here: Here, city: City) -> list[Place]:
    found = []
    places = await identity.addresses_of(session, here.citizen.id)
    silent = await silent_among(session, places)
    for address in places:
        if address.channel == DESK:
            continue
        notes = []
        if address.retired_at is not None:
            notes.append("given up: the number may be somebody else's now")
        if not address.reachable:
            notes.append(f"cannot be reached: {address.unreachable_reason or 'no reason given'}")
        if address.id in silent:
            notes.append("asked for silence")
        proof = PROOFS.get(address.proof or "", "not proved")
        if address.verified_at is not None:
            proof = f"{proof}, {city.day(address.verified_at, 'en')}"
        found.append(
            Place(
                CHANNELS.get(address.channel, address.channel),
                address.value if address.channel in {"sms", "telegram"} else "in a browser",
                proof,
                tuple(notes),
                address.id == here.address.id,
            )
        )
    return found


async def _flags(session: AsyncSession, here: Here, city: City) -> list[Raised]:
    rows = await session.scalars(
        select(Flag)
        .join(Address, Address.id == Flag.address_id)
        .where(Address.citizen_id == here.citizen.id)
        .order_by(Flag.raised_at.desc())
        .limit(EARLIER)
    )
    return [
        Raised(
            id=flag.id,
            level=LEVELS.get(flag.level, flag.level),
            percent=round(flag.score * 100),
            at=city.moment(flag.raised_at, "en"),
            signals=tuple(
                (
                    str(one.get("words", "")),
                    f"+{float(one.get('weight') or 0):.2f}",
                    str(one.get("evidence", "")),
                )
                for one in flag.signals
            ),
            dismissed=None
            if flag.dismissed_at is None
            else f"Taken away by {flag.dismissed_by}: {flag.dismissed_why}",
        )
        for flag in rows
    ]


async def _terms(session: AsyncSession, citizen: uuid.UUID, city: City) -> list[Agreed]:
    last = {term.purpose: term for term in await consent.terms_of(session, citizen)}
    allowed = await consent.all_allowed(session, citizen)
    found = []
    for purpose in Purpose:
        term = last.get(purpose)
        if term is None and not (purpose is Purpose.SERVICE or city.asks_for(purpose)):
            continue
        words = "never asked" if term is None else DECISIONS.get(term.decision, term.decision)
        if term is not None:
            words = f"{words}, {city.day(term.decided_at, 'en')}"
        found.append(Agreed(PURPOSES.get(purpose, purpose), words, purpose in allowed))
    return found


async def _earlier(session: AsyncSession, here: Here, city: City) -> list[Talk]:
    rows = await session.execute(
        select(Conversation, Address.channel)
        .join(Address, Address.id == Conversation.address_id)
        .where(Address.citizen_id == here.citizen.id, Conversation.id != here.id)
        .order_by(Conversation.opened_at.desc())
        .limit(EARLIER)
    )
    return [
        Talk(
            talk.id,
            CHANNELS.get(channel, channel),
            STATES.get(talk.state, talk.state),
            city.day(talk.opened_at, "en"),
            resolutions(city).get(talk.resolution or "", talk.resolution),
        )
        for talk, channel in rows
    ]


async def _likely(session: AsyncSession, here: Here) -> list[Likely]:
    within = await identity.within(session, here.citizen.id)
    likely = {
        one: one.second_id if one.first_id in within else one.first_id
        for one in await suggestions.open_ones(session, here.citizen.id, viewer=here.viewer, limit=EARLIER)
    }
    by_now = await identity.current_of(session, likely.values())
    return [
        Likely(one.id, by_now[other], LIKENESS.get(one.likeness, one.likeness.replace("_", " ")))
        for one, other in likely.items()
        if other in by_now
    ]


async def _merges(session: AsyncSession, here: Here, city: City) -> list[Merged]:
    return [
        Merged(
            entry.id,
            f"Merged {city.day(entry.made_at, 'en')} by {entry.made_by}"
            + (f": {entry.reason}" if entry.reason else f", {PROOFS.get(entry.method, entry.method)}"),
        )
        for entry in await merging.history(session, here.citizen.id)
        if entry.undone_at is None
    ]


async def _tickets(session: AsyncSession, here: Here) -> list[tuple[str, str]]:
    rows = await session.execute(
        select(Ticket.reference, Ticket.reason)
        .where(Ticket.conversation_id == here.id, Ticket.closed_at.is_(None))
        .order_by(Ticket.created_at)
        .limit(EARLIER)
    )
    return [(reference, why) for reference, why in rows]
