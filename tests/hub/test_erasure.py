"""Erasing a person: nothing of them is left anywhere, the figures stay, and no backup brings them back."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from channels.base.contract import InboundKind, Upload
from contact_hub.audit.service import record
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Citizen
from contact_hub.database import Database, now
from contact_hub.handoff import service as handoff
from contact_hub.identity import merging
from contact_hub.models import Base
from contact_hub.operations.queue import Lane, LeaseLost
from contact_hub.privacy import belongings, counts, erasure, holds
from contact_hub.privacy.erasure import Answer, Held
from contact_hub.privacy.schedule import schedule_of
from contact_hub.settings import libpq_url
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.timeline import service as timeline
from tests.hub.line import SECRET_KEY, Line, Resident, Script, found, says, turn

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


def columns_with(url: str, words: str) -> list[str]:
    """Every table and column, of every schema that is not PostgreSQL's own, in which words stand."""
    found = []
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for schema, table, column in columns:
            query = sql.SQL(
                "SELECT count(*) FROM {} WHERE position({} in {}::text) > 0 OR position({} in {}::text) > 0"
            ).format(
                sql.Identifier(schema, table),
                sql.Literal(words),
                sql.Identifier(column),
                sql.Literal(words.encode().hex()),
                sql.Identifier(column),
            )
            (number,) = connection.execute(query).fetchone() or (0,)
            if number:
                found.append(f"{schema}.{table}.{column}")
    return found


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
        "assistant.tracker.events",
        "assistant.turn.outcome",
    } <= set(places)  # the search can find it
    citizen = await citizen_of(texter)
    before = await figures(talking)

    answer = await erase(talking, citizen, tmp_path)

    assert columns_with(url, CANARY) == []
    assert columns_with(url, NUMBER) == []
    assert columns_with(url, NUMBER.removeprefix("+")) == []
    assert columns_with(url, visitor.address) == []
    assert [str(f) for f in tmp_path.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()] == []
    assert {key: n for key, n in (await figures(talking)).items() if key[0] != "erasure"} == before
    assert [t.text for t in await stranger.touchpoints()][0] == "Somebody else entirely"
    said = {line.records: line for line in answer.lines}
    assert said["messages"].erased > 5 and said["messages"].kept == 0
    assert said["reports"].kept == 1 and said["reports"].rule is not None
    assert said["reports"].rule.name == "works-record"
    assert (await talking.sql("SELECT category, place, address_id FROM report")) == [("pothole", "", None)]
    assert await talking.work() == 0  # the task went with its message
    assert await talking.unsettled() == 0


async def figures(line: Line) -> dict[tuple[str, str, str], int]:
    async with line.database.begin() as session:
        return await counts.monthly(session, now().date())
