"""Backups, restoring them, and replacing the key that everything is sealed with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

if TYPE_CHECKING:
    from contact_hub.database import Database
    from contact_hub.sealing import Sealer
    from contact_hub.settings import Settings

app = typer.Typer()
keys = typer.Typer(help="The key that everything is sealed with.", no_args_is_help=True)

BackupFile = Annotated[str, typer.Argument(help="The backup; - reads it from a pipe.", metavar="FILE")]


@app.command()
def backup(
    file: Annotated[
        str | None, typer.Argument(help="Where to; - writes it to a pipe.", metavar="[FILE]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Seal the whole database, attachments included, into one file; the line may run meanwhile."""
    from contact_hub.operations import backup as backups

    path = Path(file or f"civicline-{datetime.now(UTC):%Y%m%d-%H%M%S}.backup")
    settings = _settings()
    if settings.database_url is None and not (settings.civicline_data / "postgres").exists():
        raise fail(f"There is no database in {settings.civicline_data}, and DATABASE_URL is not set.")
    with _told(), _database(settings) as url, _bar("Backing up", quiet=as_json) as bar:
        if file == "-":
            written = backups.write(url, sys.stdout.buffer, _sealer(settings), bar)
        else:
            with backups.new_file(path) as opened:
                written = backups.write(url, opened, _sealer(settings), bar)
    found = {"file": file if file == "-" else str(path.resolve()), "bytes": written.bytes}
    if as_json and file != "-":
        show({**found, **written.manifest.as_dict()})
    else:
        about = _words(written.manifest)
        typer.echo(f"{path if file != '-' else 'Written'}: {_size(written.bytes)}, {about}.", err=file == "-")
        typer.echo("It opens with this line's SECRET_KEY only: keep that somewhere else.", err=True)


@app.command()
def restore(
    file: BackupFile,
    replace: Annotated[bool, typer.Option(help="Give up what the database holds now.")] = False,
    erasures: Annotated[
        list[Path] | None,
        typer.Option(
            help="An erasures.log of another machine, whose people stay erased as well; again for more.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    check: Annotated[bool, typer.Option(help="Read the backup to its end and restore nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the database, and erase again whoever was erased since."""
    from contact_hub.operations import line
    from contact_hub.operations import restore as restores

    settings = _settings()
    with _told(), _opened(file) as (opened, size):
        if check:
            with _bar("Reading", size, quiet=as_json) as bar:
                manifest = restores.check(opened, _sealer(settings), bar)
            show(manifest.as_dict()) if as_json else typer.echo(f"It is whole: {_words(manifest)}.")
            return
        guard = line.claim(settings)
        if guard is None:
            raise fail("The line runs on this data folder: stop it first, and then restore.")
        with guard, _database(settings) as url:
            finish = _Finish(settings, erasures or [])
            finish.gather(url)
            with _bar("Restoring", size, quiet=as_json) as bar:
                manifest = restores.restore(
                    url, opened, _sealer(settings), replace=replace, finish=finish, progress=bar
                )
    if as_json:
        show({**manifest.as_dict(), **finish.found})
        return
    typer.echo(f"Restored: {_words(manifest)}.")
    typer.echo(f"The erasure ledger was replayed: {finish.found['erasures']} entries.")
    if manifest.key != _sealer(settings).key_id:
        typer.echo("It was sealed with a former SECRET_KEY: run `civicline keys rotate` now.")


@keys.command("rotate")
def keys_rotate(as_json: Json = False) -> None:
    """Seal with SECRET_KEY whatever is stored under a former one, or not sealed yet."""

    async def work() -> None:
        from rich.console import Console
        from rich.progress import Progress

        from contact_hub.privacy.resealing import seal_anew

        async with hub() as parts:
            with _told(), Progress(console=Console(stderr=True), disable=as_json) as progress:
                bar = progress.add_task("Sealing attachments", total=None)
                found = await seal_anew(
                    parts.database,
                    parts.settings.civicline_data,
                    lambda done, total: progress.update(bar, completed=done, total=total),
                )
        if as_json:
            show(found)
            return
        for name, number in found.items():
            typer.echo(f"{number:8} {name}")
        typer.echo(
            "Everything stored is sealed with SECRET_KEY now. Older backups, audit entries and the marks of"
            " erased addresses still need SECRET_KEY_PREVIOUS."
        )

    run(work)


class _Finish:
    """Brings the erasure ledger together before a restore, and replays it on what was restored."""

    def __init__(self, settings: Settings, erasures: list[Path]) -> None:
        self._settings = settings
        self._erasures = erasures
        self.found: dict[str, Any] = {}

    def gather(self, url: str) -> None:
        """Write every erasure known so far into CIVICLINE_DATA/erasures.log, which no restore touches."""
        import asyncio

        from contact_hub.privacy import ledger

        folder = self._settings.civicline_data

        async def work(database: Database) -> None:
            async with database.begin() as session:
                await ledger.keep_outside(session, folder, self._erasures)

        asyncio.run(self._with(url, work))

    def __call__(self, beside: str) -> None:
        import asyncio

        from contact_hub.privacy.erasure import replay

        async def work(database: Database) -> None:
            replayed = await replay(database, self._settings.civicline_data)
            self.found = {"erasures": replayed.entries, "erased_again": replayed.citizens}

        asyncio.run(self._with(beside, work))

    async def _with(self, url: str, work: Callable[[Database], Any]) -> None:
        from contact_hub.composition import Parts

        parts = Parts(self._settings, url, pool_size=1)
        try:
            await work(parts.database)
        finally:
            await parts.close()


def _settings() -> Settings:
    from contact_hub.settings import load_settings

    return load_settings()


def _sealer(settings: Settings) -> Sealer:
    from contact_hub.sealing import Sealer

    assert settings.secret_key is not None  # read_settings makes one
    return Sealer(settings.secret_key.get_secret_value(), *settings.former_keys)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The database past any pooler; the embedded one is started for the while, its tables as they are."""
    from contact_hub.operations import line

    _, url = line.known(settings)
    if url is None:
        with line.embedded(settings) as url:
            yield url
    else:
        yield settings.database_listen_url.get_secret_value() if settings.database_listen_url else url


@contextmanager
def _told() -> Iterator[None]:
    """Every expected failure as one sentence."""
    from contact_hub.operations.backup import BackupError
    from contact_hub.operations.postgres_place import PostgresError
    from contact_hub.privacy.ledger import LedgerBroken
    from contact_hub.sealing import Unsealable

    try:
        yield
    except (BackupError, LedgerBroken, PostgresError, Unsealable) as error:
        raise fail(str(error)) from None


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if file == "-":
        yield sys.stdin.buffer, None
        return
    try:
        size = Path(file).stat().st_size
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.", 2) from None
    with opened:
        yield opened, size


@contextmanager
def _bar(what: str, total: int | None = None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda done: progress.update(bar, completed=done)


def _words(manifest: Any) -> str:
    taken = manifest.taken_at.replace("T", " ").removesuffix("+00:00")
    return (
        f"taken {taken} UTC, {manifest.citizens} citizens, {manifest.touchpoints} touchpoints,"
        f" {manifest.attachments} attachments ({_size(manifest.attachment_bytes)}), tables {manifest.schema}"
    )


def _size(number: int) -> str:
    size, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
