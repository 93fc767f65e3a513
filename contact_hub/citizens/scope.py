"""Whose record a viewer may see: every query on citizens' data carries this condition."""

from __future__ import annotations

import uuid

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.sealed import SealedReader, SealedRecord
from contact_hub.staff.access import UNASSIGNED, Viewer
from contact_hub.staff.models import Role


def visible(viewer: Viewer) -> ColumnElement[bool]:
    """A condition on `Citizen.id`: the citizens this viewer may see, whatever they do with them.

    - agents: with an open conversation in their departments; everybody else only with a reason;
    - supervisors: with any conversation in their departments, open or closed; else with a reason;
    - records officers and tokens: everybody;
    - managers and admins: nobody;
    - a sealed record: only the people named on it, whatever their role and reason.
    """
    if viewer.kind == "system":
        return true()
    return and_(_by_role(viewer), not_(_sealed_to(viewer)))


def unsealed(viewer: Viewer) -> ColumnElement[bool]:
    """A condition on `Citizen.id`: no seal shuts this viewer out. It says nothing about their role."""
    return true() if viewer.kind == "system" else not_(_sealed_to(viewer))


def _by_role(viewer: Viewer) -> ColumnElement[bool]:
    if viewer.kind == "token" or viewer.role is Role.RECORDS:
        return true()
    if viewer.role is Role.AGENT:
        return true() if viewer.reason else _talks_with(viewer, open_only=True)
    if viewer.role is Role.SUPERVISOR:
        return true() if viewer.reason else _talks_with(viewer, open_only=False)
    return false()


def _talks_with(viewer: Viewer, *, open_only: bool) -> ColumnElement[bool]:
    """Whether the citizen has a conversation in one of the viewer's departments."""
    talks = (
        select(Conversation.id)
        .join(Address, Address.id == Conversation.address_id)
        .where(
            Address.citizen_id == Citizen.id,
            func.coalesce(Conversation.department, UNASSIGNED).in_(sorted(viewer.departments)),
        )
        .correlate(Citizen)
    )
    return exists(talks.where(Conversation.state != "closed") if open_only else talks)


def _sealed_to(viewer: Viewer) -> ColumnElement[bool]:
    """Whether some seal on the citizen does not name the viewer. A merged record may carry several."""
    named = exists().where(
        SealedReader.sealed_record_id == SealedRecord.id, SealedReader.staff_id == viewer.id
    )
    seal = exists().where(SealedRecord.citizen_id == Citizen.id)
    if viewer.kind == "staff":
        seal = seal.where(not_(named.correlate(SealedRecord)))
    return seal.correlate(Citizen)


async def find(session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID) -> Citizen | None:
    """The citizen with this id, where the viewer may see them."""
    found: Citizen | None = await session.scalar(
        select(Citizen).where(Citizen.id == citizen_id, visible(viewer))
    )
    return found


def theirs(viewer: Viewer) -> ColumnElement[bool]:
    """A condition on `Conversation`: the talks this viewer answers. A reason to look is none to answer."""
    if viewer.kind != "staff":
        return true()
    if viewer.role not in {Role.AGENT, Role.SUPERVISOR}:
        return false()
    return func.coalesce(Conversation.department, UNASSIGNED).in_(sorted(viewer.departments))
