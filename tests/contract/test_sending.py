"""What every channel does with a message on its way out, against its provider's fake."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.base.contract import (
    Button,
    Channel,
    DeliveryState,
    InboundKind,
    LookUp,
    Outbound,
    Source,
)
from channels.base.errors import PermanentFailure, SendFailure, TemporaryFailure, UncertainFailure
from channels.base.registry import all_channels
from tests.contract import recorded
from tests.contract.providers import JPEG, PROVIDERS, Provider, nobody_listens, outbound

SECRETS = ("AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "f0e1d2c3b4a5968778695a4b3c2d1e0f", "Recorded-Secret_42")


@pytest.fixture(scope="module", params=sorted(PROVIDERS))
def side(request: pytest.FixtureRequest) -> Iterator[Provider]:
    with PROVIDERS[request.param]() as provider:
        yield provider


@pytest.fixture
def provider(side: Provider) -> Provider:
    side.fake.reset()
    return side


@pytest.fixture
async def channel(provider: Provider) -> AsyncIterator[Channel]:
    made = provider.channel()
    yield made
    await made.close()


def test_every_channel_has_a_provider_or_sends_itself() -> None:
    for name, kind in all_channels().items():
        assert kind.sends_itself or name in PROVIDERS, f"add a fake provider of {name} to PROVIDERS"


@pytest.mark.parametrize("name", sorted(all_channels()))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=4500))
def test_split_loses_no_word_and_keeps_the_limit(name: str, text: str) -> None:
    channel = _built(name)
    parts = channel.split(text)
    assert all(part.strip() for part in parts)
    if channel.sends_itself:
        return  # limits are the page's own; web chat leaves a message whole
    assert all(len(part.encode("utf-16-le", "surrogatepass")) // 2 <= channel.max_text for part in parts)


@pytest.mark.parametrize("name", sorted(all_channels()))
def test_split_breaks_a_long_answer_at_sentences(name: str) -> None:
    sentence = "The depot in Mill Lane takes paint, oil and batteries on the first Saturday of a month. "
    parts = _built(name).split(sentence * 120)
    assert " ".join(parts).split() == (sentence * 120).split()
    assert all(part.rstrip().endswith(".") for part in parts)


@pytest.mark.parametrize("name", [name for name, kind in sorted(all_channels().items()) if kind.sends_itself])
async def test_channel_that_sends_itself_has_nothing_to_do(name: str) -> None:
    channel = _built(name)
    message = outbound_to_self()
    sent = await channel.send(message)
    assert sent.state is DeliveryState.SENT
    assert (await channel.look_up(message)).result in {LookUp.FOUND, LookUp.CANNOT}
    assert not channel.polls()


async def test_message_arrives_with_sources_and_choices(provider: Provider, channel: Channel) -> None:
    sent = await channel.send(
        outbound(
            provider,
            "Tuesday.",
            buttons=(Button("c1", "Yes"), Button("c2", "No")),
            sources=(Source("Collection days", "https://city.example/waste/days"),),
        )
    )
    assert sent.state is DeliveryState.SENT
    assert sent.provider_id
    (text,) = provider.arrived()
    assert text.startswith("Tuesday.")
    accepted = provider.fake.sent[0]
    everything = json.dumps(accepted, ensure_ascii=False)
    assert "Collection days" in text
    assert "https://city.example/waste/days" in everything
    if channel.has_buttons:
        assert [button["callback_data"] for button in accepted["buttons"]] == ["c1", "c2"]
    else:
        assert text.splitlines()[-2:] == ["1 = Yes", "2 = No"]


@pytest.mark.parametrize(
    "text", ["<b>bold</b> & <script>", "*_[x](http://y)_*", "a\n\nb   c", "5 < 6 > 4 &amp;"]
)
async def test_no_word_becomes_markup(provider: Provider, channel: Channel, text: str) -> None:
    await channel.send(outbound(provider, text))
    assert provider.arrived() == [text]


async def test_dead_address_is_a_permanent_failure(provider: Provider, channel: Channel) -> None:
    dead = provider.refuses_for_good()
    with pytest.raises(PermanentFailure) as failed:
        await channel.send(outbound(provider, address=dead))
    assert failed.value.unreachable
    assert failed.value.code
    assert not failed.value.alert


@pytest.mark.parametrize("address", ["", "nobody", "'; DROP TABLE", "12 34"])
async def test_nonsense_for_an_address_never_reaches_the_provider(
    provider: Provider, channel: Channel, address: str
) -> None:
    with pytest.raises(PermanentFailure) as failed:
        await channel.send(outbound(provider, address=address))
    assert failed.value.unreachable
    assert not provider.fake.sent


async def test_refusal_nobody_knows_is_logged_and_alerts(provider: Provider, channel: Channel) -> None:
    provider.refuses_oddly()
    with structlog.testing.capture_logs() as logs, pytest.raises(PermanentFailure) as failed:
        await channel.send(outbound(provider))
    assert failed.value.alert
    assert not failed.value.unreachable
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert "4711" not in str(logs)


async def test_slow_down_pauses_the_whole_channel(provider: Provider, channel: Channel) -> None:
    provider.asks_to_wait()
    with pytest.raises(TemporaryFailure) as failed:
        await channel.send(outbound(provider))
    assert failed.value.whole_channel
    assert failed.value.retry_after
    assert failed.value.retry_after >= 5
    assert provider.arrived() == []


async def test_provider_out_of_reach_is_temporary(provider: Provider) -> None:
    setting = {"telegram": "telegram_api_url", "sms": "twilio_api_url"}[provider.name]
    channel = provider.channel(**{setting: nobody_listens()})
    try:
        with pytest.raises(TemporaryFailure):
            await channel.send(outbound(provider))
    finally:
        await channel.close()


async def test_broken_answer_is_uncertain_and_looked_up(provider: Provider, channel: Channel) -> None:
    provider.breaks_off()
    message = outbound(provider)
    with pytest.raises(UncertainFailure):
        await channel.send(message)
    assert len(provider.arrived()) == 1
    found = await channel.look_up(message)
    if found.result is LookUp.CANNOT:
        await channel.send(dataclasses.replace(message, possible_duplicate=True))
        first, second = provider.arrived()
        assert second != first, "the second copy carries a mark"
        assert second.endswith(first)
    else:
        assert found.result is LookUp.FOUND
        assert found.provider_id == provider.fake.sent[0]["sid"]


async def test_message_that_never_left_is_not_found(provider: Provider, channel: Channel) -> None:
    found = await channel.look_up(outbound(provider, "never sent"))
    assert found.result in {LookUp.NOT_FOUND, LookUp.CANNOT}


async def test_hanging_provider_is_uncertain_in_time_and_blocks_nobody(
    provider: Provider, channel: Channel
) -> None:
    provider.hangs(8.0)
    ticks, started = 0, time.monotonic()

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(UncertainFailure):
        await channel.send(outbound(provider))
    ticking.cancel()
    took = time.monotonic() - started
    assert took < 5.0, "a takeover waits for what is in flight"
    assert ticks > took * 20, "the event loop stood still"


async def test_neither_words_nor_numbers_nor_secrets_are_logged(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words = "The purple heron nests in Mill Lane"
    traces: list[str] = []
    channel = provider.channel()
    with structlog.testing.capture_logs() as logs:
        await channel.start()
        for fault in (
            lambda: None,
            provider.breaks_off,
            provider.asks_to_wait,
            provider.refuses_oddly,
            provider.refuses_for_good,
        ):
            fault()
            try:
                await channel.send(outbound(provider, words))
            except SendFailure:
                traces.append(traceback.format_exc())
        await channel.look_up(outbound(provider, words))
        try:
            await channel.fetch(dataclasses.replace(provider.file(JPEG), ref=provider.file(JPEG).ref + "0"))
        except SendFailure:
            traces.append(traceback.format_exc())
        for request in recorded.requests_of(provider.name):
            recorded.build(provider.name).receive(request.request)
        await channel.close()
    told = "\n".join([caplog.text, str(logs), *traces])
    assert traces
    for hidden in ("purple heron", provider.resident, *SECRETS, "recycling collected"):
        assert hidden not in told


async def test_file_is_fetched_and_named_by_its_content(provider: Provider, channel: Channel) -> None:
    media = await channel.fetch(provider.file(JPEG))
    assert media.mime == "image/jpeg"
    assert media.name.endswith(".jpg")
    assert media.data == JPEG


async def test_file_that_is_gone_or_too_large_is_a_permanent_failure(
    provider: Provider, channel: Channel
) -> None:
    known = provider.file(JPEG)
    for bad in (
        dataclasses.replace(known, ref=known.ref + "0"),
        provider.file(b"\xff\xd8\xff" + b"\0" * (20 * 1024 * 1024 + 1)),
    ):
        with pytest.raises(PermanentFailure):
            await channel.fetch(bad)


async def test_acknowledging_is_harmless_for_everything_received(
    provider: Provider, channel: Channel
) -> None:
    for request in recorded.requests_of(provider.name):
        for inbound in _built(provider.name).receive(request.request).inbound:
            await channel.acknowledge(inbound)
            if inbound.kind is InboundKind.BUTTON and provider.name == "telegram":
                assert inbound.payload["query"] in provider.fake.answered_queries


def outbound_to_self() -> Outbound:
    return Outbound("0190e7c0-0000-7000-8000-00000000000b", "0190e7c0-0000-7000-8000-00000000000c", "Hello")


_CHANNELS: dict[str, Channel] = {}


def _built(name: str) -> Channel:
    if name not in _CHANNELS:
        _CHANNELS[name] = recorded.build(name)
    return _CHANNELS[name]
