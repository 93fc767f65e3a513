"""Runs PostgreSQL 18 from the binaries that a Python package carries.

Unix socket only, trust inside a folder of mode 0700, fsync on. The server outlives the process
that started it (a killed `civicline up` loses nothing) and the next start adopts it. What a
crash leaves behind is checked against /proc and never against a pid alone: a pid may have been
given to another program since, or belong to a zombie.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from contact_hub.operations import postgres_place
from contact_hub.operations.postgres_place import ROLE, Place, PostgresError

__all__ = ["Postgres", "PostgresError", "running", "start"]

LONGEST_RECOVERY = 600.0  # seconds
PATIENCE = 10.0  # seconds that the remains of a killed server get to go away by themselves
OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "150",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    # Residents' words and numbers stay out of the log, also when a statement fails.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True)
class Postgres:
    """Stands for a running server; its addresses stay the same over restarts."""

    data_dir: Path
    cluster: Path
    socket_dir: Path
    pid: int
    adopted: bool = False
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)

    def database(self, name: str = ROLE) -> str:
        """Gives the address of a database as SQLAlchemy with psycopg 3 wants it."""
        return f"postgresql+psycopg://{ROLE}@/{name}?host={quote(str(self.socket_dir), safe='/')}"

    def libpq(self, name: str = ROLE) -> str:
        """Gives the address of a database as libpq and psycopg2 want it."""
        return self.database(name).replace("+psycopg", "", 1)

    @property
    def url(self) -> str:
        """Gives the line's database for SQLAlchemy."""
        return self.database()

    @property
    def listen_url(self) -> str:
        """Gives the line's database for LISTEN and for Rasa, in libpq's form."""
        return self.libpq()

    def create_database(self, name: str) -> str:
        """Makes a database unless it is there and gives its SQLAlchemy address."""
        taken = (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
        with psycopg.connect(self.libpq("postgres"), autocommit=True) as connection, suppress(*taken):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database(name)

    def alive(self) -> bool:
        """Tells whether the server runs."""
        return self.pid in self.processes() if self._child is None else self._child.poll() is None

    def processes(self) -> list[int]:
        """Gives the pids of the server and its backends."""
        return _processes_in(self.cluster)

    def stop(self, timeout: float = 30.0) -> None:
        """Ends the server: politely first, then at once; committed data is safe either way."""
        with _locked(self.data_dir):
            for wish, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                alive = _processes_in(self.cluster)
                if self.pid in alive:
                    alive = [self.pid] if wish is not signal.SIGKILL else alive
                for pid in alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, wish)
                if _gone(self.cluster, patience):
                    break
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=5)


def start(data_dir: Path, options: Mapping[str, str] | None = None) -> Postgres:
    """Starts the server of `data_dir`, or adopts the one that runs; raises PostgresError."""
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _start(data_dir, options or {})
    except OSError as error:
        reason = error.strerror or str(error)
        raise PostgresError(f"PostgreSQL cannot use the folder {data_dir}: {reason}.") from error


def _start(data_dir: Path, options: Mapping[str, str]) -> Postgres:
    with _locked(data_dir):
        place = postgres_place.find_place(data_dir)
        cluster, socket_dir = place.home / "cluster", postgres_place.socket_folder(place)
        _make_cluster(place, cluster)
        deadline = time.monotonic() + PATIENCE
        while True:
            child: subprocess.Popen[bytes] | None = None
            pid = _healthy(cluster)
            if pid is None:
                _clear_remains(cluster, socket_dir)
                child = _launch(place, cluster, socket_dir, {**OPTIONS, **options})
                pid = child.pid
            server = Postgres(data_dir, cluster, socket_dir, pid, child is None, child)
            try:
                server.create_database(ROLE)
                return server
            except psycopg.OperationalError as error:
                # A server that is just being killed still looks alive for a moment.
                if child is not None or time.monotonic() > deadline:
                    raise PostgresError(f"PostgreSQL runs, but does not answer: {error}") from error
            time.sleep(0.05)


def running(data_dir: Path) -> Postgres | None:
    """Gives the server of `data_dir` if it runs, and starts nothing."""
    data_dir = data_dir.resolve()
    if not data_dir.is_dir():
        return None
    for home in (data_dir / "postgres", postgres_place.system_home(data_dir)):
        pid = _healthy(home / "cluster") if (home / "cluster").is_dir() else None
        if pid is not None:
            place = Place(postgres_place.binaries(), home)
            return Postgres(
                data_dir, home / "cluster", postgres_place.socket_folder(place), pid, adopted=True
            )
    return None


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Lets one process at a time start or stop the server of this folder."""
    with open(data_dir / "postgres.lock", "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_cluster(place: Place, cluster: Path) -> None:
    """Makes the data folder aside and renames it, so that a half-made one is never used."""
    if cluster.exists():
        version = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != "18":
            raise PostgresError(
                f"{cluster} was made by PostgreSQL {version}: dump it there and restore it here."
            )
        return
    aside = place.home / "cluster.new"
    shutil.rmtree(aside, ignore_errors=True)
    command = place.run(
        "initdb", f"--pgdata={aside}", f"--username={ROLE}", "--auth=trust", "--encoding=UTF8",
        "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
    )  # fmt: skip
    made = subprocess.run(
        command, cwd=place.home, capture_output=True, text=True, check=False, **place.identity()
    )
    if made.returncode != 0:
        last = (made.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise PostgresError(f"PostgreSQL could not make its data folder {cluster}: {last}")
    aside.rename(cluster)


def _launch(
    place: Place, cluster: Path, socket_dir: Path, options: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    settings = {"unix_socket_directories": f'"{socket_dir}"', **options}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    first_words = place.home / "start.log"
    with open(first_words, "wb") as log:
        child = subprocess.Popen(
            place.run("postgres", "-D", cluster, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=place.home,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle, not the server's
            **place.identity(),
        )
    # However long recovering takes after a crash: it is making progress while it lives.
    while _ready(cluster) != child.pid:
        if child.poll() is not None:
            words = [line for line in first_words.read_text(errors="replace").splitlines() if line.strip()]
            raise PostgresError(f"PostgreSQL did not start: {words[-1] if words else 'it gave no reason'}")
        time.sleep(0.02)
    return child


def _lines(cluster: Path) -> list[str]:
    """Reads postmaster.pid: pid, folder, start, port, socket's folder, address, memory, state."""
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _ready(cluster: Path) -> int | None:
    lines = _lines(cluster)
    ready = len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip().isdigit()
    return int(lines[0]) if ready else None


def _processes_in(cluster: Path) -> list[int]:
    """Finds the living PostgreSQL processes whose folder is this cluster, backends included."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, a zombie, or another user's
            program = (entry / "exe").readlink().name
            if program.startswith("postgres") and (entry / "cwd").samefile(cluster):
                found.append(int(entry.name))
    return found


def _healthy(cluster: Path) -> int | None:
    """Gives the pid of a server that runs here, after waiting for one that is starting or stopping."""
    deadline = time.monotonic() + LONGEST_RECOVERY
    while time.monotonic() < deadline:
        lines = _lines(cluster)
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        if pid not in _processes_in(cluster):
            return None
        if _ready(cluster) == pid:
            return pid
        time.sleep(0.05)
    raise PostgresError(
        f"A PostgreSQL runs on {cluster}, but has not become ready in {LONGEST_RECOVERY:.0f} s."
    )


def _gone(cluster: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _processes_in(cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _clear_remains(cluster: Path, socket_dir: Path) -> None:
    """Removes what a killed server left, once none of its processes touches the data any more.

    postmaster.pid guards the shared memory too: removed while a backend of the old server
    lives, it would let two servers write to the same files.
    """
    if not _gone(cluster, PATIENCE):
        for pid in _processes_in(cluster):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _gone(cluster, PATIENCE):
            raise PostgresError(
                f"Processes of an earlier PostgreSQL still use {cluster} and cannot be ended."
            )
    for path in (cluster / "postmaster.pid", socket_dir / ".s.PGSQL.5432", socket_dir / ".s.PGSQL.5432.lock"):
        path.unlink(missing_ok=True)
