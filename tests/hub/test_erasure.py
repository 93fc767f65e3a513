"""Erasing a person: nothing of them is left anywhere, the figures stay, and no backup brings them back."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from channels.base.contract import InboundKind, Sent, Upload
from contact_hub.audit import checking
from contact_hub.audit.service import record
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Citizen
from contact_hub.database import Database, now
from contact_hub.handoff import service as handoff
from contact_hub.identity import merging
from contact_hub.journey import by_hand
from contact_hub.knowledge import drafts
from contact_hub.knowledge.drafts import Written
from contact_hub.knowledge.models import DraftArticle
from contact_hub.models import Base
from contact_hub.operations.postgres import Postgres
from contact_hub.operations.queue import Lane, LeaseLost
from contact_hub.privacy import belongings, counts, erasure, holds, ledger, retention
from contact_hub.privacy.erasure import Answer
from contact_hub.privacy.holds import Held
from contact_hub.privacy.schedule import schedule_of
from contact_hub.search import saved
from contact_hub.staff import service as staff
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.staff.service import Scope
from contact_hub.timeline import service as timeline
from tests.contract import recorded
from tests.fakes import twilio
from tests.hub.line import SECRET_KEY, Line, Resident, Script, found, says, turn
from tests.hub.looked_after import TABLES, look_after
from tests.searching import columns_with

CANARY = "zebrafinch7714"
NUMBER = "+15551239071"


async def erase(line: Line, citizen: uuid.UUID, folder: Path) -> Answer:
    async with line.database.begin() as session:
        return await erasure.erase(
            session,
            SYSTEM,
            citizen,
            schedule=schedule_of(line.city),
            folder=folder,
            reason="the resident asked",
        )


async def citizen_of(resident: Resident) -> uuid.UUID:
    return (await resident.place()).citizen_id


def test_every_table_says_what_becomes_of_it() -> None:
    said = (
        {removal.table for removal in belongings.REMOVALS}
        | set(belongings.CHANGED)
        | belongings.FOLLOWS
        | set(belongings.NOBODYS)
    )
    assert set(Base.metadata.tables) - said == set()


# The canary --------------------------------------------------------------------------------------

ASSISTANT = """
    CREATE SCHEMA IF NOT EXISTS assistant;
    CREATE TABLE IF NOT EXISTS assistant.tracker (conversation text PRIMARY KEY, revision bigint NOT NULL,
        events text NOT NULL, changed_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS assistant.turn (conversation text NOT NULL, touchpoint text NOT NULL,
        outcome text, taken_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (conversation, touchpoint));
"""


@pytest.fixture
async def rasas_tables(talking: Line) -> AsyncIterator[None]:
    """The tables that Rasa makes when it starts, as `bot/assistant/components/trackers.py` makes them."""
    for statement in ASSISTANT.strip().split(";"):
        if statement.strip():
            await talking.sql(statement)
    yield
    await talking.sql("DROP SCHEMA assistant CASCADE")


async def a_full_life(line: Line, script: Script) -> tuple[Resident, Resident]:
    """A resident of two channels with something of theirs in every place that can hold it."""
    script.on_turn = lambda asked: turn({"answer": found()})
    texter, visitor = line.texter(NUMBER), await line.visitor()
    await texter.says(f"When is my bin emptied, {CANARY}?")
    await visitor.says(f"Hello, this is {CANARY}")
    await visitor.presses((await visitor.buttons())[0]["id"])
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": CANARY, "description": CANARY, "photo": None}}
    )
    await texter.says(f"A hole in front of {CANARY}")
    script.on_turn = lambda asked: says("greet")
    await line.inbox.accept(
        visitor.inbound(words=CANARY), (Upload(f"{CANARY}.png", "image/png", CANARY.encode()),)
    )
    await line.work()
    first, second = await citizen_of(texter), await citizen_of(visitor)
    async with line.database.begin() as session:
        (await session.get_one(Citizen, first)).name = CANARY
        await merging.merge(session, first, second, reason=f"They are {CANARY} both")
        desk = await citizens.desk_address(session, first)
        await timeline.record(
            session, address_id=desk, direction="inner", actor="agent", kind="note", words=CANARY
        )
        talk = await texter.conversation()
        await handoff.open_ticket(session, "dead_letter", f"Ask {CANARY}", conversation_id=talk.id)
        staff = Viewer("staff", "Ada", reason=f"{CANARY} called")
        await record(session, staff, "citizen.read", citizen_id=first, about=CANARY)
    talks = [(await one.conversation()).id for one in (texter, visitor)]
    for talk_id in talks:
        await line.sql(
            "UPDATE conversation SET reason = :w, unfinished = to_jsonb(CAST(:w AS text)) WHERE id = :c",
            w=CANARY,
            c=talk_id,
        )
        await line.sql("INSERT INTO assistant.tracker VALUES (:c, 1, :w)", c=str(talk_id), w=CANARY)
        await line.sql("INSERT INTO assistant.turn VALUES (:c, 'x', :w)", c=str(talk_id), w=CANARY)
    await line.sql(
        "INSERT INTO event (id, kind, citizen_id, data, created_at)"
        " VALUES (:i, 'touchpoint', :c, to_jsonb(CAST(:w AS text)), now())",
        i=uuid.uuid4(),
        c=first,
        w=CANARY,
    )
    await line.sql(
        "INSERT INTO saved_search (id, owner_id, name, query, filters, created_at)"
        " VALUES (:i, :i, 'mine', :w, '{}', now())",
        i=uuid.uuid4(),
        w=f"{CANARY} {NUMBER}",
    )
    await line.sql(
        "INSERT INTO suggestion (id, first_id, second_id, likeness, made_at)"
        " VALUES (:i, :a, :b, 'same_name', now())",
        i=uuid.uuid4(),
        a=first,
        b=second,
    )
    await look_after(texter, CANARY)
    await texter.does(words=f"Still unread: {CANARY}")  # work in hand
    return texter, visitor


@pytest.mark.usefixtures("rasas_tables")
async def test_nothing_of_an_erased_resident_is_found_anywhere(
    talking: Line, script: Script, tmp_path: Path
) -> None:
    texter, visitor = await a_full_life(talking, script)
    stranger = talking.texter("+15559990000")
    await stranger.says("Somebody else entirely")
    url = talking.database.url
    places = columns_with(url, CANARY)
    assert {
        "public.touchpoint.text",
        "public.touchpoint.words",
        "public.answer.question",
        "public.audit.words",
        "public.report.place",
        "public.attachment.name",
        "public.citizen.name",
        "public.merge.reason",
        "public.ticket.reason",
        "public.saved_search.query",
        "public.event.data",
        "public.flag.signals",
        "public.flag.dismissed_why",
        "public.review.why",
        "public.presence.draft",
        "public.held_reply.text",
        "assistant.tracker.events",
        "assistant.turn.outcome",
    } <= set(places)  # the search can find it
    citizen = await citizen_of(texter)
    before = await figures(talking)
    assert {(before["flag", "sms", "unhappy waste"]), before["rating", "sms", "2 waste"]} == {1}
    assert before["wait", "sms", "taken kept waste"] == 1

    answer = await erase(talking, citizen, tmp_path)

    assert columns_with(url, CANARY) == []
    assert columns_with(url, NUMBER) == []
    assert columns_with(url, NUMBER.removeprefix("+")) == []
    assert columns_with(url, visitor.address) == []
    assert [str(f) for f in tmp_path.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()] == []
    assert await figures(talking) == before
    assert (await stranger.touchpoints())[0].text == "Somebody else entirely"
    for table in TABLES:
        assert await talking.count(table) == 0, table
    said = {line.records: line for line in answer.lines}
    assert (said["flags"].erased, said["ratings"].erased) == (3, 2)
    assert said["messages"].erased > 5 and said["messages"].kept == 0
    assert said["reports"].kept == 1 and said["reports"].rule is not None
    assert said["reports"].rule.name == "works-record"
    assert (await talking.sql("SELECT category, place, address_id FROM report")) == [("pothole", "", None)]
    assert await talking.work() == 0  # the task went with its message
    assert await talking.unsettled() == 0


async def test_a_question_goes_from_the_articles_begun_from_it(
    talking: Line, script: Script, tmp_path: Path
) -> None:
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    texter, stranger = talking.texter(NUMBER), talking.texter("+15559990000")
    question = "My neighbour John Murphy at 12 Oak Street keeps a goose"
    for words in (question, "When is the fair?"):
        await texter.says(words)
    await stranger.says("When is the fair?")
    asked = await talking.sql("SELECT id FROM answer ORDER BY id")
    goose, fair, fair_too = [row.id for row in asked]

    async def begun(title: str, text: str, *answers: uuid.UUID, state: str = "draft") -> uuid.UUID:
        async with talking.database.begin() as session:
            written = Written("parks", "en", title, text, "https://x.example")
            which = await drafts.begin(session, SYSTEM, written, answers)
            (await session.get_one(DraftArticle, which)).state = state
            return which

    await begun(question, "", goose, state="discarded")
    quoted = await begun("Geese", f"A resident asked: {question.upper()}", goose, state="review")
    named = await begun("My neighbour John Murphy at 12 Oak Street?", "Geese may be kept.", goose)
    shared = await begun("When is the fair?", "In May.", fair, fair_too, state="review")
    await erase(talking, await citizen_of(texter), tmp_path)
    left = await talking.sql("SELECT id, article, title, text, answers, state FROM draft_article ORDER BY id")
    assert left == [
        (quoted, "parks/geese", "Geese", "A resident asked: [removed]", [], "draft"),
        (named, "parks/removed", "[removed]", "Geese may be kept.", [], "draft"),
        (shared, "parks/when-is-the-fair", "When is the fair?", "In May.", [str(fair_too)], "review"),
    ]


async def test_searches_for_the_erased_go_and_everybody_elses_stay(talking: Line, tmp_path: Path) -> None:
    kept = ["green bin", "job centre", "Jo", "rose street", "087 123 4568", "John's murphyfield", "e"]
    gone = ["murphy, John: bins", "call 087 123 4567", "+353 87 1234567"]
    names = ("John Murphy", "Jo", "e", "Bin", "channel")
    owner = uuid.uuid4()
    async with talking.database.begin() as session:
        for words in (*kept, *gone):
            await saved.save(session, owner, words, words, {"channel": ["sms"], "language": ["en"]})
        await saved.save(session, owner, "the councillor", "王小明的报告", {})

    async def left() -> set[str]:
        async with talking.database.begin() as session:
            return {search.name for search in await saved.kept_by(session, owner)}

    for number, name in enumerate((*names, "王小明")):
        texter = talking.texter("+353871234567" if name == "John Murphy" else f"+1555000900{number}")
        await texter.does(words="Hello")
        citizen = await citizen_of(texter)
        async with talking.database.begin() as session:
            (await session.get_one(Citizen, citizen)).name = name
        await erase(talking, citizen, tmp_path)
        assert await left() == {*kept} | ({"the councillor"} if name != "王小明" else set()), name


async def figures(line: Line) -> dict[tuple[str, str, str], int]:
    """This month's; what was still in hand was suppressed by the erasure, and erasures are counted too."""
    async with line.database.begin() as session:
        found = await counts.monthly(session, now().date())
    in_hand = found.pop(("inbound", "sms", "unsettled "), 0)
    if in_hand:
        found["inbound", "sms", "suppressed erased"] = in_hand
    return {key: n for key, n in found.items() if key[0] != "erasure"}


# Afterwards --------------------------------------------------------------------------------------


async def test_whoever_writes_after_an_erasure_is_a_stranger(talking: Line, tmp_path: Path) -> None:
    texter = talking.texter(NUMBER)
    await texter.says("Hello")
    former = await citizen_of(texter)
    await erase(talking, former, tmp_path)
    await texter.says("Hello again")
    assert await citizen_of(texter) != former
    assert [t.text for t in await texter.touchpoints() if t.direction == "in"] == ["Hello again"]


async def test_a_message_that_a_provider_brings_once_more_is_not_stored_again(
    talking: Line, tmp_path: Path
) -> None:
    texter = talking.texter(NUMBER)
    await texter.does(words="Hello", key="SM1")
    await erase(talking, await citizen_of(texter), tmp_path)
    again = await texter.does(words="Hello", key="SM1")
    assert not again.new
    assert await talking.count("citizen") == await talking.count("touchpoint") == 0
    assert await talking.unsettled() == 0


async def test_silence_survives_by_its_mark_alone(talking: Line, tmp_path: Path) -> None:
    texter = talking.texter(NUMBER)
    await texter.does(InboundKind.OPT_OUT, "STOP")
    await talking.work()
    await erase(talking, await citizen_of(texter), tmp_path)
    assert await talking.count("suppression") == 0
    assert columns_with(talking.database.url, NUMBER) == []
    await texter.does(words="Who are you?")
    assert await talking.count("suppression", "value = :v", v=NUMBER) == 1
    assert await talking.count("kept_silence") == 0
    await talking.texter("+15550007777").does(words="Somebody else")
    assert await talking.count("suppression") == 1


async def test_a_browser_whose_session_was_erased_begins_anew(
    talking: Line, web: httpx.AsyncClient, tmp_path: Path
) -> None:
    opened = (await web.post("/channels/web_chat/sessions", json={})).json()
    mine = {"Authorization": f"Bearer {opened['token']}"}
    said = {"text": "Hello", "client_id": "one"}
    assert (await web.post("/channels/web_chat/messages", json=said, headers=mine)).status_code == 202
    await erase(talking, await citizen_of(Resident(talking, "web_chat", opened["session"], "web")), tmp_path)
    said = {"text": "Hello again", "client_id": "two"}
    assert (await web.post("/channels/web_chat/messages", json=said, headers=mine)).status_code == 401
    assert await talking.count("citizen") == await talking.count("touchpoint") == 0


# In the middle of work in hand -------------------------------------------------------------------


async def test_an_erasure_while_the_bot_thinks_lets_nothing_come_back(
    talking: Line, script: Script, rasas_tables: None, tmp_path: Path
) -> None:
    texter = talking.texter(NUMBER)
    await texter.says("Hello")
    citizen, talk = await citizen_of(texter), (await texter.conversation()).id

    async def meanwhile(asked: dict[str, Any]) -> dict[str, Any]:
        await erase(talking, citizen, tmp_path)
        # Rasa writes its tracker when it is done, whatever has become of the conversation.
        await talking.sql("INSERT INTO assistant.tracker VALUES (:c, 1, :w)", c=str(talk), w=CANARY)
        return says("greet", form="report_form")

    script.on_turn = meanwhile
    await texter.does(words=f"I am {CANARY}")
    (task,) = [await talking.claim(Lane.IN)]
    assert task is not None
    with pytest.raises(LeaseLost):
        await talking.handle(task)
    assert await talking.count("citizen") == await talking.count("touchpoint") == 0
    await retention.chores(talking.database, talking.city, talking.folder)["strays"]()
    assert columns_with(talking.database.url, CANARY) == []


async def test_an_erasure_while_a_part_is_on_its_way_lets_nothing_come_back(
    talking: Line, tmp_path: Path
) -> None:
    texter = talking.texter(NUMBER)
    await texter.does(words="Hello")
    await talking.work(Lane.IN)
    task = await talking.claim(Lane.OUT)
    assert task is not None
    await erase(talking, await citizen_of(texter), tmp_path)
    with pytest.raises(LeaseLost):
        await talking.handle(task)
    with pytest.raises(LeaseLost):
        await talking.sending._sent(task, Sent("SM9"))  # the provider took it meanwhile
    assert await talking.count("delivery") == await talking.count("touchpoint") == 0


async def test_an_erasure_in_the_middle_of_an_agents_talk_ends_it(talking: Line, tmp_path: Path) -> None:
    texter = talking.texter(NUMBER)
    await texter.says("Hello")
    talk = await texter.conversation()
    await by_hand.reply(
        talking.writer, talking.wakeups, str(talk.id), Viewer("system", "Ada"), "I am looking into it"
    )
    await erase(talking, await citizen_of(texter), tmp_path)
    with pytest.raises(by_hand.CannotDo):
        await by_hand.reply(
            talking.writer, talking.wakeups, str(talk.id), Viewer("system", "Ada"), "Are you there?"
        )
    assert await talking.count("touchpoint") == 0


async def test_messages_and_an_erasure_at_once_leave_a_stranger_or_nobody(
    talking: Line, tmp_path: Path
) -> None:
    for number in range(5):
        texter = talking.texter(f"+1555200{number:04d}")
        await texter.does(words="Hello")
        citizen = await citizen_of(texter)
        await asyncio.gather(
            erase(talking, citizen, tmp_path), *(texter.does(words=f"More {n}") for n in range(4))
        )
        assert await talking.count("citizen", "id = :c", c=citizen) == 0
        left = await texter.touchpoints()
        assert all(t.text.startswith("More") for t in left if t.text)
        assert await talking.count("task", "lane = 'in'") == len(left)
        await talking.work()


# Holds -------------------------------------------------------------------------------------------


async def test_a_hold_keeps_a_record_even_of_somebody_merged(talking: Line, tmp_path: Path) -> None:
    one, other = talking.texter(NUMBER), talking.texter("+15550001111")
    await one.says("Hello")
    await other.says("Hello")
    survivor, absorbed = await citizen_of(one), await citizen_of(other)
    async with talking.database.begin() as session:
        await holds.add(session, SYSTEM, absorbed, "a claim", None)
        await merging.merge(session, survivor, absorbed, reason="they are the same person")
    with pytest.raises(Held):
        await erase(talking, survivor, tmp_path)
    assert not (tmp_path / "erasures.log").exists()
    async with talking.database.begin() as session:
        await holds.lift(session, SYSTEM, survivor)
    await erase(talking, survivor, tmp_path)
    assert await talking.count("citizen") == 0


# A backup from before ----------------------------------------------------------------------------


async def test_whom_an_older_backup_brings_back_is_erased_again(
    lines: Callable[..., Line], script: Script, tmp_path: Path, postgres: Postgres
) -> None:
    line = lines(brain_url=script.url, rasa_url=script.url)
    texter, other = line.texter(NUMBER), line.texter("+15550001111")
    await texter.says(f"I am {CANARY}")
    await other.says("Somebody else")
    backup = backup_of(postgres, line)
    await erase(line, await citizen_of(texter), tmp_path)
    await texter.says("Hello, I am new here")  # a stranger, whom no backup knows

    older = Database(backup, secret_key=SECRET_KEY)
    try:
        assert columns_with(backup, CANARY) != []
        done = await erasure.replay(older, tmp_path)
        assert (done.entries, done.citizens, done.addresses) == (1, 1, 1)
        assert columns_with(backup, CANARY) == columns_with(backup, NUMBER) == []
        again = await erasure.replay(older, tmp_path)
        assert (again.entries, again.citizens) == (1, 0)
    finally:
        await older.close()
    later = Database(backup_of(postgres, line), secret_key=SECRET_KEY)
    try:
        done = await erasure.replay(later, tmp_path)
        assert (done.citizens, done.addresses) == (0, 0), "the stranger is not whom the ledger means"
    finally:
        await later.close()


def backup_of(postgres: Postgres, line: Line) -> str:
    """The database as it is at this moment."""
    name = f"backup_{uuid.uuid4().hex[:12]}"
    now_there = make_url(line.database.url).database or ""
    with psycopg.connect(postgres.libpq("postgres"), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (now_there,)
        )
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(now_there))
        )
    return postgres.database(name)


async def test_an_entry_says_nobody_and_cannot_be_changed(talking: Line, tmp_path: Path) -> None:
    texter = talking.texter(NUMBER)
    await texter.says("Hello")
    citizen = await citizen_of(texter)
    await erase(talking, citizen, tmp_path)
    log = tmp_path / "erasures.log"
    written = log.read_bytes()
    assert log.stat().st_mode & 0o077 == 0
    opened = base64.b64decode(written)
    for secret in (NUMBER.encode(), str(citizen).encode(), citizen.bytes):
        assert secret not in written and secret not in opened
    log.write_bytes(base64.b64encode(opened[:-1] + bytes([opened[-1] ^ 1])) + b"\n")
    with pytest.raises(ledger.LedgerBroken, match="line 1 of"):
        await erasure.replay(talking.database, tmp_path)
    log.unlink()
    assert (await erasure.replay(talking.database, tmp_path)).entries == 1, "the table knows it as well"
    assert log.exists()


# In the chat -------------------------------------------------------------------------------------

WISH = turn({"request": "delete_my_data", "values": {}}, intent="delete_my_data")


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "it", "pl", "pt", "tr", "ar", "zh"])
async def test_a_resident_asks_confirms_once_and_is_gone(
    talking: Line, script: Script, language: str
) -> None:
    city, visitor = talking.city, await talking.visitor(language)
    script.on_turn = lambda asked: WISH
    script.on_read = lambda asked: {"language": language, "confidence": 0.9}
    (*_, question) = await visitor.says("delete all my data")
    assert city.say("erase_ask", language) in question
    yes, no = await visitor.buttons()
    assert (yes["title"], no["title"]) == (
        city.say("button_erase", language),
        city.say("button_no", language),
    )
    assert await visitor.presses(yes["id"]) == [city.say("erase_done", language)]
    assert await talking.count("citizen") == 1, "they can still read it"
    await talking.hurry(Lane.OUT)
    await talking.work()
    assert await talking.count("citizen") == await talking.count("touchpoint") == 0
    assert await talking.count("chat_session") == 0
    assert (talking.folder / "erasures.log").read_text().count("\n") == 1


async def test_a_text_says_yes_in_words_and_hears_the_last_word_first(
    lines: Callable[..., Line], script: Script, fake_twilio: twilio.FakeTwilio
) -> None:
    given = {"twilio_api_url": fake_twilio.url, "public_url": "http://127.0.0.1:9"}
    given |= {"twilio_from": twilio.NUMBER}
    given |= {"twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.AUTH_TOKEN}
    line = lines(brain_url=script.url, rasa_url=script.url, channels=[recorded.build("sms", **given)])
    texter = line.texter(NUMBER)
    script.on_turn = lambda asked: WISH
    await texter.says("delete all my data")
    await texter.says("Yes")
    assert line.city.say("erase_done", "en")[:40] in str(fake_twilio.messages)
    assert await line.count("citizen") == await line.count("touchpoint") == await line.count("delivery") == 0


async def test_a_resident_who_thinks_again_keeps_everything(talking: Line, script: Script) -> None:
    visitor = await talking.visitor()
    script.on_turn = lambda asked: WISH
    await visitor.says("delete all my data")
    assert await visitor.says("no") == [talking.city.say("erase_not", "en")]
    await talking.hurry()
    await talking.work()
    assert await talking.count("citizen") == 1


async def test_a_resident_under_a_hold_hears_why_and_a_person_is_told(talking: Line, script: Script) -> None:
    visitor = await talking.visitor()
    script.on_turn = lambda asked: WISH
    await visitor.says("delete all my data")
    async with talking.database.begin() as session:
        await holds.add(session, SYSTEM, await citizen_of(visitor), "a claim", None)
    yes, _ = await visitor.buttons()
    assert (await visitor.presses(yes["id"]))[-1] == talking.city.say("erase_held", "en")
    await talking.hurry()
    await talking.work()
    assert await talking.count("citizen") == 1
    assert [t.kind for t in await talking.tickets()] == ["erasure_request"]


async def test_a_browser_that_was_joined_to_a_phone_erases_nobody(talking: Line, script: Script) -> None:
    texter, visitor = talking.texter(NUMBER), await talking.visitor()
    await texter.says("Hello")
    await visitor.says("Hello")
    async with talking.database.begin() as session:
        one, other = await citizen_of(texter), await citizen_of(visitor)
        await merging.merge(session, one, other, reason="they showed their passport")
    script.on_turn = lambda asked: WISH
    answers = await visitor.says("delete all my data")
    assert answers[-1] == talking.city.say("erase_elsewhere", "en")
    assert await visitor.buttons() == []


# For the city's own people and systems -----------------------------------------------------------


async def test_the_api_says_class_by_class_what_was_erased_and_what_a_rule_keeps(
    talking: Line, script: Script, web: httpx.AsyncClient
) -> None:
    texter = talking.texter(NUMBER)
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": CANARY, "description": CANARY, "photo": None}}
    )
    await texter.says("There is a hole")
    citizen = await citizen_of(texter)
    where = f"/api/v1/citizens/{citizen}/erasure"
    may = await token(talking, Scope.ERASURES)
    asked = {"reason": "a letter", "dry_run": True}
    assert (await web.post(where, json=asked)).status_code == 401
    refused = await web.post(where, json=asked, headers=await token(talking, Scope.EXPORTS))
    assert refused.status_code == 404
    would = (await web.post(where, json=asked, headers=may)).json()
    assert would["erasure"] is None and await talking.count("citizen") == 1
    async with talking.database.begin() as session:
        await holds.add(session, SYSTEM, citizen, "a claim", None)
    assert (await web.post(where, json={"reason": "a letter"}, headers=may)).status_code == 409
    async with talking.database.begin() as session:
        await holds.lift(session, SYSTEM, citizen)
    done = (await web.post(where, json={"reason": "a letter"}, headers=may)).json()
    lines = {line["records"]: line for line in done["records"]}
    assert lines["reports"] == {"records": "reports", "erased": 0, "kept": 1, "rule": "works-record"}
    assert lines["messages"]["rule"] is None and lines["messages"]["erased"] > 0
    would_be = {line["records"]: line["erased"] for line in would["records"]}
    assert would_be["messages"] == lines["messages"]["erased"]
    assert (await web.post(where, json=asked, headers=may)).status_code == 404
    assert await talking.count("audit", "action = 'citizen.erase' AND citizen_id IS NULL") == 1
    assert (await checking.verify(talking.database)).faults == []


async def token(line: Line, *scopes: Scope) -> dict[str, str]:
    async with line.database.begin() as session:
        made = await staff.create_token(session, "test", scopes)
    return {"Authorization": f"Bearer {made}"}
