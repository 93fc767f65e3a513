"""Looking for words in every place where they could stand."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from contact_hub.settings import libpq_url


def columns_with(url: str, words: str) -> list[str]:
    """Every table and column, of every schema that is not PostgreSQL's own, in which words stand."""
    found = []
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for schema, table, column in columns:
            query = sql.SQL(
                "SELECT count(*) FROM {} WHERE position({} in {}::text) > 0 OR position({} in {}::text) > 0"
            ).format(
                sql.Identifier(schema, table),
                sql.Literal(words),
                sql.Identifier(column),
                sql.Literal(words.encode().hex()),
                sql.Identifier(column),
            )
            (number,) = connection.execute(query).fetchone() or (0,)
            if number:
                found.append(f"{schema}.{table}.{column}")
    return found


def files_with(folder: Path, words: str) -> list[str]:
    """Every file below a folder in which words stand, but for the database's own and linked ones."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and "cluster/base" not in str(path) and "cluster/pg_wal" not in str(path)
        if words.encode() in path.read_bytes()
    ]
