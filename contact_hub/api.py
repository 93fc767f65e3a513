"""The API for the city's other systems: no data without a token that may read it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, StringConstraints
from sqlalchemy import select

from contact_hub.citizens.models import Address, Citizen
from contact_hub.composition import Parts
from contact_hub.handoff import service as handoff
from contact_hub.staff import service as staff
from contact_hub.staff.service import Scope
from contact_hub.timeline import service as timeline

# PostgreSQL keeps every character but NUL.
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

_bearer = HTTPBearer(auto_error=False, description="A token made by `civicline token create --scope ...`.")


class TouchpointOut(BaseModel):
    """One event of a citizen's history."""

    id: uuid.UUID
    channel: str
    direction: str
    actor: str
    kind: str
    text: str | None
    language: str | None
    payload: dict[str, Any]
    in_reply_to: uuid.UUID | None
    provider_time: datetime | None
    recorded_at: datetime


class TimelineOut(BaseModel):
    """A page of a history, newest first; `next` is the cursor of the page after it, null at the end."""

    citizen: uuid.UUID
    touchpoints: list[TouchpointOut]
    next: uuid.UUID | None


class WaitingOut(BaseModel):
    """A conversation that waits for a person or is held by one."""

    conversation: uuid.UUID
    citizen: uuid.UUID
    channel: str
    state: str
    holder: str | None
    reason: str | None
    priority: int
    language: str | None
    waiting_since: datetime | None


def router(parts: Parts) -> APIRouter:
    """Routes under /api/v1."""
    routes = APIRouter(prefix="/api/v1", tags=["integrations"])

    def needs(scope: Scope) -> Callable[..., Awaitable[None]]:
        async def check(
            credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        ) -> None:
            async with parts.database.begin() as session:
                granted = (
                    None if credentials is None else await staff.scopes_of(session, credentials.credentials)
                )
            if granted is None:
                raise HTTPException(
                    401, "This needs a token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"}
                )
            if scope not in granted:
                raise HTTPException(403, f"This token does not have the scope {scope}.")

        return check

    @routes.get(
        "/citizens/{citizen}/timeline",
        dependencies=[Depends(needs(Scope.TIMELINE_READ))],
        responses={401: {}, 403: {}, 404: {}},
    )
    async def citizen_timeline(
        citizen: uuid.UUID,
        before: uuid.UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        channel: Words | None = None,
        kind: Words | None = None,
    ) -> TimelineOut:
        """A citizen's whole history over all channels, newest first."""
        async with parts.database.begin() as session:
            if await session.get(Citizen, citizen) is None:
                raise HTTPException(404, "There is no such citizen.")
            page = await timeline.page(
                session, citizen, before=before, limit=limit, channel=channel, kind=kind
            )
        return TimelineOut(
            citizen=citizen, touchpoints=[out(t, name) for t, name in page.touchpoints], next=page.older
        )

    @routes.get(
        "/citizens",
        dependencies=[Depends(needs(Scope.TIMELINE_READ))],
        responses={401: {}, 403: {}, 404: {}},
    )
    async def find_citizen(channel: Words, address: Words) -> dict[str, uuid.UUID]:
        """The citizen behind an address, such as channel=sms and address=+35315550123."""
        async with parts.database.begin() as session:
            found = await session.scalar(
                select(Address.citizen_id).where(Address.channel == channel, Address.value == address)
            )
        if found is None:
            raise HTTPException(404, "Nobody ever wrote from this address.")
        return {"citizen": found}

    @routes.get(
        "/conversations/waiting",
        dependencies=[Depends(needs(Scope.QUEUE_READ))],
        responses={401: {}, 403: {}},
    )
    async def waiting() -> list[WaitingOut]:
        """Conversations that wait for a person or are held by one, the most urgent first."""
        async with parts.database.begin() as session:
            found = await handoff.waiting(session)
        return [
            WaitingOut(
                conversation=w.conversation_id,
                citizen=w.citizen_id,
                channel=w.channel,
                state=w.state,
                holder=w.holder,
                reason=w.reason,
                priority=w.priority,
                language=w.language,
                waiting_since=w.waiting_since,
            )
            for w in found
        ]

    return routes


def out(touchpoint: Any, channel: str) -> TouchpointOut:
    """A touchpoint as other systems see it; what a button means stays inside the hub."""
    payload = {key: value for key, value in touchpoint.payload.items() if key != "media"}
    if "buttons" in payload:
        payload["buttons"] = [{"id": b["id"], "title": b["title"]} for b in payload["buttons"]]
    return TouchpointOut(
        id=touchpoint.id,
        channel=channel,
        direction=touchpoint.direction,
        actor=touchpoint.actor,
        kind=touchpoint.kind,
        text=touchpoint.text,
        language=touchpoint.language,
        payload=payload,
        in_reply_to=touchpoint.in_reply_to,
        provider_time=touchpoint.provider_time,
        recorded_at=touchpoint.recorded_at,
    )
