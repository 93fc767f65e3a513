"""Runs the line's processes: each dies with its parent, writes a log that is turned over, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
LONGEST_LINE = 1024 * 1024
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a process that died starts again
SETTLED = 60.0  # seconds after which a process counts as well again
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """Describes one process of the line: what to run, with what, and where it answers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    port: int | None = None
    health: str | None = None


class Process:
    """Keeps one program running and its output in a file."""

    def __init__(self, program: Program, logs: Path, say: Say) -> None:
        self.program = program
        self.pid: int | None = None
        self.started_at = 0.0
        self.restarts = 0
        self.heard: Callable[[str], None] = lambda words: None
        self._say = say
        self._log = TurnedOverLog(logs / f"{program.name}.log")
        self._last_words: deque[str] = deque(maxlen=20)
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start the program; must be called in the main thread, whose end the kernel tells the child."""
        parent = os.getpid()

        def die_with_parent() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died between fork and here
                os._exit(1)

        self._last_words.clear()
        self._child = await asyncio.create_subprocess_exec(
            *self.program.command,
            env=dict(self.program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl-C reaches the parent only, which stops things in order
            preexec_fn=die_with_parent,
        )
        self.pid = self._child.pid
        self.started_at = time.monotonic()
        self._reader = asyncio.create_task(self._read(self._child), name=f"log:{self.program.name}")

    async def ended(self) -> str:
        """Wait for the end and give the reason in words."""
        assert self._child is not None
        code = await self._child.wait()
        if self._reader is not None:
            await self._reader
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def has_ended(self) -> bool:
        """Tell whether the program is not running now."""
        return self._child is None or self._child.returncode is not None

    async def keep(self, changed: Callable[[], None]) -> None:
        """Start the program again whenever it ends, more slowly each time it fails soon."""
        pause = FIRST_PAUSE
        while True:
            reason = await self.ended()
            if self._stopping:
                return
            if time.monotonic() - self.started_at > SETTLED:
                pause = FIRST_PAUSE
            words = f": {self.last_words()}" if "status" in reason and self.last_words() else ""
            self._say(f"{self.program.name} {reason}{words}; it starts again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            await self.start()
            self.restarts += 1
            changed()

    async def stop(self, patience: float) -> None:
        """End the program politely, and at once when it does not listen."""
        self._stopping = True
        child = self._child
        if child is None or child.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                await child.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await child.wait()

    def kill(self) -> None:
        """End the program at once, with whatever it started."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    def last_words(self) -> str:
        """Give the last line that the program wrote, for the sentence that tells its end."""
        return next((line for line in reversed(self._last_words) if line.strip()), "")

    def _signal(self, wish: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, wish)

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while True:
            try:
                line = await child.stdout.readline()
            except ValueError:  # longer than the limit: asyncio has thrown it away
                continue
            if not line:
                return
            self._log.write(line)
            words = line.decode("utf-8", "replace").rstrip()
            self.heard(words)
            told = _told(words)
            self._last_words.append(words)
            if told is not None:
                self._say(f"{self.program.name}: {told}")


class TurnedOverLog:
    """Appends to a file and begins a new one when it is full, keeping a few old ones."""

    def __init__(self, path: Path, largest: int = LOG_BYTES, kept: int = LOGS_KEPT) -> None:
        self.path, self.largest, self.kept = path, largest, kept
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, line: bytes) -> None:
        """Append a line; a full disk loses lines and stops nothing."""
        if self._size + len(line) > self.largest and self._size:
            self._turn_over()
        with contextlib.suppress(OSError):
            self._size += self._file.write(line)

    def _turn_over(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            for number in range(self.kept - 1, 0, -1):
                older = self.path.with_name(f"{self.path.name}.{number}")
                if older.exists():
                    older.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
            self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = self._file.tell()


def _told(line: str) -> str | None:
    """Give an error line in words for the terminal, and None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("level") not in {"error", "critical"}:
        return None
    reason = found.get("error") or found.get("reason")
    return f"{found.get('event')}{f' ({reason})' if reason else ''}"


def memory_mb(pid: int) -> float:
    """Give a process's share of memory in MB: what it shares with others is counted once among them."""
    for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in (
                Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace").splitlines()
            ):
                if line.startswith(label):
                    return int(line.split()[1]) / 1024
    return 0.0
