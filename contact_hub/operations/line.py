"""The running line as other commands find it: `run.json` in CIVICLINE_DATA, written by `civicline up`.

{"pid": 4242, "url": "http://127.0.0.1:8000", "database_url": "postgresql+psycopg://...",
 "brain_url": "http://127.0.0.1:41001", "rasa_url": "http://127.0.0.1:41002",
 "processes": [{"name": "brain", "pid": 4243, "port": 41001}, ...]}
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from contact_hub.settings import Settings, SettingsError, load_settings


def run_file(settings: Settings) -> Path:
    """Gives where the running line says what it is."""
    return settings.civicline_data / "run.json"


def claim(settings: Settings, patience: float = 1.0) -> IO[str] | None:
    """Takes this data folder for one line until the file is closed; None when one has it already.

    The lock goes with the process that holds it, however that ends: unlike a pid in a file it
    cannot be stale. The patience is for a command that is just looking whether a line runs.
    """
    deadline = time.monotonic() + patience
    while True:
        file = _lock(settings, "up.lock", fcntl.LOCK_EX)
        if file is not None or time.monotonic() > deadline:
            return file
        time.sleep(0.05)


def using_postgres(settings: Settings) -> IO[str] | None:
    """Marks the embedded PostgreSQL as used until the file is closed, so that nobody else stops it."""
    return _lock(settings, "postgres.users", fcntl.LOCK_SH, wait=True)


def _lock(settings: Settings, name: str, kind: int, *, wait: bool = False) -> IO[str] | None:
    settings.civicline_data.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (settings.civicline_data / name).open("a", encoding="ascii")
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def running(settings: Settings) -> dict[str, Any] | None:
    """Gives what runs on this data folder, or None; a file left by a killed line does not count."""
    if not run_file(settings).exists():
        return None
    free = _lock(settings, "up.lock", fcntl.LOCK_SH)
    if free is not None:
        free.close()
        return None
    try:
        found: dict[str, Any] = json.loads(run_file(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def tell(settings: Settings, what: dict[str, Any]) -> None:
    """Writes `run.json` whole or not at all, for this user's eyes only: addresses may hold passwords."""
    path = run_file(settings)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(what, file, indent=2)
    aside.replace(path)


def known(settings: Settings) -> tuple[Settings, str | None]:
    """Gives the settings with the addresses of the running line, where there is one, and its database."""
    found = running(settings)
    if found is None:
        url = settings.database_url
        return settings, None if url is None else url.get_secret_value()
    addresses = {"brain_url": found["brain_url"], "rasa_url": found["rasa_url"], "hub_url": found["url"]}
    return settings.model_copy(update=addresses), str(found["database_url"])


@contextmanager
def borrowed(*, brain: bool = False) -> Iterator[tuple[Settings, str]]:
    """Gives settings and database of the running line; without one, PostgreSQL for the while.

    With `brain` the command needs a brain as well, which only a running line has, or BRAIN_URL.
    """
    settings, database_url = known(load_settings())
    if database_url is not None:
        yield settings, database_url
        return
    if brain or not (settings.civicline_data / "postgres").exists():
        raise SettingsError(["Civicline is not running here: start it with `make run` or `civicline up`."])
    from contact_hub.operations import migrate

    with embedded(settings) as url:
        migrate.upgrade(url)
        yield settings, url


@contextmanager
def assistant() -> Iterator[tuple[str, str]]:
    """Gives the trained assistant's address and secret: RASA_URL's, the running line's, or one for the while.

    Raises SettingsError when a line for the while does not become ready.
    """
    settings = load_settings()
    found = running(settings)
    if os.environ.get("RASA_URL") or found is not None:
        yield os.environ.get("RASA_URL") or str((found or {})["rasa_url"]), _secret(settings)
        return
    print("Nothing is running here: starting Civicline for the while ...", file=sys.stderr, flush=True)
    up = subprocess.Popen(
        [sys.executable, "-m", "contact_hub.cli", "up"],
        env={**os.environ, "PORT": str(_free_port())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C here ends this command, which then ends the line
    )
    try:
        assert up.stdout is not None
        ready = any("Ctrl-C stops" in line for line in up.stdout)
        found = running(settings)
        if not ready or found is None:
            raise SettingsError(["Civicline could not be started here: `civicline up` says why."])
        yield str(found["rasa_url"]), _secret(load_settings())
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def _secret(settings: Settings) -> str:
    return settings.internal_secret.get_secret_value() if settings.internal_secret else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def embedded(settings: Settings) -> Iterator[str]:
    """Gives the address of the embedded PostgreSQL, as its tables are, and runs it for the while."""
    from contact_hub.operations import postgres

    mine = using_postgres(settings)
    server = postgres.start(settings.civicline_data)
    try:
        yield server.url
    finally:
        if mine is not None:
            mine.close()
        last = _lock(settings, "postgres.users", fcntl.LOCK_EX)
        if last is not None:
            if not server.adopted:
                server.stop()
            last.close()
