"""What has been kept long enough goes, as the city's schedule says, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from channels.base.contract import Upload
from contact_hub.city import City, CityError
from contact_hub.database import now
from contact_hub.knowledge import drafts
from contact_hub.knowledge.drafts import Written
from contact_hub.knowledge.models import DraftArticle
from contact_hub.privacy import counts, holds, retention
from contact_hub.privacy.schedule import CLASSES, schedule_of
from contact_hub.staff.access import SYSTEM
from tests.hub.line import Line, Resident, Script, found, says, turn
from tests.hub.looked_after import TABLES, look_after


def rows(lines: list[retention.Line]) -> dict[str, int]:
    return {line.records: line.rows for line in lines}


async def lived(line: Line, script: Script) -> tuple[Resident, Resident]:
    """A texter and a visitor with something in every class."""
    texter, visitor = line.texter(), await line.visitor()
    script.on_turn = lambda asked: turn({"answer": found()})
    await texter.says("When is my bin emptied?")
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": "Mill Lane", "description": "A deep one", "photo": None}}
    )
    await texter.says("There is a hole")
    await line.sql("UPDATE report SET state = 'done'")
    script.on_turn = lambda asked: says("greet")
    await line.inbox.accept(visitor.inbound(words="A photo"), (Upload("a.png", "image/png", b"\x89PNG"),))
    await line.work()
    await line.sql("UPDATE delivery SET state = 'delivered'")
    await line.sql("DELETE FROM task")
    for resident in (texter, visitor):
        await look_after(resident, "a hole")
    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    return texter, visitor


async def test_a_dry_run_says_what_is_then_removed(talking: Line, script: Script) -> None:
    await lived(talking, script)
    with time_machine.travel(now() + timedelta(days=365 * 10), tick=False):
        before = await retention.look(talking.database, talking.city)
        again = await retention.look(talking.database, talking.city)
        done = await retention.run(talking.database, talking.city, talking.folder)
        after = await retention.look(talking.database, talking.city)
    assert before == again, "looking changes nothing"
    assert before == done
    assert rows(done)["messages"] > 4 and rows(done)["reports"] == 1 and rows(done)["files"] == 1
    assert rows(done)["flags"] == 6 and rows(done)["ratings"] == 4
    assert rows(done)["people"] == 2 and rows(done)["conversations"] == 2
    assert set(rows(after).values()) == {0}
    for table in (
        "citizen",
        "address",
        "touchpoint",
        "conversation",
        "delivery",
        "attachment",
        "answer",
        "report",
        *TABLES,
    ):
        assert await talking.count(table) == 0, table


async def test_nothing_is_removed_before_its_time(talking: Line, script: Script) -> None:
    await lived(talking, script)
    with time_machine.travel(now() + timedelta(days=20), tick=False):
        assert set(rows(await retention.look(talking.database, talking.city)).values()) == {0}
    with time_machine.travel(now() + timedelta(days=400), tick=False):
        found = {
            name
            for name, number in rows(await retention.look(talking.database, talking.city)).items()
            if number
        }
    assert found == {"files", "deliveries", "message_ids"}


async def test_a_hold_keeps_everything_of_one_citizen(talking: Line, script: Script) -> None:
    texter, visitor = await lived(talking, script)
    kept = (await texter.place()).citizen_id
    async with talking.database.begin() as session:
        await holds.add(session, SYSTEM, kept, "a claim about the hole", None)
    before = len(await texter.touchpoints())
    with time_machine.travel(now() + timedelta(days=365 * 10), tick=False):
        lines = await retention.run(talking.database, talking.city, talking.folder)
        held = {line.records: line.held for line in lines if line.held}
        assert len(await texter.touchpoints()) == before
        assert await visitor.touchpoints() == []
        assert await talking.count("report") == 1
        assert held["messages"] == before and held["people"] == 1 and held["reports"] == 1
        assert [line.partitions for line in lines if line.records == "messages"] == [()]
        async with talking.database.begin() as session:
            assert await holds.lift(session, SYSTEM, kept) == 1
        await retention.run(talking.database, talking.city, talking.folder)
    assert await talking.count("citizen") == 0


async def test_a_discarded_article_goes_when_messages_do(talking: Line, script: Script) -> None:
    texter, _ = await lived(talking, script)
    (answer,) = await talking.sql("SELECT id FROM answer")
    async with talking.database.begin() as session:
        held = await holds.add(session, SYSTEM, (await texter.place()).citizen_id, "a claim", None)
        for state, answers in (("discarded", []), ("discarded", [answer.id]), ("draft", [])):
            written = Written("waste", "en", f"About bins, {state}", "", "https://x.example")
            which = await drafts.begin(session, SYSTEM, written, answers)
            (await session.get_one(DraftArticle, which)).state = state
    with time_machine.travel(now() + timedelta(days=365 * 10), tick=False):
        await retention.run(talking.database, talking.city, talking.folder)
        assert await talking.count("draft_article") == 2, "a hold keeps what was made of a question"
        await talking.sql("UPDATE legal_hold SET lifted_at = now() WHERE id = :h", h=held.id)
        await retention.run(talking.database, talking.city, talking.folder)
    assert [row.state for row in await talking.sql("SELECT state FROM draft_article")] == ["draft"]


async def test_a_hold_that_ends_by_itself_keeps_no_longer(talking: Line, script: Script) -> None:
    texter, _ = await lived(talking, script)
    async with talking.database.begin() as session:
        until = now() + timedelta(days=365)
        await holds.add(session, SYSTEM, (await texter.place()).citizen_id, "until the verdict", until)
    with time_machine.travel(now() + timedelta(days=365 * 10), tick=False):
        await retention.run(talking.database, talking.city, talking.folder)
    assert await talking.count("citizen") == 0


async def test_a_whole_month_goes_with_its_partition_and_its_figures_stay(
    talking: Line, script: Script
) -> None:
    resident = talking.texter()
    await resident.says("Hello")
    month = datetime(2021, 3, 1, tzinfo=UTC)
    await talking.sql("SELECT ensure_touchpoint_partition('2021-03-01')")
    address = (await resident.place()).id
    for number in range(5):
        at = month + timedelta(days=number)
        await talking.sql(
            "INSERT INTO touchpoint (id, address_id, direction, actor, kind, text, payload, recorded_at)"
            " VALUES (:i, :a, 'in', 'citizen', 'text', 'old words', '{}', :at)",
            i=counts.floor(at),
            a=address,
            at=at,
        )
    async with talking.database.begin() as session:
        before = await counts.monthly(session, date(2021, 3, 1))
    looked = await retention.look(talking.database, talking.city)
    (line,) = [line for line in looked if line.records == "messages"]
    assert (line.rows, line.partitions) == (5, ("touchpoint_202103",))
    await retention.run(talking.database, talking.city, talking.folder)
    assert await talking.one("SELECT to_regclass('touchpoint_202103')") is None
    async with talking.database.begin() as session:
        assert await counts.monthly(session, date(2021, 3, 1)) == before
    assert before["touchpoint", "sms", "in text"] == 5
    assert len(await resident.touchpoints()) >= 2


async def test_the_clock_runs_it_once_a_night(talking: Line, script: Script) -> None:
    await lived(talking, script)
    chores = retention.chores(talking.database, talking.city, talking.folder)
    tonight = (now() + timedelta(days=365 * 10)).astimezone(talking.city.zone).replace(hour=2, minute=0)
    with time_machine.travel(tonight, tick=False):
        await chores["retention"]()
        assert await talking.count("citizen") == 2, "not before three"
    with time_machine.travel(tonight + timedelta(hours=2), tick=False):
        await chores["retention"]()
        await chores["retention"]()
        assert await talking.count("citizen") == 0
        assert await talking.count("audit", "action = 'retention'") == 1
    with time_machine.travel(tonight + timedelta(days=1, hours=2), tick=False):
        await chores["retention"]()
        assert await talking.count("audit", "action = 'retention'") == 2


# The schedule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: r.pop("files"), "does not say how long 'files' are kept (attachments)"),
        (lambda r: r.update(pets={}), "has 'pets', which is no class of records"),
        (
            lambda r: r["files"].update(keep="a while"),
            "retention of files: 'keep' must look like '36 months'",
        ),
        (lambda r: r["files"].update(keep="0 days"), "'keep' must look like"),
        (lambda r: r["files"].pop("rule"), "retention of files has no 'rule'"),
        (lambda r: r["files"].pop("why"), "retention of files has no 'why'"),
        (lambda r: r["files"].update(without_person=True), "only reports can be kept without their person"),
        (lambda r: r["erasures"].update(keep="1 year"), "'keep' must be always"),
        (lambda r: r["message_ids"].update(keep="3 days"), "at least 8 days"),
        (lambda r: r["files"].update(colour="red"), "'colour', which means nothing there"),
    ],
)
def test_a_wrong_schedule_is_told_in_one_sentence(
    city: City, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    settings = copy.deepcopy(dict(city.settings))
    change(settings["retention"])
    with pytest.raises(CityError) as told:
        schedule_of(City(city.folder, settings, city.responses, city.commands))
    assert sentence in str(told.value)


def test_every_class_has_its_rule_and_its_reason(city: City) -> None:
    schedule = schedule_of(city)
    assert set(schedule) == set(CLASSES)
    assert all(rule.name and rule.why.endswith(".") for rule in schedule.values())


def test_a_month_ago_is_a_month_ago_whatever_the_month(city: City) -> None:
    rule = schedule_of(city)["deliveries"]
    assert rule.cutoff(datetime(2026, 3, 31, tzinfo=UTC)) == datetime(2025, 2, 28, tzinfo=UTC)
