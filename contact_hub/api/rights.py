"""A citizen's rights over their data, for records officers and the city's other systems."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from contact_hub.api.citizens import Words
from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.composition import Parts
from contact_hub.journey.my_data import download, pieces
from contact_hub.privacy import erasure, export, holds
from contact_hub.privacy.records import LegalHold
from contact_hub.privacy.schedule import schedule_of
from contact_hub.staff.access import Action, Viewer
from contact_hub.web.errors import Refusal

Reason = Annotated[Words, Field(min_length=3, max_length=500)]


class ErasureIn(BaseModel):
    """Why, and whether it is only asked what would go. The reason stays: it names nobody."""

    reason: Reason
    dry_run: bool = False


class LineOut(BaseModel):
    """What becomes of a class of records: how many are erased, or kept, and then under which rule."""

    records: str
    erased: int
    kept: int
    rule: str | None


class ErasureOut(BaseModel):
    """The answer class by class; `erasure` names the ledger's entry, null in a dry run."""

    erasure: uuid.UUID | None
    records: list[LineOut]


class HoldIn(BaseModel):
    """Which matter it is for, and its last day; without `until` it lasts until it is lifted."""

    reason: Reason
    until: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2200, 1, 1))] | None = None


class HoldOut(BaseModel):
    """A hold that lasts."""

    id: uuid.UUID
    citizen: uuid.UUID
    reason: str
    until: datetime | None
    placed_by: str
    placed_at: datetime


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens/{citizen}/export`, `/erasure` and `/holds`."""
    may_export = permission.needs(Action.EXPORT, of_citizen="citizen")
    may_erase = permission.needs(Action.ERASE, of_citizen="citizen")
    may_hold = permission.needs(Action.HOLD, of_citizen="citizen")

    @routes.get(
        "/citizens/{citizen}/export",
        response_class=StreamingResponse,
        responses={**MISSING, 200: {"content": {"application/zip": {}}, "description": "The ZIP"}},
    )
    async def citizen_export(citizen: uuid.UUID, viewer: Viewer = may_export) -> StreamingResponse:
        """Everything kept about a citizen in one ZIP: data with its schema, files, a readable page."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            await audit.record(session, viewer, "citizen.export", citizen_id=citizen)
        archive = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the last piece has left
        try:
            await export.write(
                parts.database, citizen, archive, city=parts.city, site_url=parts.settings.site_url
            )
        except BaseException:
            archive.close()
            raise
        archive.seek(0)
        return StreamingResponse(pieces(archive), media_type="application/zip", headers=download())

    @routes.post(
        "/citizens/{citizen}/erasure",
        responses={**MISSING, 409: {"model": Refusal, "description": "A legal hold keeps the record"}},
    )
    async def citizen_erasure(
        citizen: uuid.UUID, wanted: ErasureIn, viewer: Viewer = may_erase
    ) -> ErasureOut:
        """Remove a citizen with every address that is theirs, or say what that would do."""
        schedule = schedule_of(parts.city)
        try:
            async with parts.database.begin() as session:
                await permission.citizen(session, viewer, citizen)
                if wanted.dry_run:
                    answer = await erasure.preview(session, citizen, schedule)
                else:
                    answer = await erasure.erase(
                        session,
                        viewer,
                        citizen,
                        schedule=schedule,
                        folder=parts.settings.civicline_data,
                        reason=wanted.reason,
                    )
        except holds.Held:
            raise HTTPException(409, "A legal hold keeps this record: nothing was erased.") from None
        return ErasureOut(erasure=answer.entry, records=[LineOut(**line.as_dict()) for line in answer.lines])

    @routes.get("/citizens/{citizen}/holds", responses=MISSING)
    async def citizen_holds(citizen: uuid.UUID, viewer: Viewer = may_hold) -> list[HoldOut]:
        """The holds that keep a citizen's record."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            return _out(await holds.of_citizen(session, citizen))

    @routes.post("/citizens/{citizen}/holds", status_code=201, responses=MISSING)
    async def place_hold(citizen: uuid.UUID, wanted: HoldIn, viewer: Viewer = may_hold) -> HoldOut:
        """Keep everything of a citizen, whoever asks and however old it gets."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            last = wanted.until
            until = None if last is None else datetime.combine(last, time.max, parts.city.zone)
            return _out([await holds.add(session, viewer, citizen, wanted.reason, until)])[0]

    @routes.delete("/citizens/{citizen}/holds", responses=MISSING)
    async def lift_holds(citizen: uuid.UUID, viewer: Viewer = may_hold) -> dict[str, int]:
        """Lift every hold on a citizen."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            return {"lifted": await holds.lift(session, viewer, citizen)}


def _out(found: Sequence[LegalHold]) -> list[HoldOut]:
    return [
        HoldOut(
            id=hold.id,
            citizen=hold.citizen_id,
            reason=hold.reason,
            until=hold.until,
            placed_by=hold.placed_by,
            placed_at=hold.placed_at,
        )
        for hold in found
    ]
