"""The assistant's settings, read from the environment when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

ROOM = Path(__file__).resolve().parent.parent
REPOSITORY = ROOM.parent.parent


class SettingsError(ValueError):
    """A setting is missing or wrong; the message is one readable sentence."""


@dataclass(frozen=True)
class Settings:
    """Where the assistant listens, whom it asks, and where it keeps things."""

    secret: str = field(repr=False)
    database_url: str = field(repr=False)
    brain_url: str
    models: Path
    city: Path
    host: str
    port: int


def from_environment() -> Settings:
    """Return the settings, or raise SettingsError with one sentence that says what to change."""
    data = Path(os.environ.get("CIVICLINE_DATA") or REPOSITORY / "var")
    return Settings(
        secret=_secret("INTERNAL_SECRET"),
        database_url=_secret("RASA_DATABASE_URL") or _secret("DATABASE_URL"),
        brain_url=(os.environ.get("BRAIN_URL") or "http://127.0.0.1:8701").rstrip("/"),
        models=data / "models",
        city=Path(os.environ.get("CIVICLINE_CITY") or REPOSITORY / "nlu_data"),
        host=os.environ.get("RASA_HOST") or "127.0.0.1",
        port=_port("RASA_PORT", 8702),
    )


def _secret(name: str) -> str:
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return os.environ.get(name, "").strip()
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise SettingsError(f"{name} must be a port number from 1 to 65535, not {value!r}.")
    return int(value)
