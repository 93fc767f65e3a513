"""For admins: who works here, and the tokens of the city's other systems."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import Response

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.staff import service, tokens
from contact_hub.staff.access import Action, Scope, Viewer
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go, needs, page, sign_in_first
from contact_hub.staff.models import Role, Staff
from contact_hub.staff.sessions import SignedIn

ROLES = {
    Role.AGENT: "answers residents at the desk",
    Role.SUPERVISOR: "the same, assigns, reviews flags, sees figures, writes articles",
    Role.MANAGER: "figures, reviews, articles, the bot's switch; no resident's record",
    Role.RECORDS: "exports, erasures, holds, seals, the audit",
    Role.ADMIN: "staff accounts and tokens; no resident's record",
}
DONE = {
    "changed": "The change is saved.",
    "disable": "The account is disabled and signed out everywhere.",
    "enable": "The account is open again.",
    "revoked": "The token is revoked.",
}


def add(routes: APIRouter, database: Database, guard: Guard, city: City, *, site_url: str) -> None:
    """`/staff/people` and `/staff/tokens`."""
    _people(routes, database, guard, city, site_url)
    _accounts(routes, database, guard, city, site_url)
    _tokens(routes, database, guard, city)


async def _admin(guard: Guard, request: Request, action: Action) -> SignedIn:
    me = await guard.signed_in(request)
    if me is None:
        raise sign_in_first(request.url.path if request.method == "GET" else "/staff")
    needs(guard, me, action)
    return me


def _departments(city: City) -> dict[str, str]:
    return {str(item["key"]): str(item["name"]) for item in city.settings["departments"]}


async def _everybody(
    database: Database, city: City, me: SignedIn, *, wrong: str = "", done: str = "", status: int = 200
) -> Response:
    async with database.begin() as session:
        people = await service.everybody(session)
    names = _departments(city)
    return page(
        "people.html",
        status=status,
        me=me,
        wrong=wrong,
        done=done,
        roles=ROLES.items(),
        departments=names.items(),
        languages=[(code, city.say(f"language_{code}", "en")) for code in city.languages],
        people=[
            {
                "id": person.id,
                "name": person.name,
                "role": person.role,
                "departments": person.departments,
                "where": ["all departments"]
                if names.keys() <= set(person.departments)
                else [names.get(key, key) for key in person.departments],
                "languages": person.languages,
                "disabled": person.disabled_at is not None,
                "totp": person.totp_since is not None,
            }
            for person in people
        ],
    )


def _fitting(city: City, role: str, departments: list[str], languages: list[str]) -> Role:
    if role not in {*Role}:
        raise service.Refused("There is no such role.")
    if unknown := [key for key in departments if key not in _departments(city)]:
        raise service.Refused(f"There is no department {unknown[0]}.")
    if unknown := [code for code in languages if code not in city.languages]:
        raise service.Refused(f"The city does not speak {unknown[0]}.")
    return Role(role)


def _people(routes: APIRouter, database: Database, guard: Guard, city: City, site_url: str) -> None:
    @routes.get("/people")
    async def people_page(request: Request, done: str = "") -> Response:
        return await _everybody(
            database, city, await _admin(guard, request, Action.STAFF), done=DONE.get(done, "")
        )

    @routes.post("/people")
    async def invite(
        request: Request,
        name: Annotated[str, Form()] = "",
        role: Annotated[str, Form()] = "",
        departments: Annotated[list[str] | None, Form()] = None,
        languages: Annotated[list[str] | None, Form()] = None,
    ) -> Response:
        me = await _admin(guard, request, Action.STAFF)
        try:
            wanted = _fitting(city, role, departments or [], languages or [])
            async with database.begin() as session:
                link = await service.add_staff(
                    session,
                    service.proper_name(name),
                    wanted,
                    site_url,
                    departments=departments or [],
                    languages=languages or [],
                    viewer=guard.viewer_of(me),
                )
        except service.Refused as refused:
            return await _everybody(database, city, me, wrong=str(refused), status=422)
        about = f"Give this link to {name}. It serves once, within {service.INVITATION_HOURS} hours."
        return page("link.html", me=me, heading="Invitation", about=about, once=link, back="/staff/people")


def _accounts(routes: APIRouter, database: Database, guard: Guard, city: City, site_url: str) -> None:
    @routes.post("/people/{which}/change")
    async def change(
        request: Request,
        which: uuid.UUID,
        role: Annotated[str, Form()] = "",
        departments: Annotated[list[str] | None, Form()] = None,
        languages: Annotated[list[str] | None, Form()] = None,
    ) -> Response:
        me = await _admin(guard, request, Action.STAFF)
        try:
            wanted = _fitting(city, role, departments or [], languages or [])
            async with database.begin() as session:
                person = _there(await service.locked(session, which))
                await service.change(
                    session,
                    person,
                    role=wanted,
                    departments=departments or [],
                    languages=languages or [],
                    viewer=guard.viewer_of(me),
                )
        except service.Refused as refused:
            return await _everybody(database, city, me, wrong=str(refused), status=422)
        return go("/staff/people?done=changed")

    @routes.post("/people/{which}/reset")
    async def reset(request: Request, which: uuid.UUID) -> Response:
        me = await _admin(guard, request, Action.STAFF)
        async with database.begin() as session:
            person = _there(await service.locked(session, which))
            link = await service.reset(session, person, site_url, viewer=guard.viewer_of(me))
        about = f"{person.name} is signed out and chooses a new password on this link."
        return page("link.html", me=me, heading="New password", about=about, once=link, back="/staff/people")

    @routes.post("/people/{which}/disable")
    async def disable(request: Request, which: uuid.UUID) -> Response:
        return await turned(request, which, off=True)

    @routes.post("/people/{which}/enable")
    async def enable(request: Request, which: uuid.UUID) -> Response:
        return await turned(request, which, off=False)

    async def turned(request: Request, which: uuid.UUID, *, off: bool) -> Response:
        me = await _admin(guard, request, Action.STAFF)
        turn = service.disable if off else service.enable
        try:
            async with database.begin() as session:
                await turn(session, _there(await service.locked(session, which)), viewer=guard.viewer_of(me))
        except service.Refused as refused:
            return await _everybody(database, city, me, wrong=str(refused), status=422)
        return go(f"/staff/people?done={'disable' if off else 'enable'}")


def _tokens(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    async def all_of_them(me: SignedIn, *, wrong: str = "", done: str = "", status: int = 200) -> Response:
        async with database.begin() as session:
            found = await tokens.tokens(session)
        return page(
            "tokens.html",
            status=status,
            me=me,
            wrong=wrong,
            done=done,
            scopes=[str(scope) for scope in Scope],
            longest=tokens.LONGEST_DAYS,
            tokens=[
                {
                    "id": token.id,
                    "label": token.label,
                    "scopes": token.scopes,
                    "state": tokens.state(token),
                    "created": city.day(token.created_at, "en"),
                    "by": token.created_by,
                    "ends": "never" if token.expires_at is None else city.day(token.expires_at, "en"),
                    "used": "never" if token.last_used_at is None else city.day(token.last_used_at, "en"),
                }
                for token in found
            ],
        )

    @routes.get("/tokens")
    async def tokens_page(request: Request, done: str = "") -> Response:
        return await all_of_them(await _admin(guard, request, Action.TOKENS), done=DONE.get(done, ""))

    @routes.post("/tokens")
    async def create(
        request: Request,
        label: Annotated[str, Form()] = "",
        scopes: Annotated[list[str] | None, Form()] = None,
        days: Annotated[str, Form()] = "",
    ) -> Response:
        me = await _admin(guard, request, Action.TOKENS)
        try:
            secret = await _made(database, guard.viewer_of(me), label, scopes or [], days)
        except service.Refused as refused:
            return await all_of_them(me, wrong=str(refused), status=422)
        about = f"The token for {label}: give it to that system now."
        return page("link.html", me=me, heading="New token", about=about, once=secret, back="/staff/tokens")

    @routes.post("/tokens/{which}/revoke")
    async def revoke(request: Request, which: uuid.UUID) -> Response:
        me = await _admin(guard, request, Action.TOKENS)
        async with database.begin() as session:
            await tokens.revoke(session, which, viewer=guard.viewer_of(me))
        return go("/staff/tokens?done=revoked")


async def _made(database: Database, viewer: Viewer, label: str, scopes: list[str], days: str) -> str:
    label = " ".join(label.split())
    if not 1 <= len(label) <= 80 or not label.isprintable():
        raise service.Refused("Please say in at most 80 characters which system it is for.")
    if not scopes or any(scope not in {*Scope} for scope in scopes):
        raise service.Refused("Please tick what the token may do.")
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= tokens.LONGEST_DAYS):
        raise service.Refused(f"Please give a number of days from 1 to {tokens.LONGEST_DAYS}.")
    async with database.begin() as session:
        wanted = [Scope(scope) for scope in scopes]
        return await tokens.create_token(session, label, wanted, days=int(days), viewer=viewer)


def _there(person: Staff | None) -> Staff:
    if person is None:
        raise HTTPException(404, "There is no such person.")
    return person
