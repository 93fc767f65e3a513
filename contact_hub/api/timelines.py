"""Histories, page by page, with what belongs to each of their events."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, StringConstraints

from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.composition import Parts
from contact_hub.staff.access import Action, Viewer
from contact_hub.timeline import reading
from contact_hub.timeline.models import Direction
from contact_hub.timeline.reading import Event

# PostgreSQL keeps every character but NUL.
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Some = Annotated[list[Words] | None, Query(max_length=20)]


class FileOut(BaseModel):
    """An attachment; its bytes are not shown here."""

    id: uuid.UUID
    name: str
    mime: str
    size: int


class DeliveryOut(BaseModel):
    """How far a part of a message got."""

    part: int
    parts: int
    state: str
    code: str | None
    reason: str | None
    tries: int
    possible_duplicate: bool
    first_tried_at: datetime | None
    settled_at: datetime | None


class PassageOut(BaseModel):
    """A piece of an article version that an answer rests on."""

    article: str | None = None
    version: int | None = None
    language: str | None = None
    title: str | None = None
    score: float | None = None


class AnswerOut(BaseModel):
    """What the bot answered from, and how sure it was (`probability`, 0 to 1)."""

    id: uuid.UUID
    outcome: str
    probability: float
    knowledge_version: int | None
    passages: list[PassageOut]
    helpful: bool | None


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
    files: list[FileOut]
    deliveries: list[DeliveryOut]
    answer: AnswerOut | None


class TimelineOut(BaseModel):
    """A page of a history, newest first; `next` is the cursor of the page after it, null at the end."""

    citizen: uuid.UUID
    touchpoints: list[TouchpointOut]
    next: uuid.UUID | None


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens/{citizen}/timeline`."""
    may_read = permission.needs(Action.READ, of_citizen="citizen")

    @routes.get("/citizens/{citizen}/timeline", responses=MISSING)
    async def citizen_timeline(
        citizen: uuid.UUID,
        viewer: Viewer = may_read,
        before: uuid.UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        channel: Some = None,
        kind: Some = None,
        direction: Annotated[list[Direction] | None, Query(max_length=3)] = None,
        since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    ) -> TimelineOut:
        """A citizen's whole history over all channels, newest first; filters may be given several times."""
        wanted = reading.Wanted(channel or (), kind or (), direction or (), since, until)
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            page = await reading.page(session, citizen, before=before, limit=limit, wanted=wanted)
            shown = len(page.events)
            await audit.record(session, viewer, "timeline.read", citizen_id=citizen, shown=shown)
        return TimelineOut(
            citizen=citizen, touchpoints=[out(event) for event in page.events], next=page.older
        )


def out(event: Event) -> TouchpointOut:
    """An event as others see it."""
    return TouchpointOut.model_validate(replace(event, payload=_shown(event.payload)), from_attributes=True)


def _shown(payload: dict[str, Any]) -> dict[str, Any]:
    """A payload without where files lie at the provider, and without what a button means in the hub."""
    shown = {key: value for key, value in payload.items() if key != "media"}
    if "buttons" in shown:
        shown["buttons"] = [{"id": b["id"], "title": b["title"]} for b in shown["buttons"]]
    return shown
