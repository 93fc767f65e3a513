"""Telegram, through the Bot API (https://core.telegram.org/bots/api) or a self-hosted server of it.

aiogram gives types, sending and long polling; the webhook route is the hub's own, because aiogram's
acknowledges an update before it is handled. aiogram takes seconds to import, so that is done only
where a bot token is set, when the channel is made and not in the first request.

Text leaves with entities and without a parse mode: nothing a resident or an article says can become
markup. The token is part of every URL; provider errors are therefore never chained or logged.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond

from channels.base import text as words
from channels.base.bot_api.library import load_aiogram
from channels.base.bot_api.messages import MAX_UNITS, SOURCES_ROOM, methods_for
from channels.base.bot_api.refusals import explain
from channels.base.bot_api.updates import Reader
from channels.base.clean import clean
from channels.base.contract import (
    FILE_SECONDS,
    Channel,
    Inbound,
    InboundKind,
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
from channels.base.errors import (
    ChannelError,
    NotAuthentic,
    PermanentFailure,
    SendFailure,
    TemporaryFailure,
    UncertainFailure,
)
from channels.base.fetch import identify, refuse_status, too_large
from channels.base.pace import Pace
from channels.base.settings import public_url, reveal

if TYPE_CHECKING:
    from aiogram.methods import TelegramMethod

log = structlog.get_logger(__name__)
T = TypeVar("T")

PROOF_HEADER = "x-telegram-bot-api-secret-token"
ALLOWED_UPDATES = ["message", "edited_message", "callback_query", "my_chat_member"]
MAX_FILE_BYTES = 20 * 1024 * 1024  # getFile hands out no more
OFFICIAL_API = "https://api.telegram.org"

# https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
PER_CHAT = RateLimitItemPerSecond(1)
OVERALL = RateLimitItemPerSecond(25)  # of 30: what leaves evenly may arrive in a heap
PER_GROUP = RateLimitItemPerMinute(20)


class Telegram(Channel):
    """The city's bot."""

    name: ClassVar[str] = "telegram"
    max_text: ClassVar[int] = MAX_UNITS
    has_buttons: ClassVar[bool] = True
    sends_files: ClassVar[bool] = True
    asks_contact: ClassVar[bool] = True
    poll_seconds: ClassVar[int] = 25  # how long Telegram holds a getUpdates open
    watch_seconds: ClassVar[float] = 60.0

    def __init__(
        self,
        token: str,
        *,
        webhook_secret: str | None = None,
        api_url: str = OFFICIAL_API,
        public_url: str = "",
        request_seconds: float = 3.4,  # with the wait for a turn below the 5 s a send may take
    ) -> None:
        load_aiogram()
        from aiogram import Bot
        from aiogram.client.session.aiohttp import AiohttpSession
        from aiogram.client.telegram import TelegramAPIServer

        self._account = token.partition(":")[0]
        self._token = token
        self._secret = webhook_secret
        self._server = TelegramAPIServer.from_base(api_url)
        self._official = urlsplit(api_url).hostname == urlsplit(OFFICIAL_API).hostname
        self._public_url = public_url.rstrip("/")
        self._request_seconds = request_seconds
        self._session = AiohttpSession(api=self._server)
        self._bot = Bot(token, session=self._session)
        self._reader = Reader(self.name, self._account)
        self._pace = Pace(patience=1.5)
        self._watcher: asyncio.Task[None] | None = None
        self._gauges: dict[str, float] = {}

    @classmethod
    def from_settings(cls, settings: Any) -> Telegram | None:
        """The bot, or None without TELEGRAM_BOT_TOKEN."""
        token = reveal(getattr(settings, "telegram_bot_token", None))
        if token is None:
            return None
        if not re.fullmatch(r"\d{1,20}:[A-Za-z0-9_-]{5,}", token):
            raise ValueError("TELEGRAM_BOT_TOKEN must look like 123456:ABC-DEF, as @BotFather gave it.")
        secret = reveal(getattr(settings, "telegram_webhook_secret", None))
        if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
            raise ValueError("TELEGRAM_WEBHOOK_SECRET must be 1 to 256 letters, digits, _ or -.")
        api_url = reveal(getattr(settings, "telegram_api_url", None))
        return cls(
            token,
            webhook_secret=secret,
            public_url=public_url(settings),
            api_url=api_url or OFFICIAL_API,
        )

    @property
    def account(self) -> str:
        """The bot's id, the part of the token before the colon."""
        return self._account

    # Receiving

    def receive(self, request: WebhookRequest) -> Received:
        """Prove the secret header and read one update. Without a secret no webhook is authentic."""
        shown = request.headers.get(PROOF_HEADER, "")
        if self._secret is None or not hmac.compare_digest(
            shown.encode("utf-8", "surrogatepass"), self._secret.encode("utf-8")
        ):
            raise NotAuthentic("The webhook's secret is missing or wrong.")
        return self._reader.body(request.body)

    # Sending

    def split(self, text: str) -> list[str]:
        """Parts that leave room for sources within Telegram's 4096 UTF-16 units."""
        return words.split(text, words.within(MAX_UNITS - SOURCES_ROOM, words.utf16_units))

    async def send(self, message: Outbound) -> Sent:
        """Send one part, its files after it; the buttons hang on the first message."""
        methods = methods_for(message)
        group = [(PER_GROUP, f"group:{message.address}")] if message.address.startswith("-") else []
        first: Any = None
        for method in methods:
            try:
                await self._pace.turn([(PER_CHAT, f"chat:{message.address}"), (OVERALL, "all"), *group])
                more = FILE_SECONDS if message.attachments else 0.0
                result = await self._call(method, sending=True, seconds=more)
            except SendFailure as error:
                if first is None:
                    raise
                raise UncertainFailure("Only a part of the message left.", code=error.code) from None
            first = first or result
        return Sent(provider_id=str(first.message_id))

    async def look_up(self, message: Outbound) -> LookedUp:
        """Telegram has no list to search; but as long as it does not answer at all, nothing is sent twice."""
        from aiogram.methods import GetMe

        await self._call(GetMe())
        return LookedUp(LookUp.CANNOT)

    async def acknowledge(self, inbound: Inbound) -> None:
        """Stop the spinner on a pressed button; a query that is too old is nobody's loss."""
        from aiogram.methods import AnswerCallbackQuery

        query = inbound.payload.get("query")
        if inbound.kind is not InboundKind.BUTTON or not isinstance(query, str):
            return
        try:
            await self._call(AnswerCallbackQuery(callback_query_id=query))
        except SendFailure as error:
            log.info("telegram_acknowledge_failed", reason=error.reason, code=error.code)

    async def _call(self, method: TelegramMethod[T], *, sending: bool = False, seconds: float = 0.0) -> T:
        """Call the Bot API; every error comes back as one of ours, without the token in its chain."""
        from aiogram.exceptions import AiogramError
        from aiohttp import ClientError, ClientTimeout

        total = self._request_seconds
        limit = ClientTimeout(total=total + seconds, sock_connect=min(2, total))
        try:
            return await self._bot(method, request_timeout=cast("int", limit))
        except (AiogramError, ClientError, OSError) as error:
            refused = explain(error, sending=sending)
        raise refused

    # Files

    async def fetch(self, media: MediaRef) -> Media:
        """A resident's file of at most 20 MB."""
        from aiogram.methods import GetFile
        from aiohttp import ClientError, ClientTimeout

        if media.size is not None and media.size > MAX_FILE_BYTES:
            raise too_large(MAX_FILE_BYTES)
        file = await self._call(GetFile(file_id=media.ref))
        if not file.file_path or file.file_path.startswith("/"):
            raise PermanentFailure("The Bot API server gives out no files (local mode?).", alert=True)
        if (file.file_size or 0) > MAX_FILE_BYTES:
            raise too_large(MAX_FILE_BYTES)
        session = await self._session.create_session()
        url = self._server.file_url(self._token, file.file_path)
        data, trouble = bytearray(), False
        try:
            limit = ClientTimeout(total=60, sock_connect=5)
            async with session.get(url, timeout=limit, allow_redirects=False) as response:
                refuse_status(response.status)
                async for chunk in response.content.iter_chunked(64 * 1024):
                    data += chunk
                    if len(data) > MAX_FILE_BYTES:
                        raise too_large(MAX_FILE_BYTES)
        except (ClientError, TimeoutError, OSError):
            trouble = True
        if trouble:  # outside the handler: the library's error shows the URL, and with it the token
            raise TemporaryFailure("The file could not be fetched from Telegram.")
        return identify(media.name or file.file_path, bytes(data))

    # Polling and the provider's side

    def polls(self) -> bool:
        """Long polling is for development; a webhook secret turns it off."""
        return self._secret is None

    async def poll(self, memory: Memory) -> AsyncIterator[Received]:
        """Updates by getUpdates, the offset kept only after the hub has stored them."""
        from aiogram.methods import DeleteWebhook

        key, pause, clear = f"telegram.{self._account}.offset", 1.0, False
        while True:
            try:
                if not clear:
                    await self._call(DeleteWebhook())
                    clear = True
                offset = int(await memory.get(key) or 0)
                updates = await self._call(
                    _raw_updates()(offset=offset, timeout=self.poll_seconds, allowed_updates=ALLOWED_UPDATES),
                    seconds=self.poll_seconds,
                )
            except SendFailure as error:
                log.warning("telegram_poll_failed", reason=error.reason, code=error.code)
                wait = getattr(error, "retry_after", None) or pause * random.uniform(0.5, 1.0)  # noqa: S311
                await asyncio.sleep(wait)
                pause, clear = min(pause * 2, 30.0), error.code != "409" and clear
                continue
            pause = 1.0
            for raw in updates:
                yield self._reader.read(clean(raw))
            if updates:
                await memory.set(key, str(max(int(raw["update_id"]) for raw in updates) + 1))

    async def start(self) -> None:
        """Check the token and register the webhook; goes on trying while Telegram is away."""
        from aiogram.methods import GetMe

        try:
            await self._call(GetMe())
            await self._refresh()
        except SendFailure as error:
            # Whatever it is, other channels go on, and sending says the same until it is mended.
            log.error("telegram_not_ready", reason=error.reason, code=error.code)
        self._watcher = asyncio.create_task(self._watch(), name="telegram-watch")

    async def close(self) -> None:
        """Stop watching and close the connections."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        await self._session.close()

    def gauges(self) -> Mapping[str, float]:
        """What getWebhookInfo last said: updates that wait at Telegram, and when a delivery last failed."""
        return dict(self._gauges)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.watch_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self._refresh()
            except ChannelError as error:
                log.warning("telegram_watch_failed", error=type(error).__name__)

    async def _refresh(self) -> None:
        """Read the webhook's state, and put ours in place where it is missing or somebody else's."""
        from aiogram.methods import GetWebhookInfo, SetWebhook

        info = await self._call(GetWebhookInfo())
        wanted = self._webhook_url()
        first = not self._gauges  # the secret may have changed since the last start, and is not shown
        if wanted and (first or info.url != wanted):
            await self._call(
                SetWebhook(url=wanted, secret_token=self._secret, allowed_updates=ALLOWED_UPDATES)
            )
            info = await self._call(GetWebhookInfo())
        failed = info.last_error_date
        self._gauges = {
            "pending_updates": float(info.pending_update_count),
            "last_error_timestamp": failed.timestamp() if isinstance(failed, datetime) else 0.0,
            "checked_timestamp": time.time(),
        }

    def _webhook_url(self) -> str | None:
        """Where Telegram should deliver; api.telegram.org takes https only."""
        if self._secret is None or not self._public_url:
            return None
        if self._official and not self._public_url.startswith("https://"):
            log.warning("telegram_webhook_needs_https", setting="PUBLIC_URL")
            return None
        return f"{self._public_url}/channels/{self.name}/webhook"


@cache
def _raw_updates() -> type[TelegramMethod[list[dict[str, Any]]]]:
    """getUpdates with the updates left as they are: one that aiogram cannot read must not hide the others."""
    from aiogram.methods import GetUpdates

    class RawUpdates(GetUpdates):
        __returning__ = list[dict[str, Any]]

    return cast("type[TelegramMethod[list[dict[str, Any]]]]", RawUpdates)
