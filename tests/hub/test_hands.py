"""What people at the desk do with a conversation, and what its resident and their colleagues notice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from channels.base.contract import Upload
from contact_hub.audit.models import Entry
from contact_hub.citizens import sealed
from contact_hub.database import new_id, now
from contact_hub.handoff.models import HeldReply, Mention, Presence
from contact_hub.journey import by_hand
from contact_hub.journey.hands.colleagues import viewer_of
from contact_hub.operations.queue import Lane, LeaseLost
from contact_hub.privacy import erasure
from contact_hub.privacy.schedule import schedule_of
from contact_hub.staff import service as staff
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.staff.models import Role
from tests.contract import recorded
from tests.fakes import telegram, twilio
from tests.hub.line import Line, Resident, Script, says, turn

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


@pytest.fixture
async def everywhere(
    lines: Callable[..., Line],
    script: Script,
    fake_telegram: telegram.FakeTelegram,
    fake_twilio: twilio.FakeTwilio,
) -> Line:
    """A line with every channel, its brain and Rasa scripted."""
    sms = {"twilio_api_url": fake_twilio.url, "public_url": "http://127.0.0.1:9"}
    sms |= {"twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.AUTH_TOKEN}
    channels = [
        recorded.build("telegram", telegram_api_url=fake_telegram.url, telegram_bot_token=telegram.TOKEN),
        recorded.build("sms", twilio_from=twilio.NUMBER, **sms),
    ]
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    return lines(brain_url=script.url, rasa_url=script.url, channels=channels)


async def person(
    line: Line, name: str, *departments: str, role: Role = Role.AGENT, languages: Sequence[str] = ()
) -> Viewer:
    """Somebody at the desk."""
    async with line.database.begin() as session:
        made = await staff.make(
            session, name, role, list(departments) or ["contact_centre"], password_hash=None
        )
        made.languages = list(languages)
    return viewer_of(made, line.city)


@pytest.fixture
async def maria(everywhere: Line) -> Viewer:
    return await person(everywhere, "Maria")


@pytest.fixture
async def ahmed(everywhere: Line) -> Viewer:
    return await person(everywhere, "Ahmed")


@pytest.fixture
async def ruth(everywhere: Line) -> Viewer:
    """A supervisor of two departments."""
    return await person(everywhere, "Ruth", "contact_centre", "parks", role=Role.SUPERVISOR)


@pytest.fixture
async def waiting(everywhere: Line) -> Resident:
    """Somebody in the web chat who asked for a person."""
    resident = await everywhere.visitor()
    await resident.says("I want to talk to a person")
    return resident


@pytest.fixture
async def texting(everywhere: Line) -> Resident:
    resident = everywhere.chatter()
    await resident.says("I want to talk to a person")
    return resident


class Hand:
    """A person at work on one resident's conversation."""

    def __init__(self, viewer: Viewer, resident: Resident) -> None:
        self.viewer, self.resident, self.line = viewer, resident, resident.line

    async def does(self, act: Callable[..., object], *given: object, **named: object) -> tuple[str, ...]:
        which = (await self.resident.conversation()).id
        async with self.line.database.begin() as session:
            return await act(session, self.line.writer, which, self.viewer, *given, **named)  # type: ignore[misc,no-any-return]

    async def claims(self) -> tuple[str, ...]:
        return await self.does(by_hand.claim_within)

    async def says(self, words: str, **more: object) -> tuple[str, ...]:
        return await self.does(by_hand.reply_within, words, **more)

    async def undoes(self, held: HeldReply) -> by_hand.TakenBack:
        async with self.line.database.begin() as session:
            return await by_hand.undo_within(session, held.id, self.viewer)


async def held(line: Line) -> list[HeldReply]:
    async with line.database.begin() as session:
        return list(await session.scalars(select(HeldReply).order_by(HeldReply.written_at)))


async def audited(line: Line, viewer: Viewer) -> list[str]:
    async with line.database.begin() as session:
        found = await session.scalars(
            select(Entry.action).where(Entry.viewer_name == viewer.name).order_by(Entry.number)
        )
        return [action.removeprefix("conversation.") for action in found]


async def agents_words(resident: Resident) -> list[str]:
    return [t.text or "" for t in await resident.written() if t.actor == "agent"]


# Taking ------------------------------------------------------------------------------------------


async def test_a_claim_introduces_the_agent_once(waiting: Resident, maria: Viewer) -> None:
    hand = Hand(maria, waiting)
    since = (await waiting.conversation()).waiting_since
    assert await hand.claims() != ()
    talk = await waiting.conversation()
    assert (talk.state, talk.holder, talk.unanswered_since) == ("agent", "Maria", since)
    assert await hand.claims() == ()
    await hand.says("Good morning.")
    joined = waiting.line.city.say("agent_joined", "en", name="Maria")
    assert (await waiting.reads())[-2:] == [joined, "Good morning."]
    assert (await waiting.reads()).count(joined) == 1
    assert (await waiting.conversation()).unanswered_since is None
    assert await audited(waiting.line, maria) == ["taken", "answered"]


async def test_of_two_who_claim_at_once_one_has_it(waiting: Resident, maria: Viewer, ahmed: Viewer) -> None:
    outcomes = await asyncio.gather(
        Hand(maria, waiting).claims(), Hand(ahmed, waiting).claims(), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CannotDo", "tuple"]
    assert (await waiting.conversation()).epoch == 2


async def test_another_offices_conversation_and_a_sealed_one_are_not_there(
    everywhere: Line, waiting: Resident, maria: Viewer, ruth: Viewer
) -> None:
    gardener = await person(everywhere, "Greta", "parks")
    with pytest.raises(by_hand.NotTheirs):
        await Hand(gardener, waiting).claims()
    manager = await person(everywhere, "Mona", role=Role.MANAGER)
    with pytest.raises(by_hand.CannotDo, match="role"):
        await Hand(manager, waiting).says("Hello")
    assert ruth.id is not None
    async with everywhere.database.begin() as session:
        await sealed.seal(session, (await waiting.place()).citizen_id, [ruth.id], "a threat")
    with pytest.raises(by_hand.NotTheirs):
        await Hand(maria, waiting).claims()
    await Hand(ruth, waiting).claims()


# Replies that can be taken back ------------------------------------------------------------------


async def test_a_reply_can_be_taken_back_while_it_waits(waiting: Resident, maria: Viewer) -> None:
    hand = Hand(maria, waiting)
    await hand.says("Your dog is a cat.", hold=5, files=[Upload("plan.pdf", "application/pdf", PDF)])
    await waiting.line.work()
    (kept,) = await held(waiting.line)
    assert await agents_words(waiting) == []
    back = await hand.undoes(kept)
    assert (back.words, back.files) == ("Your dog is a cat.", ("plan.pdf",))
    await waiting.line.hurry()
    await waiting.line.work()
    assert await agents_words(waiting) == []
    assert await waiting.line.count("attachment") == 0
    assert await waiting.line.count("task") == 0
    assert (await waiting.conversation()).unanswered_since is not None
    with pytest.raises(by_hand.CannotDo, match="left already"):
        await hand.undoes(kept)


async def test_a_reply_that_nobody_takes_back_leaves_once(
    texting: Resident, maria: Viewer, fake_telegram: telegram.FakeTelegram
) -> None:
    hand = Hand(maria, texting)
    await texting.line.work()
    await hand.says("Please come on Tuesday.", hold=5)
    (kept,) = await held(texting.line)
    await texting.line.work()
    assert fake_telegram.texts(4711)[-1] == texting.line.city.say("agent_joined", "en", name="Maria")
    await texting.line.hurry()
    await texting.line.work()
    assert fake_telegram.texts(4711)[-1] == "Please come on Tuesday."
    assert fake_telegram.texts(4711).count("Please come on Tuesday.") == 1
    said = (await texting.written())[-1]
    assert (said.id, said.actor, said.payload["by"]) == (kept.touchpoint_id, "agent", "Maria")
    assert (await texting.conversation()).unanswered_since is None
    with pytest.raises(by_hand.CannotDo, match="left already"):
        await hand.undoes(kept)


async def test_only_its_writer_takes_a_reply_back(waiting: Resident, maria: Viewer, ahmed: Viewer) -> None:
    await Hand(maria, waiting).says("Hello", hold=5)
    (kept,) = await held(waiting.line)
    with pytest.raises(by_hand.CannotDo):
        await Hand(ahmed, waiting).undoes(kept)
    assert len(await held(waiting.line)) == 1


async def test_a_reply_is_taken_back_even_when_somebody_closed_the_conversation(
    waiting: Resident, maria: Viewer, ruth: Viewer
) -> None:
    hand = Hand(maria, waiting)
    await hand.says("One moment", hold=5)
    await Hand(ruth, waiting).does(by_hand.resolve_within, "solved")
    (kept,) = await held(waiting.line)
    assert (await hand.undoes(kept)).words == "One moment"


async def test_a_worker_that_dies_over_a_held_reply_neither_loses_nor_doubles_it(
    waiting: Resident, maria: Viewer
) -> None:
    await Hand(maria, waiting).says("Come on Tuesday.", hold=5)
    await waiting.line.hurry()
    died = await waiting.line.claim(Lane.OUT)
    assert died is not None
    await waiting.line.hurry()  # its lease runs out
    await waiting.line.work()
    with pytest.raises(LeaseLost):
        await waiting.line.handle(died)
    assert await agents_words(waiting) == ["Come on Tuesday."]


async def test_taking_back_and_leaving_at_once_end_in_one_of_both(waiting: Resident, maria: Viewer) -> None:
    hand = Hand(maria, waiting)
    for number in range(5):
        await hand.says(f"Number {number}", hold=5)
        (kept,) = await held(waiting.line)
        await waiting.line.hurry()
        undone, _ = await asyncio.gather(hand.undoes(kept), waiting.line.work(), return_exceptions=True)
        left = f"Number {number}" in await agents_words(waiting)
        assert left == isinstance(undone, by_hand.CannotDo)


async def test_a_reply_stays_when_its_conversation_is_given_away(
    everywhere: Line, waiting: Resident, maria: Viewer, ruth: Viewer
) -> None:
    await Hand(maria, waiting).says("I will see to it.", hold=5)
    await Hand(ruth, waiting).does(by_hand.assign_within, ruth.id)
    await everywhere.hurry()
    await everywhere.work()
    assert await agents_words(waiting) == []
    (note,) = [t for t in await waiting.touchpoints() if t.kind == "note"]
    assert (note.text, note.direction) == ("I will see to it.", "inner")
    assert note.payload["kept_back"] == "the conversation changed hands"
    async with everywhere.database.begin() as session:
        (told,) = await session.scalars(select(Mention))
    assert (told.staff_id, told.touchpoint_id) == (maria.id, note.id)


async def test_whoever_resolves_right_after_a_reply_sends_it_first(waiting: Resident, maria: Viewer) -> None:
    hand = Hand(maria, waiting)
    await hand.says("It is done.", hold=5)
    await hand.does(by_hand.resolve_within, "solved")
    await waiting.line.hurry()
    await waiting.line.work()
    assert (await waiting.reads())[-2:] == ["It is done.", waiting.line.city.say("conversation_closed", "en")]
    assert await held(waiting.line) == []


async def test_what_the_resident_writes_while_a_reply_waits_is_not_answered_by_it(
    waiting: Resident, maria: Viewer
) -> None:
    await Hand(maria, waiting).says("Is it the blue one?", hold=5)
    await waiting.says("Never mind, another question")
    await waiting.line.hurry()
    await waiting.line.work()
    last = [t for t in await waiting.touchpoints() if t.direction == "in"][-1]
    assert (await waiting.conversation()).unanswered_since == last.recorded_at


async def test_nothing_leaves_for_somebody_who_is_erased_meanwhile(
    everywhere: Line, texting: Resident, maria: Viewer, fake_telegram: telegram.FakeTelegram, tmp_path: Path
) -> None:
    await everywhere.work()
    await Hand(maria, texting).says("About your case", hold=5)
    await everywhere.work()
    async with everywhere.database.begin() as session:
        await erasure.erase(
            session,
            SYSTEM,
            (await texting.place()).citizen_id,
            schedule=schedule_of(everywhere.city),
            folder=tmp_path,
            reason="asked",
        )
    await everywhere.hurry()
    await everywhere.work()
    assert "About your case" not in fake_telegram.texts(4711)
    assert await held(everywhere) == []


# Files -------------------------------------------------------------------------------------------


async def test_an_agents_file_stands_in_the_web_chat(waiting: Resident, maria: Viewer) -> None:
    store = waiting.line.store
    await Hand(maria, waiting).says(
        "Here is the form.", files=[Upload("../form.pdf", "application/pdf", PDF)]
    )
    line = (await store.feed(waiting.address, 0))[-1]
    assert (line.author, line.text) == ("agent", "Here is the form.")
    (file,) = line.attachments
    assert file["name"] == "form.pdf"
    fetched = await store.attachment(waiting.address, str(file["id"]))
    assert fetched is not None
    assert fetched.data == PDF
    stranger = await waiting.line.visitor()
    assert await store.attachment(stranger.address, str(file["id"])) is None


async def test_a_file_without_words_reaches_a_chat_on_telegram(
    texting: Resident, maria: Viewer, fake_telegram: telegram.FakeTelegram
) -> None:
    await Hand(maria, texting).says("", files=[Upload("form.pdf", "application/pdf", PDF)], hold=5)
    await texting.line.hurry()
    await texting.line.work()
    assert [d.state for d in await texting.line.deliveries()][-1] == "sent"
    assert fake_telegram.sent[-1]["method"] == "senddocument"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([Upload("a.exe", "application/pdf", b"MZ\x90\x00" * 50)], "kind of file"),
        ([Upload("big.pdf", "application/pdf", PDF + b" " * 20_000_000)], "larger than 20 MB"),
        ([Upload("a.pdf", "application/pdf", PDF)] * 6, "At most 5"),
    ],
)
async def test_a_file_that_may_not_go_takes_nothing(
    waiting: Resident, maria: Viewer, files: list[Upload], why: str
) -> None:
    with pytest.raises(by_hand.CannotDo, match=why):
        await Hand(maria, waiting).says("Here", files=files)
    assert (await waiting.conversation()).state == "waiting"


async def test_no_file_goes_by_text_message(everywhere: Line, maria: Viewer) -> None:
    phone = everywhere.texter()
    await phone.says("A person please")
    with pytest.raises(by_hand.CannotDo, match="Files cannot be sent"):
        await Hand(maria, phone).says("Here", files=[Upload("form.pdf", "application/pdf", PDF)])


# Notes -------------------------------------------------------------------------------------------


async def test_a_note_is_for_colleagues_and_whoever_is_named_is_told(
    everywhere: Line, waiting: Resident, maria: Viewer, ahmed: Viewer
) -> None:
    longer = await person(everywhere, "Ahmed Ali")
    before = await waiting.reads()
    await Hand(maria, waiting).does(by_hand.note_within, "@ahmed ali, was it you? Not me@ahmed.example.")
    async with everywhere.database.begin() as session:
        (told,) = await session.scalars(select(Mention))
    assert (told.staff_id, told.by, told.seen_at) == (longer.id, "Maria", None)
    assert await waiting.reads() == before
    assert (await waiting.conversation()).state == "waiting"
    gardener = await person(everywhere, "Greta", "parks")
    with pytest.raises(by_hand.CannotDo, match="Greta cannot see"):
        await Hand(maria, waiting).does(by_hand.note_within, "@Greta please look")
    assert gardener.name == "Greta"


async def test_who_has_a_conversation_open_is_seen_with_their_draft(
    everywhere: Line, waiting: Resident, maria: Viewer
) -> None:
    hand = Hand(maria, waiting)
    which = (await waiting.conversation()).id
    assert await hand.does(by_hand.present_within) == (f"talk:{which}",)
    assert await hand.does(by_hand.present_within) == ()
    assert await hand.does(by_hand.present_within, draft="Dear", typing=True) == (f"talk:{which}",)
    assert await hand.does(by_hand.present_within, draft="Dear Ada", typing=True) == ()
    async with everywhere.database.begin() as session:
        (present,) = await session.scalars(select(Presence))
    assert (present.staff_id, present.draft) == (maria.id, "Dear Ada")
    await hand.says("Dear Ada, hello.")
    assert await everywhere.one("SELECT draft FROM presence") is None
    with pytest.raises(by_hand.NotTheirs):
        await Hand(await person(everywhere, "Greta", "parks"), waiting).does(by_hand.present_within)


@pytest.mark.parametrize("hold", [60.0, 0.0], ids=["held", "left"])
async def test_a_draft_that_comes_behind_its_own_reply_is_none(
    everywhere: Line, waiting: Resident, maria: Viewer, hold: float
) -> None:
    hand = Hand(maria, waiting)
    await hand.says("Dear Ada, hello.", hold=hold)
    await hand.does(by_hand.present_within, draft="Dear Ada, hello. ", typing=True)
    assert await everywhere.one("SELECT draft FROM presence") is None
    assert await everywhere.one("SELECT typed_at FROM presence") is None
    await hand.does(by_hand.present_within, draft="Dear Ada, hello. And", typing=True)
    assert await everywhere.one("SELECT draft FROM presence") == "Dear Ada, hello. And"


# Passing on --------------------------------------------------------------------------------------


async def test_another_department_takes_over_with_the_reason(
    everywhere: Line, waiting: Resident, maria: Viewer
) -> None:
    gardener = await person(everywhere, "Greta", "parks")
    hand = Hand(maria, waiting)
    await hand.claims()
    await waiting.says("It is about a tree")
    owed = (await waiting.conversation()).unanswered_since
    await hand.does(by_hand.transfer_within, "parks", "A tree leans over the path")
    talk = await waiting.conversation()
    assert (talk.state, talk.holder, talk.department, talk.waiting_since) == (
        "waiting",
        None,
        "parks",
        owed,
    )
    assert "Parks and Environment" in (await waiting.reads())[-1]
    moved = [t for t in await waiting.touchpoints() if t.kind == "handoff"][-1]
    assert moved.payload["why"] == "A tree leans over the path"
    with pytest.raises(by_hand.NotTheirs):
        await hand.says("One more thing")
    await Hand(gardener, waiting).says("I will come and look.")
    assert (await waiting.conversation()).holder == "Greta"


async def test_a_wait_that_goes_on_in_another_department_is_one_wait(
    everywhere: Line, waiting: Resident, maria: Viewer
) -> None:
    since = (await waiting.conversation()).waiting_since
    await Hand(maria, waiting).does(by_hand.transfer_within, "parks", "Not ours")
    assert (await waiting.conversation()).waiting_since == since
    assert await everywhere.sql("SELECT department, ended_at FROM wait") == [("parks", None)]


@pytest.mark.parametrize(("department", "why"), [("nowhere", "Because"), ("parks", " ")])
async def test_a_transfer_needs_a_department_and_a_reason(
    waiting: Resident, maria: Viewer, department: str, why: str
) -> None:
    with pytest.raises(by_hand.CannotDo):
        await Hand(maria, waiting).does(by_hand.transfer_within, department, why)


async def test_a_supervisor_gives_a_conversation_to_somebody_and_takes_it_from_somebody(
    everywhere: Line, waiting: Resident, maria: Viewer, ahmed: Viewer, ruth: Viewer
) -> None:
    with pytest.raises(by_hand.CannotDo, match="role"):
        await Hand(maria, waiting).does(by_hand.assign_within, ahmed.id)
    await Hand(ruth, waiting).does(by_hand.assign_within, ahmed.id)
    assert (await waiting.conversation()).holder == "Ahmed"
    with pytest.raises(by_hand.CannotDo, match="Ahmed is already answering"):
        await Hand(maria, waiting).claims()
    await Hand(ruth, waiting).does(by_hand.assign_within, maria.id)
    with pytest.raises(by_hand.CannotDo, match="Maria is already answering"):
        await Hand(ahmed, waiting).says("I am on it")
    await Hand(maria, waiting).says("Hello, I am with you now.")
    joined = waiting.line.city.say("agent_joined", "en", name="Maria")
    assert (await waiting.reads())[-2:] == [joined, "Hello, I am with you now."]
    gardener = await person(everywhere, "Greta", "parks")
    with pytest.raises(by_hand.CannotDo, match="Greta does not answer"):
        await Hand(ruth, waiting).does(by_hand.assign_within, gardener.id)
    with pytest.raises(by_hand.CannotDo, match="nobody"):
        await Hand(ruth, waiting).does(by_hand.assign_within, new_id())


async def test_a_conversation_put_aside_comes_back_when_its_resident_writes(
    waiting: Resident, maria: Viewer, ahmed: Viewer
) -> None:
    hand = Hand(maria, waiting)
    tomorrow = now() + timedelta(days=1)
    with pytest.raises(by_hand.CannotDo, match="Take the conversation"):
        await hand.does(by_hand.snooze_within, tomorrow)
    await hand.says("I will ask and come back to you.")
    await hand.does(by_hand.snooze_within, tomorrow)
    assert (await waiting.conversation()).snoozed_until == tomorrow
    with pytest.raises(by_hand.CannotDo):
        await hand.does(by_hand.snooze_within, now() - timedelta(minutes=1))
    await waiting.says("Any news?")
    talk = await waiting.conversation()
    assert (talk.holder, talk.snoozed_until) == ("Maria", None)
    assert talk.unanswered_since is not None
    assert [t.kind for t in await waiting.touchpoints() if "snooze" in t.kind] == ["snooze", "snooze_ended"]


# Back to the bot, and the end --------------------------------------------------------------------


async def test_the_bot_answers_again_once_it_has_the_conversation_back(
    waiting: Resident, maria: Viewer, script: Script
) -> None:
    hand = Hand(maria, waiting)
    await hand.says("Done. The assistant takes over again.")
    await waiting.does(words="Wait")
    with pytest.raises(by_hand.CannotDo, match="just written"):
        await hand.does(by_hand.give_back_within)
    await waiting.line.work()
    await hand.does(by_hand.give_back_within)
    talk = await waiting.conversation()
    assert (talk.state, talk.holder, talk.priority, talk.reason) == ("bot", None, 0, None)
    assert talk.read_from == (await waiting.touchpoints())[-1].id
    script.on_turn = lambda asked: says("greet")
    assert await waiting.says("And my bins?") == [waiting.line.city.say("greet", "en")]
    assert script.turns[-1]["history"] == []
    with pytest.raises(by_hand.CannotDo, match="already"):
        await hand.does(by_hand.give_back_within)


async def test_a_conversation_ends_with_its_outcome(waiting: Resident, maria: Viewer, ahmed: Viewer) -> None:
    hand = Hand(maria, waiting)
    await hand.says("Done.")
    with pytest.raises(by_hand.CannotDo, match="no such outcome"):
        await hand.does(by_hand.resolve_within, "magic")
    with pytest.raises(by_hand.CannotDo, match="Maria is already"):
        await Hand(ahmed, waiting).does(by_hand.resolve_within, "solved")
    await hand.does(by_hand.resolve_within, "solved")
    talk = await waiting.conversation()
    assert (talk.state, talk.resolution) == ("closed", "solved")
    assert await waiting.line.sql("SELECT ended, taken_by, first_word_at IS NOT NULL FROM wait") == [
        ("taken", "Maria", True)
    ]
    assert await audited(waiting.line, maria) == ["answered", "closed"]


async def test_spam_is_closed_without_a_word(waiting: Resident, ahmed: Viewer) -> None:
    before = await waiting.reads()
    await Hand(ahmed, waiting).does(by_hand.resolve_within, "spam")
    assert await waiting.reads() == before
    assert await waiting.line.sql("SELECT ended FROM wait") == [("closed",)]
