"""The plans PostgreSQL makes for what the benchmark asks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import cast, literal, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import TSQUERY

from benchmarks.timeline import data
from contact_hub.citizens.scope import visible
from contact_hub.database import Database
from contact_hub.search.walking import Filters, Walk
from contact_hub.staff.access import SYSTEM
from contact_hub.timeline.reading import EVERYTHING, PAGE, PAGE_OF_KINDS, Wanted, asked, first_id_at

EVERYWHERE = Filters()
_NOISE = re.compile(r"0000000\d-0000-7000-\w{4}-(\w{12})")


async def record(url: str, touchpoints: int) -> str:
    """A page of Markdown with the plan of each kind of question."""
    command = f"python -m benchmarks.timeline --touchpoints {touchpoints} --plans docs/plans-timeline.md"
    parts = [
        "# Query plans: pages of a history, and search",
        f"Written by `{command}`: PostgreSQL 18, `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF)`, warm.",
    ]
    database = Database(url, pool_size=1)
    try:
        for title, statement, values in _asked():
            async with database.begin() as session:
                for _ in range(2):  # the second time warm
                    rows = await session.execute(
                        text(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}"), values
                    )
                    plan = "\n".join(row[0] for row in rows)
            parts += [f"## {title}", "```\n" + _NOISE.sub("…\\1", plan) + "\n```"]
    finally:
        await database.close()
    return "\n\n".join(parts) + "\n"


def _asked() -> Iterator[tuple[str, str, dict[str, Any]]]:
    now = datetime.now(UTC)
    newest, recent = first_id_at(now + timedelta(days=1)), first_id_at(now - timedelta(days=61))
    busy = uuid.UUID(data.person(data.BUSY))
    marked = Wanted(kinds=("rating", "note"))
    yield (
        "The newest page of the citizen with ten addresses",
        PAGE,
        asked(busy, newest, recent, 51, EVERYTHING),
    )
    yield "The same, ratings and notes only", PAGE_OF_KINDS, asked(busy, newest, recent, 51, marked)
    never = Wanted(kinds=("merge",))
    yield "The same, a kind that never was", PAGE_OF_KINDS, asked(busy, newest, recent, 51, never)
    hour_ago = first_id_at(now - timedelta(hours=1))
    old = first_id_at(datetime(now.year - 1, 12, 31, tzinfo=UTC))
    older = first_id_at(datetime(now.year - 1, 12, 1, tzinfo=UTC))
    notes = Filters(kinds=("note",))
    for title, words, filters, stretch in (
        (
            "A search's first stretch: a word in a third of everything",
            "'pleas'",
            EVERYWHERE,
            (newest, hour_ago),
        ),
        ("A month long ago: a word that nobody said", "'zzyzzx'", EVERYWHERE, (old, older)),
        ("A month long ago: a common word among rare events", "'pleas'", notes, (old, older)),
    ):
        query = Walk(cast(literal(words), TSQUERY), {}, filters, visible(SYSTEM)).stretch(*stretch, 21)
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types
        compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        yield title, str(compiled).replace(":", r"\:"), {}
