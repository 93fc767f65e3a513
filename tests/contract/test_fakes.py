"""The fakes keep to what the providers document; everything else in this suite leans on that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from tests.contract.providers import nobody_listens
from tests.fakes import server, telegram, twilio
from tests.waiting import until


class Hook:
    """A webhook that answers as it is told, then 200."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    async def take(self, request: Request) -> Response:
        self.times.append(time.monotonic())
        self.headers.append(dict(request.headers))
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if status == 200:
            self.updates.append(await request.json())
        return Response(status_code=status, headers=headers)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/hook", self.take, methods=["POST"])])


@pytest.fixture
def hook() -> Iterator[tuple[Hook, str]]:
    made = Hook()
    with server.running(made.app()) as url:
        yield made, f"{url}/hook"


@pytest.fixture
def bot() -> Iterator[telegram.FakeTelegram]:
    with telegram.running(pace=10) as fake:
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


async def test_webhook_gets_each_chats_updates_in_order_until_a_2xx(
    bot: telegram.FakeTelegram, hook: tuple[Hook, str], http: httpx.AsyncClient
) -> None:
    taken, url = hook
    taken.answers = [(500, {}), (503, {"Retry-After": "3"})]
    api = f"{bot.url}/bot{bot.token}"
    await http.post(f"{api}/setWebhook", data={"url": url, "secret_token": "s3cret"})
    bot.says(1, "one")
    bot.says(1, "two")
    await until(lambda: len(taken.updates) == 2 and not bot.updates)

    assert [update["message"]["text"] for update in taken.updates] == ["one", "two"]
    assert {headers["x-telegram-bot-api-secret-token"] for headers in taken.headers} == {"s3cret"}
    first, second, third, _ = taken.times
    assert second - first >= 0.09, "one second, ten times as fast"
    assert third - second >= 0.29, "Retry-After is honoured"
    info = (await http.get(f"{api}/getWebhookInfo")).json()["result"]
    assert info["pending_update_count"] == 0
    assert "503" in info["last_error_message"]
    conflict = await http.get(f"{api}/getUpdates")
    assert (conflict.status_code, conflict.json()["error_code"]) == (409, 409)


async def test_get_updates_confirms_by_offset_and_waits(
    bot: telegram.FakeTelegram, http: httpx.AsyncClient
) -> None:
    api = f"{bot.url}/bot{bot.token}"
    first, second = bot.says(1, "a"), bot.says(1, "b")

    async def get(**given: Any) -> list[int]:
        answer = await http.get(f"{api}/getUpdates", params=given)
        return [update["update_id"] for update in answer.json()["result"]]

    assert await get() == [first, second]
    assert await get(limit=1) == [first]
    assert await get(offset=second) == [second]
    assert await get(offset=second + 1) == []
    started = time.monotonic()
    asyncio.get_running_loop().call_later(0.3, bot.says, 1, "c")
    assert len(await get(offset=second + 1, timeout=5)) == 1
    assert 0.2 < time.monotonic() - started < 3


async def test_flood_is_answered_by_429_for_the_whole_bot(
    bot: telegram.FakeTelegram, http: httpx.AsyncClient
) -> None:
    send = f"{bot.url}/bot{bot.token}/sendMessage"
    answers = [await http.post(send, json={"chat_id": 1, "text": str(n)}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["parameters"]["retry_after"] >= 1
    other = await http.post(send, json={"chat_id": 2, "text": "x"})
    assert other.status_code == 429


async def test_telegram_refuses_what_the_real_one_refuses(
    bot: telegram.FakeTelegram, http: httpx.AsyncClient
) -> None:
    bot.limits["chat"] = (1000, 1.0)
    api = f"{bot.url}/bot{bot.token}"
    bot.blocked.add(9)
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("sendMessage", {"chat_id": 1, "text": " "}, 400),
        ("sendMessage", {"chat_id": 1, "text": "😀" * 2049}, 400),
        ("sendMessage", {"chat_id": 1, "text": "😀" * 2048}, 200),
        ("sendMessage", {"chat_id": 9, "text": "hi"}, 403),
        ("getFile", {"file_id": "none"}, 400),
        ("dance", {}, 404),
    ]
    for method, given, status in cases:
        assert (await http.post(f"{api}/{method}", json=given)).status_code == status
    assert (await http.get(f"{bot.url}/bot1:wrong/getMe")).status_code == 401


async def test_twilio_signs_as_the_sdk_checks() -> None:
    url = "https://line.example.org/channels/sms/webhook?a=1&b="
    fields = [("Body", "a"), ("Body", "b"), ("Blank", ""), ("À", "ü 😀")]
    from starlette.datastructures import ImmutableMultiDict

    signature = twilio.sign(url, fields, "token")
    assert RequestValidator("token").validate(url, ImmutableMultiDict(fields), signature)


@pytest.mark.parametrize("name", ["telegram", "twilio"])
async def test_fake_runs_as_a_process_and_keeps_its_log(
    name: str, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    log, port = tmp_path / "log.jsonl", nobody_listens().rpartition(":")[2]
    command = [sys.executable, "-m", f"tests.fakes.{name}", "--port", port, "--log", str(log)]
    url = f"http://127.0.0.1:{port}"

    async def send() -> None:
        if name == "telegram":
            send_url = f"{url}/bot{telegram.TOKEN}/sendMessage"
            answer = await http.post(send_url, json={"chat_id": 5, "text": "hello"})
        else:
            send_url = f"{url}/2010-04-01/Accounts/{twilio.ACCOUNT}/Messages.json"
            message = {"To": "+15551230001", "From": twilio.NUMBER, "Body": "hello"}
            answer = await http.post(send_url, data=message, auth=(twilio.ACCOUNT, twilio.AUTH_TOKEN))
        assert answer.is_success

    for count in (1, 2):
        process = subprocess.Popen(command)
        try:
            async with asyncio.timeout(20):
                while True:
                    try:
                        await http.get(f"{url}/_log")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
            await send()
            assert len((await http.get(f"{url}/_log")).json()["sent"]) == count
            acted = await http.post(f"{url}/_do", json={"do": "drop_after_accept", "count": 0})
            assert acted.status_code == 200
            wrong = await http.post(f"{url}/_do", json={"do": "drop_after_accept", "colour": 1})
            assert wrong.status_code == 422
            assert (await http.post(f"{url}/_do", json={"do": "_post"})).status_code == 404
        finally:
            process.kill()
            process.wait()
