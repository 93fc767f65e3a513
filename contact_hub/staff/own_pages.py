"""Everybody's own account: sessions, password, second factor."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy import func, select

from contact_hub.audit import service as audit
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.sealing import Unsealable
from contact_hub.staff import passwords, second_factor, service, sessions, throttle
from contact_hub.staff.entering import enter
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go, page, sign_in_first
from contact_hub.staff.models import RecoveryCode, Staff
from contact_hub.staff.sessions import SignedIn
from contact_hub.staff.throttle import TooOften

Me = Callable[[Request], Awaitable[SignedIn]]
DONE = {
    "session": "That browser is signed out.",
    "languages": "Your languages are saved.",
    "password": "Your password is changed. You are signed out everywhere else.",
    "others": "You are signed out everywhere else.",
    "totp-off": "The second factor is off.",
}


def add(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    """`/staff` and what is below it for oneself."""

    async def me_in(request: Request) -> SignedIn:
        found = await guard.signed_in(request)
        if found is None:
            raise sign_in_first(request.url.path if request.method == "GET" else "/staff")
        return found

    async def arrived_in(request: Request) -> SignedIn:
        """Also whoever must set up their second factor before anything else."""
        found = await guard.arrived(request)
        if found is None:
            raise sign_in_first("/staff/totp")
        return found

    _home(routes, database, guard, city, me_in)
    _password(routes, database, guard, me_in)
    _totp(routes, database, guard, city, arrived_in)


def _home(routes: APIRouter, database: Database, guard: Guard, city: City, me_in: Me) -> None:
    @routes.get("")
    async def home(request: Request, done: str = "") -> Response:
        me = await me_in(request)
        async with database.begin() as session:
            open_ones = await sessions.of(session, me.staff.id)
            left = await session.scalar(
                select(func.count()).select_from(RecoveryCode).where(RecoveryCode.staff_id == me.staff.id)
            )
        names = {item["key"]: item["name"] for item in city.settings["departments"]}
        return page(
            "home.html",
            me=me,
            departments=[names.get(key, key) for key in me.staff.departments],
            totp_since=me.staff.totp_since and city.day(me.staff.totp_since, "en"),
            languages=[(code, city.say(f"language_{code}", "en")) for code in city.languages],
            spoken=me.staff.languages,
            outside=me.staff.password_hash is None,
            recovery_codes=left,
            done=DONE.get(done, ""),
            sessions=[
                {
                    "id": one.id,
                    "this": one.id == me.session.id,
                    "browser": sessions.called(one.browser),
                    "network": one.network,
                    "since": city.moment(one.created_at, "en"),
                    "last": city.moment(one.last_seen_at, "en"),
                }
                for one in open_ones
            ],
        )

    @routes.post("/languages")
    async def speak(request: Request, languages: Annotated[list[str] | None, Form()] = None) -> Response:
        """Whoever answers knows best in which languages; an unknown one is left out."""
        me = await me_in(request)
        async with database.begin() as session:
            person = await service.locked(session, me.staff.id)
            if person is not None:
                wanted = [code for code in languages or [] if code in city.languages]
                await service.change(session, person, languages=wanted, viewer=guard.viewer_of(me))
        return go("/staff?done=languages")

    @routes.post("/sessions/others/end")
    async def end_others(request: Request) -> Response:
        me = await me_in(request)
        async with database.begin() as session:
            ended = await sessions.end_all(session, me.staff.id, but=me.session.id)
            await audit.record(session, guard.viewer_of(me), "staff.sessions_ended", ended=ended)
        return go("/staff?done=others")

    @routes.post("/sessions/{which}/end")
    async def end_one(request: Request, which: uuid.UUID) -> Response:
        me = await me_in(request)
        async with database.begin() as session:
            if await sessions.end(session, me.staff.id, which):
                await audit.record(session, guard.viewer_of(me), "staff.sessions_ended", ended=1)
        return go("/staff?done=session")


def _password(routes: APIRouter, database: Database, guard: Guard, me_in: Me) -> None:
    def form(me: SignedIn, wrong: str = "", status: int = 200) -> Response:
        return page(
            "password.html",
            status=status,
            me=me,
            wrong=wrong,
            shortest=passwords.SHORTEST,
            longest=passwords.LONGEST,
        )

    @routes.get("/password")
    async def password_page(request: Request) -> Response:
        return form(await me_in(request))

    @routes.post("/password")
    async def change(
        request: Request, old: Annotated[str, Form()] = "", new: Annotated[str, Form()] = ""
    ) -> Response:
        me = await me_in(request)
        try:
            await throttle.hit(database, throttle.SIGN_IN_NAME, me.staff.name)
            staff = await service.change_password(database, me.staff, old, new)
        except TooOften:
            return form(me, "That was tried too often. Please wait a quarter of an hour.", 429)
        except service.Refused as refused:
            return form(me, str(refused), 422)
        await throttle.forget(database, throttle.SIGN_IN_NAME, me.staff.name)
        onto = "/staff?done=password"
        return await enter(database, guard, staff, guard.browser(request), onto, password=new)


async def _totp_form(
    database: Database, guard: Guard, city: City, me: SignedIn, wrong: str, status: int
) -> Response:
    async with database.begin() as session:
        staff = await session.get_one(Staff, me.staff.id)
        try:
            secret = None if staff.totp_since else second_factor.secret_of(session, staff)
        except Unsealable:
            secret = None  # of a SECRET_KEY before this one: begin again
    picture = (
        ""
        if secret is None
        else second_factor.picture_of(second_factor.address_of(secret, staff.name, city.name))
    )
    return page(
        "totp.html",
        status=status,
        me=me,
        wrong=wrong,
        on=staff.totp_since is not None,
        due=guard.must_set_up(me.staff),
        secret=secret,
        picture=picture,
    )


def _totp(routes: APIRouter, database: Database, guard: Guard, city: City, me_in: Me) -> None:
    async def form(me: SignedIn, wrong: str = "", status: int = 200) -> Response:
        return await _totp_form(database, guard, city, me, wrong, status)

    @routes.get("/totp")
    async def totp_page(request: Request) -> Response:
        return await form(await me_in(request))

    @routes.post("/totp/begin")
    async def begin(request: Request) -> Response:
        me = await me_in(request)
        async with database.begin() as session:
            staff = await service.locked(session, me.staff.id)
            if staff is not None and staff.totp_since is None:
                await second_factor.begin(session, staff)
        return go("/staff/totp")

    @routes.post("/totp/confirm")
    async def confirm(request: Request, code: Annotated[str, Form()] = "") -> Response:
        me = await me_in(request)
        async with database.begin() as session:
            staff = await service.locked(session, me.staff.id)
            codes = None if staff is None else await second_factor.confirm(session, staff, code)
            if codes is not None:
                await sessions.end_all(session, me.staff.id, but=me.session.id)
                await audit.record(session, guard.viewer_of(me), "staff.second_factor_on")
        if codes is None:
            return await form(me, "These are not the digits of this moment. Please try the next ones.", 422)
        return page("recovery.html", me=me, codes=codes)

    @routes.post("/totp/remove")
    async def remove(request: Request, code: Annotated[str, Form()] = "") -> Response:
        me = await me_in(request)
        try:
            await throttle.hit(database, throttle.SECOND_STEP, str(me.staff.id))
        except TooOften:
            return await form(me, "That was tried too often. Please wait a quarter of an hour.", 429)
        async with database.begin() as session:
            staff = await service.locked(session, me.staff.id)
            right = staff is not None and await second_factor.check(session, staff, code)
            if staff is not None and right:
                await second_factor.remove(session, staff)
                await audit.record(session, guard.viewer_of(me), "staff.second_factor_off")
        if not right:
            return await form(me, "This code is not right, or was used already.", 422)
        return go("/staff?done=totp-off")
