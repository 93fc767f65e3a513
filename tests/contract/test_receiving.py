"""What every channel with a webhook does with a request: prove it, read it, and never lose it."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from channels.base.contract import Channel, InboundKind, Receipt, WebhookRequest
from channels.base.errors import NotAuthentic
from tests.contract import recorded
from tests.contract.recorded import Recorded

WEBHOOKS = recorded.with_webhooks()
REQUESTS = recorded.everything()
UNKNOWN = [request for request in REQUESTS if request.name.startswith("unknown")]
SIGNED = [request for request in REQUESTS if recorded.about(request.channel)["signs_body"]]
READABLE = [  # an attacker without the secret cannot send these; a provider's next version can
    request for request in REQUESTS if request not in SIGNED and request.request.body.startswith(b"{")
]

Build = Callable[[str], Channel]


@pytest.fixture(scope="module")
def channel() -> Build:
    """Makes each channel once: reading needs no connection and keeps no state."""
    made: dict[str, Channel] = {}

    def build(name: str) -> Channel:
        if name not in made:
            made[name] = recorded.build(name)
        return made[name]

    return build


@pytest.mark.parametrize("name", WEBHOOKS)
def test_channel_brings_recorded_requests(name: str) -> None:
    kinds = [request.name for request in recorded.requests_of(name)]
    assert any(kind.startswith("unknown") for kind in kinds), "record a payload that nobody has seen before"
    assert recorded.about(name)["proof"], "name the header that proves a request in channel.json"


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_recorded_request_becomes_what_it_says(request_: Recorded, channel: Build) -> None:
    received = channel(request_.channel).receive(request_.request)

    assert len(received.inbound) == len(request_.expect["inbound"])
    assert len(received.receipts) == len(request_.expect["receipts"])
    for inbound, expected in zip(received.inbound, request_.expect["inbound"], strict=True):
        recorded.matches(inbound, expected)
        json.dumps(inbound.payload)  # the timeline keeps it as JSON
    for receipt, expected in zip(received.receipts, request_.expect["receipts"], strict=True):
        recorded.matches(receipt, expected)


@pytest.mark.parametrize("request_", UNKNOWN, ids=str)
def test_unknown_payload_is_kept_and_not_refused(request_: Recorded, channel: Build) -> None:
    (inbound,) = channel(request_.channel).receive(request_.request).inbound
    assert inbound.kind is InboundKind.UNSUPPORTED
    assert inbound.payload["raw"]
    assert inbound.external_id


@pytest.mark.parametrize("name", WEBHOOKS)
def test_five_deliveries_in_any_order_have_the_same_ids(name: str, channel: Build) -> None:
    requests = recorded.requests_of(name)
    first = {request.name: channel(name).receive(request.request) for request in requests}
    shuffled = requests * 5
    random.Random(20261118).shuffle(shuffled)
    for request in shuffled:
        assert channel(name).receive(request.request) == first[request.name]

    keys = [(i.account, i.external_id) for received in first.values() for i in received.inbound]
    keys += [(r.account, r.external_id) for received in first.values() for r in received.receipts]
    assert len(keys) == len(set(keys)), "two different requests share an id: the second would be lost"
    assert all(key[0] == channel(name).account for key in keys)


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_forged_request_is_refused(request_: Recorded, channel: Build) -> None:
    about = recorded.about(request_.channel)
    proof = request_.request.headers[about["proof"]]
    for forged in ("", proof[:-1], proof + "A", proof.swapcase(), "ÿþ\x80é", "\udcff", "null"):
        headers = {**request_.request.headers, about["proof"]: forged}
        with pytest.raises(NotAuthentic):
            channel(request_.channel).receive(dataclasses.replace(request_.request, headers=headers))
    without = {k: v for k, v in request_.request.headers.items() if k != about["proof"]}
    with pytest.raises(NotAuthentic):
        channel(request_.channel).receive(dataclasses.replace(request_.request, headers=without))


@pytest.mark.parametrize("request_", SIGNED, ids=str)
def test_changed_request_is_refused_where_the_proof_covers_it(request_: Recorded, channel: Build) -> None:
    changes: list[dict[str, Any]] = [
        {"body": request_.request.body + b"&Extra=1"},
        {"body": b""},
        {"query": f"{request_.request.query}&more=1"},
        {"endpoint": "status" if request_.request.endpoint == "webhook" else "webhook"},
    ]
    for change in changes:
        with pytest.raises(NotAuthentic):
            channel(request_.channel).receive(dataclasses.replace(request_.request, **change))


@pytest.mark.parametrize("name", WEBHOOKS)
def test_own_url_of_the_request_does_not_matter(name: str, channel: Build) -> None:
    for request in recorded.requests_of(name):
        elsewhere = dataclasses.replace(request.request, url="http://evil.example/?x=1")
        assert channel(name).receive(elsewhere) == channel(name).receive(request.request)


@pytest.mark.parametrize("name", WEBHOOKS)
def test_reading_uses_no_network(name: str, channel: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    built = channel(name)

    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("the webhook called the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for request in recorded.requests_of(name):
        built.receive(request.request)


@pytest.mark.parametrize("request_", READABLE, ids=str)
def test_authentic_damage_is_never_an_error(request_: Recorded, channel: Build) -> None:
    """A poison update would be redelivered for ever and block the chat behind it."""
    for damaged in _damages(json.loads(request_.request.body)):
        body = json.dumps(damaged).encode()
        received = channel(request_.channel).receive(dataclasses.replace(request_.request, body=body))
        assert len(received.inbound) <= 1
        for inbound in received.inbound:
            assert inbound.external_id
            json.dumps(inbound.payload)


@pytest.mark.parametrize("name", WEBHOOKS)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"7", b"[" * 100_000, b"\xff\xfe\x00", b'{"update_id":1}']
)
def test_odd_bodies_are_stored_or_refused_but_never_crash(name: str, body: bytes, channel: Build) -> None:
    request = recorded.requests_of(name)[0].request
    odd: WebhookRequest = dataclasses.replace(request, body=body)
    try:
        received = channel(name).receive(odd)
    except NotAuthentic:
        assert recorded.about(name)["signs_body"]
    else:
        assert [inbound.kind for inbound in received.inbound] == [InboundKind.UNSUPPORTED]


def test_receipts_never_move_backwards() -> None:
    """The hub compares ranks; here stands that the ranks are in the order of a message's life."""
    from channels.base.contract import DeliveryState as State

    order = [
        State.QUEUED,
        State.SENDING,
        State.UNCERTAIN,
        State.SENT,
        State.FAILED,
        State.DELIVERED,
        State.READ,
    ]
    ranks = [state.rank for state in order]
    assert ranks == sorted(set(ranks))
    assert State.CANCELLED.rank == State.FAILED.rank
    assert Receipt("c", "a", "x", State.SENT).retry is False


def _damages(update: dict[str, Any]) -> list[Any]:
    """The update with each of its fields missing, null, a number, a text or a list."""
    damaged: list[Any] = []

    def walk(path: list[str], node: Any) -> None:
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            replacements: tuple[Any, ...] = (None, 7, "x", [], {}, ...)
            for replacement in replacements:
                changed = copy.deepcopy(update)
                place = changed
                for step in path:
                    place = place[step]
                if replacement is ...:
                    del place[key]
                else:
                    place[key] = replacement
                damaged.append(changed)
            walk([*path, key], value)

    walk([], update)
    return damaged
