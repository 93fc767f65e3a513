"""The outbox through the real Telegram and SMS channels, to providers that behave as documented."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from channels.base.contract import Channel, DeliveryState, InboundKind, Received, Upload, WebhookRequest
from channels.sms import Sms
from contact_hub.database import now
from contact_hub.journey import by_hand, sending
from contact_hub.journey.hands.words import reply_within
from contact_hub.operations.queue import Lane
from contact_hub.staff.access import Viewer
from tests.contract import recorded
from tests.fakes import telegram, twilio
from tests.hub.line import Line, Resident, Script, says, turn

PUBLIC = "http://127.0.0.1:9"  # nobody is there: callbacks are brought by the tests


def sms_channel(fake: twilio.FakeTwilio, **changes: Any) -> Channel:
    given = {"twilio_api_url": fake.url, "public_url": PUBLIC, "twilio_from": twilio.NUMBER}
    given |= {"twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.AUTH_TOKEN}
    return recorded.build("sms", **{**given, **changes})


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is unsure of a text looks it up at once instead of waiting for a callback."""
    monkeypatch.setattr(Sms, "uncertain_wait", 0.0)


async def asks(resident: Resident, words: str = "Hello") -> None:
    """Write something and let it be read; the answer waits to be sent."""
    await resident.does(words=words)
    await resident.line.work(Lane.IN)


async def killed_after(resident: Resident, accepted: Callable[[], Any]) -> None:
    """Begin to send, and die as soon as the provider has the message."""
    task = await resident.line.claim(Lane.OUT)
    assert task is not None
    job = asyncio.create_task(resident.line.handle(task))
    async with asyncio.timeout(10):
        while not accepted():  # noqa: ASYNC110 - by a server in another thread
            await asyncio.sleep(0.01)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await resident.line.hurry()


def callback(line: Line, entry: dict[str, Any], status: str, **fields: str) -> Received:
    """What Twilio says of a message it took, as its signed request."""
    told = [("MessageSid", entry["sid"]), ("MessageStatus", status), *fields.items()]
    url = urlsplit(entry["callback"])
    signature = twilio.sign(entry["callback"], told, twilio.AUTH_TOKEN)
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    request = WebhookRequest("status", "POST", "", url.query, headers, urlencode(told).encode())
    return line.channels["sms"].receive(request)


# Twilio: never twice ---------------------------------------------------------------------------------


async def test_a_text_leaves_once_and_its_receipts_are_kept(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await asks(phone)
    await phone.line.work()
    (entry,) = fake_twilio.sent
    assert entry["body"] == phone.line.city.say("greet", "en")
    (delivery,) = await phone.line.deliveries()
    assert (delivery.state, delivery.provider_id, delivery.tries) == ("sent", entry["sid"], 1)
    for status in ("delivered", "sent", "queued", "delivered"):
        await phone.line.inbox.receive(callback(phone.line, entry, status))
    assert (await phone.line.deliveries())[0].state == "delivered"


@pytest.mark.usefixtures("impatient")
async def test_a_text_that_left_before_a_crash_is_found_and_not_sent_again(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.hang_next(1, 3, accept=True)
    await asks(phone)
    await killed_after(phone, lambda: fake_twilio.sent)
    assert (await phone.line.deliveries())[0].state == "sending"
    await phone.line.work()
    assert len(fake_twilio.sent) == 1
    (delivery,) = await phone.line.deliveries()
    assert delivery.state in {"sent", "delivered"}
    assert delivery.provider_id == fake_twilio.sent[0]["sid"]
    assert not delivery.possible_duplicate
    assert await phone.line.count("task") == 0


async def test_after_a_crash_a_text_waits_for_its_callback(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.hang_next(1, 3, accept=True)
    await asks(phone)
    await killed_after(phone, lambda: fake_twilio.sent)
    await phone.line.work()
    (delivery,) = await phone.line.deliveries()
    assert delivery.state == "uncertain"
    assert await phone.line.one("SELECT due > now() + interval '20 seconds' FROM task")
    await phone.line.inbox.receive(callback(phone.line, fake_twilio.sent[0], "sent"))
    await phone.line.hurry()
    await phone.line.work()
    assert (await phone.line.deliveries())[0].state == "sent"
    assert len(fake_twilio.sent) == 1
    assert await phone.line.count("task") == 0


@pytest.mark.usefixtures("impatient")
async def test_a_text_that_did_not_leave_before_a_crash_is_sent_once(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await asks(phone)
    await phone.line.sql("UPDATE delivery SET state = 'sending', tries = 1, first_tried_at = now()")
    await phone.line.work()
    assert len(fake_twilio.sent) == 1
    (delivery,) = await phone.line.deliveries()
    assert (delivery.state, delivery.possible_duplicate) == ("sent", False)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", ["break", "hang", "500"])
async def test_a_text_whose_fate_is_unknown_is_never_doubled(
    phone: Resident, fake_twilio: twilio.FakeTwilio, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.5)
    match trouble:
        case "break":
            fake_twilio.drop_after_accept(1)
        case "hang":
            fake_twilio.hang_next(1, 3, accept=True)
        case _:
            fake_twilio.fail_next(1, 20500, status=500)
    await asks(phone)
    await phone.line.work()
    assert (await phone.line.deliveries())[0].state == "uncertain"
    await phone.line.hurry()
    await phone.line.work()
    assert len(fake_twilio.sent) == 1
    assert (await phone.line.deliveries())[0].state in {"sent", "delivered"}


@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_lost_its_lease_while_looking_a_text_up_sends_nothing(
    phone: Resident, fake_twilio: twilio.FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asks(phone)
    await phone.line.sql("UPDATE delivery SET state = 'sending', tries = 1, first_tried_at = now()")
    looked, go_on = asyncio.Event(), asyncio.Event()
    original = Sms.look_up

    async def slow(self: Sms, message: Any) -> Any:
        found = await original(self, message)
        if not looked.is_set():
            looked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(Sms, "look_up", slow)
    zombie_task = await phone.line.claim(Lane.OUT)
    assert zombie_task is not None
    zombie = asyncio.create_task(phone.line.handle(zombie_task))
    await looked.wait()
    await phone.line.hurry()
    await phone.line.work()  # another worker takes it over, finds nothing and sends
    assert len(fake_twilio.sent) == 1
    go_on.set()
    await asyncio.gather(zombie, return_exceptions=True)
    assert len(fake_twilio.sent) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_callback_that_comes_while_a_text_is_looked_up_keeps_it_from_being_sent_again(
    phone: Resident, fake_twilio: twilio.FakeTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_twilio.hang_next(1, 3, accept=True)
    await asks(phone)
    await killed_after(phone, lambda: fake_twilio.sent)

    async def finds_nothing(self: Sms, message: Any) -> Any:
        from channels.base.contract import LookedUp, LookUp

        await phone.line.inbox.receive(callback(phone.line, fake_twilio.sent[0], "sent"))
        return LookedUp(LookUp.NOT_FOUND)  # the provider's list lags behind

    monkeypatch.setattr(Sms, "look_up", finds_nothing)
    await phone.line.work()
    assert len(fake_twilio.sent) == 1
    assert (await phone.line.deliveries())[0].state == "sent"
    assert await phone.line.count("task") == 0


@pytest.mark.usefixtures("impatient")
async def test_a_resident_who_wants_silence_gets_no_second_try(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.fail_next(1, 20500, status=500)
    await asks(phone)
    await phone.line.work()
    await phone.does(InboundKind.OPT_OUT, "STOP")
    await phone.line.hurry()
    await phone.line.work()
    assert fake_twilio.sent == []
    (delivery,) = await phone.line.deliveries()
    assert (delivery.state, delivery.reason) == ("cancelled", "the resident asked for silence")


async def test_a_text_that_a_phone_could_not_take_is_sent_again_later(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await asks(phone)
    await phone.line.work()
    failed = callback(phone.line, fake_twilio.sent[0], "undelivered", ErrorCode="30003")
    await phone.line.inbox.receive(failed)
    await phone.line.work()
    assert len(fake_twilio.sent) == 1, "not at once"
    await phone.line.hurry()
    await phone.line.work()
    first, second = fake_twilio.sent
    assert first["body"] == second["body"]
    assert first["callback"] != second["callback"], "late news of the first is not about the second"
    assert [d.state for d in await phone.line.deliveries()] == ["failed", "sent"]
    assert await phone.line.tickets() == []


async def test_an_unknown_number_is_unreachable_and_a_person_is_told(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.refuses(phone.address, 21614)
    await asks(phone)
    await phone.line.work()
    (delivery,) = await phone.line.deliveries()
    assert (delivery.state, delivery.code) == ("failed", "21614")
    assert not (await phone.place()).reachable
    (ticket,) = await phone.line.tickets()
    assert (ticket.kind, ticket.touchpoint_id) == ("undelivered", delivery.touchpoint_id)


async def test_a_number_that_opted_out_at_twilio_is_suppressed_here(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.opted_out.add(phone.address)
    await asks(phone)
    await phone.line.work()
    assert await phone.line.count("suppression", "source = 'provider'") == 1
    assert await phone.line.tickets() == [], "that is no fault"
    await asks(phone, "Hello again")
    await phone.line.work()
    assert (await phone.endings())[-1] == ("suppressed", "silent")
    assert fake_twilio.sent == []


async def test_a_fault_of_the_citys_set_up_is_one_ticket_however_many_messages_it_costs(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    for number in range(3):
        other = phone.line.texter(f"+1555123010{number}")
        fake_twilio.refuses(other.address, 30034)
        await asks(other)
    await phone.line.work()
    assert [d.state for d in await phone.line.deliveries()] == ["failed"] * 3
    (ticket,) = await phone.line.tickets()
    assert ticket.kind == "provider_alert"
    assert "not registered" in ticket.reason


async def test_a_long_answer_leaves_in_parts_in_order(
    phone: Resident, script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    words = " ".join(f"Sentence number {n} of a long answer." for n in range(60))
    assert len(words) > 1600
    script.on_turn = lambda asked: turn({"say": "report_done", "values": {"reference": words}})
    await asks(phone)
    await phone.line.work()
    texts = fake_twilio.texts(phone.address)
    assert len(texts) > 4
    assert all(len(text) <= 1600 for text in texts)
    assert " ".join(" ".join(texts).split()) == " ".join((await phone.reads())[0].split())
    deliveries = await phone.line.deliveries()
    assert [d.part for d in deliveries] == list(range(1, len(texts) + 1))


@pytest.mark.parametrize("code", [(20429, 429), (21611, 400)])
async def test_a_provider_that_asks_to_slow_down_pauses_the_whole_account(
    phone: Resident, fake_twilio: twilio.FakeTwilio, code: tuple[int, int]
) -> None:
    other = phone.line.texter("+15551239999")
    await asks(phone)
    await asks(other)
    fake_twilio.fail_next(1, code[0], status=code[1])
    await phone.line.work(Lane.OUT)
    assert fake_twilio.sent == []
    assert [d.state for d in await phone.line.deliveries()] == ["queued", "queued"]
    assert await phone.line.count("channel_pause", "until > now()") == 1
    await phone.line.hurry()
    await phone.line.work(Lane.OUT)
    assert fake_twilio.sent == [], "neither of them tries again before the pause is over"
    await phone.line.sql("UPDATE channel_pause SET until = now()")
    await phone.line.hurry()
    await phone.line.work(Lane.OUT)
    assert len(fake_twilio.sent) == 2


# Spending --------------------------------------------------------------------------------------------


async def spent(resident: Resident, segments: int, number: str, ago: timedelta) -> None:
    """Book texts that another number got before."""
    other = resident.line.texter(number)
    await asks(other, "Hello")
    await resident.line.sql(
        "UPDATE delivery SET state = 'delivered', segments = :n, first_tried_at = :at, settled_at = now()"
        " WHERE address_id = (SELECT id FROM address WHERE value = :value)",
        n=segments,
        at=now() - ago,
        value=number,
    )
    await resident.line.sql(
        "DELETE FROM task WHERE conversation_id IN (SELECT c.id FROM conversation c"
        " JOIN address a ON a.id = c.address_id WHERE a.value = :value)",
        value=number,
    )


async def test_a_number_that_got_too_much_in_an_hour_has_to_wait(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await spent(phone, 60, phone.address, timedelta(minutes=30))
    await asks(phone, "And one more")
    await phone.line.work()
    assert fake_twilio.sent == []
    assert (await phone.line.deliveries())[-1].state == "queued"
    assert await phone.line.one("SELECT due > now() + interval '2 minutes' FROM task WHERE lane = 'out'")
    assert await phone.line.tickets() == []
    await phone.line.sql(
        "UPDATE delivery SET first_tried_at = now() - interval '61 minutes' WHERE segments = 60"
    )
    await phone.line.hurry()
    await phone.line.work()
    assert len(fake_twilio.sent) == 1


async def test_a_block_of_numbers_has_to_wait_together(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await spent(phone, 600, "+15551239999", timedelta(minutes=5))
    await asks(phone)
    await asks(phone.line.texter("+15552230001"))  # of another block
    await phone.line.work()
    assert [entry["to"] for entry in fake_twilio.sent] == ["+15552230001"]


async def test_when_the_days_budget_is_gone_nothing_is_paid_for_and_one_alert_is_given(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await spent(phone, 20_000, "+15557770001", timedelta(0))
    for number in ("+15551230001", "+15552230001", "+15553230001"):
        await asks(phone.line.texter(number))
    await phone.line.work()
    assert fake_twilio.sent == []
    states = [(d.state, d.reason) for d in await phone.line.deliveries()][1:]
    assert states == [("cancelled", "not paid for: spend")] * 3
    (ticket,) = await phone.line.tickets()
    assert ticket.kind == "provider_alert"
    await phone.line.sql("UPDATE ticket SET closed_at = now()")
    await asks(phone.line.texter("+15554230001"))
    await phone.line.work()
    assert len(await phone.line.tickets()) == 1, "once a day, also when somebody closed it"


async def test_a_text_to_a_country_that_is_not_allowed_is_refused_with_a_ticket(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    abroad = phone.line.texter("+33612345678")
    await asks(abroad)
    await phone.line.work()
    assert fake_twilio.sent == []
    (ticket,) = await phone.line.tickets()
    assert (ticket.kind, "country" in ticket.reason) == ("undelivered", True)
    assert [t.kind for t in await abroad.touchpoints()][-1] == "delivery"


async def test_nobody_is_written_to_who_never_wrote_to_us(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await asks(phone)
    await phone.line.sql("UPDATE address SET last_inbound_at = NULL")
    await phone.line.work()
    assert fake_twilio.sent == []
    assert (await phone.line.deliveries())[0].reason == "not paid for: unasked"


# Telegram: at most one, and marked --------------------------------------------------------------------


async def test_a_message_that_left_before_a_crash_is_doubled_once_at_most_and_marked(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.hang_next(1, 3, accept=True)
    await asks(chat)
    await killed_after(chat, lambda: fake_telegram.sent)
    await chat.line.work()
    assert len(fake_telegram.sent) == 2
    (delivery,) = await chat.line.deliveries()
    assert (delivery.state, delivery.possible_duplicate) == ("sent", True)
    assert await chat.line.count("task") == 0


async def test_a_telegram_that_swallows_every_message_gets_it_twice_and_no_more(
    chat: Resident, fake_telegram: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 1.6)  # of which a second is for the pace of one chat
    fake_telegram.hang_next(10, 3, accept=True)
    await asks(chat)
    for _ in range(6):
        await chat.line.work()
        await chat.line.hurry()
    assert len(fake_telegram.sent) == 2
    (delivery,) = await chat.line.deliveries()
    assert (delivery.state, delivery.tries) == ("failed", 2)
    (ticket,) = await chat.line.tickets()
    assert "nobody knows" in ticket.reason


async def test_files_get_the_time_that_the_pace_of_one_chat_takes_from_them(
    chat: Resident, fake_telegram: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 1.0)
    await asks(chat)
    await chat.line.work()
    talk, maria = await chat.conversation(), Viewer("system", "Maria")
    files = [Upload(f"{number}.pdf", "application/pdf", b"%PDF-1.4") for number in range(3)]
    async with chat.line.database.begin() as session:
        await reply_within(session, chat.line.writer, talk.id, maria, "The forms.", files)
    await chat.line.work()
    assert [call["method"] for call in fake_telegram.sent].count("senddocument") == 3
    assert {delivery.state for delivery in await chat.line.deliveries()} == {"sent"}


async def test_while_telegram_is_away_an_uncertain_message_is_not_given_up(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.drop_after_accept(1)
    await asks(chat)
    await chat.line.work()
    assert (await chat.line.deliveries())[0].state == "uncertain"
    fake_telegram.fail_next(3, 502, method="getme")
    for _ in range(3):
        await chat.line.hurry()
        await chat.line.work()
    assert (await chat.line.deliveries())[0].state == "uncertain"
    assert len(fake_telegram.sent) == 1
    await chat.line.hurry()
    await chat.line.work()
    assert (await chat.line.deliveries())[0].state == "sent"
    assert len(fake_telegram.sent) == 2


async def test_retry_after_pauses_every_chat_of_the_bot(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    other = chat.line.chatter(4712)
    await asks(chat)
    await asks(other)
    fake_telegram.fail_next(1, 429, "Too Many Requests: retry after 60", retry_after=60)
    await chat.line.work(Lane.OUT)
    assert await chat.line.one("SELECT until > now() + interval '50 seconds' FROM channel_pause")
    await chat.line.hurry()
    await chat.line.work(Lane.OUT)
    assert fake_telegram.sent == []
    assert await chat.line.one("SELECT bool_and(due > now() + interval '50 seconds') FROM task")
    await chat.line.sql("UPDATE channel_pause SET until = now()")
    await chat.line.hurry()
    await chat.line.work(Lane.OUT)
    assert {entry["chat"] for entry in fake_telegram.sent} == {4711, 4712}


async def test_whoever_blocked_the_bot_is_unreachable_until_they_write_again(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.blocked.add(4711)
    await asks(chat)
    await chat.line.work()
    assert not (await chat.place()).reachable
    (ticket,) = await chat.line.tickets()
    assert ticket.kind == "undelivered"
    fake_telegram.blocked.clear()
    await asks(chat, "I am back")
    assert (await chat.place()).reachable
    await chat.line.work()
    assert fake_telegram.texts(4711) == [chat.line.city.say("greet", "en")]


async def test_an_old_failure_does_not_silence_somebody_who_wrote_since(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    fake_telegram.blocked.add(4711)
    await asks(chat)
    task = await chat.line.claim(Lane.OUT)
    assert task is not None
    ready = await chat.line.sending._prepare(task)
    assert ready is not None
    await chat.does(words="I am back")  # after the send began, before its refusal is known
    from channels.base.errors import PermanentFailure

    await chat.line.sending._failed(task, PermanentFailure("blocked", unreachable=True))
    assert (await chat.place()).reachable


async def test_an_unknown_fault_of_our_own_does_not_repeat_for_ever(
    chat: Resident, fake_telegram: telegram.FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(message: Any) -> Any:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(chat.line.channels["telegram"], "send", breaks)
    await asks(chat)
    for _ in range(sending.MAX_CRASHES + 2):
        await chat.line.work()
        await chat.line.hurry()
    (delivery,) = await chat.line.deliveries()
    assert delivery.state == "failed"
    (ticket,) = await chat.line.tickets()
    assert "technical failure" in ticket.reason
    assert await chat.line.count("task") == 0


# Changing hands ----------------------------------------------------------------------------------------


async def test_after_a_takeover_the_bots_queued_words_stay_and_the_agents_leave(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    await asks(chat)
    which = str((await chat.conversation()).id)
    await by_hand.reply(chat.line.writer, chat.line.wakeups, which, Viewer("system", "Maria"), "I am here.")
    await chat.line.work()
    joined = chat.line.city.say("agent_joined", "en", name="Maria")
    assert fake_telegram.texts(4711) == [joined, "I am here."]
    assert [(d.author, d.state) for d in await chat.line.deliveries()] == [
        ("bot", "cancelled"),
        ("system", "sent"),
        ("agent", "sent"),
    ]


async def test_after_a_takeover_the_rest_of_a_split_answer_stays(
    phone: Resident, script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    words = " ".join(f"Sentence number {n} of a long answer." for n in range(40))
    script.on_turn = lambda asked: turn({"say": "report_done", "values": {"reference": words}})
    await asks(phone)
    task = await phone.line.claim(Lane.OUT)
    assert task is not None
    await phone.line.handle(task)  # the first part
    claimed = await phone.line.claim(Lane.OUT)  # the second is about to leave
    which = str((await phone.conversation()).id)
    await by_hand.reply(phone.line.writer, phone.line.wakeups, which, Viewer("system", "Maria"), "I am here.")
    assert claimed is not None
    await phone.line.handle(claimed)
    await phone.line.work()
    assert [t.actor for t in await phone.written()] == ["bot", "system", "agent"]
    assert fake_twilio.texts(phone.address)[1:] == [
        phone.line.city.say("agent_joined", "en", name="Maria"),
        "I am here.",
    ]
    states = [d.state for d in await phone.line.deliveries() if d.author == "bot"]
    assert states == ["sent"] + ["cancelled"] * (len(states) - 1)
    assert len(states) > 2


@pytest.mark.usefixtures("impatient")
async def test_an_uncertain_word_of_the_bot_is_not_tried_again_after_a_takeover(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.fail_next(1, 20500, status=500)
    await asks(phone)
    await phone.line.work()
    which = str((await phone.conversation()).id)
    await by_hand.reply(phone.line.writer, phone.line.wakeups, which, Viewer("system", "Maria"), "I am here.")
    await phone.line.hurry()
    await phone.line.work()
    assert phone.line.city.say("greet", "en") not in fake_twilio.texts(phone.address)
    assert fake_twilio.texts(phone.address)[-1] == "I am here."


async def test_an_agents_words_that_cannot_leave_are_told_to_the_agents(
    chat: Resident, fake_telegram: telegram.FakeTelegram
) -> None:
    await chat.says("Hello")
    which = str((await chat.conversation()).id)
    await by_hand.reply(chat.line.writer, chat.line.wakeups, which, Viewer("system", "Maria"), "I am here.")
    await chat.does(InboundKind.REACHABLE, payload={"reachable": False})
    await chat.line.work(Lane.IN)
    await chat.line.work()
    (ticket,) = await chat.line.tickets()
    assert "unreachable" in ticket.reason
    assert [t.kind for t in await chat.touchpoints()][-1] == "delivery"


async def test_a_provider_that_is_down_for_a_day_is_given_up_with_a_ticket(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    await asks(phone)
    fake_twilio.fail_next(2, 20503, status=503)
    await phone.line.work()
    assert (await phone.line.deliveries())[0].state == "queued"
    await phone.line.sql("UPDATE task SET created_at = now() - interval '25 hours'")
    await phone.line.hurry()
    await phone.line.work()
    assert (await phone.line.deliveries())[0].state == "failed"
    assert len(await phone.line.tickets()) == 1


async def test_a_send_that_is_retried_does_not_keep_anybody_from_being_read(
    phone: Resident, fake_twilio: twilio.FakeTwilio
) -> None:
    fake_twilio.fail_next(50, 20503, status=503)
    for number in range(3):
        await phone.does(words=f"Question {number}")
        await phone.line.work()
    assert [step for _, step in await phone.endings()] == ["said"] * 3
    assert [d.state for d in await phone.line.deliveries()] == ["queued"] * 3
    fake_twilio.faults.clear()
    await phone.line.hurry()
    await phone.line.work()
    assert len(fake_twilio.sent) == 3


async def test_words_wait_for_a_channel_that_was_switched_off(
    lines: Callable[..., Line], script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    off = lines(brain_url=script.url, rasa_url=script.url)
    resident = off.texter()
    await resident.says("Hello")
    assert await off.unsettled() == 0
    assert [d.state for d in await off.deliveries()] == ["queued"]
    on = lines(brain_url=script.url, rasa_url=script.url, channels=[sms_channel(fake_twilio)])
    await on.hurry()
    await on.work()
    assert fake_twilio.texts(resident.address) == [off.city.say("greet", "en")]
    script.on_turn = lambda asked: says("greet")
    assert DeliveryState((await on.deliveries())[0].state) is DeliveryState.SENT


async def test_a_city_sets_its_own_limits(
    lines: Callable[..., Line], script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    strict = sms_channel(fake_twilio, sms_countries="FR, IE", sms_number_hour=1)
    made = lines(brain_url=script.url, rasa_url=script.url, channels=[strict])
    for number in ("+15551230001", "+33612345678", "+33612345678"):
        await asks(made.texter(number))
    await made.work()
    assert [entry["to"] for entry in fake_twilio.sent] == ["+33612345678"]
    states = [(d.state, d.reason) for d in await made.deliveries()]
    assert states[0] == ("cancelled", "not paid for: country")
    assert states[2][0] == "queued"
