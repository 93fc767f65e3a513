"""The audit tells who looked at what, and any change to it is found."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from contact_hub.audit import service as audit
from contact_hub.audit.checking import Receipt, verify
from contact_hub.database import Database, now
from contact_hub.settings import libpq_url
from contact_hub.staff.access import SYSTEM, Scope, Viewer
from contact_hub.staff.tokens import create_token
from tests.hub.line import SECRET_KEY, Line

ANA = Viewer("staff", "Ana", uuid.UUID(int=1), reason="asked by phone")


COLUMNS = ("at", "viewer_kind", "viewer_id", "viewer_name", "action", "citizen_id", "subject", "words",
           "words_digest", "key_mark", "mac")  # fmt: skip


async def write(line: Line, count: int, viewer: Viewer = ANA, **details: Any) -> uuid.UUID:
    """Write entries about one citizen, each in a transaction of its own."""
    citizen = uuid.uuid4()
    for number in range(count):
        async with line.database.begin() as session:
            await audit.record(session, viewer, "timeline.read", citizen_id=citizen, page=number, **details)
    return citizen


async def faults(line: Line) -> list[tuple[int | None, str]]:
    return [(fault.number, fault.what) for fault in (await verify(line.database)).faults]


async def tamper(line: Line, *statements: str) -> None:
    """What somebody with the database's password can do, who knows of the trigger."""
    async with line.database.begin() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await session.execute(text(statement))


# Writing ---------------------------------------------------------------------------------------------


async def test_entries_are_kept_with_what_they_tell_of_or_not_at_all(line: Line) -> None:
    citizen = await write(line, 2, shown=50)

    async def broken() -> None:
        async with line.database.begin() as session:
            await audit.record(session, ANA, "timeline.read", citizen_id=citizen)
            raise RuntimeError("the page could not be shown")

    with pytest.raises(RuntimeError):
        await broken()
    rows = await line.sql("SELECT number, viewer_name, action, citizen_id, words FROM audit ORDER BY number")
    assert [(row.number, row.viewer_name, row.action, row.citizen_id) for row in rows] == [
        (1, "Ana", "timeline.read", citizen),
        (2, "Ana", "timeline.read", citizen),
    ]
    assert rows[0].words == {"page": 0, "shown": 50, "reason": "asked by phone"}
    found = await verify(line.database)
    assert (found.entries, found.faults) == (2, [])


async def test_a_hundred_at_once_are_one_chain(line: Line) -> None:
    async def one() -> None:
        async with line.database.begin() as session:
            await audit.record(session, ANA, "timeline.read")
            await asyncio.sleep(0)
            await audit.record(session, ANA, "citizen.read")

    await asyncio.gather(*(one() for _ in range(50)))
    found = await verify(line.database)
    assert (found.entries, found.faults) == (100, [])


async def test_an_open_transaction_with_an_entry_keeps_nobody_waiting(line: Line) -> None:
    async with line.database.begin() as slow:
        await audit.record(slow, ANA, "timeline.read")
        async with asyncio.timeout(20):
            await write(line, 3)
            await line.texter().does(words="Hello")
    assert (await verify(line.database)).entries == 4
    assert await faults(line) == []


async def test_residents_messages_write_no_entry_and_take_no_lock_of_it(line: Line) -> None:
    await write(line, 1)
    async with line.database.begin() as session:
        await session.execute(text("SELECT * FROM audit_head FOR UPDATE"))
        async with asyncio.timeout(20):
            phone = line.texter()
            await phone.does(words="Hello")
            await line.work()
    assert await line.count("audit") == 1


async def test_odd_words_do_not_break_the_chain(line: Line) -> None:
    odd: dict[str, Any] = {
        "nul": "a\x00b",
        "half": "\ud800",
        "deep": [{"a": (1, None, True)}],
        "big": 2**70,
        "part": 0.1,
    }
    async with line.database.begin() as session:
        await audit.record(session, Viewer("token", "x\x00y"), "odd", subject="\x00\udfff", **odd)
    assert await faults(line) == []


async def test_without_the_key_nothing_is_written_down_wrongly(line: Line) -> None:
    database = Database(line.database.url)
    with pytest.raises(LookupError):
        async with database.begin() as session:
            await audit.record(session, ANA, "timeline.read")
    await database.close()


# Checking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE audit SET viewer_name = 'Eve' WHERE number = 3", 3),
        ("UPDATE audit SET action = 'citizen.read' WHERE number = 3", 3),
        ("UPDATE audit SET citizen_id = gen_random_uuid() WHERE number = 3", 3),
        ("UPDATE audit SET citizen_id = NULL WHERE number = 3", 3),
        ("UPDATE audit SET subject = 'x' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE number = 3", 3),
        ("UPDATE audit SET viewer_id = NULL WHERE number = 3", 3),
        ("UPDATE audit SET viewer_kind = 'system' WHERE number = 3", 3),
        ("UPDATE audit SET words = words || '{\"reason\": \"another\"}' WHERE number = 3", 3),
        ("UPDATE audit SET words = NULL WHERE number = 3", 3),
        ("UPDATE audit SET words_digest = decode('00', 'hex') WHERE number = 3", 3),
        ("UPDATE audit SET mac = decode('00', 'hex') WHERE number = 3", 3),
        ("UPDATE audit SET key_mark = '00000000' WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 6", 6),
        ("DELETE FROM audit WHERE number > 3", 4),
        ("UPDATE audit SET number = CASE number WHEN 3 THEN -1 ELSE 3 END WHERE number IN (3, 4)", -1),
        (f"INSERT INTO audit SELECT 7, {', '.join(COLUMNS)} FROM audit WHERE number = 6", 7),
        ("UPDATE audit_head SET last = 5", None),
        ("UPDATE audit_head SET first = 2", None),
        ("DELETE FROM audit_head", None),
        ("DELETE FROM audit", 1),
    ],
)  # fmt: skip
async def test_a_change_is_found_and_named(line: Line, statement: str, first: int | None) -> None:
    await write(line, 6)
    assert await faults(line) == []
    await tamper(line, statement)
    found = await faults(line)
    assert found
    assert first in [number for number, _ in found], found
    if first == 3:
        assert found[0][0] == 3, found


async def test_a_single_change_names_that_entry_alone(line: Line) -> None:
    await write(line, 6)
    await tamper(line, "UPDATE audit SET viewer_name = 'Eve' WHERE number = 3")
    assert await faults(line) == [(3, "was changed, put in or moved")]


async def test_cutting_off_the_end_with_an_old_head_is_told_by_a_receipt(line: Line) -> None:
    await write(line, 3)
    async with line.database.begin() as session:
        await session.execute(text("CREATE TABLE kept AS SELECT * FROM audit_head"))
    await write(line, 3)
    receipt = (await verify(line.database)).receipt
    assert receipt is not None
    assert Receipt.read(str(receipt)).number == 6
    await tamper(
        line,
        "DELETE FROM audit WHERE number > 3",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head SELECT * FROM kept",
        "DROP TABLE kept",
    )
    assert await faults(line) == [], "whoever puts everything back as it was leaves no trace inside"
    told = (await verify(line.database, [Receipt.read(str(receipt))])).faults
    assert [(fault.number, fault.what) for fault in told] == [(6, "is on a receipt, but is not there")]


async def test_after_the_head_was_removed_the_line_goes_on_and_the_break_is_found(line: Line) -> None:
    await write(line, 3)
    await tamper(line, "DELETE FROM audit_head")
    await write(line, 3)
    assert 4 in [number for number, _ in await faults(line)]


async def test_what_a_former_key_signed_is_checked_with_it(line: Line) -> None:
    await write(line, 2)
    newer = Database(line.database.url, secret_key="a-new-key-of-this-city", former_keys=(SECRET_KEY,))
    async with newer.begin() as session:
        await audit.record(session, ANA, "timeline.read")
    assert (await verify(newer)).faults == []
    alone = Database(line.database.url, secret_key="a-new-key-of-this-city")
    assert {fault.number for fault in (await verify(alone)).faults} >= {1, 2}
    await newer.close()
    await alone.close()


async def test_the_table_refuses_to_be_changed(line: Line) -> None:
    await write(line, 1)
    for statement in ("UPDATE audit SET action = 'x'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="only added to"):
            await line.sql(statement)


async def test_an_erased_citizens_words_go_and_the_chain_stays_whole(line: Line) -> None:
    erased = await write(line, 3, note="a word about the person")
    other = await write(line, 3, note="a word about another")
    async with line.database.begin() as session:
        assert await audit.take_words(session, SYSTEM, erased) == 3
    assert await faults(line) == []
    assert await line.count("audit", "words::text LIKE '%a word about the person%'") == 0
    assert await line.count("audit", "words::text LIKE '%a word about another%'") == 3
    await write(line, 1)
    await tamper(line, f"UPDATE audit SET words = NULL WHERE citizen_id = '{other}' AND number = 5")
    assert await faults(line) == [(5, "has lost its words, and no entry says why")]


async def test_what_is_older_than_its_time_goes_from_the_beginning(line: Line) -> None:
    await write(line, 4)
    moment = now()
    await write(line, 2)
    async with line.database.begin() as session:
        assert await audit.shorten(session, SYSTEM, moment) == 4
    assert await faults(line) == []
    assert [row.number for row in await line.sql("SELECT number FROM audit ORDER BY 1")] == [5, 6, 7]
    async with line.database.begin() as session:
        assert await audit.shorten(session, SYSTEM, moment - timedelta(days=1)) == 0
        assert await audit.shorten(session, SYSTEM, now() + timedelta(days=1)) == 3
    assert await faults(line) == []
    await write(line, 1)
    assert await faults(line) == []
    await tamper(line, "DELETE FROM audit WHERE number = 8")
    assert await faults(line) == [(8, "is missing")]


async def test_many_entries_are_walked_in_bounded_steps(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contact_hub.audit.checking._AT_ONCE", 3)
    await write(line, 10)
    found = await verify(line.database)
    assert (found.entries, found.faults) == (10, [])


# Any tampering at all --------------------------------------------------------------------------------

PLACE = st.integers(1, 6)
TAMPERING = st.one_of(
    st.tuples(st.just("delete"), PLACE, PLACE),
    st.tuples(st.just("swap"), PLACE, PLACE),
    st.tuples(st.just("copy"), PLACE, PLACE),
    st.tuples(st.sampled_from(COLUMNS), PLACE, PLACE),
    st.tuples(st.just("insert"), PLACE, PLACE),
)


@given(tampering=st.lists(TAMPERING, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_to_the_entries_is_found(
    module_database_url: str, tampering: list[tuple[str, int, int]]
) -> None:
    """Deletes, swaps, copies over, changes one column to another entry's, or puts entries in between."""
    asyncio.run(_tampered(module_database_url, tampering))


async def _tampered(url: str, tampering: list[tuple[str, int, int]]) -> None:
    database = Database(url, pool_size=2, secret_key=SECRET_KEY)
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_head")
        for number in range(6):
            async with database.begin() as session:
                await audit.record(
                    session,
                    Viewer("staff", f"Ana {number}", uuid.uuid4()),
                    f"action.{number}",
                    citizen_id=uuid.uuid4(),
                    subject=f"subject {number}",
                    page=number,
                )
        assert (await verify(database)).faults == []
        before = connection.execute("SELECT to_jsonb(a) FROM audit a ORDER BY number").fetchall()
        for kind, first, second in tampering:
            _tamper(connection, kind, first, second)
        after = connection.execute("SELECT to_jsonb(a) FROM audit a ORDER BY number").fetchall()
        found = (await verify(database)).faults
        assert bool(found) == (before != after), json.dumps([str(fault) for fault in found])
    await database.close()


def _tamper(connection: psycopg.Connection[tuple[object, ...]], kind: str, first: int, second: int) -> None:
    both = {"a": first, "b": second}
    if kind == "delete":
        connection.execute("DELETE FROM audit WHERE number = %(a)s", both)
    elif kind == "swap":
        connection.execute("UPDATE audit SET number = -1 WHERE number = %(a)s", both)
        connection.execute("UPDATE audit SET number = %(a)s WHERE number = %(b)s", both)
        connection.execute("UPDATE audit SET number = %(b)s WHERE number = -1", both)
    elif kind == "insert":
        connection.execute("UPDATE audit SET number = -number WHERE number > %(a)s", both)
        connection.execute("UPDATE audit SET number = 1 - number WHERE number < 0", both)
        connection.execute(
            f"INSERT INTO audit SELECT %(a)s + 1, {', '.join(COLUMNS)} FROM audit WHERE number = %(b)s"
            " ON CONFLICT DO NOTHING",
            both,
        )
    else:
        columns = COLUMNS if kind == "copy" else (kind,)
        setting = ", ".join(f"{column} = o.{column}" for column in columns)
        connection.execute(
            f"UPDATE audit a SET {setting} FROM audit o WHERE a.number = %(a)s AND o.number = %(b)s",
            both,
        )


# Reading and answering are entries -------------------------------------------------------------------


async def test_every_reading_of_a_record_is_an_entry(line: Line, web: httpx.AsyncClient) -> None:
    phone = line.texter()
    await phone.does(words="The canary sings")
    await line.work()
    citizen = (await phone.place()).citizen_id
    talk = (await phone.conversation()).id
    async with line.database.begin() as session:
        made = await create_token(session, "Registry", [*Scope])
    head = {"Authorization": f"Bearer {made}"}
    for path, action in (
        ("/api/v1/citizens?channel=sms&address=%2B15551230001", "citizen.found"),
        (f"/api/v1/citizens/{citizen}", "citizen.read"),
        (f"/api/v1/citizens/{citizen}/timeline", "timeline.read"),
        (f"/api/v1/conversations/{talk}", "conversation.read"),
    ):
        assert (await web.get(path, headers=head)).status_code == 200
        (row,) = await line.sql(
            "SELECT viewer_kind, viewer_name, action, citizen_id FROM audit ORDER BY number DESC LIMIT 1"
        )
        assert tuple(row) == ("token", "Registry", action, citizen)
    stranger = uuid.uuid4()
    assert (await web.get(f"/api/v1/citizens/{stranger}", headers=head)).status_code == 404
    (row,) = await line.sql("SELECT action, subject FROM audit ORDER BY number DESC LIMIT 1")
    assert tuple(row) == ("citizen.refused", str(stranger))
    answer = await web.post(
        f"/api/v1/conversations/{talk}/messages", headers=head, json={"text": "A secret answer"}
    )
    assert answer.status_code == 202
    (row,) = await line.sql("SELECT action, citizen_id FROM audit ORDER BY number DESC LIMIT 1")
    assert tuple(row) == ("conversation.answered", citizen)
    everything = str(await line.sql("SELECT to_jsonb(a) FROM audit a"))
    for words in ("canary", "secret answer", "+15551230001"):
        assert words not in everything
    assert await faults(line) == []
