"""The page on which an invited member of staff chooses a password."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from contact_hub.database import Database
from contact_hub.staff import service

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def router(database: Database) -> APIRouter:
    """`/staff/welcome`."""
    routes = APIRouter(prefix="/staff", include_in_schema=False)

    def page(request: Request, status: int = 200, **words: object) -> HTMLResponse:
        found = {
            "code": "",
            "name": "",
            "made": "",
            "wrong": "",
            "shortest": service.SHORTEST_PASSWORD,
            **words,
        }
        return _templates.TemplateResponse(request, "welcome.html", found, status_code=status)

    @routes.get("/welcome")
    async def welcome(request: Request, code: str = "") -> HTMLResponse:
        return page(request, code=code)

    @routes.post("/welcome")
    async def accept(
        request: Request,
        code: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> HTMLResponse:
        try:
            async with database.begin() as session:
                made = await service.accept_invitation(session, code, name, password)
        except service.Refused as refused:
            return page(request, 422, code=code, name=name, wrong=str(refused))
        return page(request, made=made.name)

    return routes
