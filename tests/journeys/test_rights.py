"""A resident's rights over the running line: a copy, being parted again, forgotten, and staying so."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import httpx
import jsonschema
import psycopg
import pytest
from sqlalchemy import text

from contact_hub.database import Database, new_id
from contact_hub.identity import codes
from contact_hub.privacy import counts
from contact_hub.settings import libpq_url
from contact_hub.timeline import service as timeline
from tests.journeys.residents import Books, BySms, OnTheWeb, until
from tests.searching import columns_with, files_with
from tests.whole import ROOT, WholeLine

T = TypeVar("T")


def code_in(words: str) -> str:
    found = re.search(codes.SHOWN, words)
    assert found is not None, words
    return found[0]


def told(line: WholeLine, *command: str) -> Any:
    """What a command prints as JSON."""
    done = line.civicline(*command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def said_by(line: WholeLine, citizen: str) -> list[str]:
    """What a citizen said by all their addresses, as staff read it, oldest first."""
    shown = told(line, "timeline", citizen, "--direction", "in", "--limit", "200")["touchpoints"]
    return [event["text"] for event in reversed(shown)]


def on(line: WholeLine, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do something on the line's database, as one of its processes does."""
    key = (line.data / "secret_key").read_text(encoding="utf-8").strip()

    async def run() -> T:
        database = Database(line.database_url, pool_size=1, secret_key=key)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


# Merged and parted -------------------------------------------------------------------------------


def test_after_a_merge_and_twenty_more_messages_an_undo_loses_nothing_and_mixes_nothing(
    line: WholeLine, texter: BySms, visitor: OnTheWeb
) -> None:
    texter.asks("hello from the phone, before")
    visitor.asks("hello from the page, before")
    phone, page = f"sms:{texter.address}", f"web_chat:{visitor.address}"
    texter.asks(code_in(visitor.asks("please join my chats")))
    for number in range(10):
        texter.delivers(f"{number} from the phone")
        visitor.says(f"{number} from the page")
    texter.settles()
    visitor.settles()
    by_phone, by_page = ([f"{n} from the {place}" for n in range(10)] for place in ("phone", "page"))
    together = said_by(line, phone)
    assert {*by_phone, *by_page} <= {*together}
    assert not any("from the phone" in heard.words for heard in visitor.inbox())

    (merge,) = told(line, "citizen", "show", phone)["merges"]
    told(line, "citizen", "undo", merge["merge"], "--reason", "they are two people")
    mine, theirs = said_by(line, phone), said_by(line, page)
    assert [words for words in mine if words in by_phone] == by_phone
    assert [words for words in theirs if words in by_page] == by_page
    assert not any("page" in words for words in mine) and not any("phone" in words for words in theirs)
    assert sorted(mine + theirs) == sorted(together)


# A copy ------------------------------------------------------------------------------------------


def test_a_copy_asked_for_in_the_chat_is_fetched_there_and_follows_its_schema(
    line: WholeLine, visitor: OnTheWeb, photo: bytes
) -> None:
    visitor.asks("When is my recycling collected?")
    visitor.shows(photo, "this is my street")
    visitor.asks("Please send me a copy of all my data")
    feed = visitor.http.get("/channels/web_chat/messages").json()["messages"]
    (file,) = next(message["attachments"] for message in reversed(feed) if message.get("attachments"))
    where = f"/channels/web_chat/attachments/{file['id']}"
    archive = zipfile.ZipFile(BytesIO(visitor.http.get(where).content))

    assert archive.testzip() is None
    data, schema = (json.loads(archive.read(name)) for name in ("data.json", "schema.json"))
    assert schema == httpx.get(data["schema"], trust_env=False).json(), "the one that is published"
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(data)
    assert [address["value"] for address in data["addresses"]] == [visitor.address]
    asked = [t["text"] for t in data["touchpoints"] if t["by"] == "citizen"]
    assert {"When is my recycling collected?", "this is my street"} <= {*asked}
    assert archive.read(data["files"][0]["path"]) == photo
    assert data["terms"][0]["text"], "the terms travel with the data"
    page = archive.read("index.html").decode()
    assert "When is my recycling collected?" in page
    assert visitor.http.get(where).status_code == httpx.codes.NOT_FOUND, "once"


# Forgotten ---------------------------------------------------------------------------------------

CANARY = "zebrafinch8825"
LAST_MONTH = datetime.now(UTC).replace(day=1) - timedelta(days=10)


@pytest.fixture(scope="module")
def neighbour(line: WholeLine, books: Books) -> BySms:
    """Somebody else, who stays."""
    return BySms(line, books)


@pytest.fixture(scope="module")
def forgotten(line: WholeLine, books: Books) -> BySms:
    """Somebody who will be erased."""
    return BySms(line, books)


@pytest.fixture(scope="module")
def backup(line: WholeLine, forgotten: BySms, neighbour: BySms, tmp_path_factory: Any) -> Path:
    """A backup of the line on which both of them have written, this month and last."""
    neighbour.asks("hello, I am the neighbour")
    forgotten.asks("there's a huge pothole in Mill Lane")
    forgotten.asks(f"It is as deep as {CANARY}")
    forgotten.asks("skip")
    path: Path = tmp_path_factory.mktemp("backup") / "line.backup"
    on(line, lambda database: _last_month(database, forgotten))
    told(line, "backup", str(path))
    return path


async def _last_month(database: Database, resident: BySms) -> None:
    async with database.begin() as session:
        address = await session.scalar(
            text("SELECT id FROM address WHERE value = :value"), {"value": resident.address}
        )
        await session.execute(
            text("SELECT ensure_touchpoint_partition(CAST(:day AS date))"), {"day": LAST_MONTH.date()}
        )
        assert address is not None
        fresh = new_id()
        moment = int(LAST_MONTH.timestamp() * 1000) << 80
        which = uuid.UUID(int=moment | fresh.int & (1 << 80) - 1)
        await timeline.record(
            session,
            address_id=address,
            direction="in",
            actor="citizen",
            kind="text",
            words=f"{CANARY} of last month",
            touchpoint_id=which,
        )
        await session.execute(
            text("UPDATE touchpoint SET recorded_at = :at WHERE id = :id"), {"at": LAST_MONTH, "id": which}
        )


async def _figures(database: Database) -> dict[tuple[str, str, str], int]:
    async with database.begin() as session:
        return await counts.monthly(session, LAST_MONTH.date())


def test_whoever_asks_to_be_erased_is_found_nowhere_and_last_months_figures_stay(
    line: WholeLine, books: Books, backup: Path, forgotten: BySms
) -> None:
    before = on(line, _figures)
    assert before["touchpoint", "sms", "in text"] >= 1
    places = columns_with(line.database_url, CANARY)
    assert {"public.touchpoint.text", "public.report.description", "assistant.tracker.events"} <= {*places}

    asked = forgotten.asks("Please delete all my data")
    assert "1 = " in asked, asked
    forgotten.says("1")
    until(
        lambda: not books.rows("SELECT 1 FROM address WHERE value = %s", forgotten.address),
        "the address is gone",
    )

    assert columns_with(line.database_url, CANARY) == []
    assert columns_with(line.database_url, forgotten.address.removeprefix("+")) == []
    assert files_with(line.data, CANARY) == []
    assert CANARY not in line.told.read_text(errors="replace"), "what the processes print"
    assert on(line, _figures) == before


# And stays so ------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(line: WholeLine, books: Books) -> Iterator[str]:
    """Another database beside the line's, which is at rest; it runs again for whoever comes next."""
    books.close()
    address = libpq_url(line.database_url).replace("/civicline?", "/postgres?")
    assert line.stop() == 0
    yield address
    if line.up is None or line.up.poll() is not None:
        line.start()


def _loading(elsewhere: str) -> bool:
    """Whether a backup is being loaded; asked from another database, as a restore wants its own to itself."""
    try:
        with psycopg.connect(elsewhere, connect_timeout=2) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'civicline restore'"
            ).fetchone()
    except psycopg.OperationalError:  # it has not started yet
        return False
    return row is not None and row[0] >= 2


def test_a_restored_backup_erases_again_and_one_killed_half_way_leaves_a_line_that_starts(
    line: WholeLine, elsewhere: str, backup: Path, forgotten: BySms, neighbour: BySms
) -> None:
    phone = f"sms:{neighbour.address}"
    refused = line.civicline("restore", str(backup))
    assert refused.returncode != 0 and "--replace" in refused.stderr
    restored = told(line, "restore", str(backup), "--replace")
    assert restored["erasures"] >= 1 and restored["erased_again"] == 1
    assert line.civicline("timeline", f"sms:{forgotten.address}").returncode == 1
    assert "hello, I am the neighbour" in said_by(line, phone)
    assert told(line, "search", CANARY)["hits"] == []
    told(line, "hold", "add", phone, "--reason", "since the restore")

    command = [sys.executable, "-m", "contact_hub.cli", "restore", str(backup), "--replace", "--json"]
    restoring = subprocess.Popen(
        command,
        env=line.environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: _loading(elsewhere) or restoring.poll() is not None, "the backup is being loaded")
    os.killpg(restoring.pid, signal.SIGKILL)
    assert restoring.wait() == -signal.SIGKILL, "it was killed in the middle"

    line.start()
    assert neighbour.asks("hello again")
    assert "hello, I am the neighbour" in said_by(line, phone)
    held = told(line, "hold", "list", phone)
    assert [hold["reason"] for hold in held] in ([], ["since the restore"]), "the old state or the new one"
    assert columns_with(line.database_url, CANARY) == []
