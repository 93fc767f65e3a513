"""The tables are made once, however many processes ask for them, and match the models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from contact_hub.models import Base
from contact_hub.operations import migrate
from contact_hub.operations.postgres import Postgres


def test_four_processes_migrating_at_once_make_the_tables_once(postgres: Postgres) -> None:
    url = postgres.create_database("migrated_at_once")
    with ThreadPoolExecutor(4) as pool:
        revisions = set(pool.map(migrate.upgrade, [url] * 4))
    assert revisions == {migrate.newest()}


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert migrate.upgrade(database_url) == migrate.newest()


def test_the_migrations_make_exactly_the_tables_of_the_models(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_object": lambda item, name, kind, reflected, other: (
                    not (kind == "table" and reflected and (name or "").startswith("touchpoint_"))
                ),
            },
        )
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []
