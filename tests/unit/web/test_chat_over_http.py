"""The web chat by plain HTTP, as any client of the contract uses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

Visitor = Callable[[], dict[str, str]]
MESSAGES = "/channels/web_chat/messages"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f0001040100bf5d1d3c0000000049454e44ae426082"
)


def say(client: httpx.Client, who: dict[str, str], text: str, client_id: str) -> httpx.Response:
    return client.post(MESSAGES, headers=who, json={"text": text, "client_id": client_id})


def feed(client: httpx.Client, who: dict[str, str], after: int = 0, **more: Any) -> list[dict[str, Any]]:
    answer = client.get(MESSAGES, headers=who, params={"after": after, **more})
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json()["typing"], bool)
    return list(answer.json()["messages"])


def test_a_message_is_taken_and_read_back(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    taken = say(client, who, "When is my recycling collected?", "one")
    assert taken.status_code == 202
    assert taken.json() == {"seq": 1}
    (message,) = feed(client, who)
    assert message["seq"] == 1
    assert message["from"] == "citizen"
    assert message["text"] == "When is my recycling collected?"
    assert message["client_id"] == "one"
    assert (message["buttons"], message["sources"], message["attachments"]) == ([], [], [])
    assert message["sent_at"].endswith("+00:00")
    assert feed(client, who, after=1) == []


def test_a_resend_is_not_a_second_message(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    assert [say(client, who, "Hello", "same").json()["seq"] for _ in range(5)] == [1] * 5
    assert len(feed(client, who)) == 1


def test_the_same_client_id_of_another_visitor_is_another_message(
    client: httpx.Client, visitor: Visitor
) -> None:
    for who in (visitor(), visitor()):
        assert say(client, who, "Hello", "same").json() == {"seq": 1}
        assert [message["text"] for message in feed(client, who)] == ["Hello"]


def test_a_held_request_returns_as_soon_as_another_process_takes_a_message(
    client: httpx.Client, other_url: str, visitor: Visitor
) -> None:
    who = visitor()
    found: list[tuple[float, list[dict[str, Any]]]] = []

    def wait() -> None:
        found.append((time.monotonic(), feed(client, who, wait=20)))
        found.append((time.monotonic(), []))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    with httpx.Client(base_url=other_url) as other:
        assert say(other, who, "From another door", "x").status_code == 202
    sent = time.monotonic()
    waiting.join(10)
    (_, messages), (returned, _) = found
    assert [message["text"] for message in messages] == ["From another door"]
    assert returned - sent < 2.5


def test_a_held_request_ends_after_its_wait(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    began = time.monotonic()
    assert feed(client, who, wait=1) == []
    assert 0.9 < time.monotonic() - began < 4


def test_a_page_that_shows_no_typing_learns_of_it(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    say(client, who, "Hello", "one")
    began = time.monotonic()  # no worker runs here, so the answer stays in preparation
    answer = client.get(MESSAGES, headers=who, params={"after": 1, "wait": 20, "typing": "false"})
    assert answer.json() == {"messages": [], "typing": True}
    assert time.monotonic() - began < 3


def test_the_sixth_message_in_a_burst_is_asked_to_wait_and_then_taken(
    client: httpx.Client, visitor: Visitor
) -> None:
    who = visitor()
    answers = [say(client, who, f"Message {n}", str(n)) for n in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]
    refused = answers[-1]
    assert refused.json()["error"] == "too_fast"
    assert "wait" in refused.json()["reason"]
    time.sleep(int(refused.headers["retry-after"]))
    assert say(client, who, "Message 5", "5").json() == {"seq": 6}


def test_more_than_five_held_requests_of_a_session_are_refused(
    client: httpx.Client, visitor: Visitor
) -> None:
    who = visitor()
    answers: list[int] = []

    def hold() -> None:
        answers.append(client.get(MESSAGES, headers=who, params={"wait": 3}).status_code)

    threads = [threading.Thread(target=hold) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [200] * 5 + [429] * 2
    assert client.get(MESSAGES, headers=who).status_code == 200


STRANGE = {
    "empty": "",
    "blank": " \n\t ",
    "only emoji": "👍🏽🎉",
    "command": "/restart",
    "injected intent": '/talk_to_human{"x":1}',
    "spaced intent": "  /greet@1.0",
    "markup": "<img src=x onerror=alert(1)>",
    "right to left override": "abc\u202egnp.exe",
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_strange_words_are_taken_as_they_are(client: httpx.Client, visitor: Visitor, text: str) -> None:
    who = visitor()
    assert say(client, who, text, "one").status_code == 202
    assert feed(client, who)[0]["text"] == text


def test_nul_bytes_and_broken_surrogates_are_taken_out(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    body = rb'{"client_id": "one", "text": "a\u0000b\ud83dc"}'
    answer = client.post(MESSAGES, headers=who | {"Content-Type": "application/json"}, content=body)
    assert answer.status_code == 202, answer.text
    assert feed(client, who)[0]["text"] == "ab?c"


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "too long": ({"json": {"client_id": "a", "text": "x" * 2001}}, 422, "2,000"),
    "far too long": ({"json": {"client_id": "a", "text": "é" * 100_000}}, 422, "2,000"),
    "a megabyte of words": ({"json": {"client_id": "a", "text": "x" * 1_100_000}}, 413, "larger"),
    "not JSON": ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    "JSON, but a list": ({"json": [1]}, 422, "object"),
    "no client_id": ({"json": {"text": "Hello"}}, 422, "client_id"),
    "numbers for words": ({"json": {"client_id": "a", "text": 5}}, 422, "text"),
    "NUL in client_id": ({"json": {"client_id": "a\x00", "text": ""}}, 422, "client_id"),
    "a button's forged id": ({"json": {"client_id": "a", "button": "b" * 41}}, 422, "button"),
    "plain text": ({"content": b"Hi", "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
    "no type": ({"content": b"Hi"}, 415, "application/json"),
    "a broken form": (
        {"content": b"--x\r\nnope", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        422,
        "client_id",
    ),
    "a form without its border": (
        {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "form",
    ),
    "nested too deep": (
        {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        400,
        "JSON",
    ),
}


@pytest.mark.parametrize(("request_", "status", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_taken_is_refused_with_a_reason(
    client: httpx.Client, visitor: Visitor, request_: dict[str, Any], status: int, word: str
) -> None:
    who = visitor()
    headers = who | request_.pop("headers", {})
    answer = client.post(MESSAGES, headers=headers, **request_)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["reason"]
    assert feed(client, who) == []


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "a" * 5000])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "messages"), ("GET", "messages"), ("POST", "ticket"), ("GET", "attachments/x")],
)
def test_without_a_session_there_is_nothing(
    client: httpx.Client, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = client.request(method, f"/channels/web_chat/{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "unknown_session"


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=99999999999999999999", "wait=nan", "wait=inf", "wait=x"]
)
def test_a_query_that_makes_no_sense_is_told_so(client: httpx.Client, visitor: Visitor, query: str) -> None:
    answer = client.get(f"{MESSAGES}?{query}", headers=visitor())
    assert answer.status_code == 422
    assert answer.json()["reason"].startswith(query.partition("=")[0])


def test_a_session_may_be_opened_without_a_body_and_not_with_nonsense(client: httpx.Client) -> None:
    assert client.post("/channels/web_chat/sessions").status_code == 200
    assert client.post("/channels/web_chat/sessions", content=b"\xff{").status_code == 400
    assert client.post("/channels/web_chat/sessions", json={"language": 5}).status_code == 422
    assert client.post("/channels/web_chat/sessions", json={"language": "'; --"}).status_code == 200


def test_a_photo_is_stored_and_only_its_visitor_can_fetch_it(client: httpx.Client, visitor: Visitor) -> None:
    who, other = visitor(), visitor()
    answer = client.post(
        MESSAGES,
        headers=who,
        data={"client_id": "photo", "text": "Look"},
        files={"file": ("../hole\u202e.exe", PNG, "application/x-msdownload")},
    )
    assert answer.status_code == 202, answer.text
    (message,) = feed(client, who)
    (attachment,) = message["attachments"]
    assert message["text"] == "Look"
    assert attachment == {"id": attachment["id"], "name": "hole.exe", "mime": "image/png", "size": len(PNG)}
    path = f"/channels/web_chat/attachments/{attachment['id']}"
    fetched = client.get(path, headers=who)
    assert fetched.content == PNG
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert fetched.headers["content-disposition"].startswith("inline")
    assert "sandbox" in fetched.headers["content-security-policy"]
    assert client.get(path, headers=other).status_code == 404
    ticket = client.post("/channels/web_chat/ticket", headers=who).json()["ticket"]
    assert client.get(path, params={"ticket": ticket}).content == PNG
    assert client.get(path, params={"ticket": ticket}).status_code == 401


def test_a_document_is_downloaded_and_never_shown(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    pdf = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
    form = {"client_id": "pdf"}
    assert client.post(
        MESSAGES, headers=who, data=form, files={"file": ("Brief für uns.pdf", pdf)}
    ).is_success
    attachment = feed(client, who)[0]["attachments"][0]
    fetched = client.get(f"/channels/web_chat/attachments/{attachment['id']}", headers=who)
    assert fetched.headers["content-disposition"].startswith('attachment; filename="Brief f_r uns.pdf"')
    assert "filename*=UTF-8''Brief%20f%C3%BCr%20uns.pdf" in fetched.headers["content-disposition"]


@pytest.mark.parametrize(
    "content",
    [b"<script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"MZ" + bytes(100), b""],
    ids=["html", "svg", "program", "empty"],
)
def test_other_files_are_refused_whatever_they_call_themselves(
    client: httpx.Client, visitor: Visitor, content: bytes
) -> None:
    who = visitor()
    form, file = {"client_id": "x"}, {"file": ("photo.png", content, "image/png")}
    answer = client.post(MESSAGES, headers=who, data=form, files=file)
    assert answer.status_code == 415
    assert "photo" in answer.json()["reason"]
    assert feed(client, who) == []


def test_a_30_mb_upload_is_refused_with_a_reason(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    answer = client.post(
        MESSAGES, headers=who, data={"client_id": "big"}, files={"file": ("big.png", PNG + bytes(30_000_000))}
    )
    assert answer.status_code == 413
    assert answer.json()["error"] == "too_large"
    assert "MB" in answer.json()["reason"]


def test_six_files_are_one_too_many(client: httpx.Client, visitor: Visitor) -> None:
    files = [("file", (f"{n}.png", PNG)) for n in range(6)]
    answer = client.post(MESSAGES, headers=visitor(), data={"client_id": "many"}, files=files)
    assert answer.status_code == 400
    assert "files" in answer.json()["reason"]


def test_the_element_gets_its_words_in_the_citys_languages(client: httpx.Client) -> None:
    arabic = client.get("/channels/web_chat/labels?lang=ar-EG").json()
    assert (arabic["language"], arabic["direction"]) == ("ar", "rtl")
    english = client.get("/channels/web_chat/labels?lang=en").json()
    assert english["direction"] == "ltr"
    assert english["limits"]["characters"] == 2000
    assert english["labels"].keys() == arabic["labels"].keys()
    same = [name for name, text in arabic["labels"].items() if text == english["labels"][name]]
    assert same == []
    for unknown in ("xx", "'><script>", ""):
        assert client.get("/channels/web_chat/labels", params={"lang": unknown}).is_success
