"""Invented cities to measure in, in a PostgreSQL of their own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import psycopg

from contact_hub.operations import migrate, postgres
from contact_hub.settings import libpq_url

# Made data need not outlive a power cut; reading, which is what is measured, is the same.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}


def city_of(server: postgres.Postgres, size: int, make: Callable[[psycopg.Connection, int], None]) -> str:
    """A city of this size, which `make` fills unless an earlier run left it."""
    url = server.create_database(f"city_{size}")
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        made = connection.execute("SELECT to_regclass('made')").fetchone()
        migrate.upgrade(url)
        if made is None or made[0] is None:
            began = time.monotonic()
            make(connection, size)
            connection.execute("CREATE TABLE made ()")
            print(f"a city of {size} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return url
