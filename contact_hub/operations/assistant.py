"""How the assistant's own environment is entered: Rasa runs on another Python, in another process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from contact_hub.settings import Settings, libpq_url

ROOM = Path(__file__).resolve().parents[2] / "bot" / "assistant"
PYTHON = ROOM / ".venv" / "bin" / "python"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def serve(*arguments: str) -> list[str]:
    """Gives the command that runs Rasa."""
    return [str(PYTHON), str(ROOM / "server.py"), *arguments]


def train(*arguments: str) -> list[str]:
    """Gives the command that trains Rasa if its inputs changed."""
    return [str(PYTHON), str(ROOM / "train.py"), *arguments]


def environment(settings: Settings, database_url: str | None) -> dict[str, str]:
    """Gives what every process of the line is told; the rest of the environment stays as it is."""
    told = {
        **ONE_THREAD,
        "PYTHONUNBUFFERED": "1",
        "CIVICLINE_DATA": str(settings.civicline_data.resolve()),
        "CIVICLINE_CITY": str(settings.city_folder.resolve()),
        "BRAIN_URL": settings.brain_url,
        "RASA_URL": settings.rasa_url,
        "HUB_URL": settings.own_url,
        "SECRET_KEY": _value(settings.secret_key),
        "INTERNAL_SECRET": _value(settings.internal_secret),
    }
    if database_url is not None:
        told["DATABASE_URL"] = database_url
        # Rasa has SQLAlchemy 1.4 and psycopg2, which know the plain spelling only.
        told["RASA_DATABASE_URL"] = libpq_url(database_url)
    return {**without_files(os.environ, told), **told}


def without_files(environment: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """Leaves out the `_FILE` twins of what is told directly: both at once would be an error."""
    return {k: v for k, v in environment.items() if not (k.endswith("_FILE") and k[:-5] in told)}


def _value(secret: object) -> str:
    return str(getattr(secret, "get_secret_value", str)())
