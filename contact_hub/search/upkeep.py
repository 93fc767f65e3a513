"""Keeping the index of words free of what was removed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import text

from contact_hub.database import Database

_INDEXES = text("""
    SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'ix_touchpoint_words'::regclass ORDER BY 1
""")


async def rebuild(database: Database) -> AsyncIterator[str]:
    """Build the index anew, month by month, while search goes on; gives the name of each part that is done.

    A word that no touchpoint holds any more is found by nobody from the moment its touchpoint was
    changed, but PostgreSQL leaves the bare word in its file until the index is built anew. Run after
    erasures.
    """
    async with database.begin() as session:
        names = (await session.scalars(_INDEXES)).all()
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for name in names:
            await connection.execute(text(f"REINDEX INDEX CONCURRENTLY {name}"))
            yield name
