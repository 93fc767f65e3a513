"""Likeness that proves nothing: written down for agents, who compare the two and decide."""

from __future__ import annotations

import re
import uuid

from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import identity
from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.scope import visible
from contact_hub.citizens.service import DESK, find_address
from contact_hub.database import new_id, now
from contact_hub.identity.models import Likeness, Suggestion
from contact_hub.staff.access import SYSTEM, Viewer

COMMON_NAME = 5  # a name that so many have says nothing
_DIGITS = re.compile(r"(?:\d[\s().-]*){7}")  # shorter ones are no numbers that somebody could be reached at
_MOST_NUMBERS = 3  # looked up in one message


async def note(
    session: AsyncSession,
    one: uuid.UUID,
    other: uuid.UUID,
    likeness: Likeness,
    touchpoint_id: uuid.UUID | None = None,
) -> None:
    """Suggest that two citizens may be one; what was suggested before, or dismissed, stays as it is."""
    if one == other:
        return
    first, second = sorted((one, other))
    await session.execute(
        insert(Suggestion)
        .values(
            id=new_id(),
            first_id=first,
            second_id=second,
            likeness=likeness,
            touchpoint_id=touchpoint_id,
            made_at=now(),
        )
        .on_conflict_do_nothing()
    )


def may_hold_number(words: str) -> bool:
    """Whether a look for phone numbers is worth its while."""
    return _DIGITS.search(words) is not None


async def from_words(
    session: AsyncSession, citizen_id: uuid.UUID, words: str, region: str | None, touchpoint_id: uuid.UUID
) -> None:
    """Suggest whoever writes by SMS from a number that somebody typed."""
    found = PhoneNumberMatcher(words[:1000], region, leniency=Leniency.VALID, max_tries=20)
    for match in list(found)[:_MOST_NUMBERS]:
        await from_number(
            session, citizen_id, format_number(match.number, PhoneNumberFormat.E164), touchpoint_id
        )


async def from_number(
    session: AsyncSession, citizen_id: uuid.UUID, number: str, touchpoint_id: uuid.UUID
) -> None:
    """Suggest whoever writes by SMS from a number in E.164."""
    address = await find_address(session, "sms", number)
    if address is not None:
        await note(session, citizen_id, address.citizen_id, Likeness.SAME_NUMBER, touchpoint_id)


async def from_name(
    session: AsyncSession, citizen_id: uuid.UUID, name: str, touchpoint_id: uuid.UUID
) -> None:
    """Keep the name that a citizen's account bears, where none is known, and suggest their namesakes."""
    new = await session.execute(
        update(Citizen)
        .where(Citizen.id == citizen_id, Citizen.name.is_(None))
        .values(name=name[:200])
        .returning(Citizen.id)
        .execution_options(synchronize_session=False)
    )
    if new.first() is None or len(name.split()) < 2:  # a first name alone is everybody's
        return
    namesakes = (
        await session.scalars(
            select(Citizen.id)
            .where(func.lower(Citizen.name) == func.lower(name[:200]), Citizen.id != citizen_id)
            .limit(COMMON_NAME)
        )
    ).all()
    if len(namesakes) < COMMON_NAME:
        for other in namesakes:
            await note(session, citizen_id, other, Likeness.SAME_NAME, touchpoint_id)


async def open_ones(
    session: AsyncSession, citizen_id: uuid.UUID | None = None, *, viewer: Viewer = SYSTEM, limit: int = 100
) -> list[Suggestion]:
    """Suggestions that nobody has dismissed and no merge has settled, the newest first.

    Both citizens are such as the viewer may see.
    """
    query = select(Suggestion).where(Suggestion.dismissed_at.is_(None))
    if citizen_id is not None:
        ids = await identity.within(session, citizen_id)
        query = query.where(or_(Suggestion.first_id.in_(ids), Suggestion.second_id.in_(ids)))
    rows = list(await session.scalars(query.order_by(Suggestion.made_at.desc()).limit(limit)))
    owners = await _owners(session, {c for row in rows for c in (row.first_id, row.second_id)}, viewer)
    pairs = [(row, owners.get(row.first_id), owners.get(row.second_id)) for row in rows]
    return [row for row, one, other in pairs if one is not None and other is not None and one != other]


async def dismiss(session: AsyncSession, suggestion_id: uuid.UUID, by: Viewer) -> bool:
    """Say that two citizens are not one; False for a suggestion that is not there or was dismissed."""
    done = await session.execute(
        update(Suggestion)
        .where(Suggestion.id == suggestion_id, Suggestion.dismissed_at.is_(None))
        .values(dismissed_at=now(), dismissed_by=by.name)
        .returning(Suggestion.id)
    )
    return done.first() is not None


async def _owners(session: AsyncSession, ids: set[uuid.UUID], viewer: Viewer) -> dict[uuid.UUID, uuid.UUID]:
    """Who these citizens are by now, as far as the viewer may see them."""
    rows = await session.execute(
        select(Address.value, Address.citizen_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(Address.channel == DESK, Address.value.in_([str(one) for one in ids]), visible(viewer))
    )
    return {uuid.UUID(value): citizen for value, citizen in rows}
