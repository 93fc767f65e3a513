"""A browser at the desk, asked without a network in between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from contact_hub.staff import sessions
from contact_hub.staff.models import Role, Staff
from contact_hub.staff.service import make
from contact_hub.staff.sessions import Browser
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import Line

HTMX = {"HX-Request": "true"}


@dataclass
class Colleague:
    """Somebody who is signed in, and what they ask for."""

    staff: Staff
    web: httpx.AsyncClient
    head: dict[str, str]

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.web.get(path, headers={**self.head, "Accept": "text/html"}, **more)

    async def post(self, path: str, *, htmx: bool = False, **more: Any) -> httpx.Response:
        head = {**self.head, **(HTMX if htmx else {})}
        return await self.web.post(path, headers=head, **more)


async def colleague(
    line: Line, web: httpx.AsyncClient, name: str, *departments: str, role: Role = Role.AGENT
) -> Colleague:
    """An account that is signed in already."""
    async with line.database.begin() as session:
        person = await make(session, name, role, departments or ("contact_centre",))
        secret = await sessions.begin(session, person, Browser("10.0.0.1", "test"))
    return Colleague(person, web, {"Cookie": f"__Host-staff={secret}", "Origin": PUBLIC_URL})


def words_of(page: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
