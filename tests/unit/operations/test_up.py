"""One command starts the whole line, keeps it running whatever dies, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from contact_hub.operations import postgres
from tests.whole import WholeLine, whole_line

PROCESSES = {"postgres", "brain", "rasa", "web", "worker"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLine]:
    """Prepares a line of this file's own, since its tests kill and stop it."""
    with whole_line(tmp_path_factory.mktemp("up")) as line:
        yield line


@pytest.fixture
def running(own: WholeLine) -> WholeLine:
    if own.up is None or own.up.poll() is not None:
        own.start()
    return own


def until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if true():
                return True
        except (httpx.HTTPError, OSError, ValueError):
            pass
        time.sleep(0.1)
    return False


def ready(line: WholeLine) -> bool:
    return httpx.get(f"{line.base_url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK


def of_this_line(line: WholeLine) -> list[str]:
    """Finds every process that was given this line's data folder, or runs in it."""
    wanted, found = f"CIVICLINE_DATA={line.data}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes() or (entry / "cwd").readlink().is_relative_to(
                line.data
            ):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def cpu_seconds(line: WholeLine) -> float:
    """Adds up what the line's processes have used so far."""
    assert line.up is not None
    pids = [line.up.pid, *(int(process["pid"]) for process in line.state["processes"])]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(fields[place]) for place in (11, 12, 13, 14))  # own and waited-for children's
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(700)
def test_it_says_where_everything_is(running: WholeLine) -> None:
    told = running.told.read_text()
    assert f"Ready in {told.split('Ready in ')[1].split()[0]} s: {running.base_url}" in told
    assert f"{running.base_url}/staff/welcome?code=" in told
    for name in PROCESSES:
        assert f"pid {running.pid(name)}" in told
    assert stat.S_IMODE((running.data / "run.json").stat().st_mode) == 0o600
    assert ready(running)


def test_status_tells_the_same_as_json(running: WholeLine) -> None:
    state = json.loads(running.civicline("status", "--json").stdout)
    assert state["running"]
    assert {process["name"] for process in state["processes"] if process["alive"]} == PROCESSES
    assert state["queues"]["inbound"]["waiting"] == 0
    assert state["unsettled_inbound"] == 0
    assert state["dead_letters"] == 0


def test_a_second_start_on_the_same_data_says_so_in_one_sentence(running: WholeLine) -> None:
    second = running.civicline("up")
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"Civicline runs on {running.data} already at {running.base_url} (pid {running.state['pid']})."
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["worker", "web", "rasa", "brain", "postgres"])
def test_what_dies_is_started_again(running: WholeLine, name: str) -> None:
    before = running.pid(name)
    os.kill(before, signal.SIGKILL)
    assert until(lambda: running.pid(name) != before and ready(running), 150), running.told.read_text()
    assert name in running.told.read_text().split("Ctrl-C stops everything.")[1]


@pytest.mark.timeout(300)
def test_killed_at_once_it_leaves_only_postgres_which_the_next_start_adopts(running: WholeLine) -> None:
    server = running.pid("postgres")
    running.kill()
    assert until(lambda: not any("postgres" not in command for command in of_this_line(running)), 10)
    running.start()
    assert running.pid("postgres") == server


@pytest.mark.timeout(300)
def test_a_warm_start_costs_little_and_does_not_train_or_import_again(running: WholeLine) -> None:
    assert running.stop() == 0
    running.start()
    told = running.told.read_text()
    assert "trained" not in told
    assert "knowledge" not in told
    # 25 s on two cores, counted in processor time so that a busy machine does not decide.
    assert cpu_seconds(running) < 40


def test_ctrl_c_stops_everything_and_leaves_no_process(running: WholeLine) -> None:
    assert running.stop() == 0
    assert running.told.read_text().endswith("Everything is stopped.\n")
    assert of_this_line(running) == []
    assert postgres.running(running.data) is None
    assert not (running.data / "run.json").exists()


def test_a_port_that_is_taken_is_told_in_one_sentence(own: WholeLine, postgres_url: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        own.more["PORT"] = str(port)
        refused = own.civicline("up")
        del own.more["PORT"]
    assert refused.returncode == 1
    assert refused.stderr == f"Port {port} on 127.0.0.1 cannot be used (Address already in use): set PORT.\n"


def test_a_wrong_setting_is_told_before_anything_starts(own: WholeLine) -> None:
    own.more |= {"PORT": "abc", "LOG_LEVEL": "loud"}
    refused = own.civicline("up")
    del own.more["PORT"], own.more["LOG_LEVEL"]
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "LOG_LEVEL must be debug, info, warning or error, but it is 'loud'.",
        "PORT must be a number between 1 and 65535, but it is 'abc'.",
    ]
