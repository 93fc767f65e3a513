"""Who is who: addresses proved, linked by a code or a contact, merged and parted without loss."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from channels.base.contract import InboundKind
from contact_hub.citizens import identity
from contact_hub.citizens.models import Proof
from contact_hub.citizens.sealed import seal
from contact_hub.database import now
from contact_hub.identity import codes, merging, suggestions
from contact_hub.identity.merging import CannotMerge
from contact_hub.identity.models import Likeness, Merge
from contact_hub.operations import timers
from contact_hub.operations.queue import Lane
from contact_hub.privacy import erasure, holds
from contact_hub.privacy.holds import Held
from contact_hub.privacy.schedule import schedule_of
from contact_hub.staff import service as staff
from contact_hub.staff.access import Viewer
from contact_hub.staff.service import Scope
from contact_hub.timeline import reading
from tests.contract import recorded
from tests.hub.line import Line, Resident, Script, says, turn
from tests.hub.looked_after import look_after

MARIA = Viewer("system", "Maria")
SEEN = "seen the passport"
JOIN = "Please join my chats"


@pytest.fixture
async def hub(lines: Callable[..., Line], script: Script) -> Line:
    """Every channel, its texts going nowhere, and a Rasa that understands who wants to join chats."""
    script.on_turn = lambda asked: (
        turn({"request": "link_channel", "values": {}}, intent="link_channel")
        if asked["text"] == JOIN
        else says("help")
    )
    sms = recorded.build("sms", twilio_from="+15550001000")
    telegram = recorded.build("telegram")
    return lines(brain_url=script.url, rasa_url=script.url, channels=[sms, telegram])


async def tell(resident: Resident, words: str) -> list[str]:
    """Write, and give what the city answered here; nothing leaves for a provider."""
    return await do(resident, words=words)


async def do(resident: Resident, kind: InboundKind = InboundKind.TEXT, **more: Any) -> list[str]:
    before = len(await resident.reads())
    await resident.does(kind, **more)
    await resident.line.work(Lane.IN)
    return (await resident.reads())[before:]


async def code_for(resident: Resident) -> str:
    """Ask for a code and read it off the answer."""
    (answer,) = await tell(resident, JOIN)
    found = re.search(codes.SHOWN, answer)
    assert found is not None, answer
    return found[0]


async def link(one: Resident, other: Resident) -> list[str]:
    return await tell(other, await code_for(one))


async def whose(resident: Resident) -> uuid.UUID:
    return (await resident.place()).citizen_id


async def history(line: Line, citizen: uuid.UUID) -> list[str]:
    """What an agent reads of a citizen, oldest first: the residents' own words."""
    async with line.database.begin() as session:
        page = await reading.page(session, citizen, limit=200)
        return [e.text or e.kind for e in reversed(page.events) if e.direction == "in"]


async def merge(line: Line, survivor: uuid.UUID, other: uuid.UUID) -> Merge:
    async with line.database.begin() as session:
        return await merging.merge(session, survivor, other, by=MARIA, reason=SEEN)


async def undo(line: Line, entry: Merge) -> None:
    async with line.database.begin() as session:
        await merging.undo(session, entry.id, by=MARIA, reason="two people after all")


async def likenesses(line: Line) -> list[str]:
    async with line.database.begin() as session:
        return sorted(s.likeness for s in await suggestions.open_ones(session))


def say(line: Line, key: str, **values: Any) -> str:
    return line.city.say(key, "en", **values)


# A code from the other channel -------------------------------------------------------------------


async def test_who_wrote_by_sms_and_then_on_the_web_is_one_person_with_one_timeline(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await tell(phone, "The street light in Mill Lane is dark")
    await tell(chat, "When is the library open?")
    assert await whose(phone) != await whose(chat)

    (answer,) = await link(chat, phone)
    assert answer == say(hub, "link_done", channel="web chat")
    assert await whose(phone) == await whose(chat)
    lines = await history(hub, await whose(phone))
    assert lines[:3] == ["The street light in Mill Lane is dark", "When is the library open?", JOIN]
    # Whoever asked for the code hears of it as well, and sees nothing of what was said elsewhere.
    feed = [m.text for m in await hub.store.feed(chat.address, 0)]
    assert feed[-1] == say(hub, "link_done", channel="text messages")
    assert not any("Mill Lane" in words for words in feed)
    proofs = {((await r.place()).channel, (await r.place()).proof) for r in (phone, chat)}
    assert proofs == {("sms", "code"), ("web_chat", "code")}
    assert await hub.count("touchpoint", "kind = 'merge' AND payload ->> 'done' = 'merged'") == 1
    assert await hub.count("audit", "action = 'merge merged'") == 1


async def test_it_works_the_other_way_round_and_however_the_code_is_written(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    code = await code_for(phone)
    assert await tell(chat, f" {code.lower().replace('-', ' ')}. ") == [
        say(hub, "link_done", channel="text messages")
    ]
    assert await whose(phone) == await whose(chat)


async def test_a_code_reaches_the_right_conversation_also_while_a_person_holds_it(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await tell(phone, "hello")
    code = await code_for(chat)
    await hub.sql("UPDATE conversation SET state = 'agent', holder = 'Maria' WHERE state = 'bot'")
    assert await tell(phone, code) == [say(hub, "link_done", channel="web chat")]
    assert await whose(phone) == await whose(chat)


async def test_a_code_works_once_and_nobody_is_told_why_another_does_not(hub: Line) -> None:
    phone, chat, thief = hub.texter(), await hub.visitor(), hub.texter("+15551230666")
    code = await code_for(chat)
    await tell(phone, code)
    wrong = say(hub, "link_wrong")
    assert await tell(thief, code) == [wrong]
    late = await code_for(chat)
    await hub.sql("UPDATE link_code SET expires_at = now() - interval '1 second'")
    assert await tell(thief, late) == [wrong]
    earlier, _newer = await code_for(chat), await code_for(chat)
    assert await tell(thief, earlier) == [wrong], "a new code ends the one before"
    assert await whose(thief) != await whose(phone)


async def test_a_code_used_twice_at_once_links_one(hub: Line) -> None:
    chat = await hub.visitor()
    code = codes.read(await code_for(chat)) or ""
    phones = [hub.texter(f"+1555124{n:04}") for n in range(6)]
    for phone in phones:
        await phone.does(words="hello")
    places = [(await phone.place()).id for phone in phones]

    async def spend(address: uuid.UUID) -> codes.Spent:
        async with hub.database.begin() as session:
            return (await codes.spend(session, address, code))[0]

    spent = await asyncio.gather(*(spend(address) for address in places))
    assert sorted(spent) == sorted([codes.Spent.TAKEN, *[codes.Spent.WRONG] * 5])


async def test_five_wrong_codes_and_not_even_the_right_one_is_listened_to(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    code = await code_for(chat)
    for guess in ("2A2A2A2A", "3B3B3B3B", "4C4C4C4C", "5D5D5D5D", "6E6E6E6E"):
        assert await tell(phone, guess) == [say(hub, "link_wrong")]
    assert await tell(phone, code) == [say(hub, "link_locked")]
    assert await whose(phone) != await whose(chat)
    await hub.sql("UPDATE link_tries SET since = since - interval '61 minutes'")
    assert await tell(phone, code) == [say(hub, "link_done", channel="web chat")]


async def test_a_code_sent_where_it_was_given_is_kept_for_the_other_chat(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    code = await code_for(chat)
    assert await tell(chat, code) == [say(hub, "link_here")]
    assert await tell(phone, code) == [say(hub, "link_done", channel="web chat")]
    assert await link(chat, phone) == [say(hub, "link_already")]


async def test_codes_are_given_five_times_an_hour(hub: Line) -> None:
    chat = await hub.visitor()
    for _ in range(5):
        await code_for(chat)
    assert await tell(chat, JOIN) == [say(hub, "link_too_many")]
    await hub.sql("UPDATE link_code SET made_at = made_at - interval '61 minutes'")
    await code_for(chat)


async def test_a_code_is_kept_as_a_keyed_hash_and_leaves_the_history_when_it_is_spent(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    code = await code_for(phone)
    plain = code.replace("-", "").encode()
    (stored,) = [row[0] for row in await hub.sql("SELECT code_hash FROM link_code")]
    assert plain not in stored and len(stored) == 32
    await timers.once(hub.database)
    assert await hub.count("delivery", "text LIKE :code", code=f"%{code}%") == 1, "it is still to be read"
    await tell(chat, code)
    await timers.once(hub.database)
    assert await hub.count("delivery", "text LIKE :code", code=f"%{code}%") == 0
    assert await hub.count("touchpoint", "text LIKE :code AND direction = 'out'", code=f"%{code}%") == 0
    assert await hub.count("touchpoint", "text LIKE :mask", mask=f"%{codes.MASK}%") == 1


@pytest.mark.parametrize("words", ["THURSDAY", "pavement", "23456789", "R26-00042-9", "KT55 XYZ", "yes", ""])
def test_words_and_numbers_are_no_codes(words: str) -> None:
    assert codes.read(words) is None


def test_no_two_codes_are_alike_and_none_can_be_misread() -> None:
    made = {codes._made() for _ in range(2000)}
    assert len(made) == 2000
    assert not set("".join(made)) & set("01ILO")
    assert all(codes.read(codes.shown(code)) == code for code in made)


# Shared devices -----------------------------------------------------------------------------------


async def test_a_shared_computer_is_joined_with_nobody(hub: Line) -> None:
    kiosk, phone = await hub.visitor(shared=True), hub.texter()
    assert await tell(kiosk, JOIN) == [say(hub, "link_shared")]
    code = await code_for(phone)
    assert await tell(kiosk, code) == [say(hub, "link_shared")]
    assert await whose(kiosk) != await whose(phone)
    group = hub.chatter(-100200300)
    assert await tell(group, JOIN) == [say(hub, "link_shared")]


async def test_two_people_at_one_browser_do_not_become_one_through_it(hub: Line) -> None:
    anna, browser, bela = hub.texter("+15551230001"), await hub.visitor(), hub.texter("+15551230002")
    await link(browser, anna)
    await tell(anna, "I have lost my job")
    assert await link(browser, bela) == [say(hub, "link_check")]
    assert await whose(browser) == await whose(anna)
    assert await whose(bela) != await whose(anna)
    assert await likenesses(hub) == [Likeness.SHARED_DEVICE]


async def test_a_phone_and_an_account_are_linked_without_a_browser_in_between(hub: Line) -> None:
    browser, phone, account = await hub.visitor(), hub.texter(), hub.chatter()
    await link(browser, phone)
    await link(account, phone)
    assert await whose(account) == await whose(phone) == await whose(browser)


# Telegram's own button ----------------------------------------------------------------------------


def contact(number: str, *, own: bool = True) -> dict[str, Any]:
    return {"kind": InboundKind.CONTACT, "payload": {"phone": number, "own": own, "name": "Anna Weber"}}


async def test_telegram_is_asked_for_the_number_and_a_shared_one_links_the_texts(hub: Line) -> None:
    phone, account = hub.texter(), hub.chatter()
    await tell(phone, "hello")
    await code_for(account)
    asked = (await account.written())[-1]
    assert asked.payload["ask_contact"] == say(hub, "button_contact")
    assert await do(account, **contact(phone.address)) == [say(hub, "link_done", channel="text messages")]
    assert await whose(phone) == await whose(account)
    assert (await phone.place()).proof == Proof.CONTACT
    assert await phone.reads() == [say(hub, "help")], "no text that nobody asked for"


async def test_a_number_that_never_wrote_is_the_residents_before_its_first_text(hub: Line) -> None:
    phone, account = hub.texter(), hub.chatter()
    await do(account, **contact(phone.address))
    await tell(phone, "hello")
    assert await whose(phone) == await whose(account)


async def test_somebody_elses_contact_proves_nothing_and_only_suggests(hub: Line) -> None:
    phone, account = hub.texter(), hub.chatter()
    await tell(phone, "hello")
    assert await do(account, **contact(phone.address, own=False)) == [say(hub, "contact_not_own")]
    assert await whose(phone) != await whose(account)
    assert await likenesses(hub) == [Likeness.SAME_NUMBER]


async def test_in_a_group_nobody_shares_a_number(hub: Line) -> None:
    phone, group = hub.texter(), hub.chatter(-100200300)
    await tell(phone, "hello")
    assert await do(group, **contact(phone.address)) == [say(hub, "link_shared")]
    assert await whose(phone) != await whose(group)


# Not me ------------------------------------------------------------------------------------------


async def test_whoever_did_not_mean_it_parts_the_chats_again_from_either_side(hub: Line) -> None:
    for presser in ("phone", "chat"):
        phone, chat = hub.texter(), await hub.visitor()
        before = await whose(phone) if await phone.touchpoints() else None
        await link(chat, phone)
        resident = phone if presser == "phone" else chat
        (button,) = await resident.buttons()
        assert button["title"] == say(hub, "button_not_me")
        assert await do(resident, InboundKind.BUTTON, payload={"button": button["id"]}) == [
            say(hub, "link_undone")
        ]
        assert await whose(phone) != await whose(chat)
        assert before in (None, await whose(phone))


# Numbers that change hands -------------------------------------------------------------------------


async def quiet_for(line: Line, days: int) -> None:
    await line.sql(
        "UPDATE address SET last_inbound_at = last_inbound_at - make_interval(days => :days),"
        " created_at = created_at - make_interval(days => :days),"
        " verified_at = verified_at - make_interval(days => :days)",
        days=days,
    )


async def test_a_number_silent_for_ninety_days_is_a_strangers_until_proved_again(
    hub: Line, script: Script
) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await tell(phone, "I am Anna, my benefits were stopped")
    await link(chat, phone)
    anna = await whose(phone)
    await quiet_for(hub, 91)

    await tell(phone, "hi")
    stranger = await whose(phone)
    assert stranger != anna
    assert await history(hub, stranger) == ["hi"]
    assert "hi" not in await history(hub, anna)
    facts = script.turns[-1]
    assert facts["history"] == [] and facts["facts"]["reports"] == []
    assert await likenesses(hub) == [Likeness.RETURNED_NUMBER]
    (old,) = await hub.sql("SELECT citizen_id, reachable FROM address WHERE retired_at IS NOT NULL")
    assert old == (anna, False), "the old history keeps its owner, and nothing more is sent there"

    # It is Anna after all: she proves it from the browser, and both numbers' histories are hers.
    await link(chat, phone)
    assert await whose(phone) == anna
    assert {"hi", "I am Anna, my benefits were stopped"} <= set(await history(hub, anna))
    assert await likenesses(hub) == []


async def test_a_number_that_was_heard_lately_stays_whose_it_is(hub: Line) -> None:
    phone = hub.texter()
    await tell(phone, "hello")
    owner = await whose(phone)
    await quiet_for(hub, 89)
    await tell(phone, "hello again")
    assert await whose(phone) == owner


async def test_a_number_that_the_provider_could_not_reach_has_to_be_proved_again(hub: Line) -> None:
    phone = hub.texter()
    await tell(phone, "hello")
    owner = await whose(phone)
    await hub.sql("UPDATE address SET reachable = false, unreachable_reason = 'unknown number'")
    both = await asyncio.gather(phone.does(words="one"), phone.does(words="two"))
    assert len({stored.conversation_id for stored in both}) == 1, "two at once begin one new talk"
    assert await whose(phone) != owner
    assert await hub.count("address", "retired_at IS NOT NULL") == 1


async def test_a_shared_contact_does_not_bring_the_history_of_the_numbers_last_owner(hub: Line) -> None:
    phone, account = hub.texter(), hub.chatter()
    await tell(phone, "the last owner's worries")
    await quiet_for(hub, 91)
    await do(account, **contact(phone.address))
    await tell(phone, "hello")
    assert await whose(phone) == await whose(account)
    assert "the last owner's worries" not in await history(hub, await whose(phone))


async def test_a_telegram_account_and_a_browser_are_nobody_elses_after_any_silence(hub: Line) -> None:
    account, chat = hub.chatter(), await hub.visitor()
    for resident in (account, chat):
        await tell(resident, "hello")
        owner = await whose(resident)
        await quiet_for(hub, 400)
        await tell(resident, "hello again")
        assert await whose(resident) == owner


# Merging and undoing -------------------------------------------------------------------------------


async def test_merge_twenty_messages_undo_and_nothing_is_lost_or_on_the_wrong_side(hub: Line) -> None:
    anna, bela = hub.texter("+15551230001"), hub.chatter()
    await tell(anna, "anna before")
    await tell(bela, "bela before")
    one, two = await whose(anna), await whose(bela)
    entry = await merge(hub, one, two)
    assert await whose(bela) == one
    for number in range(10):
        await tell(anna, f"anna {number}")
        await tell(bela, f"bela {number}")
    assert len(await history(hub, one)) == 22
    await look_after(bela, "bela")
    kept = (
        "SELECT a.citizen_id FROM address a JOIN {} x ON x.address_id = a.id"  # whose a flag or a rating is
    )
    tables = ("flag", "reading", "rating", "wait")
    assert [[row.citizen_id for row in await hub.sql(kept.format(t))] for t in tables] == [[one]] * 4
    await undo(hub, entry)
    assert [[row.citizen_id for row in await hub.sql(kept.format(t))] for t in tables] == [[two]] * 4
    assert (await whose(anna), await whose(bela)) == (one, two)
    assert await history(hub, one) == ["anna before", *(f"anna {n}" for n in range(10))]
    assert await history(hub, two) == ["bela before", *(f"bela {n}" for n in range(10))]
    # What says so in the survivor's history names nobody.
    async with hub.database.begin() as session:
        page = await reading.page(session, one, limit=200)
        told = [e.payload for e in page.events if e.kind == "merge"]
    assert [p["done"] for p in told] == ["undone", "merged"]
    assert all(set(p) == {"merge", "done", "method"} for p in told)


async def test_an_early_merge_is_undone_after_many_later_ones(hub: Line) -> None:
    people = [hub.texter(f"+1555125{n:04}") for n in range(5)]
    for number, person in enumerate(people):
        await person.does(words=f"I am {number}")
    a, b, c, d, e = [await whose(person) for person in people]
    first = await merge(hub, b, a)  # a into b
    await merge(hub, c, b)
    await merge(hub, d, c)
    last = await merge(hub, e, d)
    assert {await whose(person) for person in people} == {e}
    await undo(hub, first)
    assert [await whose(person) for person in people] == [a, e, e, e, e]
    await undo(hub, last)
    assert [await whose(person) for person in people] == [a, d, d, d, e]
    again = await merge(hub, a, d)
    assert [await whose(person) for person in people] == [a, a, a, a, e]
    await undo(hub, first)  # undone already: it stays so
    await undo(hub, again)
    assert [await whose(person) for person in people] == [a, d, d, d, e]


async def test_two_merges_at_once_make_one(hub: Line) -> None:
    anna, bela = hub.texter("+15551230001"), hub.chatter()
    for resident in (anna, bela):
        await resident.does(words="hello")
    one, two = await whose(anna), await whose(bela)
    made = await asyncio.gather(merge(hub, one, two), merge(hub, two, one), return_exceptions=True)
    assert sorted(type(m).__name__ for m in made) == ["CannotMerge", "Merge"]
    assert await whose(anna) == await whose(bela)
    assert await hub.count("merge") == 1


async def test_an_agent_sees_first_what_a_merge_would_do_and_says_why(hub: Line) -> None:
    anna, bela = hub.texter("+15551230001"), hub.texter("+15551230002")
    for resident in (anna, bela):
        await tell(resident, "hello")
    one, two = await whose(anna), await whose(bela)
    async with hub.database.begin() as session:
        found = await merging.preview(session, one, two)
        assert [a.value for a in found.moves] == [bela.address]
        assert found.warnings == ["Both write by sms, from different addresses."]
        assert (found.survivor.citizen, found.absorbed.touchpoints["text"]) == (one, 2)
        with pytest.raises(CannotMerge, match="why"):
            await merging.merge(session, one, two, by=MARIA, reason=" ")
        with pytest.raises(CannotMerge, match="no such"):
            await merging.preview(session, one, uuid.uuid4())
    await merge(hub, one, two)
    async with hub.database.begin() as session:
        with pytest.raises(CannotMerge, match="already"):
            await merging.preview(session, one, two)
        assert await identity.current(session, two) == one
        assert await identity.within(session, one) == {one, two}


async def test_a_sealed_record_stays_sealed_wherever_its_addresses_go(hub: Line) -> None:
    anna, bela = hub.texter("+15551230001"), hub.chatter()
    for resident in (anna, bela):
        await resident.does(words="hello")
    one, two = await whose(anna), await whose(bela)
    await hub.sql(
        "INSERT INTO sealed_record (id, citizen_id, sealed_at, sealed_by, reason)"
        " VALUES (:id, :citizen, now(), 'records', 'a councillor')",
        id=uuid.uuid4(),
        citizen=two,
    )
    entry = await merge(hub, one, two)
    assert await sealed(hub) == {one, two}
    await undo(hub, entry)
    assert await sealed(hub) == {two}


async def test_what_was_put_on_a_merged_citizen_keeps_both_once_they_are_parted(hub: Line) -> None:
    people = [hub.texter("+15551230001"), hub.chatter(), hub.texter("+15551230003")]
    for resident in people:
        await resident.does(words="hello")
    a, b, c = [await whose(resident) for resident in people]
    async with hub.database.begin() as session:
        await holds.add(session, MARIA, a, "before they were one", None)
    first = await merge(hub, a, b)
    async with hub.database.begin() as session:
        await holds.add(session, MARIA, a, "a claim of theirs", None)
        await seal(session, a, [], "under threat")
    second = await merge(hub, c, a)
    async with hub.database.begin() as session:
        await holds.add(session, MARIA, c, "another claim", now() + timedelta(days=30))
        await holds.add(session, MARIA, c, "over already", now())
    await undo(hub, first)
    assert await sealed(hub) == {a, b, c}
    assert await held(hub, b) == ["a claim of theirs", "another claim"]
    async with hub.database.begin() as session:
        with pytest.raises(Held):
            await erasure.preview(session, b, schedule_of(hub.city))
    await undo(hub, second)
    assert await held(hub, a) == ["a claim of theirs", "another claim", "before they were one"]
    async with hub.database.begin() as session:
        assert await holds.lift(session, MARIA, b) == 2, "each is lifted by itself"
    assert len(await held(hub, a)) == 3


async def held(line: Line, citizen: uuid.UUID) -> list[str]:
    async with line.database.begin() as session:
        return sorted(hold.reason for hold in await holds.of_citizen(session, citizen))


async def sealed(line: Line) -> set[uuid.UUID]:
    return {row[0] for row in await line.sql("SELECT citizen_id FROM sealed_record")}


async def test_an_address_is_unlinked_by_undoing_what_brought_it(hub: Line) -> None:
    phone, chat = hub.texter(), await hub.visitor()
    await link(chat, phone)
    for resident in (phone, chat):
        place = await resident.place()
        if place.born_to is not None:
            async with hub.database.begin() as session:
                await merging.unlink(session, place.id, by=MARIA, reason="the resident asked for it")
    assert await whose(phone) != await whose(chat)
    async with hub.database.begin() as session:
        with pytest.raises(CannotMerge, match="No merge"):
            await merging.unlink(session, (await phone.place()).id, by=MARIA, reason="once more")


# Likeness ------------------------------------------------------------------------------------------


async def test_a_number_typed_in_a_chat_only_suggests(hub: Line) -> None:
    phone, chat = hub.texter("+353871234567"), await hub.visitor()
    await tell(phone, "hello")
    await tell(chat, "you can reach me at 087 123 4567")
    assert await whose(phone) != await whose(chat)
    assert await likenesses(hub) == [Likeness.SAME_NUMBER]
    await tell(chat, "that was 087 123 4567")
    async with hub.database.begin() as session:
        (one,) = await suggestions.open_ones(session)
        assert await suggestions.dismiss(session, one.id, MARIA)
        assert not await suggestions.dismiss(session, one.id, MARIA)
    await tell(chat, "087 123 4567!")
    assert await likenesses(hub) == [], "what was looked into is not suggested again"


async def test_namesakes_are_suggested_unless_everybody_is_called_so(hub: Line) -> None:
    named: dict[str, Any] = {"payload": {"profile_name": "Anna Weber"}}
    await do(hub.chatter(1), words="hello", **named)
    await do(hub.chatter(2), words="hello", payload={"profile_name": "anna weber"})
    await do(hub.chatter(3), words="hello", payload={"profile_name": "Anna"})
    assert await likenesses(hub) == [Likeness.SAME_NAME]
    assert await hub.count("merge") == 0


# By the API ----------------------------------------------------------------------------------------


async def test_other_systems_look_merge_and_undo_with_a_scope_for_it(
    line: Line, web: httpx.AsyncClient
) -> None:
    anna, bela = line.texter("+15551230001"), line.chatter()
    for resident in (anna, bela):
        await resident.does(words="hello")
    one, two = str(await whose(anna)), str(await whose(bela))
    head = await token(line, Scope.CITIZENS_LINK)
    url = f"/api/v1/citizens/{one}/merges"
    seen = (await web.get(f"{url}/preview", params={"other": two}, headers=head)).json()
    assert [a["value"] for a in seen["moves"]] == [bela.address]
    assert (await web.post(url, json={"other": two, "reason": "no"}, headers=head)).status_code == 422
    made = await web.post(url, json={"other": two, "reason": SEEN}, headers=head)
    assert made.status_code == 201, made.text
    assert (await web.post(url, json={"other": two, "reason": SEEN}, headers=head)).status_code == 409
    assert str(await whose(bela)) == one
    undone = await web.post(
        f"/api/v1/merges/{made.json()['merge']}/undo", json={"reason": "two people"}, headers=head
    )
    assert undone.json()["undone_by"] is not None
    assert str(await whose(bela)) == two
    (entry,) = (await web.get(url, headers=head)).json()
    assert entry["undo_reason"] == "two people"
    unknown = await web.post(f"/api/v1/merges/{uuid.uuid4()}/undo", json={"reason": "whatever"}, headers=head)
    assert unknown.status_code == 404
    reader = await token(line, Scope.TIMELINE_READ)
    assert (await web.get(url, headers=reader)).status_code == 404


async def token(line: Line, *scopes: Scope) -> dict[str, str]:
    async with line.database.begin() as session:
        made = await staff.create_token(session, "test", scopes)
    return {"Authorization": f"Bearer {made}"}
