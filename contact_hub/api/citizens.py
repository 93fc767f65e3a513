"""Citizens and their histories."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints
from sqlalchemy import select

from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import visible
from contact_hub.citizens.service import DESK
from contact_hub.composition import Parts
from contact_hub.reports.models import Report
from contact_hub.staff.access import Action, Viewer

MOST_REPORTS = 100

# PostgreSQL keeps every character but NUL.
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class FoundOut(BaseModel):
    """Who writes from an address."""

    citizen: uuid.UUID


class AddressOut(BaseModel):
    """A place a citizen writes from."""

    channel: str
    value: str
    verified_at: datetime | None
    proof: str | None
    reachable: bool
    last_inbound_at: datetime | None


class OpenConversationOut(BaseModel):
    """A talk that goes on."""

    conversation: uuid.UUID
    channel: str
    state: str
    department: str | None


class ReportOut(BaseModel):
    """A problem the citizen reported."""

    reference: str
    category: str
    place: str
    state: str
    created_at: datetime


class CitizenOut(BaseModel):
    """Who a citizen is and what is going on with them; the history is the timeline's."""

    citizen: uuid.UUID
    name: str | None
    language: str | None
    created_at: datetime
    addresses: list[AddressOut]
    conversations: list[OpenConversationOut]
    reports: list[ReportOut]


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens`."""
    may_find = permission.needs(Action.FIND)
    of_one = permission.needs(Action.FIND, of_citizen="citizen")

    @routes.get("/citizens", responses=MISSING)
    async def find_citizen(channel: Words, address: Words, viewer: Viewer = may_find) -> FoundOut:
        """The citizen behind an address, such as channel=sms and address=+35315550123."""
        async with parts.database.begin() as session:
            found = await session.scalar(
                select(Address.citizen_id)
                .join(Citizen, Citizen.id == Address.citizen_id)
                .where(Address.channel == channel, Address.value == address, visible(viewer))
            )
            if found is None:
                return await permission.refuse(viewer, "an address")
            await audit.record(session, viewer, "citizen.found", citizen_id=found)
        return FoundOut(citizen=found)

    @routes.get("/citizens/{citizen}", responses=MISSING)
    async def citizen_record(
        citizen: uuid.UUID,
        viewer: Viewer = of_one,
    ) -> CitizenOut:
        """Who a citizen is: addresses, open conversations, reports."""
        async with parts.database.begin() as session:
            record = await permission.citizen(session, viewer, citizen)
            addresses = await session.scalars(
                select(Address)
                .where(Address.citizen_id == citizen, Address.channel != DESK)
                .order_by(Address.id)
            )
            talks = await session.execute(
                select(Conversation, Address.channel)
                .join(Address, Address.id == Conversation.address_id)
                .where(Address.citizen_id == citizen, Conversation.state != "closed")
                .order_by(Conversation.id)
            )
            reports = await session.scalars(
                select(Report)
                .join(Address, Address.id == Report.address_id)
                .where(Address.citizen_id == citizen)
                .order_by(Report.created_at.desc())
                .limit(MOST_REPORTS)
            )
            await audit.record(session, viewer, "citizen.read", citizen_id=citizen)
            return CitizenOut(
                citizen=record.id,
                name=record.name,
                language=record.language,
                created_at=record.created_at,
                addresses=[
                    AddressOut(
                        channel=a.channel,
                        value=a.value,
                        verified_at=a.verified_at,
                        proof=a.proof,
                        reachable=a.reachable,
                        last_inbound_at=a.last_inbound_at,
                    )
                    for a in addresses
                ],
                conversations=[
                    OpenConversationOut(
                        conversation=talk.id, channel=name, state=talk.state, department=talk.department
                    )
                    for talk, name in talks
                ],
                reports=[
                    ReportOut(
                        reference=r.reference,
                        category=r.category,
                        place=r.place,
                        state=r.state,
                        created_at=r.created_at,
                    )
                    for r in reports
                ],
            )
