"""The running line as other commands find it: `run.json` in CIVICLINE_DATA, written by `civicline up`.

    {"pid": 4242, "url": "http://127.0.0.1:8000", "database_url": "postgresql+psycopg://...",
     "brain_url": "http://127.0.0.1:41001", "rasa_url": "http://127.0.0.1:41002",
     "processes": [{"name": "brain", "pid": 4243, "port": 41001}, ...]}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contact_hub.settings import Settings, load_settings


def run_file(settings: Settings) -> Path:
    """Where the running line says what it is."""
    return settings.civicline_data / "run.json"


def running(settings: Settings) -> dict[str, Any] | None:
    """What runs on this data folder, or None; a file left by a killed line does not count."""
    try:
        found: dict[str, Any] = json.loads(run_file(settings).read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return found


@contextmanager
def borrowed(*, brain: bool = False) -> Iterator[tuple[Settings, str]]:
    """Settings and database of the running line; without one, PostgreSQL (and a brain) for the while."""
    settings = load_settings()
    line = running(settings)
    if line is not None:
        known = {"brain_url": line["brain_url"], "rasa_url": line["rasa_url"]}
        yield settings.model_copy(update=known), str(line["database_url"])
        return
    if settings.database_url is not None:
        yield settings, settings.database_url.get_secret_value()
        return
    raise SystemExit("Civicline is not running here. Start it with `make run` or `civicline up`.")
