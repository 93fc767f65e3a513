"""Civicline itself, started for a measurement by `civicline up` on a data folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, CannotMeasure, Program, free_port

SECRET = "for-a-measurement-and-nothing-else"
ONLY_OURS = (
    "CIVICLINE_",
    "DATABASE_",
    "TELEGRAM_",
    "TWILIO_",
    "RASA_",
    "BRAIN_",
    "HUB_",
    "PUBLIC_URL",
)


@dataclass
class OurLine:
    """A running line."""

    url: str
    program: Program
    data: Path
    seconds_to_ready: float
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def processes(self) -> dict[str, int]:
        """Its processes by name, PostgreSQL left out where it is ours to share."""
        found = {"up": int(self.run["pid"])}
        return found | {p["name"]: int(p["pid"]) for p in self.run["processes"] if p["name"] != "postgres"}

    def stop(self) -> None:
        """Stop all of it."""
        self.program.stop(patience=40)


def start(
    data: Path,
    log: Path,
    *,
    fresh: bool,
    command: Sequence[str] = (sys.executable, "-m", "contact_hub.cli", "up"),
    folder: Path = ROOT,
    **environment: str,
) -> OurLine:
    """Start a line and wait until it is ready; `fresh` keeps nothing of an earlier one but its models."""
    if fresh and data.exists():
        for entry in data.iterdir():
            if entry.is_dir() and entry.name != "models":
                shutil.rmtree(entry)
            elif entry.is_file():
                entry.unlink()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = Program(
        "civicline up",
        command,
        {
            "CIVICLINE_DATA": str(data),
            "INTERNAL_SECRET": SECRET,
            "PORT": str(port),
            "PUBLIC_URL": url,
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
        log,
        folder,
    )
    began = time.monotonic()
    try:
        program.wait_for_words("Ready in", 1800)
        seconds = time.monotonic() - began
        run = json.loads((data / "run.json").read_text(encoding="utf-8"))
    except (CannotMeasure, OSError, ValueError):
        program.stop(patience=40)
        raise
    return OurLine(url, program, data, seconds, run)


def forget_settings() -> None:
    """Take Civicline's own variables out of the environment: a measurement starts from none."""
    for name in [name for name in os.environ if name.startswith(ONLY_OURS)]:
        del os.environ[name]
