"""Real parts for every test: a PostgreSQL of its own, and databases that cost a copy each."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadScopeScheduling

from contact_hub.operations import migrate
from contact_hub.operations.postgres import Postgres, start
from contact_hub.settings import libpq_url
from tests.whole import WholeLine, whole_line

# What a test writes need not outlive a power cut; postgres's own tests run with the real settings.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
TEMPLATE = "migrated"


WITH_THE_WHOLE_LINE = {"browser", "chaos", "journeys"}
FILE_BY_FILE = {"contract", "hub"}


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type information
    """Gives a folder's tests to one process, and to one as well whatever shares the running line.

    Folders whose files share nothing costly are given out file by file: no process waits for another's end.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0])
        if file.parent.name in FILE_BY_FILE:
            return str(file)
        return "line" if file.parent.name in WITH_THE_WHOLE_LINE else file.parent.name


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    """Hands the tests out by folder, or by file."""
    return ByFolder(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Runs one PostgreSQL for the whole session, in a folder that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="civicline-tests-") as folder:
        server = start(Path(folder), options=FAST)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """Gives an empty database's address for SQLAlchemy."""
    return postgres.url


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """Migrates one database, once, for the others to be copies of."""
    migrate.upgrade(postgres.create_database(TEMPLATE))
    return TEMPLATE


def _copy(postgres: Postgres, template: str) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(postgres.libpq("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield postgres.database(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """Gives this test a migrated database of its own."""
    yield from _copy(postgres, migrated_template)


@pytest.fixture(scope="module")
def module_database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """Gives the tests of one file a migrated database to share."""
    yield from _copy(postgres, migrated_template)


@pytest.fixture
def listen_url(database_url: str) -> str:
    """Gives the same database's address in libpq's form, for LISTEN and for Rasa."""
    return libpq_url(database_url)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLine]:
    """Runs the whole line once for every test that talks to it from outside."""
    with whole_line(tmp_path_factory.mktemp("line")) as running:
        running.start()
        yield running
