"""A process of the line comes back when it dies, dies with its parent, and keeps a log of bounded size."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from contact_hub.operations.processes import Process, Program, TurnedOverLog, memory_mb

ROOT = Path(__file__).parents[3]


def program(name: str, source: str) -> Program:
    return Program(name, (sys.executable, "-c", textwrap.dedent(source)), dict(os.environ))


async def test_what_ends_is_started_again_and_its_last_words_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    again = asyncio.Event()
    process = Process(program("brain", "print('no memory left'); raise SystemExit(3)"), tmp_path, told.append)
    await process.start()
    first = process.pid
    keeper = asyncio.create_task(process.keep(again.set))
    await asyncio.wait_for(again.wait(), 10)
    keeper.cancel()
    await process.stop(1)
    assert process.pid != first
    assert told[0] == "brain ended with status 3: no memory left; it starts again in 0.5 s."


async def test_one_that_does_not_listen_is_ended_all_the_same(tmp_path: Path) -> None:
    deaf = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        time.sleep(60)
    """
    process = Process(program("deaf", deaf), tmp_path, print)
    heard = asyncio.Event()
    process.heard = lambda words: heard.set()
    await process.start()
    await asyncio.wait_for(heard.wait(), 10)
    await process.stop(0.2)
    assert process.has_ended()


async def test_only_errors_reach_the_terminal_and_everything_the_log(tmp_path: Path) -> None:
    told: list[str] = []
    source = """
        print('{"level": "info", "event": "stored"}')
        print('{"level": "error", "event": "task crashed", "error": "ValueError"}')
        print("not JSON")
    """
    process = Process(program("worker", source), tmp_path, told.append)
    await process.start()
    assert await process.ended() == "ended with status 0"
    assert told == ["worker: task crashed (ValueError)"]
    assert len((tmp_path / "worker.log").read_text().splitlines()) == 3


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import asyncio, os, pathlib, sys
                from contact_hub.operations.processes import Process, Program
                async def main():
                    command = (sys.executable, "-c", "import time; time.sleep(600)")
                    told = Program("child", command, dict(os.environ))
                    child = Process(told, pathlib.Path({str(tmp_path)!r}), print)
                    await child.start()
                    print(child.pid, flush=True)
                    await child.ended()
                asyncio.run(main())
            """),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}/exe").exists() or memory_mb(child) == 0:
            return
        signal.sigtimedwait([], 0.05)
    raise AssertionError(f"the child {child} outlived its parent")


def test_a_full_log_is_turned_over_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    log = TurnedOverLog(tmp_path / "web.log", largest=100, kept=2)
    for number in range(20):
        log.write(f"line number {number:03} of the log\n".encode())
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(kept) == {"web.log", "web.log.1", "web.log.2"}
    assert "line number 019" in kept["web.log"]
    assert all(len(words) <= 100 for words in kept.values())


def test_a_process_s_memory_is_told_in_megabytes() -> None:
    assert 5 < memory_mb(os.getpid()) < 4000
    assert memory_mb(2**22 + 1) == 0
