"""A Telegram Bot API server that behaves as documented, for one or many bots.

    with telegram.running() as fake:            # or: python -m tests.fakes.telegram --port 9001 --log t.jsonl
        fake.url                                # TELEGRAM_API_URL
        fake.says(4711, "When is my bin day?")  # a resident writes; polled or delivered to the webhook
        fake.sent                               # what the bot's residents can read, in order

It keeps to: getUpdates with long polling, offsets and 409 beside a webhook; webhook deliveries with the
secret header, one after another per chat, again and again until a 2xx (1 s, doubling to 60 s, honouring
Retry-After; `pace` divides all of that); 4096 UTF-16 units; 30 messages a second, about one a second per
chat and 20 a minute per group, then 429 with retry_after for the whole bot; 403 for residents who blocked
it; getFile up to 20 MB. The message ids of a chat count from 1 and update ids leave gaps.

Other processes drive it over HTTP: GET /_log, POST /_do {"do": "says", "chat": 4711, "text": "..."} (any
public method that takes plain values), among them "reset".
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes import server

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
MAX_FILE = 20 * 1024 * 1024


@dataclass
class Fault:
    """What happens to the next calls instead of an answer: an error, a hang or a broken connection."""

    left: int
    status: int = 500
    description: str = "Internal Server Error"
    retry_after: int | None = None
    hang: float = 0.0
    accept: bool = False  # the message arrives all the same
    method: str = "send"


@dataclass
class Hook:
    """A webhook as setWebhook left it."""

    url: str = ""
    secret: str = ""
    allowed: list[str] = field(default_factory=list)
    last_error: str = ""
    last_error_at: int = 0


class RefusedError(Exception):
    """An error answer."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


class FakeTelegram:
    """The server's state and what residents can do to it."""

    def __init__(self, *, token: str = TOKEN, log: Path | None = None, pace: float = 1.0) -> None:
        self.token, self.pace, self.url = token, pace, ""
        self.journal = server.Journal(log)
        self.answered_queries: list[str] = []
        self.calls: list[str] = []
        self.limits = {"chat": (3, 3.0), "all": (30, 1.0), "group": (20, 60.0)}
        self.hook = Hook()
        self.updates: list[dict[str, Any]] = []
        self.files: dict[str, tuple[str, bytes]] = {}
        self.blocked: set[int] = set()
        self.gone: set[int] = set()
        self.unknown: set[int] = set()
        self.faults: list[Fault] = []
        # Message ids go on where a log from before a restart ends.
        self._message_ids: dict[int, int] = defaultdict(int)
        for entry in self.journal.entries:
            self._message_ids[entry["chat"]] = max(self._message_ids[entry["chat"]], entry["message_id"])
        self._next_update = random.randint(100_000_000, 900_000_000)
        self._times: dict[str, deque[float]] = defaultdict(deque)
        self._flood_until = 0.0
        self._polling = 0
        self._delivering: dict[int, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._client: httpx.AsyncClient | None = None

    # What residents do

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Messages that arrived at residents, oldest first."""
        return self.journal.entries

    def texts(self, chat: int) -> list[str]:
        """What one resident can read."""
        return [entry["text"] for entry in self.sent if entry["chat"] == chat]

    def says(self, chat: int, text: str, **more: Any) -> int:
        """A resident writes a text; returns the update's id."""
        return self.update("message", {**self._message(chat), "text": text, **more})

    def sends_photo(self, chat: int, data: bytes | str, caption: str = "") -> int:
        """A resident sends a photo (bytes, or base64 over HTTP)."""
        small = {**self._file(b"\xff\xd8\xff small", "s.jpg"), "width": 90, "height": 90}
        large = {**self._file(data, "photos/file_1.jpg"), "width": 1280, "height": 960}
        sizes = [small, large]
        return self.update(
            "message", {**self._message(chat), "photo": sizes, **({"caption": caption} if caption else {})}
        )

    def sends_voice(self, chat: int, data: bytes | str) -> int:
        """A resident speaks."""
        voice = {**self._file(data, "voice/file_2.oga"), "duration": 3, "mime_type": "audio/ogg"}
        return self.update("message", {**self._message(chat), "voice": voice})

    def sends_document(self, chat: int, data: bytes | str, name: str, mime: str = "") -> int:
        """A resident sends a file."""
        document = {**self._file(data, f"documents/{name}"), "file_name": name, "mime_type": mime}
        return self.update("message", {**self._message(chat), "document": document})

    def sends_location(self, chat: int, latitude: float, longitude: float) -> int:
        """A resident shows where something is."""
        place = {"latitude": latitude, "longitude": longitude}
        return self.update("message", {**self._message(chat), "location": place})

    def sends_contact(self, chat: int, phone: str, user: int | None = None) -> int:
        """A resident shares a number: their own when `user` is their id."""
        contact = {"phone_number": phone, "first_name": "Ana", **({"user_id": user} if user else {})}
        return self.update("message", {**self._message(chat), "contact": contact})

    def edits(self, chat: int, message_id: int, text: str) -> int:
        """A resident corrects a message."""
        change = {"message_id": message_id, "edit_date": int(time.time()), "text": text}
        return self.update("edited_message", {**self._message(chat), **change})

    def presses(self, chat: int, data: str, message_id: int = 0) -> int:
        """A resident presses a button."""
        message = {"message_id": message_id or self._message_ids[chat], "chat": _chat(chat), "date": 0}
        query = {
            "id": str(random.getrandbits(60)),
            "from": _user(chat),
            "chat_instance": "1",
            "message": message,
            "data": data,
        }
        return self.update("callback_query", query)

    def blocks(self, chat: int) -> int:
        """A resident blocks the bot."""
        self.blocked.add(chat)
        return self._membership(chat, "member", "kicked")

    def unblocks(self, chat: int) -> int:
        """A resident lets the bot write again."""
        self.blocked.discard(chat)
        return self._membership(chat, "kicked", "member")

    def update(self, kind: str, content: dict[str, Any]) -> int:
        """Any update at all."""
        self._next_update += random.choice([1, 1, 1, 2, 5])
        update = {"update_id": self._next_update, kind: content}
        self._in_loop(self._enqueue, update)
        return self._next_update

    def add_file(self, data: bytes | str, path: str) -> str:
        """Keep a file at Telegram; returns its file_id."""
        content = base64.b64decode(data) if isinstance(data, str) else data
        file_id = f"AgAC{len(self.files):06d}"
        folder, _, name = path.rpartition("/")
        self.files[file_id] = (f"{folder or 'files'}/{len(self.files)}_{name}", content)
        return file_id

    # Scripted faults

    def fail_next(
        self,
        count: int,
        status: int = 500,
        description: str = "Internal Server Error",
        retry_after: int | None = None,
        method: str = "send",
    ) -> None:
        """The next calls of a method get an error."""
        self.faults.append(Fault(count, status, description, retry_after, method=method.lower()))

    def hang_next(self, count: int, seconds: float = 60.0, accept: bool = False) -> None:
        """The next messages get no answer for a long time, taken or not."""
        self.faults.append(Fault(count, hang=seconds, accept=accept))

    def drop_after_accept(self, count: int) -> None:
        """The next messages arrive, but the connection breaks before the bot hears of it."""
        self.faults.append(Fault(count, status=0, accept=True))

    def reset(self) -> None:
        """Forget everything but the webhook."""
        self.journal.clear()
        self.updates.clear()
        self.faults.clear()
        self.blocked.clear()
        self.gone.clear()
        self.unknown.clear()
        self.answered_queries.clear()
        self.calls.clear()
        self._times.clear()
        self._flood_until = 0.0

    # The API's methods

    async def call(self, method: str, given: dict[str, Any]) -> Any:
        """Answer one method. Raises RefusedError."""
        method = method.lower()
        self.calls.append(method)
        if method.startswith("send"):
            return self._send(method, given)
        plain = {
            "getme": self._get_me,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
            "answercallbackquery": self._answer_query,
            "getfile": self._get_file,
        }
        if method == "getupdates":
            return await self._get_updates(given)
        if method not in plain:
            raise RefusedError(404, "Not Found: method not found")
        return plain[method](given)

    def fault_for(self, method: str) -> Fault | None:
        """The scripted fault that meets this call."""
        for fault in self.faults:
            if method.lower().startswith(fault.method):
                fault.left -= 1
                if fault.left <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _get_me(self, given: dict[str, Any]) -> dict[str, Any]:
        bot_id = int(self.token.split(":", maxsplit=1)[0])
        return {"id": bot_id, "is_bot": True, "first_name": "City", "username": "city_bot"}

    def _send(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        chat = int(given["chat_id"])
        text = str(given.get("text") or given.get("caption") or "")
        self._check_reachable(chat)
        self._check_text(method, text, given)
        self._check_rate(chat)
        self._message_ids[chat] += 1
        keyboard = json.loads(given["reply_markup"]) if given.get("reply_markup") else {}
        rows = keyboard.get("inline_keyboard", [])
        asked = keyboard.get("keyboard", [])
        files = {name: data for name, data in given.items() if isinstance(data, bytes)}
        self.journal.add(
            method=method,
            chat=chat,
            message_id=self._message_ids[chat],
            text=text,
            entities=json.loads(given.get("entities") or given.get("caption_entities") or "[]"),
            buttons=[button for row in rows for button in row],
            rows=[len(row) for row in rows],
            contact=next((key["text"] for row in asked for key in row if key.get("request_contact")), None),
            preview=not json.loads(given.get("link_preview_options") or "{}").get("is_disabled", False),
            files={name: len(data) for name, data in files.items()},
        )
        return {
            "message_id": self._message_ids[chat],
            "date": int(time.time()),
            "chat": _chat(chat),
            "text": text,
        }

    def _check_reachable(self, chat: int) -> None:
        if chat in self.blocked:
            raise RefusedError(403, "Forbidden: bot was blocked by the user")
        if chat in self.gone:
            raise RefusedError(403, "Forbidden: user is deactivated")
        if chat in self.unknown:
            raise RefusedError(400, "Bad Request: chat not found")

    def _check_text(self, method: str, text: str, given: dict[str, Any]) -> None:
        if method == "sendmessage" and not text.strip():
            raise RefusedError(400, "Bad Request: message text is empty")
        units = len(text.encode("utf-16-le")) // 2
        if units > (4096 if method == "sendmessage" else 1024):
            raise RefusedError(400, "Bad Request: message is too long")
        for entity in json.loads(given.get("entities") or "[]"):
            if entity["offset"] < 0 or entity["offset"] + entity["length"] > units:
                raise RefusedError(400, "Bad Request: entity is out of the text")
        keyboard = json.loads(given["reply_markup"]) if given.get("reply_markup") else {}
        for row in keyboard.get("inline_keyboard", []):
            for button in row:
                if not 1 <= len(button.get("callback_data", "").encode()) <= 64:
                    raise RefusedError(400, "Bad Request: BUTTON_DATA_INVALID")

    def _check_rate(self, chat: int) -> None:
        now = time.monotonic()
        if now < self._flood_until:
            wait = max(1, round(self._flood_until - now))
            raise RefusedError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        keys = [("all", "all"), ("group" if chat < 0 else "chat", str(chat))]
        for kind, key in keys:
            most, seconds = self.limits[kind]
            times = self._times[f"{kind}:{key}"]
            while times and now - times[0] > seconds:
                times.popleft()
            if len(times) >= most:
                wait = max(1, round(seconds - (now - times[0])))
                self._flood_until = now + wait
                raise RefusedError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        for kind, key in keys:
            self._times[f"{kind}:{key}"].append(now)

    def _set_webhook(self, given: dict[str, Any]) -> bool:
        self.hook = Hook(
            url=str(given.get("url") or ""),
            secret=str(given.get("secret_token") or ""),
            allowed=json.loads(given.get("allowed_updates") or "[]"),
        )
        self._deliver_all()
        return True

    def _delete_webhook(self, given: dict[str, Any]) -> bool:
        self.hook = Hook()
        return True

    def _webhook_info(self, given: dict[str, Any]) -> dict[str, Any]:
        info: dict[str, Any] = {
            "url": self.hook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.updates),
        }
        if self.hook.last_error:
            info |= {"last_error_date": self.hook.last_error_at, "last_error_message": self.hook.last_error}
        return info

    def _answer_query(self, given: dict[str, Any]) -> bool:
        self.answered_queries.append(str(given["callback_query_id"]))
        return True

    def _get_file(self, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("file_id") not in self.files:
            raise RefusedError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        path, data = self.files[given["file_id"]]
        if len(data) > MAX_FILE:
            raise RefusedError(400, "Bad Request: file is too big")
        return {
            "file_id": given["file_id"],
            "file_unique_id": f"u{given['file_id']}",
            "file_size": len(data),
            "file_path": path,
        }

    async def _get_updates(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        if self.hook.url:
            raise RefusedError(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(given.get("offset") or 0)
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        self._polling += 1
        mine, deadline = self._polling, time.monotonic() + float(given.get("timeout") or 0)
        while not self.updates and time.monotonic() < deadline:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(0.2, max(0.01, deadline - time.monotonic())))
            except TimeoutError:
                pass
            if self._polling != mine:
                raise RefusedError(409, "Conflict: terminated by other getUpdates request")
        return self.updates[: int(given.get("limit") or 100)]

    # Delivering updates

    def _enqueue(self, update: dict[str, Any]) -> None:
        self.updates.append(update)
        self._news.set()
        if self.hook.url:
            self._deliver(_chat_of(update))

    def _deliver_all(self) -> None:
        for chat in {_chat_of(update) for update in self.updates}:
            self._deliver(chat)

    def _deliver(self, chat: int) -> None:
        running = self._delivering.get(chat)
        if self.hook.url and (running is None or running.done()):
            self._delivering[chat] = asyncio.get_running_loop().create_task(self._deliver_chat(chat))

    async def _deliver_chat(self, chat: int) -> None:
        """One chat's updates, the next only after the last one's 2xx."""
        pause = 1.0
        while self.hook.url:
            waiting = [update for update in self.updates if _chat_of(update) == chat]
            if not waiting:
                return
            wait = await self._post(waiting[0])
            if wait is None:
                self.updates.remove(waiting[0])
                pause = 1.0
            else:
                await asyncio.sleep((wait or pause) / self.pace)
                pause = min(pause * 2, 60.0)

    async def _post(self, update: dict[str, Any]) -> float | None:
        """None for a 2xx, else the seconds asked for by Retry-After, 0 without."""
        kind = next(name for name in update if name != "update_id")
        if self.hook.allowed and kind not in self.hook.allowed:
            return None
        assert self._client is not None
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.hook.secret} if self.hook.secret else {}
        try:
            answer = await self._client.post(self.hook.url, json=update, headers=headers)
        except httpx.HTTPError as error:
            self.hook.last_error, self.hook.last_error_at = type(error).__name__, int(time.time())
            return 0.0
        if answer.is_success:
            return None
        self.hook.last_error = f"Wrong response from the webhook: {answer.status_code}"
        self.hook.last_error_at = int(time.time())
        wait = answer.headers.get("retry-after", "")
        return float(wait) if wait.isdigit() else 0.0

    # Pieces

    def _message(self, chat: int) -> dict[str, Any]:
        self._message_ids[chat] += 1
        return {
            "message_id": self._message_ids[chat],
            "from": _user(chat),
            "chat": _chat(chat),
            "date": int(time.time()),
        }

    def _file(self, data: bytes | str, path: str) -> dict[str, Any]:
        file_id = self.add_file(data, path)
        return {
            "file_id": file_id,
            "file_unique_id": f"u{file_id}",
            "file_size": len(self.files[file_id][1]),
        }

    def _membership(self, chat: int, old: str, new: str) -> int:
        bot = self._get_me({})

        def member(status: str) -> dict[str, Any]:
            return {"user": bot, "status": status, **({"until_date": 0} if status == "kicked" else {})}

        change = {
            "chat": _chat(chat),
            "from": _user(chat),
            "date": int(time.time()),
            "old_chat_member": member(old),
            "new_chat_member": member(new),
        }
        return self.update("my_chat_member", change)

    def _in_loop(self, function: Any, *arguments: Any) -> None:
        """Run in the server's loop, from its own code or from a test's thread."""
        if self._loop is None:
            function(*arguments)
            return
        try:
            inside = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            inside = False
        if inside:
            function(*arguments)
        else:
            done: Future[None] = Future()

            def run() -> None:
                function(*arguments)
                done.set_result(None)

            self._loop.call_soon_threadsafe(run)
            done.result(timeout=10)

    def app(self) -> Starlette:
        """The HTTP server."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            async with httpx.AsyncClient(timeout=20, trust_env=False) as self._client:
                yield
                for task in self._delivering.values():
                    task.cancel()

        return Starlette(
            routes=[
                Route("/bot{token}/{method}", self._api, methods=["GET", "POST"]),
                Route("/file/bot{token}/{path:path}", self._download),
                Route("/_log", self._log),
                Route("/_do", self._do, methods=["POST"]),
            ],
            lifespan=lifespan,
        )

    async def _api(self, request: Request) -> Response:
        if request.path_params["token"] != self.token:
            return _refusal(RefusedError(401, "Unauthorized"))
        method = request.path_params["method"]
        given = await _arguments(request)
        fault = self.fault_for(method)
        try:
            if fault is None:
                return JSONResponse({"ok": True, "result": await self.call(method, given)})
            result = await self.call(method, given) if fault.accept else None
            if fault.hang:
                await asyncio.sleep(fault.hang)
                return JSONResponse({"ok": True, "result": result})
            if fault.accept:
                return server.CutOff()
            extra = {"retry_after": fault.retry_after} if fault.retry_after else {}
            raise RefusedError(fault.status, fault.description, **extra)
        except RefusedError as refused:
            return _refusal(refused)

    async def _download(self, request: Request) -> Response:
        wanted = request.path_params["path"]
        if request.path_params["token"] == self.token:
            for path, data in self.files.values():
                if path == wanted:
                    return Response(data, media_type="application/octet-stream")
        return Response("Not Found", status_code=404)

    async def _log(self, request: Request) -> Response:
        return JSONResponse({"sent": self.sent, "pending": len(self.updates), "calls": len(self.calls)})

    async def _do(self, request: Request) -> Response:
        return await server.act(self, request)


async def _arguments(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        return await server.json_of(request)
    form = await request.form(max_part_size=64 * 1024 * 1024)
    given: dict[str, Any] = dict(request.query_params)
    for name, value in form.items():
        given[name] = await value.read() if isinstance(value, UploadFile) else value
    return given


def _refusal(refused: RefusedError) -> Response:
    body: dict[str, Any] = {"ok": False, "error_code": refused.status, "description": refused.description}
    if refused.parameters:
        body["parameters"] = refused.parameters
    return JSONResponse(body, status_code=refused.status)


def _chat(chat: int) -> dict[str, Any]:
    if chat < 0:
        return {"id": chat, "type": "supergroup", "title": "Mill Lane neighbours"}
    return {"id": chat, "type": "private", "first_name": "Ana"}


def _user(chat: int) -> dict[str, Any]:
    return {"id": abs(chat), "is_bot": False, "first_name": "Ana", "language_code": "en"}


def _chat_of(update: dict[str, Any]) -> int:
    for content in update.values():
        if isinstance(content, dict):
            chat = content.get("chat") or content.get("message", {}).get("chat") or {}
            return int(chat.get("id", 0))
    return 0


@contextmanager
def running(**options: Any) -> Iterator[FakeTelegram]:
    """A fake in a thread; `pace` divides its waiting times."""
    fake = FakeTelegram(**options)
    with server.running(fake.app()) as fake.url:
        yield fake


def main() -> None:
    """Serve as a process of its own."""

    def own(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--token", default=TOKEN)
        parser.add_argument("--pace", type=float, default=1.0)

    given = server.arguments("A fake Telegram Bot API server.", own)
    fake = FakeTelegram(token=given.token, log=given.log, pace=given.pace)
    fake.url = f"http://127.0.0.1:{given.port}"
    server.serve(fake.app(), given.port)


if __name__ == "__main__":
    main()
