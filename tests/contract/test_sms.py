"""The rules of SMS (shared rules, section SMS), each with the test that holds it.

| rule | test |
|---|---|
| signature by the SDK over PUBLIC_URL with its query | test_receiving; fixture text_with_query |
| repeated and blank fields | fixture text_with_unknown_parameters |
| JSON by bodySHA256 | fixture text_as_json; test_json_without_..., test_authentic_json_... |
| missed texts are swept at start and every 5 minutes | test_sweeper_* |
| a time-out on the SDK's client | test_sending: hanging_provider |
| empty Response | test_reply_is_an_empty_response |
| signed outbox id in StatusCallback, unknown parameters | test_callback_*, fixtures status_* |
| codes | fixtures status_*, test_refusal_codes |
| STOP, START, HELP words | fixtures opt_out_*, opt_in_*, help_*; test_twilio_and_we_agree_on_words |
| GSM-7, UCS-2, 1600, 320 | test_parts_*, unit test_gsm7 |
| MMS: credentials to the provider only, 5 MB, type by content | test_media_*; test_sending: file_* |
| cost attacks | unit test_spend (rules); the outbox applies them |
| API base is a setting | every test here |
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from channels.base.contract import (
    Button,
    DeliveryState,
    Inbound,
    InboundKind,
    LookUp,
    MediaRef,
    Outbound,
    Receipt,
    Source,
    WebhookRequest,
)
from channels.base.errors import NotAuthentic, PermanentFailure, TemporaryFailure, UncertainFailure
from channels.base.gsm7 import segments
from channels.base.twilio_api.webhook import START_WORDS, STOP_WORDS
from channels.sms import Sms, compose
from tests.contract import recorded
from tests.contract.test_telegram import Notebook
from tests.fakes import server as servers
from tests.fakes import twilio
from tests.waiting import until

ANA = "+15551230001"
DELIVERY = "0190e7c0-0000-7000-8000-000000000042"


class Hub:
    """Stands where the hub's webhooks are: keeps each request, lets the channel read it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.channel: Sms | None = None
        self.requests: list[WebhookRequest] = []
        self.inbound: list[Inbound] = []
        self.receipts: list[Receipt] = []
        self.seen_credentials: list[str] = []
        self.down = 0

    def told(self, provider_id: str | None) -> list[Receipt]:
        """What came of one message; an earlier story's callbacks may still be on their way."""
        return [receipt for receipt in self.receipts if receipt.provider_id == provider_id]

    async def webhook(self, request: Request) -> Response:
        if self.down > 0:
            self.down -= 1
            return Response(status_code=503, headers={"Retry-After": "1"})
        made = WebhookRequest(
            request.path_params["endpoint"],
            request.method,
            str(request.url),
            request.url.query,
            dict(request.headers),
            await request.body(),
        )
        assert self.channel is not None
        try:
            received = self.channel.receive(made)
        except NotAuthentic:
            return Response(status_code=403)
        self.requests.append(made)
        self.inbound += received.inbound
        self.receipts += received.receipts
        return Response(received.body, media_type=received.content_type)

    async def elsewhere(self, request: Request) -> Response:
        self.seen_credentials.append(request.headers.get("authorization", ""))
        return Response(b"\xff\xd8\xff secret of the inner network")

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/channels/sms/{endpoint}", self.webhook, methods=["POST"]),
                Route("/inner", self.elsewhere),
                Route("/bounce", lambda _: RedirectResponse("/inner")),
            ]
        )


@pytest.fixture(scope="module")
def hub_server() -> Iterator[tuple[Hub, str]]:
    hub = Hub()
    with servers.running(hub.app()) as url:
        yield hub, url


@pytest.fixture(scope="module")
def server() -> Iterator[twilio.FakeTwilio]:
    with twilio.running(pace=20, callback_delay=0.01) as fake:
        yield fake


@pytest.fixture
def hub(hub_server: tuple[Hub, str]) -> Hub:
    hub, _ = hub_server
    hub.clear()
    return hub


@pytest.fixture
def fake(server: twilio.FakeTwilio, hub: Hub, hub_server: tuple[Hub, str]) -> twilio.FakeTwilio:
    server.reset()
    server.webhook = f"{hub_server[1]}/channels/sms/webhook"
    server.media_redirect = ""
    server.advanced_opt_out = server.callbacks_stopped = False
    return server


@pytest.fixture
async def channel(fake: twilio.FakeTwilio, hub: Hub, hub_server: tuple[Hub, str]) -> AsyncIterator[Sms]:
    made = recorded.build("sms", twilio_api_url=fake.url, public_url=hub_server[1])
    assert isinstance(made, Sms)
    hub.channel = made
    yield made
    await made.close()


def out(text: str = "Your bin is collected on Tuesday.", address: str = ANA, **more: Any) -> Outbound:
    return Outbound(DELIVERY, address, text, first_tried_at=datetime.now(UTC), **more)


# Switching on


def test_without_any_variable_the_channel_is_off() -> None:
    nothing = dict.fromkeys(("twilio_account_sid", "twilio_auth_token", "twilio_from"))
    assert Sms.from_settings(recorded.settings("sms", **nothing)) is None


@pytest.mark.parametrize("changes", [{"twilio_auth_token": None}, {"twilio_from": "the town hall"}])
def test_wrong_setting_is_told_in_one_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"TWILIO_[A-Z_]+.*\.$"):
        Sms.from_settings(recorded.settings("sms", **changes))


# Receiving


async def test_text_comes_in_by_a_signed_webhook(fake: twilio.FakeTwilio, hub: Hub, channel: Sms) -> None:
    sid = fake.text(ANA, "¿Cuándo? 😀", extra={"Blank": "", "Tomorrow": "new"})
    await until(lambda: hub.inbound)
    (inbound,) = hub.inbound
    assert (inbound.external_id, inbound.address, inbound.text) == (sid, ANA, "¿Cuándo? 😀")
    await until(lambda: fake.webhook_answers)
    assert fake.webhook_answers == [200]


async def test_reply_is_an_empty_response(channel: Sms, fake: twilio.FakeTwilio, hub: Hub) -> None:
    fake.text(ANA, "Hi")
    await until(lambda: hub.requests)
    received = channel.receive(hub.requests[0])
    assert received.content_type == "text/xml"
    assert received.body.endswith("<Response/>")


async def test_wrong_token_is_not_authentic(fake: twilio.FakeTwilio, hub: Hub, channel: Sms) -> None:
    fake.auth_token, right = "0" * 32, fake.auth_token
    try:
        fake.text(ANA, "Hi")
        await until(lambda: fake.webhook_answers)
    finally:
        fake.auth_token = right
    assert fake.webhook_answers == [403]
    assert hub.inbound == []


def test_json_without_a_hash_of_its_body_is_not_authentic() -> None:
    request = next(r for r in recorded.requests_of("sms") if r.name == "text_as_json").request
    url = "https://line.example.org/channels/sms/webhook"
    signature = twilio.sign(url, [], recorded.about("sms")["settings"]["twilio_auth_token"])
    headers = {**request.headers, "x-twilio-signature": signature}
    with pytest.raises(NotAuthentic):
        recorded.build("sms").receive(dataclasses.replace(request, query="", headers=headers))


@pytest.mark.parametrize("body", ["null", "[1, 2]", "not JSON", '{"Body": {"nested": 1}}', '"text"'])
def test_authentic_json_nobody_knows_is_kept(body: str) -> None:
    import hashlib

    query = f"bodySHA256={hashlib.sha256(body.encode()).hexdigest()}"
    own = recorded.about("sms")["settings"]
    url = f"{own['public_url']}/channels/sms/webhook?{query}"
    headers = {
        "content-type": "application/json",
        "x-twilio-signature": twilio.sign(url, [], own["twilio_auth_token"]),
    }
    request = WebhookRequest("webhook", "POST", "", query, headers, body.encode())
    (inbound,) = recorded.build("sms").receive(request).inbound
    assert inbound.kind is InboundKind.UNSUPPORTED
    json.dumps(inbound.payload)


def test_twilio_and_we_agree_on_words() -> None:
    assert set(STOP_WORDS) == twilio.STOP
    assert set(START_WORDS) == twilio.START


async def test_opt_out_and_opt_in_as_twilio_handles_them(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    fake.advanced_opt_out = True
    fake.text(ANA, " Stop")
    await until(lambda: hub.inbound)
    with pytest.raises(PermanentFailure) as refused:
        await channel.send(out())
    assert refused.value.opted_out
    assert refused.value.code == "21610"
    assert not refused.value.unreachable
    fake.text(ANA, "START")
    await until(lambda: len(hub.inbound) == 2)
    assert [i.kind for i in hub.inbound] == [InboundKind.OPT_OUT, InboundKind.OPT_IN]
    assert hub.inbound[1].payload["provider_answered"]
    await channel.send(out())
    assert channel.silence_is_final


# Sending


async def test_callback_proves_which_message_it_is_about(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    sent = await channel.send(out())
    await until(lambda: len(hub.told(sent.provider_id)) == 3)
    told = hub.told(sent.provider_id)
    assert {receipt.delivery for receipt in told} == {DELIVERY}
    assert [receipt.state for receipt in told] == [
        DeliveryState.SENT,
        DeliveryState.SENT,
        DeliveryState.DELIVERED,
    ]
    assert DELIVERY.encode() not in b"".join(request.body for request in hub.requests)


async def test_callback_tells_of_a_send_we_never_heard_back_from(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    fake.drop_after_accept(1)
    with pytest.raises(UncertainFailure):
        await channel.send(out())
    taken = fake.messages[-1]["sid"]
    await until(lambda: hub.told(taken))
    assert hub.told(taken)[0].delivery == DELIVERY
    assert hub.told(taken)[0].state.rank > DeliveryState.UNCERTAIN.rank


async def test_failure_after_the_send_says_whether_to_try_again(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    fake.fails_later(ANA, 30003)
    sent = await channel.send(out())
    await until(lambda: len(hub.told(sent.provider_id)) == 3)
    # Each callback comes on a connection of its own: they may overtake one another.
    [failed] = [told for told in hub.told(sent.provider_id) if told.state is DeliveryState.FAILED]
    assert (failed.code, failed.retry, failed.unreachable) == ("30003", True, False)


async def test_official_api_gets_no_callback_to_a_laptop() -> None:
    for url, wanted in (("http://127.0.0.1:8000", False), ("https://line.example.org", True)):
        channel = recorded.build("sms", public_url=url)
        assert isinstance(channel, Sms)
        assert bool(channel._callback_url(DELIVERY)) is wanted
        await channel.close()


@pytest.mark.parametrize(
    ("code", "kind", "attributes"),
    [
        (21610, PermanentFailure, {"opted_out": True, "unreachable": False}),
        (21211, PermanentFailure, {"unreachable": True}),
        (21614, PermanentFailure, {"unreachable": True}),
        (30005, PermanentFailure, {"unreachable": True}),
        (30006, PermanentFailure, {"unreachable": True}),
        (30007, PermanentFailure, {"alert": True, "unreachable": False}),
        (30034, PermanentFailure, {"alert": True, "unreachable": False}),
        (21408, PermanentFailure, {"alert": True, "unreachable": False}),
        (21611, TemporaryFailure, {"whole_channel": True}),
        (30001, TemporaryFailure, {"whole_channel": True}),
        (30003, TemporaryFailure, {"whole_channel": False}),
    ],
)
async def test_refusal_codes(
    fake: twilio.FakeTwilio, channel: Sms, code: int, kind: type[Exception], attributes: dict[str, bool]
) -> None:
    fake.fail_next(1, code)
    with pytest.raises(kind) as failed:
        await channel.send(out())
    assert {name: getattr(failed.value, name) for name in attributes} == attributes
    assert getattr(failed.value, "code", None) == str(code)


async def test_wrong_credentials_pause_the_channel_and_lose_nothing(fake: twilio.FakeTwilio) -> None:
    channel = recorded.build("sms", twilio_api_url=fake.url, twilio_auth_token="1" * 32)
    await channel.start()
    with pytest.raises(TemporaryFailure) as failed:
        await channel.send(out())
    assert failed.value.whole_channel
    await channel.close()


@pytest.mark.parametrize(("status", "kind"), [(500, UncertainFailure), (503, TemporaryFailure)])
async def test_fault_of_the_provider(
    fake: twilio.FakeTwilio, channel: Sms, status: int, kind: type[Exception]
) -> None:
    fake.fail_next(1, 20500, status=status)
    with pytest.raises(kind):
        await channel.send(out())


async def test_look_up_finds_this_message_and_not_an_older_twin(
    fake: twilio.FakeTwilio, channel: Sms
) -> None:
    yesterday = await channel.send(out("Thank you."))
    for message in fake.messages:
        message["date_created"] = "Tue, 17 Nov 2026 10:00:00 +0000"
    ours = out("Thank you.")
    assert (await channel.look_up(ours)).result is LookUp.NOT_FOUND
    second = await channel.send(ours)
    found = await channel.look_up(ours)
    assert (found.result, found.provider_id) == (LookUp.FOUND, second.provider_id)
    assert found.provider_id != yesterday.provider_id


async def test_look_up_reads_on_over_pages_and_spelling(fake: twilio.FakeTwilio, channel: Sms) -> None:
    ours = out("It’s “open” — come in…", sources=(Source("Hours", "https://city.example/h"),))
    sent = await channel.send(ours)
    for n in range(60):
        await channel.send(out(f"other {n}"))
    found = await channel.look_up(ours)
    assert (found.result, found.provider_id) == (LookUp.FOUND, sent.provider_id)


async def test_look_up_that_cannot_ask_is_temporary(fake: twilio.FakeTwilio, channel: Sms) -> None:
    await channel.close()
    away = recorded.build("sms", twilio_api_url="http://127.0.0.1:1")
    with pytest.raises(TemporaryFailure):
        await away.look_up(out())
    await away.close()


def test_parts_aim_for_320_characters_and_whole_segments() -> None:
    channel = recorded.build("sms")
    answer = "You can take paint to the depot. It opens at nine; bring a proof of address. " * 12
    parts = channel.split(answer)
    assert all(segments(part).count <= 2 for part in parts)
    arabic = "يفتح المستودع في التاسعة صباحا. أحضر ما يثبت عنوانك من فضلك. " * 12
    assert all(len(part) <= 268 and segments(part).count <= 4 for part in channel.split(arabic))


def test_text_stays_cheap_where_plain_spelling_is_enough() -> None:
    body = compose(out("It’s “open” – Mon…Fri\u00a0only"))
    assert body == 'It\'s "open" - Mon...Fri only'
    assert segments(body).encoding == "GSM-7"


def test_body_never_passes_1600_characters() -> None:
    sources = tuple(Source(f"Title {n}", f"https://city.example/{n}/" + "x" * 150) for n in range(12))
    body = compose(out("word " * 60, sources=sources, buttons=(Button("a", "Yes"), Button("b", "No"))))
    assert len(body) <= 1600
    assert body.splitlines()[-2:] == ["1 = Yes", "2 = No"]


# Files


async def test_media_is_fetched_with_credentials_from_the_provider_only(
    fake: twilio.FakeTwilio, hub: Hub, hub_server: tuple[Hub, str], channel: Sms
) -> None:
    fake.text(ANA, "pothole", [("image/png", b"\xff\xd8\xff\xe0 really a JPEG")])
    await until(lambda: hub.inbound)
    (media,) = hub.inbound[0].media
    assert media.mime == "image/png"
    assert (await channel.fetch(media)).mime == "image/jpeg"

    for ref in (
        f"{hub_server[1]}/inner",
        f"{fake.url}@127.0.0.1/x",
        fake.url.replace("127.0.0.1", "localhost"),
    ):
        with pytest.raises(PermanentFailure):
            await channel.fetch(MediaRef(ref, "photo"))
    assert hub.seen_credentials == []


async def test_media_redirect_into_our_own_network_is_refused(
    fake: twilio.FakeTwilio, hub: Hub, hub_server: tuple[Hub, str], channel: Sms
) -> None:
    fake.media_redirect = f"{hub_server[1]}/inner"
    path = f"/2010-04-01/Accounts/{fake.account}/Messages/MM1/Media/ME1"
    with pytest.raises(PermanentFailure) as failed:
        await channel.fetch(MediaRef(fake.url + path, "photo"))
    assert failed.value.code == "not_public"
    assert hub.seen_credentials == []


async def test_media_beyond_5_mb_is_refused(fake: twilio.FakeTwilio, hub: Hub, channel: Sms) -> None:
    fake.text(ANA, "", [("image/jpeg", b"\xff\xd8\xff" + b"0" * (5 * 1024 * 1024))])
    await until(lambda: hub.inbound)
    with pytest.raises(PermanentFailure) as failed:
        await channel.fetch(hub.inbound[0].media[0])
    assert failed.value.code == "too_large"


# The sweeper


async def sweep(channel: Sms, memory: Notebook, seconds: float = 0.0) -> list[Inbound]:
    """One round of the sweeper."""
    found: list[Inbound] = []

    async def read() -> None:
        async for received in channel.poll(memory):
            found.extend(received.inbound)

    before = dict(memory.kept)
    reading = asyncio.create_task(read())
    await until(lambda: memory.kept != before)
    reading.cancel()
    return found


async def test_sweeper_brings_what_the_webhook_missed_exactly_as_it_would(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    memory = Notebook()
    fake.text(ANA, "first")
    fake.text(ANA, "STOP")
    fake.text(ANA, "look", [("image/jpeg", b"\xff\xd8\xff"), ("audio/amr", b"#!AMR")])
    await until(lambda: len(hub.inbound) == 3)
    by_webhook = {inbound.external_id: inbound for inbound in hub.inbound}
    fake.text(ANA, "missed in the outage", deliver=False)
    await channel.send(out("not an inbound", address="+15551230009"))

    swept = await sweep(channel, memory)

    assert [i.text for i in swept] == ["first", "STOP", "look", "missed in the outage"]
    assert all(by_webhook.get(i.external_id, i) == i for i in swept)


async def test_sweeper_goes_back_to_before_the_outage_but_not_for_ever(
    fake: twilio.FakeTwilio, channel: Sms
) -> None:
    now = datetime.now(UTC)
    for hours in (24 * 9, 30, 3):
        sid = fake.text(ANA, f"{hours} hours ago", deliver=False)
        at = (now - timedelta(hours=hours)).strftime("%a, %d %b %Y %H:%M:%S +0000")
        next(m for m in fake.messages if m["sid"] == sid).update(date_sent=at, date_created=at)
    memory = Notebook()
    assert await sweep(channel, memory) == [], "a fresh installation answers no old texts"
    memory.kept = {f"sms.{channel.account}.swept": (now - timedelta(hours=31)).isoformat()}
    assert [i.text for i in await sweep(channel, memory)] == ["30 hours ago", "3 hours ago"]
    memory.kept = {f"sms.{channel.account}.swept": (now - timedelta(days=60)).isoformat()}
    assert [i.text for i in await sweep(channel, memory)] == ["30 hours ago", "3 hours ago"]


async def test_sweeper_survives_an_outage_of_the_provider(fake: twilio.FakeTwilio) -> None:
    away = recorded.build("sms", twilio_api_url="http://127.0.0.1:1")
    assert isinstance(away, Sms)
    assert away.polls()
    polled = away.poll(Notebook())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(polled)
    await away.close()


async def test_sweeper_reads_many_pages_oldest_first(fake: twilio.FakeTwilio, channel: Sms) -> None:
    for n in range(450):
        fake.text(ANA, f"{n}", deliver=False)
    assert [i.text for i in await sweep(channel, Notebook())] == [f"{n}" for n in range(450)]


async def test_redelivery_after_an_outage_is_the_same_text(
    fake: twilio.FakeTwilio, hub: Hub, channel: Sms
) -> None:
    hub.down = 2
    sid = fake.text(ANA, "again and again")
    await until(lambda: hub.inbound)
    await until(lambda: len(fake.webhook_answers) == 3)
    assert fake.webhook_answers == [503, 503, 200]
    assert [i.external_id for i in hub.inbound] == [sid]


def test_api_url_takes_all_traffic(server: twilio.FakeTwilio) -> None:
    channel = recorded.build("sms", twilio_api_url=f"{server.url}/prefix/")
    assert isinstance(channel, Sms)
    url = channel._http._at_base("https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json?Page=2")
    assert url == f"{server.url}/prefix/2010-04-01/Accounts/AC1/Messages.json?Page=2"
    assert urlsplit(url).netloc == urlsplit(server.url).netloc
