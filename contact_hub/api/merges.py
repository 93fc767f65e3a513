"""Which citizens are one person: looking, merging, undoing, and likenesses that prove nothing."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.api.citizens import AddressOut, Words
from contact_hub.api.idempotency import CONFLICT, Key, once
from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.citizens import identity
from contact_hub.citizens.models import Address
from contact_hub.citizens.service import DESK
from contact_hub.composition import Parts
from contact_hub.identity import merging, suggestions
from contact_hub.identity.merging import CannotMerge, Side
from contact_hub.identity.models import Merge, Suggestion
from contact_hub.staff.access import Action, Viewer

Reason = Annotated[Words, Field(min_length=5, max_length=merging.LONGEST_REASON)]


class MergeIn(BaseModel):
    """Whom to merge into the citizen of the path, and why."""

    other: uuid.UUID
    reason: Reason


class UndoIn(BaseModel):
    """Why a merge is undone."""

    reason: Reason


class MergeOut(BaseModel):
    """An entry of the ledger."""

    merge: uuid.UUID
    survivor: uuid.UUID
    absorbed: uuid.UUID
    method: str
    made_by: str
    reason: str | None
    made_at: datetime
    undone_at: datetime | None
    undone_by: str | None
    undo_reason: str | None


class SideOut(BaseModel):
    """One of two citizens that may become one."""

    citizen: uuid.UUID
    since: datetime
    name: str | None
    language: str | None
    addresses: list[AddressOut]
    touchpoints: dict[str, int]
    open_conversations: int


class PreviewOut(BaseModel):
    """What a merge would do; nothing has been done."""

    survivor: SideOut
    absorbed: SideOut
    moves: list[AddressOut]
    warnings: list[str]


class SuggestionOut(BaseModel):
    """Two citizens that may be one. Never a proof."""

    suggestion: uuid.UUID
    citizens: tuple[uuid.UUID, uuid.UUID]
    likeness: str
    made_at: datetime


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens/{citizen}/merges`, `/merges` and `/suggestions`."""
    _looking(routes, parts, permission)
    _changing(routes, parts, permission)
    _dismissing(routes, parts, permission)


def _looking(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    of_one = permission.needs(Action.LINK, of_citizen="citizen")

    @routes.get("/citizens/{citizen}/merges", responses=MISSING)
    async def merges(citizen: uuid.UUID, viewer: Viewer = of_one) -> list[MergeOut]:
        """Every merge and undoing that made a citizen who they are, the oldest first."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            await audit.record(session, viewer, "merges.read", citizen_id=citizen)
            return [_merge(entry) for entry in await merging.history(session, citizen)]

    @routes.get("/citizens/{citizen}/merges/preview", responses=MISSING | CONFLICT)
    async def preview(citizen: uuid.UUID, other: uuid.UUID, viewer: Viewer = of_one) -> PreviewOut:
        """What would happen if the other were merged into this citizen."""
        async with parts.database.begin() as session:
            await _both(session, permission, viewer, citizen, other)
            try:
                found = await merging.preview(session, citizen, other)
            except CannotMerge as error:
                raise HTTPException(409, str(error)) from None
            for one in (citizen, other):
                await audit.record(session, viewer, "merge.previewed", citizen_id=one)
        return PreviewOut(
            survivor=_side(found.survivor),
            absorbed=_side(found.absorbed),
            moves=[_address(address) for address in found.moves],
            warnings=found.warnings,
        )

    @routes.get("/citizens/{citizen}/suggestions", responses=MISSING)
    async def likenesses(citizen: uuid.UUID, viewer: Viewer = of_one) -> list[SuggestionOut]:
        """Who else a citizen may be; nobody the viewer may not see is among them."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            found = await suggestions.open_ones(session, citizen, viewer=viewer)
            await audit.record(session, viewer, "suggestions.read", citizen_id=citizen)
        return [_suggestion(one) for one in found]


def _changing(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    of_one = permission.needs(Action.LINK, of_citizen="citizen")
    of_merge = permission.needs(Action.LINK, of_citizen="merge")

    @routes.post(
        "/citizens/{citizen}/merges", status_code=201, response_model=MergeOut, responses=MISSING | CONFLICT
    )
    async def merge(citizen: uuid.UUID, asked: MergeIn, viewer: Viewer = of_one, key: Key = None) -> Response:
        """Merge another citizen into this one. It can be undone at any time, without loss."""

        async def work() -> MergeOut:
            return _merge(await merging.merge(session, citizen, asked.other, by=viewer, reason=asked.reason))

        async with parts.database.begin() as session:
            await _both(session, permission, viewer, citizen, asked.other)
            try:
                return await once(session, viewer, key, f"merge {citizen}", asked, work, status=201)
            except CannotMerge as error:
                raise HTTPException(409, str(error)) from None

    @routes.post("/merges/{merge}/undo", response_model=MergeOut, responses=MISSING | CONFLICT)
    async def undo(merge: uuid.UUID, asked: UndoIn, viewer: Viewer = of_merge, key: Key = None) -> Response:
        """Part what a merge joined, whatever has happened since."""

        async def work() -> MergeOut:
            return _merge(await merging.undo(session, merge, by=viewer, reason=asked.reason))

        async with parts.database.begin() as session:
            entry = await session.get(Merge, merge)
            if entry is None:
                return await permission.refuse(viewer, str(merge))
            for one in (entry.survivor_id, entry.absorbed_id):
                now_is = await identity.current(session, one)
                await permission.citizen(session, viewer, now_is or one)
            try:
                return await once(session, viewer, key, f"undo {merge}", asked, work)
            except CannotMerge as error:
                raise HTTPException(409, str(error)) from None


def _dismissing(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    of_suggestion = permission.needs(Action.LINK, of_citizen="suggestion")

    @routes.post(
        "/suggestions/{suggestion}/dismiss", response_model=SuggestionOut, responses=MISSING | CONFLICT
    )
    async def dismiss(suggestion: uuid.UUID, viewer: Viewer = of_suggestion, key: Key = None) -> Response:
        """Say that the two are not one; the same likeness is not suggested again."""

        async def work() -> SuggestionOut:
            await suggestions.dismiss(session, suggestion, viewer)
            return _suggestion(found)

        async with parts.database.begin() as session:
            known = await session.get(Suggestion, suggestion)
            if known is None:
                return await permission.refuse(viewer, str(suggestion))
            found = known
            for one in (found.first_id, found.second_id):
                now_is = await identity.current(session, one)
                await permission.citizen(session, viewer, now_is or one)
            await audit.record(session, viewer, "suggestion.dismissed", subject=str(suggestion))
            return await once(session, viewer, key, f"dismiss {suggestion}", None, work)


async def _both(
    session: AsyncSession, permission: Permission, viewer: Viewer, first: uuid.UUID, second: uuid.UUID
) -> None:
    for citizen in (first, second):
        await permission.citizen(session, viewer, citizen)


def _merge(entry: Merge) -> MergeOut:
    return MergeOut(
        merge=entry.id,
        survivor=entry.survivor_id,
        absorbed=entry.absorbed_id,
        method=entry.method,
        made_by=entry.made_by,
        reason=entry.reason,
        made_at=entry.made_at,
        undone_at=entry.undone_at,
        undone_by=entry.undone_by,
        undo_reason=entry.undo_reason,
    )


def _side(side: Side) -> SideOut:
    return SideOut(
        citizen=side.citizen,
        since=side.since,
        name=side.name,
        language=side.language,
        addresses=[_address(address) for address in side.addresses if address.channel != DESK],
        touchpoints=side.touchpoints,
        open_conversations=side.open_conversations,
    )


def _address(address: Address) -> AddressOut:
    return AddressOut(
        channel=address.channel,
        value=address.value,
        verified_at=address.verified_at,
        proof=address.proof,
        reachable=address.reachable,
        last_inbound_at=address.last_inbound_at,
    )


def _suggestion(found: Suggestion) -> SuggestionOut:
    return SuggestionOut(
        suggestion=found.id,
        citizens=(found.first_id, found.second_id),
        likeness=found.likeness,
        made_at=found.made_at,
    )
