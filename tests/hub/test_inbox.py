"""The door: once, in order, whatever a provider or a resident does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy.exc import DBAPIError

from channels.base.contract import DeliveryState, InboundKind, Receipt
from contact_hub.operations.queue import Lane
from tests.hub.line import Line, Resident


async def test_the_same_message_five_times_gives_one_answer(line: Line) -> None:
    resident = await line.visitor()
    stored = [await resident.does(words="Hello", key="same") for _ in range(5)]
    assert [s.new for s in stored] == [True, False, False, False, False]
    assert {(s.touchpoint_id, s.seq) for s in stored} == {(stored[0].touchpoint_id, 1)}
    await line.work()
    await resident.does(words="Hello", key="same")
    assert await line.work() == 0
    assert [t.direction for t in await resident.touchpoints()].count("in") == 1
    assert len(await resident.reads()) == 2  # the honest sentence and the place in the queue


async def test_the_same_message_five_times_at_once_is_one_message_of_one_citizen(line: Line) -> None:
    resident = line.texter()
    stored = await asyncio.gather(*(resident.does(words="Hello", key="same") for _ in range(5)))
    assert sum(s.new for s in stored) == 1
    assert len({s.touchpoint_id for s in stored}) == 1
    assert await line.count("task") == 1
    assert await line.count("touchpoint") == 1
    assert await line.count("citizen") == 1
    assert await line.count("conversation") == 1


async def test_many_first_messages_at_once_are_one_citizen_with_one_open_conversation(
    lines: Callable[..., Line],
) -> None:
    processes = [lines() for _ in range(3)]
    stored = await asyncio.gather(
        *(process.texter().does(words=f"Message {n}") for process in processes for n in range(4))
    )
    (line, *_) = processes
    assert all(s.new for s in stored)
    assert await line.count("citizen") == 1
    assert await line.count("address", "channel = 'sms'") == 1
    assert await line.count("address", "channel = 'desk'") == 1
    assert await line.count("conversation") == 1
    assert await line.count("task", "head") == 1
    assert await line.count("task") == 12


async def test_the_order_of_arrival_is_the_order_of_answering(line: Line) -> None:
    resident = line.texter()
    for number in (3, 1, 2):  # a provider's own numbering says nothing
        await resident.does(words=f"Message {number}", key=f"update-{number}")
    taken = []
    while task := await line.claim(Lane.IN):
        taken.append(task.payload["touchpoint"])
        await line.handle(task)
    arrived = [t for t in await resident.touchpoints() if t.direction == "in"]
    assert taken == [str(t.id) for t in arrived]
    assert [t.text for t in arrived] == ["Message 3", "Message 1", "Message 2"]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("", "empty"),
        ("   \n\t ", "empty"),
        ("\x00\x00", "empty"),
        ("/", "empty"),
        ("///", "empty"),
        ("🎉🎉🎉", "emoji_only"),
        ("👍🏽", "emoji_only"),
        ("?!…", "emoji_only"),
        ("x" * 100_000, "too_long"),
        ("👩‍👩‍👧" * 20_000, "too_long"),
    ],
)
async def test_odd_messages_are_stored_and_answered_with_a_clear_sentence(
    line: Line, words: str, step: str
) -> None:
    resident = await line.visitor()
    (answer,) = await resident.says(words)
    assert await resident.endings() == [("answered", step)]
    expected = {
        "empty": line.city.say("empty_message", "en"),
        "emoji_only": line.city.say("emoji_only", "en"),
        "too_long": line.city.say("too_long", "en", limit=5000),
    }
    assert answer == expected[step]
    kept = (await resident.touchpoints())[0].text or ""
    assert kept == words.replace("\x00", "")


@pytest.mark.parametrize("words", ["²", "①", "٣", "3", "99", "𝟙", "１２", "½", "-1", "0"])
async def test_a_number_in_any_script_blocks_nothing(line: Line, words: str) -> None:
    resident = await line.visitor()
    await resident.says(words)
    assert await line.count("task", "lane = 'in'") == 0
    ((outcome, _),) = await resident.endings()
    assert outcome is not None


async def test_nul_bytes_in_a_message_cost_only_themselves(line: Line) -> None:
    resident = await line.visitor()
    await resident.does(words="My\x00 bin\x00", payload={"label": "a\x00b", "half": "\ud83d"})
    await line.work()
    assert (await resident.touchpoints())[0].text == "My bin"
    assert await line.unsettled() == 0


async def test_what_cannot_be_read_is_kept_raw_and_answered(line: Line) -> None:
    resident = await line.visitor()
    await resident.does(InboundKind.UNSUPPORTED, payload={"raw": {"sticker": {"emoji": "🚲"}}})
    await line.work()
    (asked, answered) = await resident.touchpoints()
    assert asked.kind == "unsupported"
    assert asked.payload["raw"] == {"sticker": {"emoji": "🚲"}}
    assert answered.text == line.city.say("unsupported_message", "en")
    assert await resident.endings() == [("answered", "unsupported")]


async def test_what_names_no_sender_is_kept_and_answered_to_nobody(line: Line) -> None:
    nobody = Resident(line, "telegram", "", "110201543")
    await nobody.does(InboundKind.UNSUPPORTED, payload={"raw": "[1, 2, 3]"})
    await line.work()
    assert await nobody.reads() == []
    assert await nobody.endings() == [("suppressed", "unsupported")]
    assert await line.deliveries() == []


async def test_an_edit_is_a_revision_and_never_answered_again(line: Line) -> None:
    resident = line.chatter()
    await resident.does(InboundKind.EDIT, "My bin, not my pin", payload={"of": "7"})
    await line.work()
    assert await resident.reads() == []
    assert await resident.endings() == [("suppressed", "edit_noted")]


async def test_whoever_writes_is_reachable_and_blocking_is_remembered(line: Line) -> None:
    resident = line.chatter()
    await resident.does(words="Hello")
    await resident.does(InboundKind.REACHABLE, payload={"reachable": False})
    await line.work(Lane.IN)
    assert not (await resident.place()).reachable
    assert (await resident.endings())[1] == ("suppressed", "reachability_noted")
    await resident.does(words="I am back")
    assert (await resident.place()).reachable


# Receipts ------------------------------------------------------------------------------------------


def told(state: DeliveryState, **more: object) -> Receipt:
    given: dict[str, object] = {"provider_id": "SM1", "external_id": f"SM1:{state}", **more}
    return Receipt("sms", "+15550001000", state=state, **given)  # type: ignore[arg-type]


@pytest.fixture
async def sent(line: Line) -> str:
    """One text message that its provider took under the id SM1."""
    resident = line.texter()
    await resident.does(words="Hello")
    await line.work(Lane.IN)
    first, *_ = await line.deliveries()
    await line.sql("UPDATE delivery SET state = 'sent', provider_id = 'SM1' WHERE id = :id", id=first.id)
    await line.sql("DELETE FROM delivery WHERE id <> :id", id=first.id)
    await line.sql("DELETE FROM task")
    return str(first.id)


async def state(line: Line) -> str:
    return (await line.deliveries())[0].state


@pytest.mark.usefixtures("sent")
async def test_receipts_move_forward_only(line: Line) -> None:
    for news, expected in (
        (DeliveryState.SENT, "sent"),
        (DeliveryState.DELIVERED, "delivered"),
        (DeliveryState.SENT, "delivered"),
        (DeliveryState.FAILED, "delivered"),
        (DeliveryState.READ, "read"),
        (DeliveryState.DELIVERED, "read"),
    ):
        await line.inbox.accept_receipt(told(news, external_id=f"SM1:{news}:{expected}"))
        assert await state(line) == expected
    assert await line.tickets() == []


@pytest.mark.usefixtures("sent")
async def test_the_same_receipt_again_is_no_news(line: Line) -> None:
    news = await asyncio.gather(*(line.inbox.accept_receipt(told(DeliveryState.DELIVERED)) for _ in range(5)))
    assert sorted(news) == [False, False, False, False, True]
    assert await line.unsettled() == 0, "a receipt settles itself"


async def test_a_receipt_for_nothing_we_sent_changes_nothing(line: Line) -> None:
    for wrong in (
        told(DeliveryState.DELIVERED),
        told(DeliveryState.FAILED, delivery="not-an-id", external_id="a"),
        told(DeliveryState.FAILED, delivery="0190e7c0-0000-7000-8000-00000000000a", external_id="b"),
        told(DeliveryState.FAILED, provider_id=None, external_id="c"),
    ):
        assert await line.inbox.accept_receipt(wrong)
    assert await line.tickets() == []
    assert await line.unsettled() == 0


async def test_a_receipt_that_overtakes_our_own_record_settles_the_send(line: Line) -> None:
    resident = line.texter()
    await resident.does(words="Hello")
    await line.work(Lane.IN)
    first, *_ = await line.deliveries()
    await line.sql(
        "UPDATE delivery SET state = 'sending', first_tried_at = now() WHERE id = :id", id=first.id
    )
    await line.inbox.accept_receipt(told(DeliveryState.SENT, delivery=str(first.id)))
    settled, *_ = await line.deliveries()
    assert (settled.state, settled.provider_id) == ("sent", "SM1")


@pytest.mark.usefixtures("sent")
async def test_a_failed_receipt_is_on_the_timeline_and_asks_a_person(line: Line) -> None:
    failed = told(DeliveryState.FAILED, code="30005", reason="The number is unknown.", unreachable=True)
    await line.inbox.accept_receipt(failed)
    assert await state(line) == "failed"
    (ticket,) = await line.tickets()
    assert ticket.kind == "undelivered"
    assert "The number is unknown." in ticket.reason
    note = (await line.texter().touchpoints())[-1]
    assert (note.kind, note.direction, note.payload["code"]) == ("delivery", "inner", "30005")
    assert not (await line.texter().place()).reachable


@pytest.mark.usefixtures("sent")
async def test_an_opt_out_told_by_receipt_is_kept(line: Line) -> None:
    await line.inbox.accept_receipt(told(DeliveryState.FAILED, code="21610", reason="Out.", opted_out=True))
    assert await line.count("suppression", "value = '+15551230001' AND source = 'provider'") == 1
    assert await line.tickets() == []


async def test_a_failure_of_the_network_is_tried_again_twice_and_no_more(line: Line, sent: str) -> None:
    temporary = {"code": "30003", "reason": "The phone cannot be reached.", "retry": True}
    for number in (1, 2, 3):
        delivery = (await line.deliveries())[-1]
        await line.sql(
            "UPDATE delivery SET state = 'sent', provider_id = :sid, tries = :tries WHERE id = :id",
            sid=f"SM{number}",
            tries=number,
            id=delivery.id,
        )
        await line.sql("DELETE FROM task")
        await line.inbox.accept_receipt(
            told(
                DeliveryState.FAILED,
                provider_id=f"SM{number}",
                external_id=f"SM{number}:undelivered",
                **temporary,
            )
        )
        # Late news of the former try cannot settle the new one.
        await line.inbox.accept_receipt(
            told(DeliveryState.SENT, provider_id=f"SM{number}", external_id=f"SM{number}:sent")
        )
    tries = await line.deliveries()
    assert [d.state for d in tries] == ["failed"] * 3
    assert len({d.text for d in tries}) == 1
    (ticket,) = await line.tickets()
    assert ticket.kind == "undelivered"
    assert await line.count("task", "lane = 'out'") == 0
    assert str(tries[0].id) == sent


@pytest.mark.usefixtures("sent")
async def test_a_later_try_waits_and_keeps_what_the_message_was(line: Line) -> None:
    await line.inbox.accept_receipt(told(DeliveryState.FAILED, code="30003", reason="Not now.", retry=True))
    first, second = await line.deliveries()
    assert (second.state, second.text, second.touchpoint_id) == ("queued", first.text, first.touchpoint_id)
    assert (second.epoch, second.author, second.part, second.parts) == (
        first.epoch,
        first.author,
        first.part,
        first.parts,
    )
    assert await line.one("SELECT due > now() + interval '20 seconds' FROM task WHERE lane = 'out'")
    assert await line.tickets() == []


async def test_an_error_of_the_database_shows_no_residents_words(line: Line) -> None:
    with pytest.raises(DBAPIError) as raised:
        await line.sql("SELECT CAST(:words AS uuid) FROM no_such_table", words="my secret")
    assert "my secret" not in str(raised.value)
