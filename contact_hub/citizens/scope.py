"""Whose record a viewer may see: every query on citizens' data carries this condition."""

from __future__ import annotations

import uuid

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import DANGER, Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.sealed import SealedReader, SealedRecord
from contact_hub.staff.access import UNASSIGNED, Viewer
from contact_hub.staff.models import Role


def visible(viewer: Viewer) -> ColumnElement[bool]:
    """A condition on `Citizen.id`: the citizens this viewer may see, whatever they do with them.

    - agents: with an open conversation that is theirs to answer; everybody else only with a reason;
    - supervisors: the same, and with any closed conversation of their departments; else with a reason;
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
    """Whether the citizen has a conversation that the viewer answers."""
    talks = (
        select(Conversation.id)
        .join(Address, Address.id == Conversation.address_id)
        .where(Address.citizen_id == Citizen.id, _answered_by(viewer))
        .correlate(Citizen)
    )
    return exists(talks.where(Conversation.state != ConversationState.CLOSED) if open_only else talks)


def _answered_by(viewer: Viewer) -> ColumnElement[bool]:
    """Those of the viewer's departments, and danger as long as it lasts: that is everybody's."""
    return or_(
        func.coalesce(Conversation.department, UNASSIGNED).in_(sorted(viewer.departments)),
        and_(Conversation.priority >= DANGER, Conversation.state != ConversationState.CLOSED),
    )


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
    return _answered_by(viewer)
