"""The whole running line for tests: `civicline up` on a folder of its own, with fake providers beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes import telegram, twilio

ROOT = Path(__file__).parents[1]
# A model's name is the hash of what it was made from, so it may be kept from run to run.
MODELS = ROOT / "var" / "test-models"
LONGEST_START = 600.0
WEBHOOK_SECRET = "a-secret-of-the-tests"
OURS = (
    "CIVICLINE_",
    "DATABASE_",
    "TELEGRAM_",
    "TWILIO_",
    "RASA_",
    "BRAIN_",
    "HUB_",
    "SECRET_KEY",
    "INTERNAL_SECRET",
)


@dataclass
class WholeLine:
    """A line that can be talked to, looked at, stopped and killed."""

    data: Path
    port: int
    telegram: telegram.FakeTelegram
    twilio: twilio.FakeTwilio
    more: dict[str, str] = field(default_factory=dict)
    up: subprocess.Popen[bytes] | None = None
    seconds_to_ready: float = 0.0

    @property
    def base_url(self) -> str:
        """Where residents and providers reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What `civicline up` and every other command on this line is given."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {
            **kept,
            "CIVICLINE_DATA": str(self.data),
            "PORT": str(self.port),
            "PUBLIC_URL": self.base_url,
            "TELEGRAM_BOT_TOKEN": telegram.TOKEN,
            "TELEGRAM_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "TELEGRAM_API_URL": self.telegram.url,
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
            "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
            "TWILIO_FROM": twilio.NUMBER,
            "TWILIO_API_URL": self.twilio.url,
            **self.more,
        }

    @property
    def told(self) -> Path:
        """What `civicline up` printed."""
        return self.data.parent / "up.txt"

    @property
    def state(self) -> dict[str, Any]:
        """What run.json says."""
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text(encoding="utf-8"))
        return found

    @property
    def database_url(self) -> str:
        """Its database for SQLAlchemy."""
        return str(self.state["database_url"])

    def pid(self, name: str) -> int:
        """The pid of one of its processes."""
        return next(int(process["pid"]) for process in self.state["processes"] if process["name"] == name)

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        begun = time.monotonic()
        with self.told.open("wb") as out:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "contact_hub.cli", "up"],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        while "Ctrl-C stops" not in self.told.read_text(errors="replace"):
            if self.up.poll() is not None or time.monotonic() - begun > LONGEST_START:
                self.kill()
                raise RuntimeError(
                    f"civicline up did not become ready:\n{self.told.read_text(errors='replace')}"
                )
            time.sleep(0.05)
        self.seconds_to_ready = time.monotonic() - begun

    def stop(self) -> int:
        """Stop it as Ctrl-C does, and give its exit status."""
        assert self.up is not None
        self.up.send_signal(signal.SIGINT)
        return self.up.wait(60)

    def kill(self) -> None:
        """End `civicline up` at once; what it started dies with it, PostgreSQL excepted."""
        if self.up is not None and self.up.poll() is None:
            self.up.kill()
            self.up.wait()

    def civicline(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command on this line."""
        return subprocess.run(
            [sys.executable, "-m", "contact_hub.cli", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ask(self, question: str) -> dict[str, Any]:
        """Ask one question through the whole journey."""
        done = self.civicline("ask", question, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def free_port() -> int:
    """Gives a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def whole_line(folder: Path, **more: str) -> Iterator[WholeLine]:
    """Prepares a line with its fake providers; the caller starts it, and it is gone at the end."""
    data = folder / "data"
    data.mkdir(parents=True, mode=0o700)
    MODELS.mkdir(parents=True, exist_ok=True)
    (data / "models").symlink_to(MODELS)
    port = free_port()
    webhook = f"http://127.0.0.1:{port}/channels/sms/webhook"
    with telegram.running(pace=20.0) as bot, twilio.running(webhook=webhook, pace=20.0) as account:
        line = WholeLine(data, port, bot, account, more)
        try:
            yield line
        finally:
            if line.up is not None and line.up.poll() is None:
                line.stop()
            from contact_hub.operations import postgres

            left = postgres.running(data)
            if left is not None:
                left.stop()
