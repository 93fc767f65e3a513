"""Other systems are told what happens: signed, in order, again when it failed, at no cost to residents."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import jsonschema_rs
import pytest

from contact_hub.citizens.sealed import seal
from contact_hub.events import service as events
from contact_hub.events.kinds import SHAPES, Kind, schema_of
from contact_hub.identity import merging
from contact_hub.operations.queue import LeaseLost
from contact_hub.staff.access import Scope
from contact_hub.staff.tokens import create_token
from contact_hub.webhooks import delivery, service
from contact_hub.webhooks.delivery import ATTEMPTS, ATTEMPTS_WHEN_REFUSED, DELAYS, Telling
from contact_hub.webhooks.reach import Answer, NotAllowed, NotReached, Reach
from tests.fakes import receiver
from tests.fakes.receiver import Receiver
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import Line

SITE = "https://line.larkhaven.example"
LOOPBACK = Reach((ip_network("127.0.0.0/8"),))


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another system of the city."""
    with receiver.running() as fake:
        yield fake


class Hooks:
    """A line's webhooks, told by hand instead of by a worker's clock."""

    def __init__(self, line: Line, reach: Reach = LOOPBACK) -> None:
        self.line = line
        self.telling = Telling(line.database, SITE, reach)

    async def add(self, other: Receiver, *kinds: Kind, with_text: bool = False) -> uuid.UUID:
        async with self.line.database.begin() as session:
            identity, secret = await service.add(session, other.url, kinds, with_text=with_text)
        other.secrets.append(secret)
        return identity

    async def tell(self) -> int:
        """Tell everything that is due now."""
        return sum([await self.telling.tell(one) for one in await self.telling.claim(8)])

    async def hurry(self) -> None:
        """Let every wait be over, and every lease run out."""
        await self.line.sql("UPDATE webhook SET due = now() - interval '1 second'")

    async def standing(self) -> service.Standing:
        async with self.line.database.begin() as session:
            return (await service.standing(session))[0]


@pytest.fixture
def hooks(line: Line) -> Hooks:
    return Hooks(line)


async def test_a_resident_writes_and_another_system_hears_of_it(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, *service.TOLD)
    resident = await line.visitor()
    await resident.says("I want to talk to a person about my neighbour's bins")
    await hooks.tell()

    place = await resident.place()
    history = await resident.touchpoints()
    told = [
        event["data"]["touchpoint"] for event in other.received if event["type"].endswith("touchpoint.v1")
    ]
    assert told == [str(touchpoint.id) for touchpoint in history]
    assert "handoff" in other.kinds
    for event in other.received:
        assert event["specversion"] == "1.0"
        assert event["source"] == SITE
        assert event["subject"] == str(place.citizen_id)
        kind = Kind(event["type"].split(".")[-2])
        assert event["dataschema"] == f"{SITE}/schemas/events/{kind}.v1.json"
        jsonschema_rs.validate(schema_of(kind, event["dataschema"]), event["data"])
        SHAPES[kind].model_validate(event["data"])  # which lets nothing more pass
    for request in other.requests:
        assert request["headers"]["content-type"].startswith("application/cloudevents+json")
        assert request["headers"]["webhook-id"] == request["event"]["id"]
    ids = [event["id"] for event in other.received]
    assert ids == sorted(ids)


async def test_nobodys_words_leave_unless_they_were_asked_for(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    words = "My canary is called Pip and lives at 12 Quay Street"
    with receiver.running() as reader:
        await hooks.add(other, *service.TOLD)
        await hooks.add(reader, Kind.TOUCHPOINT, with_text=True)
        await (await line.visitor()).says(words)
        await hooks.tell()
        assert other.received
        assert b"Pip" not in b"".join(request["body"] for request in other.requests)
        assert reader.received[0]["data"]["text"] == words
        assert await line.count("event", "data::text LIKE '%Pip%'") == 0


async def test_words_are_told_as_they_stand_when_they_leave(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.TOUCHPOINT, with_text=True)
    resident = await line.visitor()
    await resident.does(words="my card is 4111 1111 1111 1111")
    await line.sql("UPDATE touchpoint SET text = 'my card is ****' WHERE direction = 'in'")
    await hooks.tell()
    assert other.received[0]["data"]["text"] == "my card is ****"


async def test_words_of_a_record_that_is_sealed_by_now_do_not_leave(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.TOUCHPOINT, with_text=True)
    first, second = await line.visitor(), await line.visitor()
    await first.does(words="Hello there")
    await second.does(words="I live at 12 Quay Street")
    async with line.database.begin() as session:
        one, joined = (await first.place()).citizen_id, (await second.place()).citizen_id
        await merging.merge(session, one, joined, reason="they showed their passport")
        await seal(session, one, [], "under threat")
    await hooks.tell()
    assert other.received
    assert not any("Quay Street" in str(event["data"]) for event in other.received)


async def test_where_nobody_listens_nothing_is_written(line: Line) -> None:
    await (await line.visitor()).says("Hello there")
    assert await line.count("event") == 0
    async with line.database.begin() as session:
        assert not await events.wanted(session, "touchpoint")
        began = time.perf_counter()
        for _ in range(1000):
            await events.emit(session, "touchpoint", {}, citizen_id=None)
        assert time.perf_counter() - began < 0.5  # a look-up in memory; a statement each took 0.6 s and more


async def test_only_what_was_asked_for_is_told(line: Line, hooks: Hooks, other: Receiver) -> None:
    await hooks.add(other, Kind.HANDOFF)
    await (await line.visitor()).says("I want to talk to a person")
    await hooks.tell()
    assert set(other.kinds) == {"handoff"}
    assert other.received[0]["data"]["to"] == "waiting"


async def test_what_did_not_happen_is_not_told(line: Line, hooks: Hooks, other: Receiver) -> None:
    await hooks.add(other, Kind.TOUCHPOINT)

    async def fails() -> None:
        async with line.database.begin() as session:
            await events.emit(session, "touchpoint", {"touchpoint": uuid.uuid4()}, citizen_id=None)
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        await fails()
    await hooks.tell()
    assert other.requests == []


async def emit(line: Line, *numbers: int) -> None:
    for number in numbers:
        async with line.database.begin() as session:
            await events.emit(session, "erasure", {"erasure": uuid.UUID(int=number)}, citizen_id=None)


def numbers(other: Receiver) -> list[int]:
    return [uuid.UUID(event["data"]["erasure"]).int for event in other.received]


async def test_a_receiver_that_fails_gets_everything_later_and_in_order(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1, 2, 3)
    other.answers = [500, 503]
    assert await hooks.tell() == 0
    assert await hooks.tell() == 0  # not due yet
    assert len(other.requests) == 1
    before = await hooks.standing()
    assert (before.waiting, before.failures, before.last_error) == (3, 1, "answered 500")
    assert before.next_try_at is not None
    await hooks.hurry()
    await hooks.tell()
    await hooks.hurry()
    assert await hooks.tell() == 3
    assert numbers(other) == [1, 2, 3]
    assert len({request["headers"]["webhook-id"] for request in other.requests[:3]}) == 1  # the same event
    after = await hooks.standing()
    assert (after.waiting, after.failures, after.last_error) == (0, 0, None)


def test_waits_grow_and_a_receivers_wish_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        drawn = [delivery.delay_of(failures, None) for failures in range(len(DELAYS))]
        assert all(0.9 * delay <= wait <= 1.1 * delay for wait, delay in zip(drawn, DELAYS, strict=True))
    monkeypatch.setattr(random, "uniform", lambda least, most: (least + most) / 2)
    waits = [delivery.delay_of(failures, None) for failures in range(12)]
    assert 4 < waits[0] < 6
    assert waits[:9] == sorted(waits[:9])
    assert max(waits) < 27 * 3600
    assert delivery.delay_of(0, Answer(429, retry_after=60)) == 60
    assert delivery.delay_of(0, Answer(429, retry_after=1e9)) == delivery.LONGEST_WISH


@pytest.mark.parametrize(("status", "attempts"), [(500, ATTEMPTS), (422, ATTEMPTS_WHEN_REFUSED)])
async def test_what_never_arrives_is_given_up_told_to_a_person_and_passed_over(
    line: Line, hooks: Hooks, other: Receiver, status: int, attempts: int
) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1, 2)
    other.answers = [status] * attempts
    for _ in range(attempts):
        await hooks.hurry()
        await hooks.tell()
    assert (await hooks.standing()).dead == 1
    assert [ticket.kind for ticket in await line.tickets()] == ["provider_alert"]
    await hooks.hurry()
    await hooks.tell()
    assert numbers(other) == [2]


async def test_a_receiver_that_is_gone_hears_nothing_more_until_it_is_resumed(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    identity = await hooks.add(other, Kind.ERASURE)
    await emit(line, 1)
    other.answers = [410]
    await hooks.tell()
    assert (await hooks.standing()).state == "gone"
    assert len(await line.tickets()) == 1
    await emit(line, 2)
    await hooks.hurry()
    await hooks.tell()
    assert len(other.requests) == 1
    async with line.database.begin() as session:
        await service.replay(session, identity, service.cursor_at((await hooks.standing()).created_at))
    await hooks.tell()
    assert numbers(other) == [1, 2]


async def test_everything_from_a_cursor_on_is_sent_again_under_its_old_ids(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    identity = await hooks.add(other, Kind.ERASURE)
    await emit(line, 1, 2, 3)
    await hooks.tell()
    ids = [event["id"] for event in other.received]
    async with line.database.begin() as session:
        assert await service.replay(session, identity, uuid.UUID(ids[1])) == 2
    await hooks.tell()
    assert numbers(other) == [1, 2, 3, 2, 3]
    assert [event["id"] for event in other.received] == [*ids, *ids[1:]]


async def test_a_worker_that_dies_after_sending_leaves_the_event_to_the_next(
    line: Line, hooks: Hooks, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1, 2)
    (dying,) = await hooks.telling.claim(8)
    assert await hooks.telling.claim(8) == []  # nobody else while the lease lasts
    await hooks.hurry()  # which it outlived
    assert await hooks.tell() == 2
    with pytest.raises(LeaseLost):  # late, and without effect
        await hooks.telling.tell(dying)
    assert numbers(other) == [1, 2]


async def test_a_worker_that_lost_its_lease_while_sending_writes_nothing_down(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1)
    other.slow = 0.5
    (first,) = await hooks.telling.claim(8)
    sending = asyncio.create_task(hooks.telling.tell(first))
    assert await asyncio.to_thread(other.arrived.wait, 5)
    await hooks.hurry()
    (second,) = await hooks.telling.claim(8)
    with pytest.raises(LeaseLost):
        await sending
    other.slow = 0
    assert await hooks.telling.tell(second) == 1
    assert numbers(other) == [1, 1]  # twice, and by its id the receiver knows
    assert len({request["headers"]["webhook-id"] for request in other.requests}) == 1


async def test_a_slow_receiver_costs_the_others_nothing(line: Line, other: Receiver) -> None:
    hooks = Hooks(line, Reach((ip_network("127.0.0.0/8"),), seconds=1.0))
    with receiver.running() as slow:
        slow.slow = 2.5
        await hooks.add(slow, Kind.ERASURE)
        await hooks.add(other, Kind.ERASURE)
        await emit(line, 1)
        stop = asyncio.Event()
        running = asyncio.create_task(hooks.telling.run(stop))
        assert await asyncio.to_thread(slow.arrived.wait, 5)
        assert await asyncio.to_thread(other.arrived.wait, 5)
        resident = await line.visitor()
        assert await resident.says("Hello")  # the residents' lanes go on
        stop.set()
        await running
        assert numbers(other) == [1]
        assert await line.count("webhook", "last_error LIKE 'no answer within%'") == 1


async def test_while_a_secret_is_replaced_both_sign(line: Line, hooks: Hooks, other: Receiver) -> None:
    identity = await hooks.add(other, Kind.ERASURE)
    former = list(other.secrets)
    async with line.database.begin() as session:
        fresh = await service.new_secret(session, identity)
    for secrets in (former, [fresh]):
        other.secrets = secrets
        await emit(line, 1)
        assert await hooks.tell() == 1
    await line.sql("UPDATE webhook SET former_until = now() - interval '1 second'")
    other.secrets = former
    await emit(line, 2)
    assert await hooks.tell() == 0
    assert other.requests[-1]["status"] == 401


async def test_a_secret_lies_sealed(line: Line, hooks: Hooks, other: Receiver) -> None:
    await hooks.add(other, Kind.ERASURE)
    stored = await line.one("SELECT secret FROM webhook")
    assert other.secrets[0].encode() not in bytes(stored)


async def test_a_redirect_is_not_followed(line: Line, hooks: Hooks, other: Receiver) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1)
    other.answers = [302]
    other.headers = {"location": other.url}
    await hooks.tell()
    assert len(other.requests) == 1
    assert "redirects" in ((await hooks.standing()).last_error or "")


def resolving(*addresses: str) -> Callable[[str, int], Any]:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://localhost/hook", ["127.0.0.1"]),
        ("https://intranet.example/hook", ["10.0.0.7"]),
        ("https://metadata.example/latest", ["169.254.169.254"]),
        ("https://six.example/hook", ["fe80::1"]),
        ("https://six.example/hook", ["::ffff:127.0.0.1"]),
        ("https://half.example/hook", ["93.184.215.14", "127.0.0.1"]),  # one bad address is enough
        ("http://plain.example/hook", ["93.184.215.14"]),  # no TLS on the open internet
        ("https://user:word@host.example/hook", ["93.184.215.14"]),
        ("ftp://host.example/hook", ["93.184.215.14"]),
        ("https:///hook", ["93.184.215.14"]),
        ("https://host.example:99999/hook", ["93.184.215.14"]),
        ("https://[::1/hook", ["93.184.215.14"]),
        ("https://exa mple\x7f/hook", ["93.184.215.14"]),
    ],
)
async def test_inner_machines_and_odd_addresses_are_not_posted_to(url: str, addresses: list[str]) -> None:
    with pytest.raises(NotAllowed):
        await Reach(resolve=resolving(*addresses)).post(url, b"{}", {})


async def test_what_the_operator_allows_is_reached_at_the_address_that_was_checked(other: Receiver) -> None:
    port = other.url.split(":")[2].split("/")[0]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    reach = Reach((ip_network("127.0.0.1/32"),), resolve=resolve)
    other.answers = [200]
    other.secrets = ["whsec_" + "A" * 44]
    headers = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
    answer = await reach.post(f"http://crm.city.example:{port}/hook", b"{}", headers)
    assert answer.status == 401
    assert asked == ["crm.city.example"]  # once: nobody can answer differently a second later
    assert other.requests[0]["headers"]["host"] == f"crm.city.example:{port}"


async def test_an_address_that_turned_inwards_is_refused_and_told(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.ERASURE)
    await emit(line, 1)
    await Hooks(line, Reach()).tell()  # WEBHOOK_NETWORKS was taken away meanwhile
    assert other.requests == []
    assert "not on the open internet" in ((await hooks.standing()).last_error or "")


async def test_a_name_without_an_address_is_tried_again(line: Line, hooks: Hooks, other: Receiver) -> None:
    async def nobody(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(NotReached):
        await Reach(resolve=nobody).post("https://gone.example/hook", b"{}", {})
    with pytest.raises((NotReached, NotAllowed)):
        await Reach().check(f"https://{'a' * 70}.example/hook")


async def test_a_test_event_says_how_it_was_answered(line: Line, hooks: Hooks, other: Receiver) -> None:
    identity = await hooks.add(other, Kind.ERASURE)
    assert (await hooks.telling.try_out(identity)).status == 204
    assert other.kinds == ["test"]
    SHAPES[Kind.TEST].model_validate(other.received[0]["data"])
    other.answers = [503]
    assert (await hooks.telling.try_out(identity)).status == 503
    assert (await hooks.standing()).failures == 0


async def test_a_webhook_that_is_removed_takes_its_notices_along(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    identity = await hooks.add(other, Kind.ERASURE)
    await emit(line, 1)
    async with line.database.begin() as session:
        await service.remove(session, identity)
    await emit(line, 2)
    assert (await line.count("webhook_notice"), await line.count("event")) == (0, 1)
    async with line.database.begin() as session:
        with pytest.raises(service.NoSuchWebhook):
            await service.remove(session, identity)


async def test_residents_never_wait_for_one_another_because_somebody_listens(
    line: Line, hooks: Hooks, other: Receiver
) -> None:
    await hooks.add(other, Kind.ERASURE)
    async with line.database.begin() as first, line.database.begin() as second:
        async with asyncio.timeout(5):
            await events.emit(first, "erasure", {"erasure": uuid.UUID(int=1)}, citizen_id=None)
            await events.emit(second, "erasure", {"erasure": uuid.UUID(int=2)}, citizen_id=None)
        # Nor does the lane wait for them.
        assert await hooks.telling.claim(8) == []
        await second.commit()
        assert len(await hooks.telling.claim(8)) == 1
        await first.rollback()


async def test_every_schema_is_published_where_events_say_it_is(web: httpx.AsyncClient) -> None:
    for kind in Kind:
        path = f"/schemas/events/{kind}.v1.json"
        published = (await web.get(path)).json()
        jsonschema_rs.meta.validate(published)
        assert published == schema_of(kind, f"{PUBLIC_URL}{path}")
    assert (await web.get("/schemas/events/gossip.v1.json")).status_code == 404


# Over the API ----------------------------------------------------------------------------------------

WISH = {"url": "https://93.184.215.14/hook", "events": ["handoff", "merge"]}


async def allowed(line: Line, *scopes: Scope) -> dict[str, str]:
    async with line.database.begin() as session:
        return {"Authorization": f"Bearer {await create_token(session, 'crm', scopes)}"}


async def test_a_system_sets_up_its_own_webhook(line: Line, web: httpx.AsyncClient) -> None:
    head = await allowed(line, Scope.EVENTS_READ)
    made = await web.post("/api/v1/webhooks", json=WISH, headers={**head, "Idempotency-Key": "1"})
    assert made.status_code == 201
    again = await web.post("/api/v1/webhooks", json=WISH, headers={**head, "Idempotency-Key": "1"})
    assert again.json() == made.json()
    webhook = made.json()["webhook"]
    (shown,) = (await web.get("/api/v1/webhooks", headers=head)).json()
    assert (shown["webhook"], shown["events"], shown["with_text"]) == (webhook, ["handoff", "merge"], False)
    assert "secret" not in shown
    fresh = await web.post(f"/api/v1/webhooks/{webhook}/secret", headers=head)
    assert fresh.json()["secret"] != made.json()["secret"]
    replayed = await web.post(f"/api/v1/webhooks/{webhook}/replay", json={}, headers=head)
    assert replayed.json() == {"events": 0}
    assert (await web.delete(f"/api/v1/webhooks/{webhook}", headers=head)).status_code == 204
    assert (await web.delete(f"/api/v1/webhooks/{webhook}", headers=head)).status_code == 404
    assert await line.count("audit", "action LIKE 'webhook.%'") == 3


async def test_setting_up_webhooks_needs_leave_and_words_need_more(
    line: Line, web: httpx.AsyncClient
) -> None:
    assert (await web.get("/api/v1/webhooks")).status_code == 401
    head = await allowed(line, Scope.QUEUE_READ)
    assert (await web.post("/api/v1/webhooks", json=WISH, headers=head)).status_code == 403
    wordy = {**WISH, "with_text": True}
    head = await allowed(line, Scope.EVENTS_READ)
    assert (await web.post("/api/v1/webhooks", json=wordy, headers=head)).status_code == 403
    head = await allowed(line, Scope.EVENTS_READ, Scope.TIMELINE_READ)
    assert (await web.post("/api/v1/webhooks", json=wordy, headers=head)).status_code == 201


@pytest.mark.parametrize(
    "wish",
    [
        {**WISH, "url": "https://127.0.0.1/hook"},
        {**WISH, "url": "https://169.254.169.254/latest/meta-data"},
        {**WISH, "url": "http://93.184.215.14/hook"},
        {**WISH, "url": "nonsense"},
        {**WISH, "events": []},
        {**WISH, "events": ["test"]},
    ],
)
async def test_what_cannot_be_told_is_refused_at_once(
    line: Line, web: httpx.AsyncClient, wish: dict[str, Any]
) -> None:
    head = await allowed(line, Scope.EVENTS_READ)
    assert (await web.post("/api/v1/webhooks", json=wish, headers=head)).status_code == 422
    assert await line.count("webhook") == 0
