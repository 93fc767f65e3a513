"""Webhooks over the API: a system that may receive events sets up its own, and the events' schemas."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, Field

from contact_hub.api.citizens import Words
from contact_hub.api.idempotency import CONFLICT, Key, once
from contact_hub.api.permission import Permission
from contact_hub.composition import Parts
from contact_hub.events.kinds import Kind, schema_name, schema_of
from contact_hub.sealing import Unsealable
from contact_hub.staff.access import Action, Viewer, allows
from contact_hub.web.errors import Refusal
from contact_hub.webhooks import service
from contact_hub.webhooks.reach import NotAllowed, NotReached

# What a webhook can ask for: every kind of event but the test's.
Told = Literal["touchpoint", "flag", "handoff", "rating", "report", "merge", "consent", "erasure"]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class WebhookIn(BaseModel):
    """A system's wish to be told."""

    url: Annotated[Words, Field(min_length=1, max_length=service.LONGEST_URL)]
    events: Annotated[list[Told], Field(min_length=1, max_length=20)]
    with_text: bool = Field(default=False, description="residents' words as well; needs timeline:read too")


class WebhookMade(BaseModel):
    """A new webhook. The secret is shown this once."""

    webhook: uuid.UUID
    secret: str = Field(description="for checking signatures as Standard Webhooks does")


class NewSecret(BaseModel):
    """A webhook's new secret, shown this once; the former one signs as well for a day."""

    secret: str


class WebhookOut(BaseModel):
    """A webhook and how it fares."""

    webhook: uuid.UUID
    url: str
    events: list[str]
    with_text: bool
    state: str = Field(description="on, or gone when its receiver answered 410")
    waiting: int = Field(description="events it has not received yet")
    dead: int = Field(description="events that were given up")
    failures: int = Field(description="one after another")
    last_error: str | None
    last_success_at: datetime | None
    next_try_at: datetime | None
    created_at: datetime


class Cursor(BaseModel):
    """From where on: an event's id, or a moment."""

    event: uuid.UUID | None = None
    since: AwareDatetime | None = None


class Replayed(BaseModel):
    """How many events are on their way again."""

    events: int


class Tried(BaseModel):
    """How a test event was answered."""

    status: int | None
    error: str | None


NONE: dict[int | str, dict[str, object]] = {
    404: {"model": Refusal, "description": "There is no such webhook"}
}


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/webhooks`."""
    _keeping(routes, parts, permission)
    _sending(routes, parts, permission)


def _keeping(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    may = permission.needs(Action.EVENTS)

    @routes.get("/webhooks")
    async def webhooks(viewer: Viewer = may) -> list[WebhookOut]:
        """Every webhook and how it fares, oldest first."""
        async with parts.database.begin() as session:
            found = await service.standing(session)
        return [
            WebhookOut(
                webhook=one.id,
                url=one.url,
                events=one.events,
                with_text=one.with_text,
                state=one.state,
                waiting=one.waiting,
                dead=one.dead,
                failures=one.failures,
                last_error=one.last_error,
                last_success_at=one.last_success_at,
                next_try_at=one.next_try_at,
                created_at=one.created_at,
            )
            for one in found
        ]

    @routes.post("/webhooks", status_code=201, response_model=WebhookMade, responses=CONFLICT)
    async def make(wish: WebhookIn, viewer: Viewer = may, key: Key = None) -> Response:
        """Be told what happens from now on."""
        if wish.with_text and not allows(viewer, Action.READ):
            raise HTTPException(403, "Residents' words are only for who may read their records.")
        try:
            await parts.telling.reach.check(wish.url)
        except (NotAllowed, NotReached) as error:
            raise HTTPException(422, f"This address cannot be told: {error}") from None

        async def work() -> WebhookMade:
            identity, secret = await service.add(
                session,
                wish.url,
                [Kind(kind) for kind in wish.events],
                with_text=wish.with_text,
                viewer=viewer,
            )
            return WebhookMade(webhook=identity, secret=secret)

        async with parts.database.begin() as session:
            return await once(session, viewer, key, "add webhook", wish, work, status=201)

    @routes.delete("/webhooks/{webhook}", status_code=204, responses=NONE)
    async def remove(webhook: uuid.UUID, viewer: Viewer = may) -> None:
        """Be told no more."""
        async with parts.database.begin() as session:
            try:
                await service.remove(session, webhook, viewer=viewer)
            except service.NoSuchWebhook as error:
                raise HTTPException(404, str(error)) from None

    @routes.post("/webhooks/{webhook}/secret", response_model=NewSecret, responses=NONE | CONFLICT)
    async def secret(webhook: uuid.UUID, viewer: Viewer = may, key: Key = None) -> Response:
        """Replace the secret; for a day every event is signed with both."""

        async def work() -> NewSecret:
            return NewSecret(secret=await service.new_secret(session, webhook, viewer=viewer))

        async with parts.database.begin() as session:
            try:
                return await once(session, viewer, key, f"secret {webhook}", None, work)
            except service.NoSuchWebhook as error:
                raise HTTPException(404, str(error)) from None


def _sending(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    may = permission.needs(Action.EVENTS)

    @routes.post("/webhooks/{webhook}/replay", response_model=Replayed, responses=NONE | CONFLICT)
    async def replay(webhook: uuid.UUID, cursor: Cursor, viewer: Viewer = may, key: Key = None) -> Response:
        """Be told again, in order, whatever is kept from an event or a moment on, or all of it.

        Events keep their ids, so a receiver knows those it has.
        """
        since = cursor.event or service.cursor_at(cursor.since or EARLIEST)

        async def work() -> Replayed:
            return Replayed(events=await service.replay(session, webhook, since))

        async with parts.database.begin() as session:
            try:
                return await once(session, viewer, key, f"replay {webhook}", cursor, work)
            except service.NoSuchWebhook as error:
                raise HTTPException(404, str(error)) from None

    @routes.post("/webhooks/{webhook}/test", responses=NONE)
    async def test(webhook: uuid.UUID, viewer: Viewer = may) -> Tried:
        """Send a test event now, and tell how it was answered."""
        try:
            answer = await parts.telling.try_out(webhook)
        except service.NoSuchWebhook as error:
            raise HTTPException(404, str(error)) from None
        except (NotAllowed, NotReached, Unsealable) as error:
            return Tried(status=None, error=str(error))
        return Tried(status=answer.status, error=None)


def schemas(site_url: str) -> APIRouter:
    """`/schemas/events/<kind>.v1.json`: what each event's data looks like, for everybody to read."""
    routes = APIRouter(tags=["integrations"])
    names = {schema_name(kind): kind for kind in Kind}

    @routes.get(
        "/schemas/events/{name}",
        responses={404: {"model": Refusal, "description": "There is no such schema"}},
    )
    async def schema(name: str) -> JSONResponse:
        """The JSON schema of an event's data, such as touchpoint.v1.json."""
        kind = names.get(name)
        if kind is None:
            raise HTTPException(404, "There is no such schema.")
        found = schema_of(kind, f"{site_url}/schemas/events/{name}")
        return JSONResponse(found, media_type="application/schema+json")

    return routes
