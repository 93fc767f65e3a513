"""Nonsense at every door: a clear answer, nothing lost, no 500, and never an intent by command."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

import httpx
import pytest

from contact_hub.city import City
from tests.fakes import twilio
from tests.journeys.residents import Books, OnTheWeb, Resident, until
from tests.whole import WEBHOOK_SECRET, WholeLine

COMMANDS = ["/restart", '/talk_to_human{"x":1}', "  /greet@1.0"]
OTHERS = ["/session_start", "/report_problem", '/inform{"place": "Nowhere"}', "//restart", "\u200b/restart"]


@pytest.fixture(autouse=True)
def _nothing_is_lost(books: Books) -> Any:
    """Whatever came in, it ends in an outcome and no process dies of it."""
    restarts = {process["name"]: process["pid"] for process in books.line.state["processes"]}
    yield
    until(lambda: books.unsettled() == 0, "everything is settled")
    assert {process["name"]: process["pid"] for process in books.line.state["processes"]} == restarts


@pytest.fixture
def http(line: WholeLine) -> Any:
    """Somebody with a program of their own."""
    with httpx.Client(base_url=line.base_url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def token(line: WholeLine) -> str:
    """A key that opens the timelines."""
    made = line.civicline("token", "create", "--scope", "timeline:read", "--json")
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["token"])


def refused(answer: httpx.Response, *statuses: int) -> None:
    """It was refused for a reason that can be read."""
    assert answer.status_code in statuses, answer.text[:300]
    assert len(answer.json()["reason"]) > 10


@pytest.mark.parametrize("words", COMMANDS)
def test_what_looks_like_a_command_is_words(resident: Resident, words: str) -> None:
    is_words_in_a_report(resident, words)


@pytest.mark.parametrize("words", OTHERS)
def test_so_is_everything_else_that_rasa_might_obey(visitor: OnTheWeb, words: str) -> None:
    is_words_in_a_report(visitor, words)


def is_words_in_a_report(resident: Resident, words: str) -> None:
    """An intent by command would come with full certainty, fill slots, or forget the conversation."""
    resident.asks("there's a huge pothole in Mill Lane")

    heard = resident.asks(words)

    assert heard
    assert resident.state() == "bot" or "talk" in words
    assert resident.last("t.payload->'understood'")["confidence"] < 1.0
    resident.asks("It is as deep as a bucket")
    resident.asks("no photo")
    if resident.state() == "bot":
        [report] = resident.reports()
        assert report["place"] == "Mill Lane"


@pytest.mark.parametrize("words", ["   ", "\n\t", "\x00", "👍👍🏽", "\u202e\u2066", "?!?!", "1", "99"])
def test_hardly_any_words_get_an_answer(resident: Resident, words: str) -> None:
    assert resident.asks(words)
    assert resident.state() == "bot"


def test_words_around_a_nul_are_heard(resident: Resident) -> None:
    assert "every second week" in resident.asks("When is my re\x00cycling\x00 collected?")


def test_a_hundred_thousand_characters_get_a_clear_answer(
    line: WholeLine, visitor: OnTheWeb, resident: Resident, city: City
) -> None:
    words = "Where is the town hall? " * 4200
    if isinstance(resident, OnTheWeb):
        long = {"text": words, "client_id": uuid.uuid4().hex}
        refused(resident.http.post("/channels/web_chat/messages", json=long), 413, 422)
    else:
        limit = city.settings["limits"]["message_length"]["any"]
        assert str(limit) in resident.asks(words).replace(",", "")
    assert "every second week" in resident.asks("When is my recycling collected?")


def test_the_command_line_takes_nonsense(line: WholeLine) -> None:
    for words in ("", "   ", "/restart", "👍", "x" * 100_000):
        done = line.civicline("ask", words, "--json")
        assert done.returncode == 0, done.stderr
        assert '"text": ""' not in done.stdout


@pytest.mark.parametrize(
    ("body", "kind", "statuses"),
    [
        (b'{"text": "Hello', "application/json", (400,)),
        (b"[]", "application/json", (422,)),
        (b'{"text": 7, "client_id": "a"}', "application/json", (422,)),
        (b'{"text": "Hello"}', "application/json", (422,)),
        (b'{"text": "Hello", "client_id": "a b"}', "application/json", (422,)),
        (b'{"text": "", "client_id": "a"}', "application/json", (422, 202)),
        (b'{"text": "\xff\xfe", "client_id": "b"}', "application/json", (400,)),
        (b"[" * 100_000, "application/json", (400,)),
        (b"text=Hello&client_id=c", "application/x-www-form-urlencoded", (415,)),
        (b"<text>Hello</text>", "text/xml", (415,)),
        (b"--nonsense", "multipart/form-data", (400,)),
        (b"", "", (415,)),
        (b"x" * 5_000_000, "application/json", (413,)),
    ],
)
def test_the_web_chat_says_what_is_wrong(
    visitor: OnTheWeb, body: bytes, kind: str, statuses: tuple[int, ...]
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = visitor.http.post("/channels/web_chat/messages", content=body, headers=headers)

    assert answer.status_code in statuses, answer.text[:300]
    if answer.status_code != 202:
        assert len(answer.json()["reason"]) > 10


def test_thirty_megabytes_are_too_much(visitor: OnTheWeb, photo: bytes) -> None:
    files = {"file": ("hole.png", photo + bytes(30_000_000), "image/png")}
    answer = visitor.http.post(
        "/channels/web_chat/messages", data={"client_id": "large", "text": ""}, files=files
    )
    refused(answer, 413)
    assert visitor.written() == 0


def test_a_program_that_calls_itself_a_picture_is_refused(visitor: OnTheWeb) -> None:
    files = {"file": ("hole.png", b"\x7fELF" + bytes(200), "image/png")}
    answer = visitor.http.post(
        "/channels/web_chat/messages", data={"client_id": "program", "text": ""}, files=files
    )
    refused(answer, 415, 422)
    assert visitor.written() == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"update_id": 1, "mess', "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"update_id": "seven"}', "application/json"),
        (b'{"update_id": 77, "message": "Hello"}', "application/json"),
        (b'{"update_id": 78, "message": {"chat": {"id": 1}, "text": {"a": [1]}}}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"update_id=1", "application/x-www-form-urlencoded"),
        (b"\xff\xfe\x00", ""),
        (b"x" * 30_000_000, "application/json"),
    ],
)
def test_telegrams_webhook_survives_anything(http: httpx.Client, body: bytes, kind: str) -> None:
    """A refused update would come again and hold up its chat: what is authentic is taken where it can be."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": WEBHOOK_SECRET, **({"Content-Type": kind} if kind else {})}
    answer = http.post("/channels/telegram/webhook", content=body, headers=headers)

    assert answer.status_code < 500
    if not answer.is_success:
        refused(answer, 400, 413, 415, 422)
    assert http.post("/channels/telegram/webhook", content=body).status_code in {403, 413}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 403),
        ([("Body", "Hello")], 403),
        ([("MessageSid", "SM1"), ("From", "no number"), ("Body", "Hello")], 200),
        ([("MessageSid", "SM" + "0" * 32), ("From", "+15552000001"), ("Body", "A" * 100_000)], 200),
    ],
)
def test_twilios_webhook_survives_anything(
    http: httpx.Client, line: WholeLine, fields: list[tuple[str, str]], status: int
) -> None:
    url = f"{line.base_url}/channels/sms/webhook"
    signed = {"X-Twilio-Signature": twilio.sign(url, fields, twilio.AUTH_TOKEN)} if status == 200 else {}
    answer = http.post("/channels/sms/webhook", data=dict(fields), headers=signed)
    assert answer.status_code == status, answer.text
    large = http.post("/channels/sms/webhook", content=b"x" * 30_000_000)
    refused(large, 403, 413)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/citizens/nobody/timeline"),
        ("GET", f"/api/v1/citizens/{uuid.UUID(int=0)}/timeline?limit=0"),
        ("GET", f"/api/v1/citizens/{uuid.UUID(int=0)}/timeline?before=%00"),
        ("GET", "/api/v1/citizens?channel=sms&address=%00"),
        ("POST", "/api/v1/citizens"),
        ("GET", "/channels/nonsense/webhook"),
        ("POST", "/channels/nonsense/webhook"),
        ("POST", "/channels/web_chat/webhook"),
        ("PUT", "/channels/telegram/webhook"),
        ("GET", "/channels/web_chat/messages?after=minus"),
        ("GET", "/internal/knowledge?after=0"),
        ("GET", "/%00"),
        ("GET", "/" + "a" * 8000),
    ],
)
def test_every_other_door_says_no_clearly(
    http: httpx.Client, line: WholeLine, method: str, path: str
) -> None:
    token = line.civicline("token", "create", "--scope", "timeline:read").stdout.split()[-1]
    for shown in (b"", f"Bearer {token}".encode(), b"Bearer \xff" + secrets.token_bytes(9).hex().encode()):
        headers = {b"Authorization": shown} if shown else {}
        answer = http.request(method, path, headers=headers)
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
