"""Brings a database to the newest tables; several processes may ask for it at once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

import contact_hub

LOCK = 0x63697669  # "civi": only one process migrates a database at a time


def upgrade(url: str, to: str = "head") -> str:
    """Applies what is missing up to a revision and gives the one that the database is at afterwards.

    Raises sqlalchemy.exc.OperationalError when the database cannot be reached.
    """
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
            connection.commit()  # the lock is the session's, and each migration has its own transaction
            try:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, to)
                return MigrationContext.configure(connection).get_current_revision() or ""
            finally:
                connection.rollback()
                connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
                connection.commit()
    finally:
        engine.dispose()


@lru_cache(maxsize=1)
def newest() -> str:
    """Gives the revision that this program needs, for comparing with `alembic_version`."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    folder = Path(contact_hub.__file__).parent / "migrations"
    # Alembic reads its options as a format string, in which a percent sign in a path is special.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config
