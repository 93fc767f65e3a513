"""The providers' doors through the real web process: proved, stored once, answered, or refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from contact_hub.app import WEBHOOK_BYTES, create_app
from contact_hub.composition import Parts
from contact_hub.settings import read_settings
from tests.fakes import telegram, twilio
from tests.hub.conftest import PUBLIC_URL, WEBHOOK_SECRET
from tests.hub.line import Line

PROVED = {"X-Telegram-Bot-Api-Secret-Token": WEBHOOK_SECRET}
TELEGRAM = "/channels/telegram/webhook"
SMS = "/channels/sms/webhook"


def update(number: int = 1, words: str = "When is my bin day?", **more: Any) -> dict[str, Any]:
    who = {"id": 4711, "is_bot": False, "first_name": "Ana"}
    message = {"message_id": number, "date": 1_795_000_000, "chat": {"id": 4711, "type": "private"}}
    return {"update_id": 1000 + number, "message": {**message, "from": who, "text": words, **more}}


def text_message(
    sid: str = "SM1", words: str = "When is my bin day?", path: str = SMS, token: str = twilio.AUTH_TOKEN
) -> dict[str, Any]:
    """A signed request, as arguments of a POST."""
    fields = [("MessageSid", sid), ("From", "+15551230001"), ("To", twilio.NUMBER), ("Body", words)]
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": twilio.sign(PUBLIC_URL + path, fields, token),
    }
    return {"content": urlencode(fields), "headers": headers}


async def test_an_update_sent_five_times_is_one_message(line: Line, web: httpx.AsyncClient) -> None:
    for _ in range(5):
        answer = await web.post(TELEGRAM, json=update(), headers=PROVED)
        assert answer.status_code == 200
    at_once = [web.post(TELEGRAM, json=update(2), headers=PROVED) for _ in range(5)]
    assert [answer.status_code for answer in await asyncio.gather(*at_once)] == [200] * 5
    assert await line.count("inbound") == 2
    assert await line.count("task") == 2
    assert [t.text for t in await line.chatter().touchpoints()] == ["When is my bin day?"] * 2


async def test_a_text_sent_five_times_is_one_message(line: Line, web: httpx.AsyncClient) -> None:
    for _ in range(5):
        answer = await web.post(SMS, **text_message())
        assert answer.status_code == 200
        assert answer.text.endswith("<Response/>")
        assert answer.headers["content-type"].startswith("text/xml")
    at_once = [web.post(SMS, **text_message("SM2", "Hello")) for _ in range(5)]
    assert [answer.status_code for answer in await asyncio.gather(*at_once)] == [200] * 5
    assert await line.count("inbound") == 2
    assert await line.count("task") == 2
    assert await line.count("citizen") == 1


@pytest.mark.parametrize("proof", [None, "", "wrong", WEBHOOK_SECRET + "x", "gehäm".encode()])
async def test_a_forged_update_stores_nothing(line: Line, web: httpx.AsyncClient, proof: Any) -> None:
    headers = [] if proof is None else [("X-Telegram-Bot-Api-Secret-Token", proof)]
    answer = await web.post(TELEGRAM, json=update(), headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"] == "forbidden"
    for table in ("inbound", "citizen", "touchpoint", "task"):
        assert await line.count(table) == 0


@pytest.mark.parametrize("forged", ["token", "body", "path", "none"])
async def test_a_forged_text_stores_nothing(line: Line, web: httpx.AsyncClient, forged: str) -> None:
    request = text_message(token="somebody else's") if forged == "token" else text_message()
    if forged == "body":
        request["content"] += "&Body=Something+else"
    if forged == "path":
        request = text_message(path="/channels/sms/status")
    if forged == "none":
        del request["headers"]["X-Twilio-Signature"]
    assert (await web.post(SMS, **request)).status_code == 403
    assert await line.count("inbound") == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1, 2, 3]", b'"words"', b"null", b"\xff\xfe", b"{" * 20_000, b'{"update_id": "x"}'],
)
async def test_an_authentic_update_that_cannot_be_read_is_kept_and_taken(
    line: Line, web: httpx.AsyncClient, body: bytes
) -> None:
    for _ in range(2):
        answer = await web.post(TELEGRAM, content=body, headers=PROVED)
        assert answer.status_code == 200, "else Telegram would send it for a day and nothing after it"
    assert await line.count("touchpoint", "kind = 'unsupported'") == 1
    await line.work()
    assert await line.unsettled() == 0
    assert await line.deliveries() == []


async def test_an_update_of_a_kind_nobody_knows_is_kept_and_answered(
    line: Line, web: httpx.AsyncClient
) -> None:
    strange = update(text=None, hologram={"depth": 3})
    assert (await web.post(TELEGRAM, json=strange, headers=PROVED)).status_code == 200
    (kept,) = await line.chatter().touchpoints()
    assert kept.kind == "unsupported"
    assert kept.payload["raw"]["message"]["hologram"] == {"depth": 3}


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
async def test_the_content_type_of_an_authentic_update_does_not_matter(
    line: Line, web: httpx.AsyncClient, kind: str
) -> None:
    headers = {**PROVED, "Content-Type": kind}
    answer = await web.post(TELEGRAM, content=json.dumps(update()), headers=headers)
    assert answer.status_code == 200
    assert await line.count("inbound") == 1


async def test_a_text_of_another_content_type_is_not_proved(line: Line, web: httpx.AsyncClient) -> None:
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        request = text_message()
        request["headers"]["Content-Type"] = kind
        request["content"] = '{"MessageSid": "SM1"}' if kind == "application/json" else "x"
        assert (await web.post(SMS, **request)).status_code == 403
    assert await line.count("inbound") == 0


async def test_a_body_that_is_too_large_is_told_so(line: Line, web: httpx.AsyncClient) -> None:
    for path, headers in ((TELEGRAM, PROVED), (SMS, {})):
        answer = await web.post(path, content=b"x" * (WEBHOOK_BYTES + 1), headers=headers)
        assert answer.status_code == 413
        assert "larger" in answer.json()["reason"]
    assert await line.count("inbound") == 0


async def test_there_is_no_other_door(web: httpx.AsyncClient) -> None:
    for path in ("/channels/fax/webhook", "/channels/telegram/status", "/channels/console/webhook"):
        assert (await web.post(path, content=b"{}", headers=PROVED)).status_code == 404
    assert (await web.get(TELEGRAM, headers=PROVED)).status_code == 405


async def test_a_status_nobody_knows_is_taken_and_a_known_one_counts_once(
    line: Line, web: httpx.AsyncClient
) -> None:
    path = "/channels/sms/status"
    for status, stored in (("teleported", 0), ("delivered", 1), ("delivered", 1)):
        fields = [("MessageSid", "SM9"), ("MessageStatus", status)]
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": twilio.sign(PUBLIC_URL + path, fields, twilio.AUTH_TOKEN),
        }
        answer = await web.post(path, content=urlencode(fields), headers=headers)
        assert answer.status_code == 200
        assert await line.count("inbound") == stored


async def test_without_a_database_a_provider_is_told_to_come_again(tmp_path: Path) -> None:
    settings = read_settings(
        civicline_data=tmp_path,
        public_url=PUBLIC_URL,
        telegram_bot_token=telegram.TOKEN,
        telegram_webhook_secret=WEBHOOK_SECRET,
        twilio_account_sid=twilio.ACCOUNT,
        twilio_auth_token=twilio.AUTH_TOKEN,
        twilio_from=twilio.NUMBER,
    )
    parts = Parts(settings, "postgresql+psycopg://nobody@127.0.0.1:1/nothing", pool_size=1)
    transport = httpx.ASGITransport(create_app(parts))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as web:
        for path, request in ((TELEGRAM, {"json": update(), "headers": PROVED}), (SMS, text_message())):
            answer = await web.post(path, **request)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["error"] == "unavailable"
        forged = await web.post(TELEGRAM, json=update())
        assert forged.status_code == 403, "a forged request is refused without asking the database"
        assert (await web.get("/healthz")).status_code == 200
        assert (await web.get("/readyz")).json()["database"] is False
        assert "civicline_refused_webhooks_total" in (await web.get("/metrics")).text
    for channel in parts.channels.values():
        await channel.close()
    await parts.close()


async def test_what_a_resident_wrote_while_the_database_was_away_arrives_later(
    line: Line, web: httpx.AsyncClient, fake_telegram: telegram.FakeTelegram
) -> None:
    """Telegram repeats what was not taken; what was taken in between is not lost and not doubled."""
    for number in (3, 1, 2, 1, 3):
        assert (await web.post(TELEGRAM, json=update(number), headers=PROVED)).status_code == 200
    ids = [t.message_id for t in await line.chatter().touchpoints()]
    assert ids == ["3", "1", "2"]
