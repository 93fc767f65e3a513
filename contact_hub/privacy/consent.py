"""The one place that knows whether data may be used for a purpose, and writes down who said so.

A decision belongs to the address where it was taken, so merging and undoing need no word here: a
citizen's terms are derived over the addresses that are theirs at that moment. A no at any of them
holds for all, unless the citizen themselves took it back later; a merge alone takes back nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, and_, any_, exists, literal, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contact_hub.audit import service as audit
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen
from contact_hub.city import City
from contact_hub.database import new_id, now
from contact_hub.privacy.models import Consent, ConsentText
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline


class Purpose(StrEnum):
    """What data may be used for."""

    SERVICE = "service"
    ALERTS = "alerts"
    IMPROVEMENT = "improvement"
    SURVEY = "survey"


# Answering whoever writes is the city's task and needs no consent; everything else needs a yes.
ASKED = (Purpose.ALERTS, Purpose.IMPROVEMENT, Purpose.SURVEY)


class Basis(StrEnum):
    """What makes a use lawful."""

    PUBLIC_TASK = "public task"
    CONSENT = "consent"


class Decision(StrEnum):
    """What was said about a purpose."""

    INFORMED = "informed"  # the notice was shown; nothing was asked
    ASKED = "asked"  # by us, and not answered so far
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


_NO = (Decision.REFUSED, Decision.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Term:
    """One decision as it stands in the record; `in_force` says whether it still counts."""

    purpose: Purpose
    decision: Decision
    basis: Basis
    version: str
    language: str
    text: str
    text_sha256: str
    channel: str
    address: str
    evidence: uuid.UUID
    by: str
    reason: str | None
    decided_at: datetime
    in_force: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a decision was taken: the address, its conversation, and the touchpoint that shows it."""

    address_id: uuid.UUID
    channel: str
    conversation_id: uuid.UUID | None = None
    touchpoint_id: uuid.UUID | None = None


# Asking ------------------------------------------------------------------------------------------


async def allowed(session: AsyncSession, citizen_id: uuid.UUID, purpose: Purpose) -> bool:
    """Whether this citizen's data may be used for a purpose now."""
    return bool(await session.scalar(select(permits(purpose, literal(citizen_id)))))


async def all_allowed(session: AsyncSession, citizen_id: uuid.UUID) -> frozenset[Purpose]:
    """Everything that this citizen's data may be used for now."""
    row = (
        await session.execute(select(*(permits(purpose, literal(citizen_id)) for purpose in Purpose)))
    ).one()
    return frozenset(purpose for purpose, may in zip(Purpose, row, strict=True) if may)


def permits(purpose: Purpose, citizen: ColumnElement[uuid.UUID] | None = None) -> ColumnElement[bool]:
    """The same as a condition on `Citizen.id` (or another column), for lists over many citizens."""
    if purpose is Purpose.SERVICE:
        return true()
    whose: ColumnElement[uuid.UUID] = Citizen.id.expression if citizen is None else citizen
    yes = _latest(purpose, whose, (Decision.GRANTED,))
    return and_(exists(yes), ~_refused(purpose, whose))


def _refused(purpose: Purpose, whose: ColumnElement[uuid.UUID]) -> ColumnElement[bool]:
    no = _latest(purpose, whose, _NO)
    grant, place = aliased(Consent), aliased(Address)
    taken_back = exists(
        select(grant.id)
        .join(place, place.id == grant.address_id)
        .where(place.citizen_id == whose, no.selected_columns.id == any_(grant.supersedes))
    )
    return exists(no.where(~taken_back))


def _latest(
    purpose: Purpose, whose: ColumnElement[uuid.UUID], decisions: tuple[Decision, ...]
) -> Select[uuid.UUID]:
    """The last words at each of a citizen's addresses, where they were one of these decisions."""
    said, later, place = aliased(Consent), aliased(Consent), aliased(Address)
    followed = exists().where(
        later.address_id == said.address_id, later.purpose == said.purpose, later.id > said.id
    )
    return (
        select(said.id)
        .join(place, place.id == said.address_id)
        .where(place.citizen_id == whose, said.purpose == purpose, said.decision.in_(decisions), ~followed)
    )


async def decided(session: AsyncSession, citizen_id: uuid.UUID, purpose: Purpose) -> bool:
    """Whether a citizen ever answered for this purpose, or was asked once and for all."""
    return bool(
        await session.scalar(
            select(
                exists()
                .where(Consent.address_id == Address.id, Address.citizen_id == citizen_id)
                .where(Consent.purpose == purpose)
            )
        )
    )


def informed(version: str) -> ColumnElement[bool]:
    """Whether the `Citizen` of a query has been shown this version of the notice."""
    place = aliased(Address)
    return exists(
        select(Consent.id)
        .join(place, place.id == Consent.address_id)
        .where(
            place.citizen_id == Citizen.id,
            Consent.purpose == Purpose.SERVICE,
            Consent.version == version,
        )
    )


async def terms_of(session: AsyncSession, citizen_id: uuid.UUID) -> list[Term]:
    """Every decision of a citizen, oldest first, with the words it was about: the terms of an export."""
    rows = await session.execute(
        select(Consent, ConsentText, Address.value)
        .join(Address, Address.id == Consent.address_id)
        .join(ConsentText, ConsentText.sha256 == Consent.text_sha256)
        .where(Address.citizen_id == citizen_id)
        .order_by(Consent.id)
    )
    found = [(row[0], row[1], row[2]) for row in rows]
    last = {(said.address_id, said.purpose): said.id for said, _, _ in found}
    taken_back = {no for said, _, _ in found for no in said.supersedes}
    standing = [
        said
        for said, _, _ in found
        if said.id == last[said.address_id, said.purpose] and said.id not in taken_back
    ]
    refused = {said.purpose for said in standing if said.decision in _NO}
    return [
        Term(
            purpose=Purpose(said.purpose),
            decision=Decision(said.decision),
            basis=Basis(said.basis),
            version=said.version,
            language=words.language,
            text=words.text,
            text_sha256=said.text_sha256,
            channel=said.channel,
            address=value,
            evidence=said.touchpoint_id,
            by=said.by,
            reason=said.reason,
            decided_at=said.decided_at,
            in_force=said in standing
            and said.decision != Decision.ASKED
            and (said.decision != Decision.GRANTED or said.purpose not in refused),
        )
        for said, words, value in found
    ]


# Deciding ----------------------------------------------------------------------------------------


async def grant(
    session: AsyncSession,
    city: City,
    origin: Origin,
    purpose: Purpose,
    *,
    language: str,
    by: str = "citizen",
    reason: str | None = None,
    at: datetime | None = None,
) -> None:
    """Write down a yes. It takes back the noes that stand at the citizen's addresses at this moment."""
    if purpose is Purpose.SERVICE:
        raise ValueError("answering rests on the city's task; there is nothing to agree to")
    # A no that is being written at this very moment at another address is not among them, and holds.
    citizen_id = await session.scalar(select(Address.citizen_id).where(Address.id == origin.address_id))
    standing = await session.scalars(_latest(purpose, literal(citizen_id), _NO))
    await _decide(session, city, origin, purpose, Decision.GRANTED, language, by, reason, list(standing), at)


async def withdraw(
    session: AsyncSession,
    city: City,
    origin: Origin,
    purpose: Purpose,
    *,
    language: str,
    by: str = "citizen",
    reason: str | None = None,
    decision: Decision = Decision.WITHDRAWN,
) -> None:
    """Write down a no, which holds from this transaction on for all of the citizen's addresses."""
    if purpose is Purpose.SERVICE:
        raise ValueError("answering rests on the city's task; erasing the record is what ends it")
    await _decide(session, city, origin, purpose, decision, language, by, reason, [])


async def inform(
    session: AsyncSession,
    origin: Origin,
    text: str,
    version: str,
    language: str,
    *,
    at: datetime | None = None,
) -> None:
    """Write down that the privacy notice was shown, in exactly these words."""
    await _write(
        session,
        origin,
        Purpose.SERVICE,
        Decision.INFORMED,
        Basis.PUBLIC_TASK,
        text=text,
        version=version,
        language=language,
        by="system",
        at=at,
    )


async def note_asked(
    session: AsyncSession, city: City, origin: Origin, purpose: Purpose, *, language: str
) -> None:
    """Write down that a resident was asked for a purpose, for a question that is put once in a life."""
    await _decide(session, city, origin, purpose, Decision.ASKED, language, "system", None, [])


async def by_staff(
    session: AsyncSession,
    city: City,
    citizen_id: uuid.UUID,
    purpose: Purpose,
    decision: Decision,
    viewer: Viewer,
    reason: str,
) -> None:
    """Write down what a citizen told a member of staff, who answers for it with name and reason."""
    if not reason.strip():
        raise ValueError("A decision that staff write down needs a reason: how the citizen said so.")
    origin = Origin(await citizens.desk_address(session, citizen_id), citizens.DESK)
    citizen = await session.get_one(Citizen, citizen_id)
    decide = grant if decision is Decision.GRANTED else withdraw
    await decide(
        session, city, origin, purpose, language=city.speaks(citizen.language), by=viewer.name, reason=reason
    )
    await audit.record(
        session, viewer, f"consent.{decision}", citizen_id=citizen_id, purpose=purpose, reason=reason
    )


async def _decide(
    session: AsyncSession,
    city: City,
    origin: Origin,
    purpose: Purpose,
    decision: Decision,
    language: str,
    by: str,
    reason: str | None,
    supersedes: list[uuid.UUID],
    at: datetime | None = None,
) -> None:
    spoken = city.speaks(language)
    await _write(
        session,
        origin,
        purpose,
        decision,
        Basis.CONSENT,
        text=city.say(f"consent_{purpose}_terms", spoken, city=city.name),
        version=city.terms_version(purpose),
        language=spoken,
        by=by,
        reason=reason,
        supersedes=supersedes,
        at=at,
    )


async def _write(
    session: AsyncSession,
    origin: Origin,
    purpose: Purpose,
    decision: Decision,
    basis: Basis,
    *,
    text: str,
    version: str,
    language: str,
    by: str,
    reason: str | None = None,
    supersedes: list[uuid.UUID] | None = None,
    at: datetime | None = None,
) -> None:
    digest = hashlib.sha256(f"{purpose}\0{version}\0{language}\0{text}".encode()).hexdigest()
    await session.execute(
        insert(ConsentText)
        .values(
            sha256=digest,
            purpose=purpose,
            version=version,
            language=language,
            text=text,
            first_used_at=now(),
        )
        .on_conflict_do_nothing()
    )
    consent_id = new_id(at)
    told = await timeline.record(
        session,
        address_id=origin.address_id,
        conversation_id=origin.conversation_id,
        direction="inner",
        actor="citizen" if by == "citizen" else "system" if by == "system" else "agent",
        kind="consent",
        payload={
            "consent": str(consent_id),
            "purpose": purpose,
            "decision": decision,
            "basis": basis,
            "version": version,
            "text_sha256": digest,
            **({"by": by, "reason": reason} if reason else {}),
        },
        in_reply_to=origin.touchpoint_id,
        at=at,
    )
    await session.execute(
        insert(Consent).values(
            id=consent_id,
            address_id=origin.address_id,
            purpose=purpose,
            decision=decision,
            basis=basis,
            version=version,
            text_sha256=digest,
            channel=origin.channel,
            touchpoint_id=origin.touchpoint_id or told,
            by=by,
            reason=reason,
            supersedes=supersedes or [],
            decided_at=at or now(),
        )
    )
