"""Programs under measurement: starting and ending them, and what they cost in time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from contact_hub.operations.processes import memory_mb

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class CannotMeasure(RuntimeError):
    """Says in one sentence why there is no figure."""


class Program:
    """Is one program that was started for the measurement and ends with it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        folder: Path = ROOT,
    ) -> None:
        """Start it with its output in `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, log
        with log.open("wb") as file:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """The process that was started; it may have children."""
        return self._child.pid

    def finish(self) -> None:
        """Wait for its end; raises CannotMeasure unless it went well."""
        if self._child.wait() != 0:
            raise CannotMeasure(f"{self.name} failed: {self.last_words()} (all of it: {self.log})")

    def stop(self, patience: float = 20.0) -> None:
        """End it politely, and then at once."""
        for wish, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if self._child.poll() is None:
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    # A line ends its own children in order; only a deaf one is ended with all of them.
                    (os.kill if wish is signal.SIGTERM else os.killpg)(self._child.pid, wish)
                    self._child.wait(seconds)

    def wait_for(self, url: str, seconds: float) -> None:
        """Wait until an address answers 200; raises CannotMeasure when the program ends before that."""
        deadline = time.monotonic() + seconds
        while not answers(url):
            if self._child.poll() is not None:
                raise CannotMeasure(f"{self.name} ended: {self.last_words()} (all of it: {self.log})")
            if time.monotonic() > deadline:
                raise CannotMeasure(
                    f"{self.name} does not answer after {seconds:.0f} s; its log is {self.log}"
                )
            time.sleep(0.1)

    def wait_for_words(self, words: str, seconds: float) -> None:
        """Wait until it says something; raises CannotMeasure when it ends before that."""
        deadline = time.monotonic() + seconds
        while words not in self.log.read_text(errors="replace"):
            if self._child.poll() is not None:
                raise CannotMeasure(f"{self.name} ended: {self.last_words()} (all of it: {self.log})")
            if time.monotonic() > deadline:
                raise CannotMeasure(f"{self.name} is not ready after {seconds:.0f} s; its log is {self.log}")
            time.sleep(0.05)

    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


def answers(url: str) -> bool:
    """Tell whether an address answers 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def free_port() -> int:
    """Give a port of this machine that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_children(pids: Iterable[int]) -> list[int]:
    """Give these processes and everything they have started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = list(pids)
    for pid in found:  # grows while it is read
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Give the processor time that these processes and their children have used so far."""
    ticks = 0
    for pid in with_children(pids):
        with contextlib.suppress(OSError, IndexError):
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / TICKS


def memory(pids: Iterable[int]) -> float:
    """Give the memory of these processes and their children in MB, what they share counted once (PSS)."""
    return sum(memory_mb(pid) for pid in with_children(pids))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold blanks: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
