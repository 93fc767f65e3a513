"""PostgreSQL's own programs (pg_dump, pg_restore, psql), told where the database is."""

from __future__ import annotations

import os
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from contact_hub.operations.postgres_place import binaries
from contact_hub.settings import libpq_url


def command(name: str, *arguments: str) -> list[str]:
    """Gives the command of a program that comes with the server's package."""
    return [str(binaries() / name), *arguments]


def address(url: str) -> str:
    """Gives a database's address for a command line, which everybody on the machine can read."""
    return make_conninfo("", **{**conninfo_to_dict(libpq_url(url)), "password": None})


def environment(url: str) -> dict[str, str]:
    """Gives the environment that tells a program the database's password."""
    password = conninfo_to_dict(libpq_url(url)).get("password")
    return dict(os.environ) if password is None else {**os.environ, "PGPASSWORD": str(password)}


def last_words(stderr: IO[bytes]) -> str:
    """Gives what a program said went wrong, in one line."""
    stderr.seek(0)
    lines = [line.strip() for line in stderr.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return (told or lines or ["it gave no reason"])[0]
