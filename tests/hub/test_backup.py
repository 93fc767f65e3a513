"""A backup holds everything, opens for its own line only, and comes back whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from channels.base.contract import InboundKind
from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.operations import backup, migrate, restore
from contact_hub.operations.backup import BackupError, Manifest
from contact_hub.operations.postgres import Postgres
from contact_hub.privacy import erasure
from contact_hub.privacy.resealing import seal_anew
from contact_hub.privacy.schedule import schedule_of
from contact_hub.sealing import Sealer, Unsealable
from contact_hub.settings import libpq_url
from contact_hub.staff.access import SYSTEM
from contact_hub.timeline import service as timeline
from tests.hub.line import SECRET_KEY, Line

SEALER = Sealer(SECRET_KEY)
PHOTO = os.urandom(700_000)  # three chunks
CANARY = "The lamp at Canary Quay is broken"
Urls = Callable[[], str]


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Urls]:
    """Makes databases without a table in them."""
    made: list[str] = []

    def make() -> str:
        made.append(f"r_{uuid.uuid4().hex[:12]}")
        return postgres.create_database(made[-1])

    yield make
    with psycopg.connect(postgres.libpq("postgres"), autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def photo(database_url: str, city: City) -> uuid.UUID:
    """A resident who wrote, with a photo, on a line that has stopped since."""
    line = Line(database_url, city)
    resident = await line.visitor()
    await resident.says(CANARY)
    stored = await resident.does(InboundKind.TEXT, "and this is how it looks")
    place = await resident.place()
    async with line.database.begin() as session:
        file = await timeline.keep_file(
            session,
            touchpoint_id=stored.touchpoint_id,
            address_id=place.id,
            name="lamp.png",
            mime="image/png",
            data=PHOTO,
        )
    await line.close()
    return file


def ask(url: str, question: str) -> Any:
    with psycopg.connect(libpq_url(url)) as connection:
        row = connection.execute(question).fetchone()
    return row[0] if row else None


def write(url: str, path: Path, sealer: Sealer = SEALER) -> Manifest:
    with backup.new_file(path) as file:
        return backup.write(url, file, sealer).manifest


def bring_back(url: str, path: Path, sealer: Sealer = SEALER, **options: Any) -> Manifest:
    wishes = {"replace": False, "finish": lambda beside: None, **options}
    with path.open("rb") as file:
        return restore.restore(url, file, sealer, **wishes)


async def read_photo(url: str, file: uuid.UUID, *keys: str) -> bytes:
    database = Database(url, secret_key=(keys or (SECRET_KEY,))[0], former_keys=keys[1:])
    try:
        async with database.begin() as session:
            found = await timeline.read_file(session, file)
    finally:
        await database.close()
    assert found is not None
    return found[1]


def tables(url: str) -> dict[str, int]:
    with psycopg.connect(libpq_url(url)) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in names}  # type: ignore[index]


def schemas(url: str) -> set[str]:
    with psycopg.connect(libpq_url(url)) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            )
        }


async def test_everything_comes_back_on_another_machine(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    before = tables(database_url)
    manifest = write(database_url, tmp_path / "monday.backup")
    assert (manifest.citizens, manifest.attachments, manifest.attachment_bytes) == (1, 1, len(PHOTO))
    assert manifest.schema == migrate.newest()
    assert (tmp_path / "monday.backup").stat().st_mode & 0o777 == 0o600

    elsewhere = empty()
    assert bring_back(elsewhere, tmp_path / "monday.backup") == manifest
    assert tables(elsewhere) == before
    assert await read_photo(elsewhere, photo) == PHOTO
    assert ask(elsewhere, f"SELECT count(*) FROM touchpoint WHERE text = '{CANARY}'") == 1
    assert schemas(elsewhere) == {"public"}


async def test_a_restored_line_goes_on_where_it_was(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path, city: City
) -> None:
    write(database_url, tmp_path / "monday.backup")
    elsewhere = empty()
    bring_back(elsewhere, tmp_path / "monday.backup")
    line = Line(elsewhere, city)
    try:
        assert await (await line.visitor()).says("When is my recycling collected?")
        assert await line.count("citizen") == 2
    finally:
        await line.close()


async def test_nothing_in_the_file_can_be_read(database_url: str, photo: uuid.UUID, tmp_path: Path) -> None:
    write(database_url, tmp_path / "monday.backup")
    sealed = (tmp_path / "monday.backup").read_bytes()
    assert CANARY.encode() not in sealed
    assert b"citizen" not in sealed
    assert PHOTO[:64] not in sealed


async def test_attachments_lie_sealed_in_the_database(database_url: str, photo: uuid.UUID) -> None:
    with psycopg.connect(libpq_url(database_url)) as connection:
        chunks = connection.execute("SELECT data FROM attachment_chunk ORDER BY position").fetchall()
    assert len(chunks) == 3
    assert not any(PHOTO[at : at + 32] in data for (data,) in chunks for at in range(0, len(PHOTO), 100_000))


@pytest.mark.parametrize(
    "change",
    [
        # Two steps, because the position is part of the key.
        "UPDATE attachment_chunk SET position = -position;UPDATE attachment_chunk SET position=2+position",
        "DELETE FROM attachment_chunk WHERE position = 2",
        "UPDATE attachment_chunk SET data = set_byte(data, 5, get_byte(data, 5) # 1) WHERE position = 1",
    ],
)
async def test_chunks_that_were_swapped_dropped_or_changed_are_noticed(
    database_url: str, photo: uuid.UUID, change: str
) -> None:
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        connection.execute(change)
    with pytest.raises(Unsealable):
        await read_photo(database_url, photo)


async def test_a_backup_is_one_moment_although_residents_write_meanwhile(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    written = False

    def somebody_writes(done: int) -> None:
        nonlocal written
        if not written:
            written = True
            with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
                connection.execute("DELETE FROM attachment")

    with backup.new_file(tmp_path / "monday.backup") as file:
        backup.write(database_url, file, SEALER, somebody_writes)
    assert written
    elsewhere = empty()
    bring_back(elsewhere, tmp_path / "monday.backup")  # which compares the figures
    assert await read_photo(elsewhere, photo) == PHOTO


async def test_a_wrong_key_is_told_in_one_sentence(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    write(database_url, tmp_path / "monday.backup")
    elsewhere = empty()
    with pytest.raises(Unsealable, match="another SECRET_KEY") as refused:
        bring_back(elsewhere, tmp_path / "monday.backup", Sealer("the key of another city hall"))
    assert "\n" not in str(refused.value)
    assert tables(elsewhere) == {}


@pytest.mark.parametrize("part", [0.3, 0.9, 0.9999])
async def test_a_file_cut_short_changes_nothing(
    database_url: str, photo: uuid.UUID, tmp_path: Path, part: float
) -> None:
    path = tmp_path / "monday.backup"
    write(database_url, path)
    os.truncate(path, int(path.stat().st_size * part))
    before = tables(database_url)
    with pytest.raises(Unsealable, match="cut short"):
        bring_back(database_url, path, replace=True)
    assert tables(database_url) == before
    assert schemas(database_url) == {"public"}


async def test_what_is_not_empty_is_given_up_only_on_wish(
    database_url: str, photo: uuid.UUID, tmp_path: Path
) -> None:
    write(database_url, tmp_path / "monday.backup")
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        connection.execute("DELETE FROM attachment")
    with pytest.raises(BackupError, match="not empty"):
        bring_back(database_url, tmp_path / "monday.backup")
    bring_back(database_url, tmp_path / "monday.backup", replace=True)
    assert await read_photo(database_url, photo) == PHOTO


async def test_tables_of_somebody_else_are_never_removed(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    write(database_url, tmp_path / "monday.backup")
    elsewhere = empty()
    with psycopg.connect(libpq_url(elsewhere), autocommit=True) as connection:
        connection.execute("CREATE TABLE payroll (name text)")
    with pytest.raises(BackupError, match="not Civicline's"):
        bring_back(elsewhere, tmp_path / "monday.backup", replace=True)
    assert tables(elsewhere) == {"payroll": 0}


async def test_a_line_that_runs_is_not_restored_under(
    database_url: str, photo: uuid.UUID, tmp_path: Path
) -> None:
    write(database_url, tmp_path / "monday.backup")
    with psycopg.connect(libpq_url(database_url)) as worker:
        worker.execute("SELECT 1")
        with pytest.raises(BackupError, match="still in use"):
            bring_back(database_url, tmp_path / "monday.backup", replace=True)


async def test_a_failure_at_the_last_step_leaves_the_live_tables_alone(
    database_url: str, photo: uuid.UUID, tmp_path: Path
) -> None:
    write(database_url, tmp_path / "monday.backup")
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        connection.execute("UPDATE attachment SET name = 'newer.png'")

    def fails(beside: str) -> None:
        assert ask(beside, "SELECT name FROM attachment") == "lamp.png"
        assert ask(database_url, "SELECT name FROM attachment") == "newer.png"
        raise BackupError("the ledger is broken")

    with pytest.raises(BackupError, match="ledger"):
        bring_back(database_url, tmp_path / "monday.backup", replace=True, finish=fails)
    assert ask(database_url, "SELECT name FROM attachment") == "newer.png"
    assert schemas(database_url) == {"public"}


async def test_an_older_backup_is_brought_to_this_version(
    photo: uuid.UUID, database_url: str, empty: Urls, tmp_path: Path
) -> None:
    older = empty()
    migrate.upgrade(older, "0002")
    with psycopg.connect(libpq_url(older), autocommit=True) as connection:
        connection.execute("INSERT INTO citizen (id, created_at) VALUES (gen_random_uuid(), now())")
    manifest = write(older, tmp_path / "last-year.backup")
    assert manifest.schema == "0002"
    seen: list[str] = []

    def finish(beside: str) -> None:
        seen.append(ask(beside, "SELECT version_num FROM alembic_version"))

    bring_back(database_url, tmp_path / "last-year.backup", replace=True, finish=finish)
    assert seen == [migrate.newest()]  # nobody is erased on tables of another version
    assert ask(database_url, "SELECT version_num FROM alembic_version") == migrate.newest()
    assert ask(database_url, "SELECT count(*) FROM citizen") == 1
    assert ask(database_url, "SELECT count(*) FROM attachment") == 0


async def test_a_newer_backup_asks_for_a_newer_program(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    write(database_url, tmp_path / "future.backup")
    with pytest.raises(BackupError, match="newer program"):
        bring_back(empty(), tmp_path / "future.backup")


def test_a_backup_replaces_no_other_and_leaves_no_half(tmp_path: Path, empty: Urls) -> None:
    (tmp_path / "kept.backup").write_bytes(b"precious")
    with pytest.raises(BackupError, match="there already"):
        write(empty(), tmp_path / "kept.backup")
    with pytest.raises(BackupError, match="nothing to back up"):
        write(empty(), tmp_path / "new.backup")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.backup"]


async def test_replacing_the_key_seals_everything_anew_and_old_files_as_well(
    database_url: str, photo: uuid.UUID, tmp_path: Path
) -> None:
    new_key = "the key after the old one leaked"
    with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
        # As an earlier version kept it.
        connection.execute(
            "INSERT INTO attachment"
            " (id, touchpoint_id, address_id, name, mime, size, sha256, created_at, sealed)"
            " SELECT gen_random_uuid(), touchpoint_id, address_id, 'old.txt', 'text/plain', 5,"
            " sha256('plain'), now(), false FROM attachment"
        )
        connection.execute(
            "INSERT INTO attachment_chunk (attachment_id, position, data)"
            " SELECT id, 0, 'plain' FROM attachment WHERE name = 'old.txt'"
        )
    old = ask(database_url, "SELECT id FROM attachment WHERE name = 'old.txt'")
    assert await read_photo(database_url, old) == b"plain"

    database = Database(database_url, secret_key=new_key, former_keys=(SECRET_KEY,))
    assert (await seal_anew(database, tmp_path))["attachments"] == 2
    assert (await seal_anew(database, tmp_path))["attachments"] == 0
    await database.close()
    assert await read_photo(database_url, photo, new_key) == PHOTO
    assert await read_photo(database_url, old, new_key) == b"plain"
    assert ask(database_url, "SELECT count(*) FROM attachment_chunk WHERE data = 'plain'") == 0
    with pytest.raises(Unsealable, match="another SECRET_KEY"):
        await read_photo(database_url, photo)


def _civicline(database_url: str, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DATABASE_URL": libpq_url(database_url),
        "CIVICLINE_DATA": str(data),
        "SECRET_KEY": SECRET_KEY,
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [str(Path(sys.executable).parent / "civicline"), *arguments],
        env=environment,
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


async def test_whoever_was_erased_stays_erased_when_an_older_backup_comes_back(
    database_url: str, photo: uuid.UUID, city: City, empty: Urls, tmp_path: Path
) -> None:
    assert _civicline(database_url, tmp_path, "backup", "monday").returncode == 0
    line = Line(database_url, city)
    citizen = await line.one("SELECT citizen_id FROM address WHERE channel = 'web_chat'")
    async with line.database.begin() as session:
        await erasure.erase(
            session, SYSTEM, citizen, schedule=schedule_of(city), folder=tmp_path, reason="they asked"
        )
    await (await line.visitor()).says("Somebody else")
    await line.close()

    again = _civicline(database_url, tmp_path, "restore", "monday", "--replace", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["erased_again"] == 1
    assert ask(database_url, f"SELECT count(*) FROM touchpoint WHERE text = '{CANARY}'") == 0
    assert ask(database_url, "SELECT count(*) FROM attachment_chunk") == 0

    # On another machine, with the ledger of this one.
    (tmp_path / "erasures.log").rename(tmp_path / "saved.log")
    (tmp_path / "fresh").mkdir()
    elsewhere = empty()
    moved = _civicline(
        elsewhere, tmp_path / "fresh", "restore", "../monday", "--erasures", "../saved.log", "--json"
    )
    assert moved.returncode == 0, moved.stderr
    assert json.loads(moved.stdout)["erased_again"] == 1
    assert ask(elsewhere, f"SELECT count(*) FROM touchpoint WHERE text = '{CANARY}'") == 0
    assert (tmp_path / "fresh" / "erasures.log").exists()


async def test_the_commands_say_what_they_did_and_what_is_wrong(
    database_url: str, photo: uuid.UUID, empty: Urls, tmp_path: Path
) -> None:
    elsewhere = empty()
    made = _civicline(database_url, tmp_path, "backup", "b", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] == (tmp_path / "b").stat().st_size

    checked = _civicline(elsewhere, tmp_path, "restore", "b", "--check")
    assert "It is whole" in checked.stdout, checked.stderr
    done = _civicline(elsewhere, tmp_path, "restore", "b")
    assert "Restored" in done.stdout and "1 attachments (700.0 kB)" in done.stdout, done.stderr
    again = _civicline(elsewhere, tmp_path, "restore", "b")
    assert (again.returncode, again.stdout) == (1, "")
    assert "--replace" in again.stderr and "Traceback" not in again.stderr

    (tmp_path / "c").write_bytes((tmp_path / "b").read_bytes()[:-100])
    cut = _civicline(elsewhere, tmp_path, "restore", "c", "--replace")
    assert cut.returncode == 1
    assert "cut short" in cut.stderr and "Traceback" not in cut.stderr
    gone = _civicline(elsewhere, tmp_path, "restore", "nowhere")
    assert (gone.returncode, "cannot be read" in gone.stderr) == (2, True)
