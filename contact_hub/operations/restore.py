"""Restoring a backup: everything is made ready beside the live tables, then both change places.

The backup is loaded in one transaction into the schema `restored`. There it is brought to this
version's tables, and whoever was erased since is erased again; only then one transaction drops the
live tables and gives `restored` their name. Killed at any point before that, a restore has changed
nothing that the line uses, and the next one clears its remains away.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from urllib.parse import quote

import psycopg
from psycopg.rows import TupleRow

from contact_hub.operations import migrate
from contact_hub.operations import postgres_programs as programs
from contact_hub.operations.backup import PURPOSE, BackupError, Manifest, Progress
from contact_hub.operations.sealed_file import read_pieces
from contact_hub.sealing import Sealer
from contact_hub.settings import libpq_url

BESIDE = "restored"
NAME = "civicline restore"
LOCK = 0x72737472  # "rstr": one restore at a time
BEFORE = f"""
    BEGIN;
    DROP SCHEMA IF EXISTS {BESIDE} CASCADE;
    ALTER SCHEMA public RENAME TO replaced;
    CREATE SCHEMA public;
"""
AFTER = f"""
    ALTER SCHEMA public RENAME TO {BESIDE};
    ALTER SCHEMA replaced RENAME TO public;
    COMMIT;
"""
SWAP = f"""
    DROP SCHEMA public CASCADE;
    ALTER SCHEMA {BESIDE} RENAME TO public;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
# What Rasa remembers stands beside our tables; nothing else would reach what was said since the backup.
STRAYS = """
    DO $$ DECLARE name text; BEGIN
        FOREACH name IN ARRAY ARRAY['assistant.tracker', 'assistant.turn'] LOOP
            IF to_regclass(name) IS NOT NULL THEN
                EXECUTE format('DELETE FROM %s WHERE NOT EXISTS'
                               ' (SELECT FROM public.conversation WHERE id::text = conversation)', name);
            END IF;
        END LOOP;
    END $$
"""

Finish = Callable[[str], None]  # what has to be done to the restored tables, at the address that shows them


def check(file: BinaryIO, sealer: Sealer, progress: Progress = lambda n: None) -> Manifest:
    """Read a whole backup without restoring it; raises BackupError or Unsealable."""
    pieces = read_pieces(file, sealer, PURPOSE)
    manifest = Manifest.read(next(pieces, b""))
    done = 0
    for piece in pieces:
        done += len(piece)
        progress(done)
    return manifest


def restore(
    url: str,
    file: BinaryIO,
    sealer: Sealer,
    *,
    replace: bool,
    finish: Finish,
    progress: Progress = lambda n: None,
) -> Manifest:
    """Put a backup in the place of the database's tables; raises BackupError or Unsealable.

    `finish` gets the restored tables before anybody else sees them. The caller makes sure that no
    process of the line can start meanwhile, as far as that is in its power.
    """
    pieces = read_pieces(file, sealer, PURPOSE)
    manifest = Manifest.read(next(pieces, b""))
    if manifest.schema > migrate.newest():
        raise BackupError(
            f"This backup was made by a newer program (tables {manifest.schema}, and this one knows"
            f" {migrate.newest()}): install that one first."
        )
    url = address_of(url, application_name=NAME)  # which tells our connections from a line that runs
    try:
        with _connected(url) as connection:
            if not _one(connection, f"SELECT pg_try_advisory_lock({LOCK})"):
                raise BackupError("Another restore is under way on this database.")
            _refuse(connection, replace=replace)
            try:
                _load(url, pieces, progress)
                beside = address_of(url, options=f"-csearch_path={BESIDE}")
                _compare(beside, manifest)
                migrate.upgrade(beside)
                finish(beside)
                _refuse_company(connection)
                with connection.transaction():
                    connection.execute(SWAP)
                    connection.execute(STRAYS)
            finally:
                connection.execute(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE")
            connection.execute("ANALYZE")
    except psycopg.OperationalError as error:
        raise BackupError(f"The database cannot be reached: {str(error).splitlines()[0]}") from None
    return manifest


def address_of(url: str, **wishes: str) -> str:
    """The same database's address with something more in it."""
    separator = "&" if "?" in url else "?"
    return url + separator + "&".join(f"{name}={quote(value)}" for name, value in wishes.items())


def _refuse(connection: psycopg.Connection[TupleRow], *, replace: bool) -> None:
    _refuse_company(connection)
    connection.execute("CREATE SCHEMA IF NOT EXISTS public")
    ours = _one(connection, "SELECT to_regclass('public.alembic_version') IS NOT NULL")
    tables = _one(connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    if tables and not ours:
        raise BackupError("This database holds tables that are not Civicline's: restoring would remove them.")
    extensions = connection.execute(
        "SELECT e.extname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE n.nspname = 'public' ORDER BY 1"
    ).fetchall()
    if extensions:
        names = ", ".join(name for (name,) in extensions)
        raise BackupError(
            f"The schema public holds the extension {names}, which restoring would remove: move it with"
            " ALTER EXTENSION ... SET SCHEMA first."
        )
    if ours and not replace and _one(connection, _SOMEBODY):
        raise BackupError(
            "This database is not empty. With --replace everything in it is given up for the backup."
        )


_SOMEBODY = (
    "SELECT EXISTS (SELECT FROM citizen) OR EXISTS (SELECT FROM staff WHERE password_hash IS NOT NULL)"
)


def _refuse_company(connection: psycopg.Connection[TupleRow]) -> None:
    others = connection.execute(
        "SELECT coalesce(nullif(application_name, ''), 'a client'), count(*)::int FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND application_name IS DISTINCT FROM %s"
        " GROUP BY 1 ORDER BY 1",
        (NAME,),
    ).fetchall()
    if others:
        names = ", ".join(f"{number} of {name}" for name, number in others)
        raise BackupError(
            f"The database is still in use (connections: {names}): stop web, worker and rasa first."
        )


def _load(url: str, pieces: Iterator[bytes], progress: Progress) -> None:
    """Pass the dump through pg_restore to psql, which commits only when all of it arrived whole."""
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as loading:
        reader, writer = os.pipe()
        psql = subprocess.Popen(
            programs.command(
                "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
                f"--dbname={programs.address(url)}",
            ),
            stdin=reader, stdout=subprocess.DEVNULL, stderr=loading, env=programs.environment(url),
        )  # fmt: skip
        os.close(reader)
        with os.fdopen(writer, "wb", buffering=0) as script, psql:
            try:
                script.write(BEFORE.encode())
                finished = _unpack(pieces, script, complaints, progress)
                if finished:
                    script.write(AFTER.encode())
            except BrokenPipeError:
                finished = True  # psql gave up, and says why
            finally:
                script.close()  # without its COMMIT, psql's end undoes all of it
            status = psql.wait()
        if status != 0:
            raise BackupError(f"The backup could not be loaded: {programs.last_words(loading)}")
        if not finished:
            raise BackupError(f"The backup could not be unpacked: {programs.last_words(complaints)}")


def _unpack(pieces: Iterator[bytes], script: Any, complaints: BinaryIO, progress: Progress) -> bool:
    """Feed pg_restore, which writes SQL; whether it understood all of it."""
    with subprocess.Popen(
        programs.command("pg_restore", "--schema=public", "--no-owner", "--no-privileges", "--file=-"),
        stdin=subprocess.PIPE, stdout=script, stderr=complaints,
    ) as unpacking:  # fmt: skip
        assert unpacking.stdin is not None
        done = 0
        try:
            for piece in pieces:
                unpacking.stdin.write(piece)
                done += len(piece)
                progress(done)
            unpacking.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        except BaseException:
            unpacking.kill()
            raise
        return unpacking.wait() == 0


def _compare(beside: str, manifest: Manifest) -> None:
    """Make sure that what was loaded is what the backup said it holds."""
    with _connected(beside) as connection:
        found = connection.execute(
            "SELECT (SELECT count(*) FROM citizen), (SELECT count(*) FROM touchpoint),"
            " (SELECT count(*) FROM attachment)"
        ).fetchone()
    if found != (manifest.citizens, manifest.touchpoints, manifest.attachments):
        raise BackupError(f"The backup says other figures than it holds: {found}. Nothing was changed.")


def _connected(url: str) -> psycopg.Connection[TupleRow]:
    return psycopg.connect(libpq_url(url), autocommit=True, connect_timeout=10)


def _one(connection: psycopg.Connection[TupleRow], question: str) -> Any:
    row = connection.execute(question).fetchone()
    return row[0] if row else None
