"""Where a copy of one's data is fetched: by a link, with a code that its own address gets.

Looking at the page changes nothing, because message apps look at links before people do. An unknown
link, a used one and an old one look alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from babel import Locale
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import HTMLResponse, StreamingResponse

from contact_hub.audit.service import record
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen
from contact_hub.city import City
from contact_hub.journey import saying
from contact_hub.journey.rights import ARCHIVE
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import HIDDEN, Reply
from contact_hub.operations.wakeups import Wakeups
from contact_hub.privacy import copies, export
from contact_hub.privacy.records import DataExport
from contact_hub.staff.access import Viewer
from contact_hub.web.languages import preferred
from contact_hub.web.templates import environment_of

_environment = environment_of(Path(__file__).parent / "templates")
_PIECE = 256 * 1024
_SECRET = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
_WORDS = ("intro", "send", "code", "open")


def router(writer: Writer, wakeups: Wakeups) -> APIRouter:
    """`/d/...` and the schema that copies follow."""
    routes = APIRouter(include_in_schema=False)
    city = writer.city

    @routes.get(export.SCHEMA_PATH)
    async def schema() -> Response:
        headers = {"Cache-Control": "public, max-age=86400", "Access-Control-Allow-Origin": "*"}
        return Response(export.schema(), media_type="application/schema+json", headers=headers)

    @routes.get("/d/{token}")
    async def look(request: Request, token: str) -> HTMLResponse:
        async with writer.database.begin() as session:
            found = await copies.linked(session, token)
            language = None if found is None else await _language(session, found, city)
        return _page(city, token, language or _asked(request, city), opens=found is not None)

    @routes.post("/d/{token}/code")
    async def send_code(request: Request, token: str) -> HTMLResponse:
        async with writer.database.begin() as session:
            found = await copies.linked(session, token, lock=True)
            if found is None:
                return _page(city, token, _asked(request, city), opens=False)
            language = await _language(session, found, city)
            code = await copies.new_code(session, found)
            if code is None:
                return _page(city, token, language, opens=False, status=429)
            address = await session.get_one(Address, found.address_id)
            conversation = await citizens.open_conversation(session, address, language, by_city=True)
            words, kept = (city.say("export_code", language, code=shown) for shown in (code, HIDDEN))
            await saying.say(
                session,
                writer,
                conversation,
                Reply(words, author="system", say="export_code", kept=kept),
                channel=address.channel,
                address=address.value,
                language=language,
                answers_resident=True,
            )
        wakeups.tell("out", f"feed:{address.value}")
        return _page(city, token, language, opens=True, notice="copy_page_sent")

    @routes.post("/d/{token}")
    async def fetch(request: Request, token: str, code: Annotated[str, Form()] = "") -> Response:
        async with writer.database.begin() as session:
            found = await copies.linked(session, token, lock=True)
            if found is None:
                return _page(city, token, _asked(request, city), opens=False)
            language = await _language(session, found, city)
            right = await copies.try_code(session, found, "".join(code.split())[:12])
        if not right:
            return _page(city, token, language, opens=True, notice="copy_page_wrong", status=403)
        archive = await fetched(writer, found)
        if archive is None:
            return _page(city, token, language, opens=False)
        return StreamingResponse(pieces(archive), media_type="application/zip", headers=download())

    return routes


async def fetched(writer: Writer, copy: DataExport) -> IO[bytes] | None:
    """The archive in a file that has no name and is gone once it is closed; None when somebody was faster.

    The copy is used up first: two requests at once do not both get it.
    """
    async with writer.database.begin() as session:
        if not await copies.take(session, copy.id):
            return None
        address = await session.get_one(Address, copy.address_id)
        viewer = Viewer("system", f"resident on {address.channel}")
        await record(session, viewer, "citizen.export", citizen_id=copy.citizen_id, subject=f"copy {copy.id}")
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the last piece has left
    try:
        await export.write(
            writer.database, copy.citizen_id, archive, city=writer.city, site_url=writer.site_url
        )
    except BaseException:
        archive.close()
        raise
    archive.seek(0)
    return archive


def pieces(archive: IO[bytes]) -> Iterator[bytes]:
    """A file piece by piece, closed at its end or when nobody reads on."""
    with archive:
        while piece := archive.read(_PIECE):
            yield piece


def download() -> dict[str, str]:
    """Headers of a file that is kept by whoever fetched it and by nobody on the way."""
    return {**_SECRET, "Content-Disposition": f'attachment; filename="{ARCHIVE}"'}


async def _language(session: AsyncSession, copy: DataExport, city: City) -> str:
    citizen = await session.get(Citizen, copy.citizen_id)
    return city.speaks(None if citizen is None else citizen.language)


def _asked(request: Request, city: City) -> str:
    return preferred(request.headers.get("accept-language", ""), city.languages, city.default_language)


def _page(
    city: City, token: str, language: str, *, opens: bool, notice: str | None = None, status: int = 200
) -> HTMLResponse:
    if not opens:
        notice, status = "copy_page_gone", status if status != 200 else 404
    made = _environment.get_template("my_data.html").render(
        language=language,
        direction=Locale.parse(language).text_direction,
        title=city.say("copy_title", language, city=city.name),
        notice=None if notice is None else city.say(notice, language),
        open=opens,
        token=token,
        words={name: city.say(f"copy_page_{name}", language) for name in _WORDS},
    )
    return HTMLResponse(made, status, _SECRET)
