"""Signing in and out, and the page on which an invited member of staff chooses a password."""

from __future__ import annotations

import math
from typing import Annotated

import structlog
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from contact_hub.audit import service as audit
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.sealing import Unsealable
from contact_hub.staff import (
    admin_pages,
    oidc,
    own_pages,
    passwords,
    second_factor,
    service,
    sessions,
    throttle,
)
from contact_hub.staff.entering import enter
from contact_hub.staff.guard import Cookie, Guard
from contact_hub.staff.look import go, landing, onward, page, sign_in_first
from contact_hub.staff.sessions import Browser, SignedIn
from contact_hub.staff.throttle import TooOften

log = structlog.get_logger(__name__)

# The same whether the name is unknown, the password wrong or the account disabled.
NOT_SO = "This name and password do not go together."
_LONGEST_NAME = 200


def router(
    database: Database, guard: Guard, city: City, *, site_url: str, provider: oidc.Provider | None = None
) -> APIRouter:
    """Everything under `/staff`."""
    routes = APIRouter(prefix="/staff", include_in_schema=False)
    _sign_in(routes, database, guard, oidc_on=provider is not None)
    _second_step(routes, database, guard)
    _welcome(routes, database, guard)
    if provider is not None:
        _oidc(routes, database, guard, provider, site_url)
    own_pages.add(routes, database, guard, city)
    admin_pages.add(routes, database, guard, city, site_url=site_url)
    return routes


def _sign_in(routes: APIRouter, database: Database, guard: Guard, *, oidc_on: bool) -> None:
    def form(next_page: str, *, name: str = "", wrong: str = "", status: int = 200) -> Response:
        return page(
            "login.html",
            status=status,
            next=next_page and onward(next_page),
            name=name,
            wrong=wrong,
            oidc=oidc_on,
        )

    @routes.get("/login")
    async def login_page(request: Request, next: str = "") -> Response:
        me = await guard.arrived(request)
        if me is not None and guard.must_set_up(me.staff):
            return go("/staff/totp")
        if me is not None:
            return go(landing(next, me.staff.role))
        return form(next)

    @routes.post("/login")
    async def login(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",
    ) -> Response:
        browser = guard.browser(request)
        name = " ".join(name.replace("\x00", "").split())[:_LONGEST_NAME]
        try:
            await throttle.hit(database, throttle.SIGN_IN_NAME, name)
            await throttle.hit(database, throttle.SIGN_IN_NETWORK, browser.network)
        except TooOften as often:
            return _too_often(form(next, name=name, wrong=_patience(often), status=429), often)
        async with database.begin() as session:
            staff = await service.named(session, name)
        may = staff is not None and staff.disabled_at is None
        right = await passwords.matches(staff.password_hash if staff and may else None, password)
        if staff is None or not right:
            log.warning("staff.sign_in_refused")  # without the name: people type passwords there
            return form(next, name=name, wrong=NOT_SO, status=422)
        await throttle.forget(database, throttle.SIGN_IN_NAME, name)
        return await enter(database, guard, staff, browser, landing(next, staff.role), password=password)

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        me = await guard.arrived(request)
        if me is not None:
            async with database.begin() as session:
                await sessions.end(session, me.staff.id, me.session.id)
                await audit.record(session, guard.viewer_of(me), "staff.signed_out")
        answer = go("/staff/login")
        guard.cookie.take(answer)
        return answer


def _second_step(routes: APIRouter, database: Database, guard: Guard) -> None:
    @routes.get("/login/code")
    async def code_page(request: Request, next: str = "") -> Response:
        if await guard.signed_in(request, second_step=True) is None:
            raise sign_in_first(next)
        return page("code.html", next=next and onward(next))

    @routes.post("/login/code")
    async def code(
        request: Request,
        code: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",
    ) -> Response:
        half = await guard.signed_in(request, second_step=True)
        if half is None:
            raise sign_in_first(next)
        try:
            await throttle.hit(database, throttle.SECOND_STEP, str(half.staff.id))
        except TooOften as often:
            return _too_often(
                page("code.html", status=429, next=next and onward(next), wrong=_patience(often)), often
            )
        secret = await _complete(database, half, code)
        if secret is None:
            wrong = "This code is not right, or was used already."
            return page("code.html", status=422, next=next and onward(next), wrong=wrong)
        await throttle.forget(database, throttle.SECOND_STEP, str(half.staff.id))
        answer = go(landing(next, half.staff.role))
        guard.cookie.give(answer, secret, int(sessions.LONGEST.total_seconds()))
        return answer


async def _complete(database: Database, half: SignedIn, code: str) -> str | None:
    """Turn a half session into a whole one with another secret; None where the code is not right."""
    try:
        async with database.begin() as session:
            staff = await service.locked(session, half.staff.id)
            if staff is None or not await second_factor.check(session, staff, code):
                return None
            if not await sessions.end(session, staff.id, half.session.id):
                return None  # it was ended meanwhile
            browser = Browser(half.session.network, half.session.browser)
            await audit.record(
                session, service.viewer_of(staff), "staff.signed_in", network=browser.network, second=True
            )
            return await sessions.begin(session, staff, browser)
    except Unsealable as error:
        log.error("staff.totp_unreadable", error=str(error))
        return None


def _welcome(routes: APIRouter, database: Database, guard: Guard) -> None:
    def form(status: int = 200, *, code: str = "", name: str = "", wrong: str = "") -> Response:
        return page(
            "welcome.html",
            status=status,
            code=code,
            name=name,
            wrong=wrong,
            shortest=passwords.SHORTEST,
            longest=passwords.LONGEST,
        )

    @routes.get("/welcome")
    async def welcome(request: Request, code: str = "") -> Response:
        try:
            return form(code=code, name=await service.invited_name(database, code))
        except service.Refused as refused:
            return form(410, wrong=str(refused))

    @routes.post("/welcome")
    async def accept(
        request: Request,
        code: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        browser = guard.browser(request)
        try:
            await throttle.hit(database, throttle.INVITATION, browser.network)
            staff = await service.accept_invitation(database, code, name, password)
        except TooOften as often:
            return _too_often(form(429, code=code, name=name, wrong=_patience(often)), often)
        except service.Refused as refused:
            return form(422, code=code, name=name, wrong=str(refused))
        return await enter(database, guard, staff, browser, landing("", staff.role), password=password)


def _oidc(
    routes: APIRouter, database: Database, guard: Guard, provider: oidc.Provider, site_url: str
) -> None:
    state_cookie = Cookie.called("oidc", site_url)
    next_cookie = Cookie.called("next", site_url)
    seconds = int(oidc.UNDER_WAY.total_seconds())

    def refused(why: str) -> Response:
        return page("login.html", status=422, next="/staff", name="", wrong=why, oidc=True)

    @routes.post("/oidc")
    async def begin(request: Request, next: Annotated[str, Form()] = "") -> Response:
        try:
            address, state = await oidc.start(database, provider)
        except oidc.NotSignedIn as error:
            return refused(str(error))
        # Not an answer to the form itself: our policy lets forms go to our own pages only.
        answer = page("onward.html", address=address)
        answer.headers["Refresh"] = f"0; url={address}"
        state_cookie.give(answer, state, seconds)
        next_cookie.give(answer, next and onward(next), seconds)
        return answer

    @routes.get("/oidc/callback")
    async def callback(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
        try:
            if error or not code:
                raise oidc.NotSignedIn("The sign-in was not completed.")
            staff = await oidc.finish(
                database, provider, state=state, held=state_cookie.of(request), code=code
            )
        except oidc.NotSignedIn as why:
            answer = refused(str(why))
        else:
            onto = landing(next_cookie.of(request), staff.role)
            answer = await enter(database, guard, staff, guard.browser(request), onto, password=None)
        state_cookie.take(answer)
        next_cookie.take(answer)
        return answer


def _patience(often: TooOften) -> str:
    minutes = math.ceil(often.wait / 60)
    return f"That was tried too often. Please wait {minutes} minute{'s' if minutes > 1 else ''}."


def _too_often(answer: Response, often: TooOften) -> Response:
    answer.headers["Retry-After"] = str(often.wait)
    return answer
