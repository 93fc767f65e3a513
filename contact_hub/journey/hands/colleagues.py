"""Other people at the desk, where a conversation concerns them: who may have it, whom @Name means."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import theirs, visible
from contact_hub.city import City
from contact_hub.journey.hands.grip import CannotDo, Grip
from contact_hub.staff.access import UNASSIGNED, Action, Viewer, allows
from contact_hub.staff.models import Role, Staff


def viewer_of(staff: Staff, city: City) -> Viewer:
    """A member of staff as they would be if they looked themselves."""
    departments = frozenset(str(key) for key in staff.departments)
    if city.front_department in departments:
        departments |= {UNASSIGNED}
    return Viewer("staff", staff.name, staff.id, Role(staff.role), departments)


async def colleague(session: AsyncSession, city: City, grip: Grip, staff_id: uuid.UUID) -> Staff:
    """Somebody who may be given this conversation; raises CannotDo with the reason why not."""
    person = await session.get(Staff, staff_id)
    if person is None or person.disabled_at is not None:
        raise CannotDo("There is nobody with this account any more.")
    if not await answers(session, city, grip.conversation, person):
        raise CannotDo(f"{person.name} does not answer this department's conversations.")
    return person


async def answers(session: AsyncSession, city: City, talk: Conversation, person: Staff) -> bool:
    """Whether somebody may answer this conversation."""
    viewer = viewer_of(person, city)
    if not allows(viewer, Action.ANSWER):
        return False
    found = await session.scalar(
        select(Conversation.id)
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(Conversation.id == talk.id, theirs(viewer), visible(viewer))
    )
    return found is not None


async def at_the_desk(session: AsyncSession) -> Sequence[Staff]:
    """Everybody who answers residents, by name."""
    query = select(Staff).where(Staff.disabled_at.is_(None), Staff.role.in_((Role.AGENT, Role.SUPERVISOR)))
    return (await session.scalars(query.order_by(Staff.name))).all()


def mentioned(words: str, people: Sequence[Staff]) -> list[Staff]:
    """Who is named with an @ in a note; the longest name counts, so that @Ana Maria is not @Ana."""
    found: dict[uuid.UUID, Staff] = {}
    by_length = sorted(people, key=lambda person: len(person.name), reverse=True)
    for at in re.finditer(r"(?<!\w)@", words):
        rest = words[at.end() :].casefold()
        for person in by_length:
            name = person.name.casefold()
            if rest.startswith(name) and not rest[len(name) : len(name) + 1].isalnum():
                found[person.id] = person
                break
    return list(found.values())
