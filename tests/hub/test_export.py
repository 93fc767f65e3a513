"""A resident's copy of their data: whole, true to its schema, readable, and only ever in the right hands."""

from __future__ import annotations

import io
import json
import re
import tempfile
import tracemalloc
import uuid
import zipfile
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from unittest.mock import AsyncMock

import httpx
import jsonschema
import pytest
import time_machine

from channels.base.contract import Channel, Upload
from contact_hub.citizens import service as citizens
from contact_hub.database import now
from contact_hub.identity import merging
from contact_hub.operations.queue import LeaseLost
from contact_hub.privacy import copies, export
from contact_hub.staff import service as staff
from contact_hub.staff.service import Scope
from contact_hub.timeline import service as timeline
from tests.contract import recorded
from tests.fakes import telegram, twilio
from tests.hub.line import Line, Resident, Script, found, says, turn
from tests.hub.looked_after import look_after

PUBLIC = "http://127.0.0.1:9"  # nobody is there: callbacks are brought by the tests
SITE = "https://line.larkhaven.example"
# What browsers have run in the past, as a resident may write it.
XSS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</p><svg/onload=alert(1)>",
    "</title><script src=//evil.example></script>",
    '"><iframe srcdoc="<script>alert(1)</script>">',
    '<a href="javascript:alert(1)">x</a>',
    "<!--><script>alert(1)</script>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e<style>*{display:none}</style>",
    "{{7*7}} ${7*7} <math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
)


def sms_channel(fake: twilio.FakeTwilio) -> Channel:
    given = {"twilio_api_url": fake.url, "public_url": PUBLIC, "twilio_from": twilio.NUMBER}
    given |= {"twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.AUTH_TOKEN}
    return recorded.build("sms", **given)


class Seen(HTMLParser):
    """The page's elements, attributes and text, as a browser finds them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(archive: zipfile.ZipFile) -> tuple[str, Seen]:
    page, seen = archive.read("index.html").decode(), Seen()
    seen.feed(page)
    return page, seen


async def copy_of(line: Line, resident: Resident) -> zipfile.ZipFile:
    target = io.BytesIO()
    citizen = (await resident.place()).citizen_id
    await export.write(line.database, citizen, target, city=line.city, site_url=SITE)
    return zipfile.ZipFile(target)


def data_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The data, after its schema has been held against it."""
    found: dict[str, Any] = json.loads(archive.read("data.json"))
    checker = jsonschema.Draft202012Validator(
        json.loads(archive.read("schema.json")), format_checker=jsonschema.FormatChecker()
    )
    checker.check_schema(checker.schema)
    checker.validate(found)
    return found


async def texts_to(phone: Resident) -> str:
    """All that left for a phone."""
    return "\n".join(delivery.text for delivery in await phone.line.deliveries())


async def test_a_copy_holds_everything_and_follows_its_schema(talking: Line, script: Script) -> None:
    resident = await talking.visitor("de")
    script.on_turn = lambda asked: turn({"answer": found()})
    await resident.says("Wann kommt die Müllabfuhr?")
    await resident.presses((await resident.buttons())[0]["id"])
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": "Mill Lane", "description": "A deep one", "photo": None}}
    )
    await resident.says("Da ist ein Loch")
    script.on_turn = lambda asked: says("greet")
    upload = Upload("../../loch <b>.png", "image/png", b"\x89PNG and more")
    await talking.inbox.accept(resident.inbound(words="Ein Foto"), (upload,))
    await talking.work()
    place = await resident.place()
    async with talking.database.begin() as session:
        desk = await citizens.desk_address(session, place.citizen_id)
        await timeline.record(
            session, address_id=desk, direction="inner", actor="agent", kind="note", words="Called back"
        )
    await look_after(resident, "a bin")
    archive = await copy_of(talking, resident)
    data = data_of(archive)

    (flag,), (rating,), (wait,), (reading,) = (
        data[name] for name in ("flags", "ratings", "waits", "readings")
    )
    assert (flag["level"], flag["verdict"]) == ("unhappy", "right")
    assert flag["signals"][0]["words"] == "They said a bin"
    assert (rating["score"], wait["ended"], reading["score"]) == (2, "taken", 0.8)
    assert "About a bin" not in json.dumps(data), "what an agent has not said yet is nobody's"
    assert archive.testzip() is None
    assert data["schema"] == f"{SITE}/schemas/citizen-export-1.json"
    assert data["citizen"]["id"] == str(place.citizen_id)
    assert [address["value"] for address in data["addresses"]] == [resident.address]
    history = await resident.touchpoints()
    assert [t["id"] for t in data["touchpoints"] if t["kind"] != "note"] == [str(t.id) for t in history]
    assert [t["text"] for t in data["touchpoints"] if t["kind"] == "note"] == ["Called back"]
    assert {(t["channel"], t["at"][:4]) for t in data["touchpoints"]} >= {
        ("web_chat", str(history[0].recorded_at.year))
    }
    assert (data["reports"][0]["place"], data["reports"][0]["district"]) == ("Mill Lane", "Old Town")
    assert data["answers"][0]["question"] == "Wann kommt die Müllabfuhr?"
    assert data["answers"][0]["helpful"] is True
    assert data["answers"][0]["sources"][0]["article"] == "waste/article-1"
    (file,) = data["files"]
    assert archive.read(file["path"]) == b"\x89PNG and more"
    assert re.fullmatch(r"files/[0-9a-f-]{36}/[\w.\-]+", file["path"])
    page, seen = page_of(archive)
    assert 'lang="de" dir="ltr"' in page
    assert {"Called back", "They said a bin", "2 / 5"} <= {*seen.text}
    assert ("href", file["path"]) in seen.attributes


@pytest.mark.parametrize("words", XSS)
async def test_what_a_resident_wrote_stays_text(talking: Line, words: str) -> None:
    resident = await talking.visitor()
    await resident.says(words)
    await talking.sql("UPDATE citizen SET name = :w", w=words)
    archive = await copy_of(talking, resident)
    data_of(archive)
    page, seen = page_of(archive)
    allowed = ["html", "meta", "title", "style", "h1", "h2", "p", "dl", "dt", "dd", "ol", "li", "div"]
    allowed += ["time", "bdi", "a"]
    assert seen.tags <= set(allowed)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [
        value
        for name, value in seen.attributes
        if name in {"href", "src"} and not str(value).startswith("files/")
    ]
    assert page.count("<style>") == 1
    assert "default-src 'none'" in page
    assert words in "".join(seen.text)


async def test_the_page_reads_from_the_right_where_its_language_does(talking: Line) -> None:
    resident = await talking.visitor("ar")
    await resident.says("مرحبا")
    page, seen = page_of(await copy_of(talking, resident))
    assert 'lang="ar" dir="rtl"' in page
    assert talking.city.say("copy_history", "ar") in "".join(seen.text)


async def test_a_copy_of_a_long_life_needs_no_more_memory_than_one_of_a_short(talking: Line) -> None:
    async def peak(touchpoints: int) -> int:
        resident = await talking.visitor()
        await resident.says("Hello")
        address = (await resident.place()).id
        await talking.sql(
            "INSERT INTO touchpoint (id, address_id, direction, actor, kind, text, payload, recorded_at)"
            " SELECT uuidv7(), :a, 'in', 'citizen', 'text', repeat('word ', 20), '{}', now()"
            " FROM generate_series(1, :n)",
            a=address,
            n=touchpoints,
        )
        with tempfile.TemporaryFile() as nowhere:
            tracemalloc.start()
            done = await export.write(
                talking.database,
                (await resident.place()).citizen_id,
                nowhere,
                city=talking.city,
                site_url=SITE,
            )
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert done.touchpoints > touchpoints
        return most

    await peak(1000)
    short, long = await peak(2000), await peak(20_000)
    assert long < short * 1.5 + 1_000_000


# In the chat -------------------------------------------------------------------------------------

WISH = turn({"request": "export_my_data", "values": {}}, intent="export_my_data")


@pytest.fixture
def phone(lines: Callable[..., Line], script: Script, fake_twilio: twilio.FakeTwilio) -> Resident:
    """Somebody with a phone, behind a Twilio."""
    made = lines(brain_url=script.url, rasa_url=script.url, channels=[sms_channel(fake_twilio)])
    return made.texter()


@pytest.fixture
def chat(lines: Callable[..., Line], script: Script, fake_telegram: telegram.FakeTelegram) -> Resident:
    """Somebody on Telegram."""
    given = {"telegram_bot_token": telegram.TOKEN, "telegram_api_url": fake_telegram.url}
    made = lines(brain_url=script.url, rasa_url=script.url, channels=[recorded.build("telegram", **given)])
    return made.chatter()


async def test_a_browser_gets_its_copy_once_and_no_other_browser_does(
    talking: Line, script: Script, web: httpx.AsyncClient
) -> None:
    opened = (await web.post("/channels/web_chat/sessions", json={"language": "en"})).json()
    other = (await web.post("/channels/web_chat/sessions", json={})).json()
    mine, theirs = ({"Authorization": f"Bearer {one['token']}"} for one in (opened, other))
    resident = Resident(talking, "web_chat", opened["session"], "web")
    await resident.says("Only I know this")
    script.on_turn = lambda asked: WISH
    await resident.says("Send me everything you have about me")
    feed = (await web.get("/channels/web_chat/messages", headers=mine)).json()["messages"]
    (file,) = feed[-1]["attachments"]
    where = f"/channels/web_chat/attachments/{file['id']}"
    assert (await web.get(where, headers=theirs)).status_code == 404
    assert (await web.get(where)).status_code == 401
    answer = await web.get(where, headers=mine)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert "Only I know this" in [t["text"] for t in data_of(archive)["touchpoints"]]
    assert (await web.get(where, headers=mine)).status_code == 404, "once"
    assert await talking.count("audit", "action = 'citizen.export'") == 1


async def test_a_copy_ends_after_a_day(talking: Line, script: Script) -> None:
    resident = await talking.visitor()
    script.on_turn = lambda asked: WISH
    await resident.says("my data please")
    (copy,) = [t.payload["copy"] for t in await resident.written() if "copy" in t.payload]
    with time_machine.travel(now() + timedelta(hours=25), tick=False):
        assert await talking.store.archive(resident.address, copy) is None


async def test_telegram_brings_the_copy_as_a_document(
    chat: Resident, script: Script, fake_telegram: telegram.FakeTelegram
) -> None:
    script.on_turn = lambda asked: WISH
    answers = await chat.says("my data please")
    assert chat.line.city.say("export_started", "en") in answers
    sent = fake_telegram.sent[-1]
    assert (sent["method"], sent["chat"]) == ("senddocument", int(chat.address))
    assert sent["text"] == chat.line.city.say("export_document", "en")
    assert min(sent["files"].values()) > 1000
    assert await chat.line.count("attachment") == 0, "no copy of the copy stays"
    assert await chat.line.count("data_export", "fetched_at IS NOT NULL") == 1


async def test_a_copy_of_which_nobody_knows_whether_it_came_is_never_sent_twice(
    chat: Resident, script: Script, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.faults.append(telegram.Fault(1, status=0, accept=True, method="senddocument"))
    script.on_turn = lambda asked: WISH
    await chat.says("my data please")
    await chat.line.work()
    assert [call["method"] for call in fake_telegram.sent].count("senddocument") == 1
    assert "/d/" in fake_telegram.sent[-1]["text"]


async def test_after_a_crash_in_the_middle_of_sending_a_copy_a_link_follows(
    chat: Resident, script: Script, fake_telegram: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "take", AsyncMock(side_effect=LeaseLost(0)))
    script.on_turn = lambda asked: WISH
    await chat.says("my data please")
    monkeypatch.undo()
    await chat.line.hurry()
    await chat.line.work()
    assert [call["method"] for call in fake_telegram.sent].count("senddocument") == 1
    assert "/d/" in fake_telegram.sent[-1]["text"]


async def test_a_copy_that_was_refused_for_now_is_sent_again(
    chat: Resident, script: Script, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.fail_next(1, 429, "Too Many Requests", retry_after=1, method="senddocument")
    script.on_turn = lambda asked: WISH
    await chat.says("my data please")
    await chat.line.hurry()
    await chat.line.work()
    assert fake_telegram.sent[-1]["method"] == "senddocument"
    assert await chat.line.count("data_export", "fetched_at IS NOT NULL") == 1


async def test_a_text_brings_a_link_that_needs_a_code_sent_to_that_number(
    phone: Resident, script: Script, web: httpx.AsyncClient, fake_twilio: twilio.FakeTwilio
) -> None:
    script.on_turn = lambda asked: WISH
    await phone.says("my data please")
    (link,) = re.findall(r"https://\S+/d/\S+", await texts_to(phone))
    path = link.removeprefix(SITE)
    page = await web.get(path)
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    assert phone.address not in page.text
    same = {"Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    assert (await web.post(path, data={"code": "123456"}, headers=same)).status_code == 403
    assert (await web.post(f"{path}/code", headers=same)).status_code == 200
    await phone.line.work()
    (code,) = re.findall(r"\b\d{6}\b", (await phone.line.deliveries())[-1].text)
    shown = "\n".join(await phone.reads())
    assert code not in shown and "/d/" not in shown, "who looks after them could fetch it in their place"
    assert any(code in str(text) for text in fake_twilio.messages)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert (await web.post(path, data={"code": wrong}, headers=same)).status_code == 403
    got = await web.post(path, data={"code": code}, headers=same)
    assert got.status_code == 200
    data_of(zipfile.ZipFile(io.BytesIO(got.content)))
    assert (await web.post(path, data={"code": code}, headers=same)).status_code == 404, "once"
    assert (await web.get(path)).status_code == 404
    assert (await web.get("/d/never-made")).text.count("<form") == 0


async def test_five_wrong_codes_close_a_link(phone: Resident, script: Script, web: httpx.AsyncClient) -> None:
    script.on_turn = lambda asked: WISH
    await phone.says("my data please")
    (path,) = re.findall(r"/d/\S+", await texts_to(phone))
    same = {"Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    await web.post(f"{path}/code", headers=same)
    await phone.line.work()
    (code,) = re.findall(r"\b\d{6}\b", (await phone.line.deliveries())[-1].text)
    for guess in range(5):
        wrong = f"{(int(code) + 1 + guess) % 10**6:06d}"
        assert (await web.post(path, data={"code": wrong}, headers=same)).status_code == 403
    assert (await web.post(path, data={"code": code}, headers=same)).status_code == 403
    assert (await web.post(f"{path}/code", headers=same)).status_code == 429


async def test_nobody_asks_for_copies_without_end(talking: Line, script: Script) -> None:
    resident = await talking.visitor()
    script.on_turn = lambda asked: WISH
    answers = [(await resident.says("my data please"))[-1] for _ in range(4)]
    assert answers[3] == talking.city.say("export_too_often", "en")
    assert await talking.count("data_export") == 3


async def test_a_browser_that_was_joined_to_a_phone_shows_nothing_of_it(
    phone: Resident, script: Script
) -> None:
    line = phone.line
    visitor = await line.visitor()
    await phone.says("Something private by text")
    await visitor.says("Hello from the library")
    async with line.database.begin() as session:
        one, other = (await phone.place()).citizen_id, (await visitor.place()).citizen_id
        await merging.merge(session, one, other, reason="they showed their passport")
    script.on_turn = lambda asked: WISH
    answers = await visitor.says("my data please")
    assert answers[-1] == line.city.say("export_elsewhere", "en")
    await line.work()
    assert "/d/" in await texts_to(phone)
    assert not any("copy" in t.payload for t in await visitor.written())


async def test_whoever_has_a_number_now_gets_nothing_of_whoever_had_it(
    phone: Resident, script: Script
) -> None:
    await phone.says("My name is nobody's business")
    former = (await phone.place()).citizen_id
    with time_machine.travel(now() + timedelta(days=100), tick=False):
        script.on_turn = lambda asked: WISH
        await phone.says("my data please")
        (asked,) = await phone.line.sql("SELECT citizen_id FROM data_export")
        assert asked[0] != former
        archive = await copy_of(phone.line, phone)
    assert "My name is nobody's business" not in archive.read("data.json").decode()


async def test_the_schema_is_served_where_the_data_says(web: httpx.AsyncClient) -> None:
    answer = await web.get(export.SCHEMA_PATH)
    assert answer.status_code == 200
    assert answer.content == export.schema()
    jsonschema.Draft202012Validator.check_schema(answer.json())


# For the city's own people and systems -----------------------------------------------------------


async def test_the_api_gives_a_copy_to_a_token_that_may_have_it(
    talking: Line, web: httpx.AsyncClient
) -> None:
    resident = await talking.visitor()
    await resident.says("Only I know this")
    citizen = (await resident.place()).citizen_id
    where = f"/api/v1/citizens/{citizen}/export"
    assert (await web.get(where)).status_code == 401
    assert (await web.get(where, headers=await token(talking, Scope.TIMELINE_READ))).status_code == 404
    may = await token(talking, Scope.EXPORTS)
    answer = await web.get(where, headers=may)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    data_of(zipfile.ZipFile(io.BytesIO(answer.content)))
    assert (await web.get(f"/api/v1/citizens/{uuid.uuid4()}/export", headers=may)).status_code == 404
    assert await talking.count("audit", "action = 'citizen.export' AND citizen_id = :c", c=citizen) == 1


async def token(line: Line, *scopes: Scope) -> dict[str, str]:
    async with line.database.begin() as session:
        made = await staff.create_token(session, "test", scopes)
    return {"Authorization": f"Bearer {made}"}
