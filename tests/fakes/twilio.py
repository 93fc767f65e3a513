"""A Twilio REST API that behaves as documented for messages, media and their webhooks.

    with twilio.running(webhook="http://127.0.0.1:8000/channels/sms/webhook") as fake:
        fake.url                             # TWILIO_API_URL; also python -m tests.fakes.twilio --port 9002
        fake.text("+15551230001", "Hello")   # a resident writes: a listed message and a signed webhook
        fake.sent                            # what it accepted from us, in order

It checks basic auth and numbers, answers 400 with Twilio's codes, calls back signed (queued -> sent ->
delivered, or a scripted failure), lists messages newest first by To, From and DateSent with pages, serves
media behind basic auth, blocks who texted STOP, and retries an inbound webhook for about 15 seconds
(`pace` divides that). `deliver=False` makes the webhook that got lost in an outage.

Other processes drive it over HTTP: GET /_log, POST /_do {"do": "text", "from_": "+1555...", "body": "..."}.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes import server

ACCOUNT = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
NUMBER = "+15550001000"

STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
START = {"START", "YES", "UNSTOP"}

MESSAGES = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    21211: "Invalid 'To' Phone Number",
    21602: "Message body is required",
    21606: "The 'From' phone number is not a valid, SMS-capable Twilio phone number",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21614: "'To' number is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
}


@dataclass
class Fault:
    """What happens to the next sends: an error, a hang or a broken connection."""

    left: int
    code: int = 0
    status: int = 400
    hang: float = 0.0
    accept: bool = False


def sign(url: str, fields: list[tuple[str, str]], token: str) -> str:
    """X-Twilio-Signature as documented: HMAC-SHA1 over the URL and the sorted fields, each value once."""
    text = url
    for name in sorted({name for name, _ in fields}):
        for value in sorted({value for other, value in fields if other == name}):
            text += name + value
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class FakeTwilio:
    """The account's state and what residents can do to it."""

    def __init__(
        self,
        *,
        account: str = ACCOUNT,
        auth_token: str = AUTH_TOKEN,
        number: str = NUMBER,
        webhook: str = "",
        log: Path | None = None,
        pace: float = 1.0,
        callback_delay: float = 0.05,
    ) -> None:
        self.account, self.auth_token, self.number, self.webhook = account, auth_token, number, webhook
        self.pace, self.callback_delay, self.url = pace, callback_delay, ""
        self.journal = server.Journal(log)
        self.messages: list[dict[str, Any]] = []  # oldest first
        self.media: dict[str, tuple[str, bytes]] = {}
        self.media_redirect = ""  # where media requests are sent on to, as Twilio does to its CDN
        self.opted_out: set[str] = set()
        self.refused: dict[str, int] = {}  # number -> code of the refusal
        self.outcomes: dict[str, tuple[str, int]] = {}  # number -> ("undelivered", 30003)
        self.advanced_opt_out = False
        self.callbacks_stopped = False
        self.faults: list[Fault] = []
        self.webhook_answers: list[int] = []
        self.callbacks: list[tuple[str, int]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        # A log from before a restart is the account's message list still.
        for entry in self.journal.entries:
            self.messages.append(entry["resource"])

    # What residents do

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Messages accepted from us, oldest first."""
        return self.journal.entries

    def texts(self, number: str) -> list[str]:
        """What one resident can read."""
        return [entry["body"] for entry in self.sent if entry["to"] == number]

    def text(
        self,
        from_: str,
        body: str,
        media: list[tuple[str, bytes | str]] | None = None,
        deliver: bool = True,
        extra: dict[str, str] | None = None,
    ) -> str:
        """A resident writes; returns the MessageSid. Media are (mime, bytes or base64)."""
        sid = ("MM" if media else "SM") + secrets.token_hex(16)
        resource = self._resource(sid, from_, self.number, body, "inbound", "received", len(media or []))
        fields = [
            ("ToCountry", "US"),
            ("ToState", ""),  # Twilio sends what it does not know as blank fields
            ("SmsMessageSid", sid),
            ("NumMedia", str(len(media or []))),
            ("FromZip", ""),
            ("SmsSid", sid),
            ("SmsStatus", "received"),
            ("Body", body),
            ("To", self.number),
            ("NumSegments", "1"),
            ("MessageSid", sid),
            ("AccountSid", self.account),
            ("From", from_),
            ("ApiVersion", "2010-04-01"),
        ]
        for number, (mime, data) in enumerate(media or []):
            media_sid = "ME" + secrets.token_hex(16)
            self.media[media_sid] = (mime, base64.b64decode(data) if isinstance(data, str) else data)
            resource["_media"].append(media_sid)
            fields += [
                (f"MediaContentType{number}", mime),
                (f"MediaUrl{number}", f"{self.url}{self._path(f'Messages/{sid}/Media/{media_sid}')}"),
            ]
        fields += self._keywords(from_, body)
        fields += list((extra or {}).items())
        self.messages.append(resource)
        if deliver and self.webhook:
            self._spawn(self._deliver(self.webhook, fields))
        return sid

    # Scripted faults

    def fail_next(self, count: int, code: int, status: int = 400) -> None:
        """The next sends are refused with a code."""
        self.faults.append(Fault(count, code=code, status=status))

    def hang_next(self, count: int, seconds: float = 60.0, accept: bool = False) -> None:
        """The next sends get no answer for a long time, taken or not."""
        self.faults.append(Fault(count, hang=seconds, accept=accept))

    def drop_after_accept(self, count: int) -> None:
        """The next messages are taken, but the connection breaks before we hear of it."""
        self.faults.append(Fault(count, accept=True))

    def refuses(self, number: str, code: int) -> None:
        """Every send to a number is refused."""
        self.refused[number] = code

    def fails_later(self, number: str, code: int, status: str = "undelivered") -> None:
        """Sends to a number are taken, and fail in a status callback."""
        self.outcomes[number] = (status, code)

    def point_webhook(self, url: str) -> None:
        """Set the number's inbound webhook."""
        self.webhook = url

    def reset(self) -> None:
        """Forget messages, faults and opt-outs."""
        self.journal.clear()
        for kept in (self.messages, self.media, self.opted_out, self.refused, self.outcomes, self.faults):
            kept.clear()
        self.webhook_answers.clear()
        self.callbacks.clear()

    # The API

    async def _create(self, request: Request) -> Response:
        form = await request.form()
        given = {name: str(value) for name, value in form.items()}
        fault = self.faults[0] if self.faults else None
        if fault is not None:
            fault.left -= 1
            if fault.left <= 0:
                self.faults.pop(0)
            if fault.code or (fault.status != 400):
                return _error(fault.code, fault.status)
            if fault.hang and not fault.accept:
                await asyncio.sleep(fault.hang)
                return Response(status_code=504)
        code = self._refusal_of(given)
        if code:
            return _error(code, 400)
        resource = self._accept(given)
        if fault is not None and fault.hang:
            await asyncio.sleep(fault.hang)
        elif fault is not None:
            return server.CutOff()
        return JSONResponse(_shown(resource), status_code=201)

    def _refusal_of(self, given: dict[str, str]) -> int:
        to, body = given.get("To", ""), given.get("Body", "")
        if not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return 21211
        if not given.get("MessagingServiceSid") and given.get("From") != self.number:
            return 21606
        if not body and "MediaUrl" not in given:
            return 21602
        if len(body) > 1600:
            return 21617
        if to in self.opted_out:
            return 21610
        return self.refused.get(to, 0)

    def _accept(self, given: dict[str, str]) -> dict[str, Any]:
        sid = "SM" + secrets.token_hex(16)
        to, body = given["To"], given.get("Body", "")
        resource = self._resource(sid, given.get("From", self.number), to, body, "outbound-api", "queued", 0)
        self.messages.append(resource)
        callback = given.get("StatusCallback", "")
        self.journal.add(sid=sid, to=to, body=body, callback=callback, resource=resource)
        self._spawn(self._progress(resource, callback))
        return resource

    async def _progress(self, resource: dict[str, Any], callback: str) -> None:
        failure = self.outcomes.get(resource["to"])
        for status in ("queued", "sent", *((failure[0],) if failure else ("delivered",))):
            await asyncio.sleep(self.callback_delay)
            resource["status"] = status
            if status == "sent":
                resource["date_sent"] = _now()
            code = failure[1] if failure and status == failure[0] else None
            resource["error_code"] = code
            if not callback or self.callbacks_stopped:
                continue
            fields = [
                ("SmsSid", resource["sid"]),
                ("SmsStatus", status),
                ("MessageStatus", status),
                ("To", resource["to"]),
                ("MessageSid", resource["sid"]),
                ("AccountSid", self.account),
                ("From", resource["from"]),
                ("ApiVersion", "2010-04-01"),
                *([("ErrorCode", str(code))] if code else []),
            ]
            self.callbacks.append((status, await self._post(callback, fields)))

    async def _list(self, request: Request) -> Response:
        given = request.query_params
        found = [message for message in reversed(self.messages) if _matches(message, given)]
        size = min(int(given.get("PageSize", 50)), 1000)
        page = int(given.get("Page", 0))
        shown = found[page * size : (page + 1) * size]
        following = None
        if len(found) > (page + 1) * size:
            rest = [(name, value) for name, value in given.multi_items() if name not in {"Page", "PageToken"}]
            token = f"PA{shown[-1]['sid']}"
            following = f"{request.url.path}?{urlencode([*rest, ('Page', page + 1), ('PageToken', token)])}"
        return JSONResponse(
            {
                "messages": [_shown(message) for message in shown],
                "page": page,
                "page_size": size,
                "uri": request.url.path,
                "first_page_uri": request.url.path,
                "next_page_uri": following,
                "previous_page_uri": None,
                "start": page * size,
                "end": page * size + len(shown) - 1,
            }
        )

    async def _one(self, request: Request) -> Response:
        for message in self.messages:
            if message["sid"] == request.path_params["sid"]:
                return JSONResponse(_shown(message))
        return _error(20404, 404)

    async def _media_list(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        found = [message for message in self.messages if message["sid"] == sid]
        listed = [
            {
                "sid": media,
                "account_sid": self.account,
                "parent_sid": sid,
                "content_type": self.media[media][0],
                "date_created": _now(),
                "date_updated": _now(),
                "uri": self._path(f"Messages/{sid}/Media/{media}.json"),
            }
            for message in found
            for media in message["_media"]
        ]
        return JSONResponse(
            {"media_list": listed, "page": 0, "page_size": 50, "next_page_uri": None, "uri": request.url.path}
        )

    async def _media_file(self, request: Request) -> Response:
        if self.media_redirect:
            return RedirectResponse(self.media_redirect, status_code=307)
        mime, data = self.media.get(request.path_params["media"], ("", b""))
        if not mime:
            return _error(20404, 404)
        return Response(data, media_type=mime)

    # Webhooks

    async def _deliver(self, url: str, fields: list[tuple[str, str]]) -> None:
        """Post an inbound webhook, again for about 15 seconds while it fails."""
        for wait in (0.0, 1.0, 4.0, 9.0):
            await asyncio.sleep(wait / self.pace)
            status = await self._post(url, fields)
            self.webhook_answers.append(status)
            if 200 <= status < 500 and status != 429:
                return

    async def _post(self, url: str, fields: list[tuple[str, str]]) -> int:
        assert self._client is not None
        headers = {
            "X-Twilio-Signature": sign(url, fields, self.auth_token),
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "I-Twilio-Idempotency-Token": hashlib.sha256(urlencode(fields).encode()).hexdigest()[:32],
        }
        try:
            answer = await self._client.post(url, content=urlencode(fields), headers=headers)
        except httpx.HTTPError:
            return 0
        return answer.status_code

    def _keywords(self, from_: str, body: str) -> list[tuple[str, str]]:
        """Twilio's own handling of STOP and START, with OptOutType where Advanced Opt-Out is on."""
        word = body.strip().upper()
        known = "STOP" if word in STOP else "START" if word in START else "HELP" if word == "HELP" else ""
        if known == "STOP":
            self.opted_out.add(from_)
        elif known == "START":
            self.opted_out.discard(from_)
        return [("OptOutType", known)] if known and self.advanced_opt_out else []

    # Pieces

    def _resource(
        self, sid: str, from_: str, to: str, body: str, direction: str, status: str, media: int
    ) -> dict[str, Any]:
        return {
            "account_sid": self.account,
            "api_version": "2010-04-01",
            "body": body,
            "date_created": _now(),
            "date_sent": _now() if direction == "inbound" else None,
            "date_updated": _now(),
            "direction": direction,
            "error_code": None,
            "error_message": None,
            "from": from_,
            "messaging_service_sid": None,
            "num_media": str(media),
            "num_segments": "1",
            "price": None,
            "price_unit": "USD",
            "sid": sid,
            "status": status,
            "subresource_uris": {"media": self._path(f"Messages/{sid}/Media.json")},
            "to": to,
            "uri": self._path(f"Messages/{sid}.json"),
            "_media": [],
        }

    def _path(self, rest: str) -> str:
        return f"/2010-04-01/Accounts/{self.account}/{rest}"

    def _spawn(self, work: Any) -> None:
        """Start work in the server's loop, from its own code or from a test's thread."""

        def start() -> None:
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        assert self._loop is not None, "the fake is not running"
        self._loop.call_soon_threadsafe(start)

    def app(self) -> Starlette:
        """The HTTP server."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            async with httpx.AsyncClient(timeout=15, trust_env=False) as self._client:
                yield
                for task in self._tasks:
                    task.cancel()

        async def log(request: Request) -> Response:
            return JSONResponse(
                {"sent": self.sent, "callbacks": self.callbacks, "webhook_answers": self.webhook_answers}
            )

        async def do(request: Request) -> Response:
            return await server.act(self, request)

        base = "/2010-04-01/Accounts/{account}"
        return Starlette(
            routes=[
                Route(f"{base}/Messages.json", self._guarded(self._create), methods=["POST"]),
                Route(f"{base}/Messages.json", self._guarded(self._list)),
                Route(f"{base}/Messages/{{sid}}.json", self._guarded(self._one)),
                Route(f"{base}/Messages/{{sid}}/Media.json", self._guarded(self._media_list)),
                Route(f"{base}/Messages/{{sid}}/Media/{{media}}", self._guarded(self._media_file)),
                Route("/_log", log),
                Route("/_do", do, methods=["POST"]),
            ],
            lifespan=lifespan,
        )

    def _guarded(self, handler: Any) -> Any:
        expected = "Basic " + base64.b64encode(f"{self.account}:{self.auth_token}".encode()).decode()

        async def guarded(request: Request) -> Response:
            if request.headers.get("authorization") != expected:
                return _error(20003, 401)
            if request.path_params["account"] != self.account:
                return _error(20404, 404)
            return await handler(request)  # type: ignore[no-any-return]

        return guarded


def _error(code: int, status: int) -> Response:
    body = {
        "code": code,
        "message": MESSAGES.get(code, "An error"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return JSONResponse(body, status_code=status)


def _now() -> str:
    return format_datetime(datetime.now(UTC))


def _shown(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if not name.startswith("_")}


def _matches(message: dict[str, Any], given: Any) -> bool:
    if given.get("To") not in {None, message["to"]} or given.get("From") not in {None, message["from"]}:
        return False
    limits = {name: value for name, value in given.items() if name.startswith("DateSent")}
    if not limits:
        return True
    if message["date_sent"] is None:  # not sent yet: no date filter finds it
        return False
    at = datetime.strptime(message["date_sent"], "%a, %d %b %Y %H:%M:%S %z").strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, value in limits.items():
        width = len(value)  # a day or a second
        if (
            (name == "DateSent" and at[:width] != value)
            or (name == "DateSent>" and at[:width] < value)
            or (name == "DateSent<" and at[:width] > value)
        ):
            return False
    return True


@contextmanager
def running(**options: Any) -> Iterator[FakeTwilio]:
    """A fake in a thread."""
    fake = FakeTwilio(**options)
    with server.running(fake.app()) as fake.url:
        yield fake


def main() -> None:
    """Serve as a process of its own."""

    def own(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--account", default=ACCOUNT)
        parser.add_argument("--auth-token", default=AUTH_TOKEN)
        parser.add_argument("--number", default=NUMBER)
        parser.add_argument("--webhook", default="")
        parser.add_argument("--pace", type=float, default=1.0)

    given = server.arguments("A fake Twilio.", own)
    fake = FakeTwilio(
        account=given.account,
        auth_token=given.auth_token,
        number=given.number,
        webhook=given.webhook,
        log=given.log,
        pace=given.pace,
    )
    fake.url = f"http://127.0.0.1:{given.port}"
    server.serve(fake.app(), given.port)


if __name__ == "__main__":
    main()
