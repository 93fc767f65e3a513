"""Search over all history, and the searches that people keep."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contact_hub.api.citizens import Words
from contact_hub.api.idempotency import CONFLICT, Key, once
from contact_hub.api.permission import MISSING, Permission
from contact_hub.api.timelines import Some
from contact_hub.citizens.models import ConversationState
from contact_hub.composition import Parts
from contact_hub.search import saved
from contact_hub.search.models import SavedSearch
from contact_hub.search.query import LONGEST, CannotSearch
from contact_hub.search.service import Found, Hit, Order, Person, noted, people, search
from contact_hub.search.walking import Filters
from contact_hub.staff.access import Action, Viewer

Typed = Annotated[
    Words,
    Query(
        min_length=1,
        max_length=LONGEST,
        description='Words, "phrases", -exclusions, beginnings*, phone and reference numbers, names.',
    ),
]
Several = Annotated[list[Words], Field(max_length=20)]


class PieceOut(BaseModel):
    """Some of a text; plain, never HTML."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    marked: bool


class HitOut(BaseModel):
    """A touchpoint that was found; `excerpt` is the text around what was looked for, in pieces."""

    touchpoint: uuid.UUID
    citizen: uuid.UUID
    conversation: uuid.UUID | None
    channel: str
    direction: str
    actor: str
    kind: str
    language: str | None
    recorded_at: datetime
    excerpt: list[PieceOut]


class PersonOut(BaseModel):
    """A citizen of that name, or behind that address."""

    citizen: uuid.UUID
    name: str | None
    channel: str | None
    address: str | None


class SearchOut(BaseModel):
    """What was found. A page may be short before the end: while `next` is not null, there may be more."""

    citizens: list[PersonOut]
    hits: list[HitOut]
    next: str | None


class FiltersOut(BaseModel):
    """What narrows a saved search, named as in a request."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    channel: Several = []
    kind: Several = []
    language: Several = []
    state: Annotated[list[ConversationState], Field(max_length=4)] = []
    since: AwareDatetime | None = Field(None, alias="from")
    until: AwareDatetime | None = Field(None, alias="to")


class SavedIn(BaseModel):
    """A search to keep; one of the same name is replaced."""

    name: Annotated[Words, Field(min_length=1, max_length=80)]
    q: Annotated[Words, Field(min_length=1, max_length=LONGEST)]
    filters: FiltersOut = FiltersOut()


class SavedOut(BaseModel):
    """A search that is kept."""

    id: uuid.UUID
    name: str
    q: str
    filters: FiltersOut
    created_at: datetime


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/search` and `/search/saved`."""
    may_search = permission.needs(Action.SEARCH)

    @routes.get("/search")
    async def find(
        q: Typed,
        viewer: Viewer = may_search,
        channel: Some = None,
        kind: Some = None,
        language: Some = None,
        state: Annotated[list[ConversationState] | None, Query(max_length=4)] = None,
        since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
        order: Order = Order.NEWEST,
        cursor: Annotated[Words | None, Query(max_length=90)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 20,
    ) -> SearchOut:
        """Everything ever said that this viewer may see, and citizens by name or address."""
        filters = Filters(channel or (), kind or (), language or (), state or (), since, until)
        try:
            async with parts.database.begin() as session:
                found = await search(
                    session, viewer, q, filters=filters, order=order, cursor=cursor, limit=limit
                )
                known = await people(session, viewer, q) if cursor is None else []
                await noted(session, viewer, found, known)
        except CannotSearch as error:
            raise HTTPException(422, str(error)) from None
        return shown(found, known)

    @routes.get("/search/saved")
    async def saved_searches(viewer: Viewer = may_search) -> list[SavedOut]:
        """The viewer's own searches, by name."""
        async with parts.database.begin() as session:
            return [_saved(kept) for kept in await saved.kept_by(session, _owner(viewer))]

    @routes.post("/search/saved", response_model=SavedOut, status_code=201, responses=CONFLICT)
    async def save(given: SavedIn, viewer: Viewer = may_search, key: Key = None) -> Response:
        """Keep a search under a name."""
        filters: dict[str, Any] = given.filters.model_dump(mode="json", by_alias=True, exclude_defaults=True)

        async def work() -> SavedOut:
            return _saved(await saved.save(session, _owner(viewer), given.name, given.q, filters))

        try:
            async with parts.database.begin() as session:
                return await once(session, viewer, key, "save a search", given, work, status=201)
        except CannotSearch as error:
            raise HTTPException(422, str(error)) from None

    @routes.delete("/search/saved/{saved_search}", status_code=204, responses=MISSING)
    async def forget(saved_search: uuid.UUID, viewer: Viewer = may_search) -> None:
        """Forget one of the viewer's own searches."""
        async with parts.database.begin() as session:
            gone = await saved.forget(session, _owner(viewer), saved_search)
        if not gone:
            raise HTTPException(404, "There is no such search of yours.")


def shown(found: Found, known: list[Person]) -> SearchOut:
    """What was found as others see it."""
    return SearchOut(
        citizens=[
            PersonOut(citizen=p.citizen_id, name=p.name, channel=p.channel, address=p.address) for p in known
        ],
        hits=[_hit(hit) for hit in found.hits],
        next=found.next,
    )


def _hit(hit: Hit) -> HitOut:
    touchpoint = hit.touchpoint
    return HitOut(
        touchpoint=touchpoint.id,
        citizen=hit.citizen_id,
        conversation=touchpoint.conversation_id,
        channel=hit.channel,
        direction=touchpoint.direction,
        actor=touchpoint.actor,
        kind=touchpoint.kind,
        language=touchpoint.language,
        recorded_at=touchpoint.recorded_at,
        excerpt=[PieceOut.model_validate(piece) for piece in hit.excerpt],
    )


def _saved(kept: SavedSearch) -> SavedOut:
    return SavedOut(
        id=kept.id,
        name=kept.name,
        q=kept.query,
        filters=FiltersOut.model_validate(kept.filters),
        created_at=kept.created_at,
    )


def _owner(viewer: Viewer) -> uuid.UUID:
    return viewer.id or uuid.UUID(int=0)
