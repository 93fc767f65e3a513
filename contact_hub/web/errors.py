"""What goes wrong, told alike everywhere: `{"error": word, "reason": sentence}`, or a page for a person."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from traceback import extract_tb
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg import OperationalError as LostDatabase
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from channels.base.errors import Malformed, NotAuthentic
from contact_hub.web.templates import render

log = structlog.get_logger(__name__)

TRY_AGAIN = 5  # seconds
DATABASE_AWAY = (OperationalError, InterfaceError, NoConnection, LostDatabase, PoolTimeout)

WORDS: Mapping[int, str] = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "too_fast",
    500: "internal",
    503: "unavailable",
}
REASONS: Mapping[int, str] = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    500: "Something went wrong on our side. It has been noted.",
    503: "The service is not available right now. Please try again in a moment.",
}


class WrongField(BaseModel):
    """One thing that is wrong with a request."""

    field: str
    reason: str


class Refusal(BaseModel):
    """What every request that cannot be served is answered."""

    error: str
    reason: str
    fields: list[WrongField] | None = None


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Says in the API's description which refusals a route may answer."""
    return {
        status: {"model": Refusal, "description": REASONS.get(status) or HTTPStatus(status).phrase}
        for status in statuses
    }


def refusal(
    status: int,
    reason: str = "",
    headers: Mapping[str, str] | None = None,
    *,
    close: bool = False,
    **more: Any,
) -> JSONResponse:
    """Makes the answer to a request that cannot be served."""
    given = {"Cache-Control": "no-store", **(headers or {}), **({"Connection": "close"} if close else {})}
    body = {"error": WORDS.get(status, "refused"), "reason": reason or REASONS.get(status, ""), **more}
    return JSONResponse(body, status, given)


def install(app: FastAPI) -> None:
    """Makes the app tell everything that goes wrong in this shape."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Malformed, _malformed)
    app.add_exception_handler(NotAuthentic, _not_authentic)
    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, _database_away)


def _answer(request: HTTPConnection, status: int, reason: str, **headers: str) -> Response:
    """A page where a browser asks for one, JSON for everything else."""
    wants_page = request.headers.get("accept", "").partition(",")[0].strip() == "text/html"
    if wants_page and not request.url.path.startswith(("/api/", "/channels/", "/internal/")):
        words = {
            "code": status,
            "phrase": HTTPStatus(status).phrase,
            "reason": reason or REASONS.get(status, ""),
            "inside": request.url.path.startswith(("/desk", "/managers", "/staff")),
        }
        return render("error.html", status=status, headers={"Cache-Control": "no-store", **headers}, **words)
    return refusal(status, reason, headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    reason = str(error.detail) if error.detail and error.detail != phrase else ""
    if error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    return _answer(
        request, error.status_code, reason or REASONS.get(error.status_code, phrase), **(error.headers or {})
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = error.errors()
    if any(item["type"] == "json_invalid" for item in wrong):
        return refusal(400, "The request is not valid JSON.")
    fields = [
        {
            "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "reason": item["msg"],
        }
        for item in wrong
    ]
    first = fields[0] if fields else {"field": "request", "reason": "invalid"}
    return refusal(422, f"{first['field']}: {first['reason']}.", fields=fields)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Malformed)
    headers = {} if error.retry_after is None else {"Retry-After": str(int(error.retry_after))}
    return refusal(error.status, error.reason, headers)


async def _not_authentic(request: Request, error: Exception) -> Response:
    return refusal(403, "The request could not be proved to come from the provider.")


async def _database_away(connection: Any, error: Exception) -> Any:
    log.warning("database away", path=connection.url.path, error=type(error).__name__)
    if isinstance(connection, WebSocket):
        return await connection.close(1013, "Try again in a moment.")
    return _answer(connection, 503, REASONS[503], **{"Retry-After": str(TRY_AGAIN)})


class NothingUnexpected:
    """Answers 500 where something broke, and logs where, but never the words of the error.

    They may hold what a resident wrote; the framework's own handler would print them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        started = False

        async def send_noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noticed)
        except Exception as error:
            where = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)
            ]
            log.error("unexpected", path=scope.get("path"), error=type(error).__qualname__, where=where[-12:])
            if scope["type"] == "http" and not started:
                await _answer(Request(scope), 500, REASONS[500])(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011})
