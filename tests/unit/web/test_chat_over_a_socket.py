"""The web chat's socket, spoken to as a browser does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

Visitor = Callable[[], dict[str, str]]


def ticket(client: httpx.Client, who: dict[str, str]) -> str:
    return str(client.post("/channels/web_chat/ticket", headers=who).json()["ticket"])


def opened(
    client: httpx.Client, ticket: str, *, after: str = "0", origin: str | None = None, base: str | None = None
) -> Connection:
    """Opens a line as the page of a site does."""
    site = str(base or client.base_url).rstrip("/")
    address = f"{site.replace('http', 'ws')}/channels/web_chat/socket?ticket={ticket}&after={after}"
    return connect(address, origin=origin or site, open_timeout=10)  # type: ignore[arg-type]


def next_of(line: Connection, kind: str) -> dict[str, Any]:
    while True:
        news = dict(json.loads(line.recv(10)))
        if news["type"] == kind:
            return news


def close_code(line: Connection) -> int:
    while True:
        try:
            line.recv(10)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0


def test_messages_go_both_ways(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    with opened(client, ticket(client, who)) as line:
        line.send(json.dumps({"type": "message", "text": "Hello", "client_id": "one"}))
        accepted = next_of(line, "accepted")
        assert accepted == {"type": "accepted", "client_id": "one", "seq": 1}
    with opened(client, ticket(client, who)) as line:
        (message,) = next_of(line, "messages")["messages"]
        assert (message["seq"], message["text"], message["client_id"]) == (1, "Hello", "one")
        assert next_of(line, "typing") == {"type": "typing", "typing": True}


def test_a_line_resumes_after_what_the_page_has(client: httpx.Client, visitor: Visitor) -> None:
    who = visitor()
    for n in range(3):
        client.post("/channels/web_chat/messages", headers=who, json={"text": str(n), "client_id": str(n)})
    with opened(client, ticket(client, who), after="2") as line:
        assert [message["text"] for message in next_of(line, "messages")["messages"]] == ["2"]
    for nonsense in ("-1", "x", "9" * 40):
        with opened(client, ticket(client, who), after=nonsense) as line:
            line.send('{"type": "beat"}')


def test_what_another_process_took_arrives(client: httpx.Client, other_url: str, visitor: Visitor) -> None:
    who = visitor()
    with opened(client, ticket(client, who), base=other_url) as line:
        client.post("/channels/web_chat/messages", headers=who, json={"text": "Across", "client_id": "1"})
        assert next_of(line, "messages")["messages"][0]["text"] == "Across"


def test_a_ticket_opens_one_line_only(client: httpx.Client, visitor: Visitor) -> None:
    once = ticket(client, visitor())
    with opened(client, once) as line:
        line.send(json.dumps({"type": "message", "text": "Hello", "client_id": "one"}))
        next_of(line, "accepted")
    with opened(client, once) as line:
        assert close_code(line) == 4401
    with opened(client, "made-up") as line:
        assert close_code(line) == 4401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_another_sites_page_cannot_open_a_line(client: httpx.Client, visitor: Visitor, origin: str) -> None:
    mine = ticket(client, visitor())
    with pytest.raises(InvalidStatus) as refused:
        opened(client, mine, origin=origin)
    assert refused.value.response.status_code == 403
    with opened(client, mine) as line:  # the ticket was not used up by the stranger
        line.send('{"type": "beat"}')


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("{", "malformed"),
        ("[1]", "invalid"),
        ('{"type": "shout"}', "invalid"),
        ('{"type": "message", "text": "no id"}', "invalid"),
        (json.dumps({"type": "message", "client_id": "a", "text": "x" * 2001}), "invalid"),
        ("[" * 16_000, "malformed"),
    ],
)
def test_a_wrong_frame_is_refused_and_the_line_stays_open(
    client: httpx.Client, visitor: Visitor, frame: str, error: str
) -> None:
    with opened(client, ticket(client, visitor())) as line:
        line.send(frame)
        refused = next_of(line, "refused")
        assert refused["error"] == error
        assert refused["reason"]
        line.send(json.dumps({"type": "message", "text": "Still here", "client_id": "b"}))
        assert next_of(line, "accepted")["seq"] == 1


def test_a_frame_of_more_than_16_kib_closes_the_line(client: httpx.Client, visitor: Visitor) -> None:
    with opened(client, ticket(client, visitor())) as line:
        line.send(json.dumps({"type": "beat", "padding": "x" * 16_400}))
        assert close_code(line) == 1009


def test_six_messages_at_once_are_one_too_many(client: httpx.Client, visitor: Visitor) -> None:
    with opened(client, ticket(client, visitor())) as line:
        for n in range(6):
            line.send(json.dumps({"type": "message", "text": str(n), "client_id": str(n)}))
        refused = next_of(line, "refused")
        assert (refused["client_id"], refused["error"]) == ("5", "too_fast")
        assert refused["retry_after"] >= 1


def test_the_sixth_line_of_an_address_is_refused_until_another_closes(
    client: httpx.Client, visitor: Visitor
) -> None:
    lines = [opened(client, ticket(client, visitor())) for _ in range(5)]
    for line in lines:
        line.send('{"type": "beat"}')
    with opened(client, ticket(client, visitor())) as sixth:
        assert close_code(sixth) == 4429
    for line in lines:
        line.close()
    with opened(client, ticket(client, visitor())) as again:
        again.send(json.dumps({"type": "message", "text": "Hello", "client_id": "1"}))
        assert next_of(again, "accepted")["seq"] == 1
