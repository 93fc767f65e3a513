"""The rules of Telegram (shared rules, section Telegram), each with the test that holds it.

| rule | test |
|---|---|
| secret compared as bytes, non-ASCII is a 403 | test_receiving: forged_request_is_refused |
| no webhook mode without a secret | test_without_a_secret_no_webhook_is_authentic, ..._polls |
| own route, poison is never refused | test_receiving: authentic_damage_is_never_an_error |
| webhook and polling end in the same function | test_polling_and_webhook_read_the_same |
| polling keeps its offset, survives a poison update | test_polling_*, test_update_nobody_can_read_... |
| redelivered until 2xx, ids with gaps | test_fakes, test_receiving: five_deliveries |
| rates: 1/s a chat, 30/s, 20/min a group | test_second_message_waits..., test_group_..., test_thirty_... |
| 429 pauses the bot; 403 is unreachable | test_sending: slow_down, dead_address; test_refusals_* |
| 4096 UTF-16 units | test_part_of_full_size_arrives_with_sources, test_units_are_utf16 |
| no markup | test_sending: no_word_becomes_markup; test_sources_are_links_... |
| callback answered, data untrusted | test_sending: acknowledging; fixture button_with_forged_data |
| edits, photos, voice, documents, places, contacts | fixtures |
| contact is proof only of its sender | fixtures contact_* |
| 20 MB, file URL never shown | test_sending: file_*, neither_words_nor_numbers |
| API base is a setting | every test here |
| getWebhookInfo as metrics | test_webhook_is_registered_and_watched |
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.base.contract import Attachment, Button, Inbound, InboundKind, Outbound, Received, Source
from channels.base.errors import NotAuthentic, PermanentFailure, TemporaryFailure, UncertainFailure
from channels.telegram import OVERALL, PER_GROUP, Telegram
from tests.contract import recorded
from tests.fakes import telegram
from tests.waiting import until

CHAT = 4711


class Notebook:
    """Memory that lasts as long as a test."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


@pytest.fixture(scope="module")
def server() -> Iterator[telegram.FakeTelegram]:
    with telegram.running(pace=20) as fake:
        yield fake


@pytest.fixture
def fake(server: telegram.FakeTelegram) -> telegram.FakeTelegram:
    server.reset()
    server.hook = telegram.Hook()
    return server


def bot(fake: telegram.FakeTelegram, **changes: Any) -> Telegram:
    channel = recorded.build("telegram", telegram_api_url=fake.url, **changes)
    assert isinstance(channel, Telegram)
    return channel


@pytest.fixture
async def channel(fake: telegram.FakeTelegram) -> AsyncIterator[Telegram]:
    made = bot(fake)
    yield made
    await made.close()


@pytest.fixture
async def polling(fake: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Telegram]:
    monkeypatch.setattr(Telegram, "poll_seconds", 1)
    made = bot(fake, telegram_webhook_secret=None)
    yield made
    await made.close()


def out(text: str, address: str = str(CHAT), **more: Any) -> Outbound:
    return Outbound("delivery-1", address, text, **more)


async def take(channel: Telegram, memory: Notebook, count: int) -> list[Inbound]:
    found: list[Inbound] = []
    polled = channel.poll(memory)
    async with asyncio.timeout(20):
        async for received in polled:
            found += received.inbound
            if len(found) >= count:
                break
    await polled.aclose()  # type: ignore[attr-defined]
    return found


# Switching on


def test_without_a_token_the_channel_is_off() -> None:
    assert Telegram.from_settings(recorded.settings("telegram", telegram_bot_token=None)) is None


@pytest.mark.parametrize("changes", [{"telegram_bot_token": "nonsense"}, {"telegram_webhook_secret": "ä b"}])
def test_wrong_setting_is_told_in_one_sentence(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^TELEGRAM_[A-Z_]+ must .+\.$") as told:
        Telegram.from_settings(recorded.settings("telegram", **changes))
    assert next(iter(changes.values())) not in str(told.value)


async def test_without_a_secret_no_webhook_is_authentic(polling: Telegram) -> None:
    request = recorded.requests_of("telegram")[0].request
    with pytest.raises(NotAuthentic):
        polling.receive(request)
    assert polling.polls()


async def test_with_a_secret_nothing_polls(channel: Telegram) -> None:
    assert not channel.polls()


# Polling


async def test_polling_and_webhook_read_the_same(fake: telegram.FakeTelegram, polling: Telegram) -> None:
    webhook = bot(fake)
    bodies = [request.request.body for request in recorded.requests_of("telegram")]
    # Half a surrogate pair cannot pass through the fake's own JSON.
    updates = [json.loads(body) for body in bodies if body.startswith(b"{") and b"\\ud83d c" not in body]
    expected = [webhook.receive(_request(update)) for update in updates]
    fake.updates = [dict(update) for update in updates]

    found = await take(polling, Notebook(), len([received for received in expected if received.inbound]))

    assert found == [inbound for received in expected for inbound in received.inbound]
    await webhook.close()


async def test_polling_goes_on_after_what_the_hub_has_stored(
    fake: telegram.FakeTelegram, polling: Telegram
) -> None:
    memory = Notebook()
    first = [fake.says(CHAT, "one"), fake.says(CHAT, "two")]
    assert [i.external_id for i in await take(polling, memory, 2)] == [str(i) for i in first]
    # The generator was stopped before the batch was confirmed: a restart sees both again, as duplicates.
    again = await take(polling, memory, 2)
    assert [i.text for i in again] == ["one", "two"]

    async def all_of_it() -> None:
        async for _ in polling.poll(memory):
            pass

    reading = asyncio.create_task(all_of_it())
    await until(lambda: bool(memory.kept))
    reading.cancel()
    fake.says(CHAT, "three")
    assert [i.text for i in await take(polling, memory, 1)] == ["three"]


async def test_update_nobody_can_read_hides_no_other(fake: telegram.FakeTelegram, polling: Telegram) -> None:
    fake.update("message", {"message_id": "x", "chat": {"id": CHAT, "type": "private"}, "date": "never"})
    fake.says(CHAT, "after it")
    first, second = await take(polling, Notebook(), 2)
    assert (first.kind, first.address) == (InboundKind.UNSUPPORTED, str(CHAT))
    assert second.text == "after it"


async def test_polling_survives_outages_and_a_webhook_left_behind(
    fake: telegram.FakeTelegram, polling: Telegram
) -> None:
    fake.hook = telegram.Hook(url="https://old.example/hook")
    fake.fail_next(2, 502, "Bad Gateway", method="getupdates")
    fake.says(CHAT, "still here")
    (inbound,) = await take(polling, Notebook(), 1)
    assert inbound.text == "still here"
    assert fake.hook.url == ""


# The webhook


async def test_webhook_is_registered_and_watched(fake: telegram.FakeTelegram) -> None:
    channel = bot(fake)
    await channel.start()
    assert fake.hook.url == "https://line.example.org/channels/telegram/webhook"
    assert fake.hook.secret == "Recorded-Secret_42"
    assert set(fake.hook.allowed) == {"message", "edited_message", "callback_query", "my_chat_member"}
    assert channel.gauges()["pending_updates"] == 0
    await channel.close()


async def test_official_api_is_never_given_a_plain_http_webhook() -> None:
    changes = {"public_url": "http://line.example.org", "telegram_api_url": None}
    channel = recorded.build("telegram", **changes)
    assert isinstance(channel, Telegram)
    assert channel._webhook_url() is None
    await channel.close()


async def test_start_survives_a_telegram_that_is_away_or_refuses(fake: telegram.FakeTelegram) -> None:
    fake.fail_next(1, 401, "Unauthorized", method="getme")
    channel = bot(fake)
    await channel.start()
    assert channel.gauges() == {}
    await channel.close()


async def test_webhook_taken_by_somebody_is_put_back(
    fake: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Telegram, "watch_seconds", 0.05)
    channel = bot(fake)
    await channel.start()
    fake.hook = telegram.Hook(url="https://thief.example/")
    await until(lambda: "thief" not in fake.hook.url)
    await channel.close()


# Sending


def test_units_are_utf16(channel: Telegram) -> None:
    parts = channel.split("😀" * 4000)
    assert all(len(part) * 2 <= 4096 for part in parts)
    assert "".join(parts) == "😀" * 4000


async def test_part_of_full_size_arrives_with_sources(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    (part, *_) = channel.split("😀 word " * 2000)
    sources = tuple(Source(f"Title {n} " + "x" * 200, f"https://city.example/{n}") for n in range(9))
    await channel.send(out(part, sources=sources, possible_duplicate=True))
    (sent,) = fake.sent
    assert sent["text"].startswith("↻ " + part)
    assert sent["entities"], "at least one source fits beside the longest part"


async def test_sources_are_links_without_previews_behind_exact_words(
    fake: telegram.FakeTelegram, channel: Telegram
) -> None:
    sources = (Source("Where <b> & 😀?", "https://city.example/a?b=1&c=<d>"), Source("Bad", "javascript:x()"))
    await channel.send(out("😀 It is here.", sources=sources))
    (sent,) = fake.sent
    (link,) = sent["entities"]
    units = sent["text"].encode("utf-16-le")
    shown = units[link["offset"] * 2 : (link["offset"] + link["length"]) * 2].decode("utf-16-le")
    assert (shown, link["url"]) == ("Where <b> & 😀?", "https://city.example/a?b=1&c=<d>")
    assert sent["text"].endswith("\nBad")
    assert not sent["preview"]


async def test_short_buttons_share_a_row_and_long_ones_do_not(
    fake: telegram.FakeTelegram, channel: Telegram
) -> None:
    titles = ["Yes", "No", "Talk to somebody at the town hall", "x" * 200]
    buttons = tuple(Button(f"b{n}", title) for n, title in enumerate(titles))
    await channel.send(out("Well?", buttons=buttons))
    assert fake.sent[0]["rows"] == [2, 1, 1]


async def test_telegrams_own_button_asks_for_the_number_in_private_chats_only(
    fake: telegram.FakeTelegram, channel: Telegram
) -> None:
    await channel.send(out("Join your chats.", ask_contact="Share my number"))
    await channel.send(out("Join your chats.", ask_contact="Share my number", address="-100200300"))
    await channel.send(
        out("Well?", ask_contact="Share my number", buttons=(Button("b", "Yes"),), address="4713")
    )
    private, group, with_buttons = fake.sent
    assert private["contact"] == "Share my number"
    assert (group["contact"], with_buttons["contact"]) == (None, None)
    assert len(with_buttons["buttons"]) == 1


async def test_second_message_waits_for_its_second(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    started = time.monotonic()
    await channel.send(out("one"))
    await channel.send(out("two"))
    assert time.monotonic() - started >= 0.9
    started = time.monotonic()
    await channel.send(out("another chat is not held up", address="4712"))
    assert time.monotonic() - started < 0.9


async def test_more_than_a_moment_of_waiting_is_put_off(channel: Telegram) -> None:
    results = await asyncio.gather(*(channel.send(out(f"{n}")) for n in range(5)), return_exceptions=True)
    put_off = [result for result in results if isinstance(result, TemporaryFailure)]
    assert put_off
    assert all(failure.retry_after and not failure.whole_channel for failure in put_off)


async def test_thirty_a_second_is_never_passed(channel: Telegram) -> None:
    times: list[float] = []

    async def leave() -> None:
        await channel._pace.turn([(OVERALL, "all")])
        times.append(time.monotonic())

    await asyncio.gather(*(leave() for _ in range(45)))
    assert all(later - earlier >= 0.95 for earlier, later in zip(times, times[30:], strict=False))


async def test_group_gets_twenty_a_minute(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    for _ in range(20):
        await channel._pace.turn([(PER_GROUP, "group:-100123"), (OVERALL, "all")])
    with pytest.raises(TemporaryFailure) as put_off:
        await channel.send(out("the twenty-first", address="-100123"))
    assert put_off.value.retry_after
    assert put_off.value.retry_after > 30
    assert not fake.sent


@pytest.mark.parametrize(
    ("status", "description", "unreachable"),
    [
        (403, "Forbidden: bot was blocked by the user", True),
        (403, "Forbidden: user is deactivated", True),
        (403, "Forbidden: bot was kicked from the supergroup chat", True),
        (400, "Bad Request: chat not found", True),
        (400, "Bad Request: group chat was upgraded to a supergroup chat", True),
        (400, "Bad Request: message is too long", False),
    ],
)
async def test_refusals_that_are_for_good(
    fake: telegram.FakeTelegram, channel: Telegram, status: int, description: str, unreachable: bool
) -> None:
    fake.fail_next(1, status, description)
    with pytest.raises(PermanentFailure) as failed:
        await channel.send(out("hi"))
    assert failed.value.unreachable is unreachable


@pytest.mark.parametrize(
    ("status", "whole"), [(401, True), (404, True), (409, True), (500, False), (502, False)]
)
async def test_refusals_that_pass(
    fake: telegram.FakeTelegram, channel: Telegram, status: int, whole: bool
) -> None:
    fake.fail_next(1, status, "Something")
    with pytest.raises(TemporaryFailure) as failed:
        await channel.send(out("hi"))
    assert failed.value.whole_channel is whole


async def test_message_arrives_after_the_flood_wait(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    fake.limits["all"] = (1, 1.0)
    try:
        await channel.send(out("one", address="1"))
        with pytest.raises(TemporaryFailure) as wait:
            await channel.send(out("two", address="2"))
        assert wait.value.whole_channel
        await asyncio.sleep(wait.value.retry_after or 0)
        await channel.send(out("two", address="2"))
    finally:
        fake.limits["all"] = (30, 1.0)
    assert [entry["text"] for entry in fake.sent] == ["one", "two"]


async def test_photo_carries_its_words_and_a_file_follows(
    fake: telegram.FakeTelegram, channel: Telegram
) -> None:
    files = (
        Attachment("map.png", "image/png", b"\x89PNG"),
        Attachment("form.pdf", "application/pdf", b"%PDF-1"),
    )
    await channel.send(out("See the map.", attachments=files, buttons=(Button("b", "OK"),)))
    photo, document = fake.sent
    assert (photo["method"], photo["text"], len(photo["buttons"])) == ("sendphoto", "See the map.", 1)
    assert (document["method"], document["text"], document["buttons"]) == ("senddocument", "", [])


async def test_half_a_message_is_uncertain_and_not_lost(
    fake: telegram.FakeTelegram, channel: Telegram
) -> None:
    fake.fail_next(1, 500, method="senddocument")
    with pytest.raises(UncertainFailure):
        await channel.send(out("x" * 1100, attachments=(Attachment("f.pdf", "application/pdf", b"%PDF"),)))
    assert len(fake.sent) == 1


async def test_old_button_press_is_nobodys_loss(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    fake.fail_next(1, 400, "Bad Request: query is too old", method="answercallbackquery")
    pressed = Inbound("telegram", channel.account, "1", "4711", InboundKind.BUTTON, payload={"query": "9"})
    await channel.acknowledge(pressed)
    await channel.acknowledge(pressed)
    assert fake.answered_queries == ["9"]


async def test_whole_round_with_a_resident(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    """Blocked, written to in vain, and back again."""
    fake.blocks(CHAT)
    with pytest.raises(PermanentFailure) as failed:
        await channel.send(out("hello?"))
    assert failed.value.unreachable
    fake.unblocks(CHAT)
    told = [_only(channel.receive(_request(update))) for update in fake.updates]
    assert [(i.kind, i.payload["reachable"]) for i in told] == [
        (InboundKind.REACHABLE, False),
        (InboundKind.REACHABLE, True),
    ]
    await channel.send(out("welcome back"))
    assert fake.texts(CHAT) == ["welcome back"]


async def test_time_is_the_providers(fake: telegram.FakeTelegram, channel: Telegram) -> None:
    fake.says(CHAT, "now")
    inbound = _only(channel.receive(_request(fake.updates[0])))
    assert inbound.provider_time is not None
    assert abs((datetime.now(UTC) - inbound.provider_time).total_seconds()) < 5


def _request(update: dict[str, Any]) -> Any:
    import dataclasses

    first = recorded.requests_of("telegram")[0].request
    return dataclasses.replace(first, body=json.dumps(update).encode())


def _only(received: Received) -> Inbound:
    (inbound,) = received.inbound
    return inbound
