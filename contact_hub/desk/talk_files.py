"""Files that residents and colleagues sent, for whoever may see their history; and files to send."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Media, Upload
from channels.base.widget.uploads import download_headers
from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.scope import visible
from contact_hub.desk.room import Room
from contact_hub.desk.talk_room import refuse, seat_at
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import StoredFile


def add(routes: APIRouter, room: Room) -> None:
    """`/desk/files/{file}`."""

    @routes.get("/files/{file}")
    async def attachment(request: Request, file: uuid.UUID) -> Response:
        """A file's bytes, in a sandbox of their own: never a page of ours, whatever is in them."""
        seat = await seat_at(room, request, file)
        async with room.database.begin() as session:
            citizen = await _whose(session, seat.viewer, file)
            found = None if citizen is None else await timeline.read_file(session, file)
            if found is None:
                return await refuse(room, seat.viewer, file)
            await audit.record(session, seat.viewer, "file.read", citizen_id=citizen, subject=str(file))
        kept, data = found
        headers = download_headers(Media(name=kept.name, mime=kept.mime, data=data))
        return Response(data, media_type=kept.mime, headers={**headers, "Cache-Control": "no-store"})


async def _whose(session: AsyncSession, viewer: Viewer, file: uuid.UUID) -> uuid.UUID | None:
    """The citizen a file is of, where this person may see them."""
    return await session.scalar(
        select(Citizen.id)
        .join(Address, Address.citizen_id == Citizen.id)
        .join(StoredFile, StoredFile.address_id == Address.id)
        .where(StoredFile.id == file, visible(viewer))
    )


async def given(files: Sequence[UploadFile] | None) -> list[Upload]:
    """The files of a form; a field that was left empty sends one without a name."""
    return [
        Upload(name=file.filename, mime=file.content_type or "", data=await file.read())
        for file in files or ()
        if file.filename
    ]
