"""SMS and MMS through Twilio (https://www.twilio.com/docs/messaging), or anything that speaks its API.

Buttons and sources become part of the text. Texts are split to about 320 characters at whole
segments, and spelled in GSM-7 where plain quotes and dashes are enough for that. Every message asks
for status callbacks to a URL that carries our own signed id, so that a crash between sending and
recording is made good by the callback, or by a look-up, and never by sending again.

Country allow-list, limits and the daily breaker are rules in `channels.base.spend`, applied by the
outbox inside the transaction that sends.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import structlog
from itsdangerous import BadData, URLSafeSerializer

from channels.base import text as words
from channels.base.contract import (
    Channel,
    DeliveryState,
    Inbound,
    LookedUp,
    LookUp,
    Media,
    MediaRef,
    Memory,
    Outbound,
    Received,
    Sent,
    WebhookRequest,
)
from channels.base.errors import PermanentFailure, SendFailure, TemporaryFailure, UncertainFailure
from channels.base.fetch import fetch, identify, read_within, refuse_status, too_large
from channels.base.gsm7 import economical, segments
from channels.base.render import as_text
from channels.base.settings import public_url, reveal
from channels.base.spend import SpendRules

log = structlog.get_logger(__name__)

MAX_CHARACTERS = 1600
AIM_SEGMENTS = {"GSM-7": 2, "UCS-2": 4}  # 306 septets or 268 units: whole segments, about 320 characters
MAX_FILE_BYTES = 5 * 1024 * 1024
EMPTY_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

SWEEP_OVERLAP = timedelta(minutes=10)
SWEEP_FIRST = timedelta(minutes=15)  # without a memory: a fresh installation answers no old texts
SWEEP_MOST = timedelta(days=7)
CLOCK_TOLERANCE = timedelta(seconds=2)  # Twilio's times are whole seconds
OFFICIAL_API = "https://api.twilio.com"


class Sms(Channel):
    """The city's number, or its messaging service."""

    name: ClassVar[str] = "sms"
    endpoints: ClassVar[tuple[str, ...]] = ("webhook", "status")
    max_text: ClassVar[int] = MAX_CHARACTERS
    uncertain_wait: ClassVar[float] = 30.0
    silence_is_final: ClassVar[bool] = True  # Twilio refuses (21610) until the resident texts START
    sweep_seconds: ClassVar[float] = 300.0

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        public_url: str,
        secret_key: str | None = None,
        api_url: str = OFFICIAL_API,
        request_seconds: float = 4.0,
        spend: SpendRules | None = None,
    ) -> None:
        from twilio.request_validator import RequestValidator
        from twilio.rest import Client

        from channels.base.twilio_api.client import BoundedClient

        self.spend = spend
        self._auth = (account_sid, auth_token)
        self._sender = sender
        self._public_url = public_url.rstrip("/")
        self._api_url = api_url.rstrip("/")
        self._signer = URLSafeSerializer(secret_key, salt="sms-status") if secret_key else None
        self._validator = RequestValidator(auth_token)
        self._http = BoundedClient(self._api_url, seconds=request_seconds)
        self._client = Client(account_sid, auth_token, http_client=self._http)
        self._gauges: dict[str, float] = {}

    @classmethod
    def from_settings(cls, settings: Any) -> Sms | None:
        """The number, or None without any TWILIO_ variable; all three are needed once one is set."""
        given = {
            name: reveal(getattr(settings, name.lower(), None))
            for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM")
        }
        if not any(given.values()):
            return None
        if missing := [name for name, value in given.items() if value is None]:
            raise ValueError(f"SMS also needs {' and '.join(missing)}.")
        account_sid, auth_token, sender = (str(value) for value in given.values())
        if not re.fullmatch(r"\+[1-9]\d{4,14}|\d{3,8}|MG[0-9a-fA-F]{32}", sender):
            raise ValueError(
                "TWILIO_FROM must be a number like +15551234567, a short code or an MG... service."
            )
        return cls(
            account_sid,
            auth_token,
            sender,
            public_url=public_url(settings),
            secret_key=reveal(getattr(settings, "secret_key", None)),
            api_url=reveal(getattr(settings, "twilio_api_url", None)) or OFFICIAL_API,
            spend=SpendRules.from_settings(settings),
        )

    @property
    def account(self) -> str:
        """TWILIO_FROM: the number or the messaging service."""
        return self._sender

    # Receiving

    def receive(self, request: WebhookRequest) -> Received:
        """Prove the signature against PUBLIC_URL and read a text or a status."""
        from channels.base.twilio_api import webhook

        query = f"?{request.query}" if request.query else ""
        url = f"{self._public_url}/channels/{self.name}/{request.endpoint}{query}"
        fields = webhook.proved_fields(request, url, self._validator)
        if request.endpoint == "status" or ("MessageStatus" in fields and "Body" not in fields):
            told = webhook.receipt(fields, self.name, self.account, self._delivery_in(request.query))
            return Received(receipts=(told,) if told else (), body=EMPTY_REPLY, content_type="text/xml")
        inbound = webhook.inbound(fields, self.name, self.account)
        return Received(inbound=(inbound,), body=EMPTY_REPLY, content_type="text/xml")

    def _delivery_in(self, query: str) -> str | None:
        signed = parse_qs(query).get("ref", [""])[0]
        if not signed or self._signer is None:
            return None
        try:
            return str(self._signer.loads(signed))
        except BadData:
            log.warning("sms_status_ref_unreadable")
            return None

    # Sending

    def split(self, text: str) -> list[str]:
        """Parts of about 320 characters that fill whole segments."""
        return words.split(economical(text), _fits)

    async def send(self, message: Outbound) -> Sent:
        """Create the message at Twilio, which queues and delivers it."""
        body = compose(message)
        if not re.fullmatch(r"\+[1-9]\d{4,14}", message.address):
            raise PermanentFailure("This is no valid phone number.", code="21211", unreachable=True)
        if not body:
            raise PermanentFailure("The message has no text.", code="21619", alert=True)
        fields: dict[str, Any] = {"to": message.address, "body": body, **self._from()}
        if callback := self._callback_url(message.delivery):
            fields["status_callback"] = callback
        created = await self._client.messages.create_async(**fields)
        return Sent(provider_id=created.sid, state=DeliveryState.SENT, segments=segments(body).count)

    async def look_up(self, message: Outbound) -> LookedUp:
        """Search Twilio's list for this number, time and text. Raises TemporaryFailure: cannot ask."""
        from channels.base.twilio_api.codes import STATES

        ours = _comparable(compose(message))
        tried = message.first_tried_at or datetime.now(UTC) - timedelta(hours=1)
        # Queued messages have no date_sent to filter by: read from the newest on, and stop at the first
        # that is older. Twilio's clock counts, not ours.
        sender = {} if self._sender.startswith("MG") else {"from_": self._sender}
        try:
            listed = await self._client.messages.stream_async(
                to=message.address, page_size=50, limit=500, **sender
            )
            since = tried + timedelta(seconds=self._http.clock_skew) - CLOCK_TOLERANCE
            async for found in listed:
                if found.date_created and found.date_created < since:
                    break
                if (found.direction or "").startswith("outbound") and _comparable(found.body or "") == ours:
                    state = STATES.get(str(found.status), DeliveryState.SENT)
                    return LookedUp(LookUp.FOUND, provider_id=found.sid, state=state)
        except UncertainFailure as error:  # a question may be asked again without harm
            trouble = TemporaryFailure(error.reason, code=error.code)
        else:
            return LookedUp(LookUp.NOT_FOUND)
        raise trouble

    def _from(self) -> dict[str, str]:
        service = self._sender.startswith("MG")
        return {"messaging_service_sid" if service else "from_": self._sender}

    def _callback_url(self, delivery: str) -> str | None:
        """Where Twilio tells what became of a message; it refuses addresses it cannot reach."""
        host = urlsplit(self._public_url).hostname or ""
        local = host in {"localhost", "::1"} or host.startswith("127.") or "." not in host
        if self._signer is None or (local and self._api_url == OFFICIAL_API):
            return None
        ref = urlencode({"ref": self._signer.dumps(delivery)})
        return f"{self._public_url}/channels/{self.name}/status?{ref}"

    # Files

    async def fetch(self, media: MediaRef) -> Media:
        """A picture or file of at most 5 MB; our credentials go to the provider's own host only."""
        if not self._http.owns(media.ref):
            return identify(media.name, await fetch(media.ref, max_bytes=MAX_FILE_BYTES))
        elsewhere, data = "", b""
        try:
            async with self._http.open(media.ref, self._auth) as response:
                if response.is_redirect:
                    elsewhere = urljoin(media.ref, response.headers.get("location", ""))
                else:
                    refuse_status(response.status_code)
                    data = await read_within(response, MAX_FILE_BYTES)
        except httpx.HTTPError:
            trouble = TemporaryFailure("The file could not be fetched from Twilio.")
        else:
            if elsewhere:
                data = await fetch(elsewhere, max_bytes=MAX_FILE_BYTES)
            if len(data) > MAX_FILE_BYTES:
                raise too_large(MAX_FILE_BYTES)
            return identify(media.name, data)
        raise trouble

    # The sweeper and the provider's side

    def polls(self) -> bool:
        """The sweeper runs beside the webhook: Twilio gives up on a webhook after about 15 seconds."""
        return True

    async def poll(self, memory: Memory) -> AsyncIterator[Received]:
        """List recent texts at start and every five minutes; what the webhook brought is a duplicate."""
        key = f"sms.{self.account}.swept"
        while True:
            now = datetime.now(UTC)
            try:
                last = await memory.get(key)
                since = datetime.fromisoformat(last) - SWEEP_OVERLAP if last else now - SWEEP_FIRST
                for inbound in await self._sweep(max(since, now - SWEEP_MOST)):
                    yield Received(inbound=(inbound,))
                await memory.set(key, now.isoformat())
                self._gauges["last_sweep_timestamp"] = time.time()
                pause = self.sweep_seconds
            except SendFailure as error:
                log.warning("sms_sweep_failed", reason=error.reason, code=error.code)
                pause = min(30.0, self.sweep_seconds)
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311

    async def _sweep(self, since: datetime) -> list[Inbound]:
        """Inbound texts since then, oldest first, read exactly as their webhooks would have been."""
        from channels.base.twilio_api import webhook

        since += timedelta(seconds=self._http.clock_skew)
        own = {} if self._sender.startswith("MG") else {"to": self._sender}
        found: list[tuple[datetime, Inbound]] = []
        stream = await self._client.messages.stream_async(date_sent_after=since, page_size=200, **own)
        async for message in stream:
            at = message.date_sent or message.date_created or since
            if message.direction != "inbound" or at < since - CLOCK_TOLERANCE:
                continue
            fields = {
                "MessageSid": message.sid or "",
                "From": message.from_ or "",
                "Body": message.body or "",
            }
            if int(message.num_media or 0):
                fields |= await self._media_fields(str(message.sid))
            found.append((at, webhook.inbound(fields, self.name, self.account)))
        found.reverse()  # the list is newest first, and several may share a second
        found.sort(key=lambda pair: pair[0])
        return [inbound for _, inbound in found]

    async def _media_fields(self, sid: str) -> dict[str, str]:
        files = await self._client.messages(sid).media.list_async(limit=10)
        fields = {"NumMedia": str(len(files))}
        for number, file in enumerate(files):
            fields[f"MediaUrl{number}"] = self._api_url + (file.uri or "").removesuffix(".json")
            fields[f"MediaContentType{number}"] = file.content_type or ""
        return fields

    async def start(self) -> None:
        """Check the credentials; while Twilio is away, go on without."""
        try:
            await self._client.messages.page_async(page_size=1)
        except SendFailure as error:
            # Whatever it is, other channels go on, and sending says the same until it is mended.
            log.error("sms_not_ready", reason=error.reason, code=error.code)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def gauges(self) -> Mapping[str, float]:
        """When the sweeper last went through."""
        return dict(self._gauges)


def compose(message: Outbound) -> str:
    """The very text that leaves: sources, then numbered choices, in as few segments as the words allow."""
    names = "".join(f"\n[{attachment.name}]" for attachment in message.attachments)
    sources = list(message.sources)
    while True:
        body = economical(as_text(message.text + names, message.buttons, sources))
        if len(body) <= MAX_CHARACTERS or not sources:
            return words.clip(body, MAX_CHARACTERS)
        sources.pop()


def _fits(text: str) -> bool:
    cost = segments(text)
    return cost.count <= AIM_SEGMENTS[cost.encoding]


def _comparable(body: str) -> str:
    return " ".join(economical(body).split())
