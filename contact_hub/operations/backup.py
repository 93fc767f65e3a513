"""Backups: one sealed file with the whole database, taken while the line runs.

Inside the seal stands first a manifest (JSON, a piece of its own), then what pg_dump writes in its
custom format. Manifest and dump come from one snapshot, so their figures agree whatever residents do
meanwhile. Attachments lie in the database; SECRET_KEY is not in the file, and without it the file is
worth nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from contact_hub.operations import postgres_programs as programs
from contact_hub.operations.sealed_file import SealedWriter
from contact_hub.sealing import Sealer
from contact_hub.settings import libpq_url

PURPOSE = "backup"
FORMAT = 1
BITE = 256 * 1024  # bytes read from pg_dump at a time

Progress = Callable[[int], None]  # bytes so far


class BackupError(RuntimeError):
    """Says in one sentence why there is no backup, or why one cannot be restored."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, as it was when the snapshot was taken."""

    format: int
    taken_at: str
    program: str
    schema: str
    key: str  # which SECRET_KEY sealed what is inside; the file itself may be sealed by a later one
    citizens: int
    touchpoints: int
    attachments: int
    attachment_bytes: int
    database_bytes: int

    @classmethod
    def read(cls, piece: bytes) -> Manifest:
        """The manifest as it stands in a file; raises BackupError."""
        try:
            found = json.loads(piece)
            if found.get("format") != FORMAT:
                raise BackupError(
                    f"This backup has format {found.get('format')}, and this program reads {FORMAT}."
                )
            return cls(**found)
        except (ValueError, TypeError, AttributeError):
            raise BackupError("This sealed file does not begin with the manifest of a backup.") from None

    def as_dict(self) -> dict[str, Any]:
        """The manifest for printing."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Written:
    """A backup that is there."""

    manifest: Manifest
    bytes: int


def write(url: str, file: BinaryIO, sealer: Sealer, progress: Progress = lambda n: None) -> Written:
    """Seal the database at `url` into an open file; raises BackupError."""
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=10) as connection:
            # The snapshot lives as long as this transaction, and pg_dump looks through it.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            manifest = _manifest(connection, sealer)
            (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            writer = SealedWriter(file, sealer, PURPOSE)
            writer.write(json.dumps(manifest.as_dict()).encode())
            writer.end_piece()
            _dump(url, str(snapshot), writer, progress)
    except psycopg.OperationalError as error:
        raise BackupError(f"The database cannot be reached: {str(error).splitlines()[0]}") from None
    return Written(manifest, writer.written)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is whole and on the disk; raises BackupError."""
    if path.exists():
        raise BackupError(f"{path} is there already: a backup never replaces another one.")
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)  # unlike a rename, it replaces nothing
        _sync_folder(path.parent)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        aside.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(connection: psycopg.Connection[tuple[Any, ...]], sealer: Sealer) -> Manifest:
    try:
        row = connection.execute("""
            SELECT (SELECT version_num FROM alembic_version), (SELECT count(*) FROM citizen),
                   (SELECT count(*) FROM touchpoint), (SELECT count(*) FROM attachment),
                   (SELECT coalesce(sum(size), 0) FROM attachment)::bigint,
                   pg_database_size(current_database())
        """).fetchone()
    except psycopg.errors.UndefinedTable:
        raise BackupError(
            "This database has none of Civicline's tables: there is nothing to back up."
        ) from None
    if row is None:
        raise BackupError("This database does not say which version its tables are.")
    schema, citizens, touchpoints, attachments, attachment_bytes, database_bytes = row
    return Manifest(
        format=FORMAT,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program=version("civicline"),
        schema=str(schema),
        key=sealer.key_id,
        citizens=citizens,
        touchpoints=touchpoints,
        attachments=attachments,
        attachment_bytes=attachment_bytes,
        database_bytes=database_bytes,
    )


def _dump(url: str, snapshot: str, writer: SealedWriter, progress: Progress) -> None:
    """Let pg_dump write through the seal; the end is only sealed when it ended well."""
    arguments = (
        # Level 1: sealed attachments do not compress, and 6 takes twice the time to find that out.
        "--format=custom", "--compress=gzip:1", "--schema=public", "--no-owner", "--no-privileges",
        f"--snapshot={snapshot}", f"--dbname={programs.address(url)}",
    )  # fmt: skip
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            programs.command("pg_dump", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=programs.environment(url),
        ) as dump,
    ):
        assert dump.stdout is not None
        try:
            while data := dump.stdout.read(BITE):
                writer.write(data)
                progress(writer.written)
        except BaseException:
            dump.kill()
            raise
        if dump.wait() != 0:
            raise BackupError(f"pg_dump did not finish: {programs.last_words(stderr)}")
    writer.close()
    progress(writer.written)
