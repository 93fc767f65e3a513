"""The web chat: a channel whose provider is ourselves, and the routes the `<city-chat>` element calls.

Everything lasting is in the `ChatStore`, so any web process may serve any request of a session. The
socket opens with a one-use ticket, so that no token ever stands in a URL or in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from channels.base.contract import (
    Channel,
    ChatStore,
    DeliveryState,
    LookedUp,
    LookUp,
    Media,
    Outbound,
    Sent,
    Upload,
)
from channels.base.errors import Malformed
from channels.base.language import language_tag
from channels.base.widget import built_script
from channels.base.widget.feed import Close, Line, news, refusal
from channels.base.widget.labels import direction, labels_from
from channels.base.widget.limits import MESSAGES, SESSIONS, Connections, Network, Pace, networks, visitor_ip
from channels.base.widget.options import WebChatOptions
from channels.base.widget.requests import (
    MessageIn,
    SessionIn,
    body_of,
    clean,
    inbound_of,
    message_of,
    object_of,
    parsed,
)
from channels.base.widget.uploads import ALLOWED, download_headers

__all__ = ["WebChat", "WebChatOptions", "router"]

ACCOUNT = "web"
LONGEST_WAIT = 25.0  # seconds: shorter than the idle limit of the usual proxies (30 s)
LAST_SEQ = 2**53 - 1  # the largest whole number a browser holds exactly


class WebChat(Channel):
    """Delivers by being read: a message in our database is one the resident's page will fetch."""

    name: ClassVar[str] = "web_chat"
    endpoints: ClassVar[tuple[str, ...]] = ()
    max_text: ClassVar[int] = 20_000
    has_buttons: ClassVar[bool] = True
    sends_itself: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: Any) -> WebChat:
        """The web chat is always on: it needs no key."""
        return cls()

    @property
    def account(self) -> str:
        """One site for now; a second one would be a second account."""
        return ACCOUNT

    def split(self, text: str) -> list[str]:
        """Nothing here limits a message's length, so it stays whole."""
        return [clean(text)] if text.strip() else []

    async def send(self, message: Outbound) -> Sent:
        """Done already: the hub has put the message where the page reads it."""
        return Sent(state=DeliveryState.SENT)

    async def look_up(self, message: Outbound) -> LookedUp:
        """There is nothing to be unsure about: the row is the delivery."""
        return LookedUp(LookUp.FOUND)


class ChatRoute(APIRoute):
    """A route whose refusals carry a reason and whose answers no cache keeps."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the usual handler."""
        handle = super().get_route_handler()

        async def handle_with_reason(request: Request) -> Response:
            try:
                response = await handle(request)
            except Malformed as error:
                response = _refused(error)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return handle_with_reason


def _refused(error: Malformed) -> JSONResponse:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(int(error.retry_after))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(refusal(error), error.status, headers)


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in, and how often: what the routes of one web process share."""

    store: ChatStore
    options: WebChatOptions
    proxies: tuple[Network, ...]
    pace: Pace
    connections: Connections = field(default_factory=Connections)

    def ip(self, scope: Mapping[str, Any]) -> str:
        """Tells whose connections to count."""
        peer = scope["client"][0] if scope.get("client") else "unknown"
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return visitor_ip(peer, b",".join(forwarded).decode("latin-1"), self.proxies)

    async def session(self, request: Request) -> str:
        """Gives the session whose token the request bears; raises Malformed (401)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and 0 < len(token) <= 200 and token.isascii() and token.isprintable():
            found = await self.store.session_of(token)
            if found is not None:
                return found
        raise Malformed("This token opens no session: start a new one.", status=401)

    async def redeem(self, ticket: str) -> str:
        """Gives the session of a ticket and uses it up; raises Malformed (401)."""
        found = await self.store.redeem(clean(ticket)) if 0 < len(ticket) <= 200 else None
        if found is None:
            raise Malformed("This ticket is used up or too old: ask for a new one.", status=401)
        return found

    async def accept(self, session: str, message: MessageIn, uploads: Sequence[Upload] = ()) -> int:
        """Stores one message, if it is in order and its session is not too fast."""
        most = self.options.most_characters
        inbound = inbound_of(session, ACCOUNT, message, uploads, most_characters=most)
        await self.pace.step(MESSAGES, session)
        return await self.store.accept(inbound, uploads)


def router(store: ChatStore, options: WebChatOptions | None = None, *, pace: Pace | None = None) -> APIRouter:
    """Makes the web chat's routes over a hub's store."""
    options = options or WebChatOptions()
    door = Door(store, options, networks(options.trusted_proxies), pace or Pace())
    routes = APIRouter(prefix="/channels/web_chat", route_class=ChatRoute, tags=["web chat"])
    _add_conversation(routes, door)
    _add_files_and_words(routes, door)
    _add_socket(routes, door)
    whole = APIRouter()
    whole.include_router(routes)
    whole.add_api_route("/city-chat.js", _script, include_in_schema=False)
    return whole


def _takes(model: type[BaseModel], **more: Any) -> dict[str, Any]:
    """Describes a body that the route reads by itself."""
    content = {"application/json": {"schema": model.model_json_schema()}, **more}
    return {"requestBody": {"content": content}}


def _add_conversation(routes: APIRouter, door: Door) -> None:
    store, options = door.store, door.options

    @routes.post("/sessions", openapi_extra=_takes(SessionIn))
    async def open_session(request: Request) -> dict[str, str]:
        """Opens a session; its token is told once and never again."""
        ip = door.ip(request.scope)
        await door.pace.step(SESSIONS, ip)
        body = await body_of(request, 4096)
        wanted = parsed(SessionIn, object_of(body) if body.strip() else {})
        language = language_tag(wanted.language) or language_tag(request.headers.get("accept-language"))
        session, token = await store.open_session(language=language, ip=ip, shared=wanted.shared)
        return {"session": session, "token": token}

    @routes.post("/messages", status_code=202, openapi_extra=_takes(MessageIn))
    async def post_message(request: Request) -> dict[str, int]:
        """Takes words, a button or files; sending the same `client_id` again changes nothing."""
        session = await door.session(request)
        message, uploads = await message_of(request, most_mb=options.most_mb, most_files=options.most_files)
        return {"seq": await door.accept(session, message, uploads)}

    @routes.get("/messages")
    async def get_messages(
        request: Request,
        after: Annotated[int, Query(ge=0, le=LAST_SEQ)] = 0,
        wait: Annotated[float, Query(allow_inf_nan=False)] = 0,
        typing: bool | None = None,
    ) -> dict[str, Any]:
        """Gives what came after `after`, waiting up to `wait` seconds (at most 25) for it.

        With `typing` (what the page shows now) it also returns when that changes.
        """
        session = await door.session(request)
        shares = (
            (f"session {session}", options.connections_per_session),
            (f"polls of {door.ip(request.scope)}", options.polls_per_ip),
        )
        with door.connections.one_more(*shares):
            held = min(max(wait, 0.0), LONGEST_WAIT)
            return await news(store, session, after, request, wait=held, typing=typing)

    @routes.post("/ticket")
    async def new_ticket(request: Request) -> dict[str, str]:
        """Gives a ticket that opens one socket, or downloads one file, within a minute."""
        return {"ticket": await store.ticket(await door.session(request))}


def _add_files_and_words(routes: APIRouter, door: Door) -> None:
    options = door.options

    @routes.get("/attachments/{attachment}", response_class=Response)
    async def get_attachment(request: Request, attachment: str, ticket: str = "") -> Response:
        """Downloads a file of the session, by its token or by a ticket."""
        session = await door.redeem(ticket) if ticket else await door.session(request)
        media = await door.store.attachment(session, clean(attachment))
        if media is None:
            archive = await door.store.archive(session, clean(attachment))
            if archive is None:
                raise Malformed("There is no such file in this conversation.", status=404)
            headers = {
                **download_headers(Media(archive.name, archive.mime, b"")),
                "Cache-Control": "no-store",
            }
            return StreamingResponse(archive.pieces, media_type=archive.mime, headers=headers)
        return Response(media.data, media_type=media.mime, headers=dict(download_headers(media)))

    @routes.get("/labels")
    async def get_labels(response: Response, lang: str = "en") -> dict[str, Any]:
        """Gives the element's words in a language, and the limits it tells residents about."""
        language = language_tag(lang) or "en"
        response.headers["Cache-Control"] = "public, max-age=300"
        return {
            "language": language,
            "direction": direction(language),
            "labels": labels_from(options.responses(language)),
            "limits": {
                "characters": options.most_characters,
                "megabytes": options.most_mb,
                "files": options.most_files,
                "types": sorted(ALLOWED),
            },
        }


async def _script(request: Request) -> Response:
    """Serves the element; browsers keep it and ask again with its tag."""
    built = built_script()
    if built is None:
        reason = "The chat element is not built: run `npm ci && npm run build` in channels/base/widget."
        return JSONResponse({"error": "not_built", "reason": reason}, 503, {"Cache-Control": "no-store"})
    headers = {
        "ETag": built.etag,
        "Cache-Control": "public, max-age=300",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Accept-Encoding",
    }
    if built.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = built.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = built.compressed, "gzip"
    return Response(body, media_type="text/javascript; charset=utf-8", headers=headers)


def _add_socket(routes: APIRouter, door: Door) -> None:
    options = door.options

    @routes.websocket("/socket")
    async def socket(websocket: WebSocket, ticket: str = "", after: str = "0") -> None:
        """Carries messages both ways as they come."""
        if websocket.headers.get("origin", "").rstrip("/") not in options.allowed_origins:
            answer = {"error": "origin", "reason": "This site may not carry the chat."}
            await websocket.send_denial_response(JSONResponse(answer, 403))
            return
        # Accepted before the ticket is looked at: a page can read a close code, but not a refused upgrade.
        await websocket.accept()
        try:
            session = await door.redeem(ticket)
            shares = (
                (f"session {session}", options.connections_per_session),
                (f"sockets of {door.ip(websocket.scope)}", options.sockets_per_ip),
            )
            with door.connections.one_more(*shares):
                since = min(int(after), LAST_SEQ) if after.isascii() and after.isdigit() else 0
                await Line(websocket, door.store, session, door.accept, options.heartbeat, options.frame).run(
                    since
                )
        except Malformed as error:
            code = Close.UNKNOWN_TICKET if error.status == 401 else Close.TOO_MANY
            with suppress(WebSocketDisconnect):  # gone already
                await websocket.close(code, error.reason)
