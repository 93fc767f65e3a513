"""How long managers wait for their figures in a city that has been at it for four months.

    python -m benchmarks.figures [--conversations 240000] [--by week] [--plans] [--keep] [--json]

Makes an invented city in a PostgreSQL of its own under `var/benchmark-figures`, removed afterwards unless
--keep, and counts what a page of four weeks and one of all four months count, warm. Six touchpoints and two
answers a conversation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import text

from benchmarks.cities import OPTIONS, city_of
from contact_hub.database import Database, now
from contact_hub.managers import figures
from contact_hub.managers.figures import By
from contact_hub.managers.long_run import long_run
from contact_hub.managers.period import Period
from contact_hub.operations import postgres
from contact_hub.staff.access import SYSTEM

FOLDER = Path("var/benchmark-figures")
ROUNDS = 5
DAYS = {"four weeks": 28, "four months": 120}


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=240_000)
    parser.add_argument("--by", type=By, default=By.WEEK, choices=list(By))
    parser.add_argument("--plans", action="store_true", help="print the plans of four weeks")
    parser.add_argument("--keep", action="store_true", help="leave the data for another run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    server = postgres.start(FOLDER, options=OPTIONS)
    try:
        url = city_of(server, arguments.conversations, _make)
        result = asyncio.run(_measure(url, arguments.by, plans=arguments.plans))
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(FOLDER, ignore_errors=True)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for days, took in result.items():
        print(f"{days}: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in took.items()))


def _make(connection: psycopg.Connection, conversations: int) -> None:
    connection.execute("SET session_replication_role = replica")  # foreign keys hold by construction
    connection.execute(
        "SELECT ensure_touchpoint_partition((date_trunc('month', now())"
        " - make_interval(months => m))::date) FROM generate_series(0, 5) AS m"
    )
    cursor = psycopg.ClientCursor(connection)  # making a table from a query takes no parameters
    for statement in _MAKING:
        wanted = {"talks": conversations, "people": conversations // 3}
        cursor.execute(statement.replace(" % ", " %% "), wanted)
    connection.execute("VACUUM (ANALYZE)")


async def _measure(url: str, by: By, *, plans: bool) -> dict[str, dict[str, float]]:
    database, zone, today = Database(url, pool_size=1), ZoneInfo("Europe/Dublin"), now().date()
    result: dict[str, dict[str, float]] = {}
    try:
        for name, days in DAYS.items():
            period = Period(today - timedelta(days=days), today - timedelta(days=1), zone)
            values = figures._values(SYSTEM, period)
            asked = {key: one.query(by, departments=False) for key, one in figures._SOURCES.items()}
            asked |= {key: figures._LISTS[key].query(departments=False) for key in figures._LISTS}
            result[name] = {}
            for key, statement in asked.items():
                took = [await _timed(database, statement, values) for _ in range(ROUNDS)]
                result[name][key] = statistics.median(took)
                if plans and days == min(DAYS.values()):
                    print(f"-- {key}", *await _plan(database, statement, values), sep="\n")
            took = [await _timed_months(database, period) for _ in range(ROUNDS)]
            result[name]["months"] = statistics.median(took)
            result[name]["together"] = sum(result[name].values())
    finally:
        await database.close()
    return result


async def _timed(database: Database, statement: str, values: dict[str, Any]) -> float:
    async with database.begin() as session:
        began = time.perf_counter()
        (await session.execute(text(statement), values)).all()
        return (time.perf_counter() - began) * 1000


async def _timed_months(database: Database, period: Period) -> float:
    async with database.begin() as session:
        began = time.perf_counter()
        await long_run(session, period.last)
        return (time.perf_counter() - began) * 1000


async def _plan(database: Database, statement: str, values: dict[str, Any]) -> list[str]:
    async with database.begin() as session:
        rows = await session.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {statement}"), values)
        return [row[0] for row in rows]


# Ids are made of a time and a number, as UUIDv7 are; `dice` gives the same chance at every run.
_ID = (
    "(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7000a'"
    " || lpad(to_hex({n}), 15, '0'))::uuid"
)
_MAKING = (
    """
    CREATE TABLE talk AS
    SELECT n, 1 + (hashint8extended(n, 1) & 2147483647) % %(people)s AS who,
           now() - make_interval(secs => 10368000.0 * (1 - n::float8 / %(talks)s)) AS at,
           (hashint8extended(n, 2) & 2147483647)::int % 100 AS dice,
           (hashint8extended(n, 3) & 2147483647)::int % 100 AS other,
           (ARRAY['waste', 'roads', 'parking', 'parks', 'revenues', 'libraries', NULL])
               [1 + (hashint8extended(n, 4) & 2147483647) % 7] AS department
    FROM generate_series(1, %(talks)s) AS n
    """,
    "ALTER TABLE talk ADD COLUMN id uuid, ADD COLUMN place uuid",
    f"""
    UPDATE talk SET id = {_ID.format(at="at", n="n")},
                    place = ('00000000-0000-7000-9000-' || lpad(to_hex(who), 12, '0'))::uuid
    """,
    """
    INSERT INTO citizen (id, created_at, language)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now() - interval '130 days',
           (ARRAY['en', 'en', 'en', 'es', 'pl', 'ar'])[1 + n % 6]
    FROM generate_series(1, %(people)s) AS n
    """,
    """
    INSERT INTO address (id, citizen_id, channel, value, created_at, reachable)
    SELECT ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
           ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
           (ARRAY['sms', 'telegram', 'web_chat'])[1 + n % 3], n::text, now() - interval '130 days', true
    FROM generate_series(1, %(people)s) AS n
    """,
    """
    INSERT INTO conversation (id, address_id, state, epoch, language, language_fixed, priority, given_up,
                              opened_at, last_activity_at, closed_at, resolution, department)
    SELECT id, place, 'closed',
           CASE WHEN dice < 12 THEN 3 ELSE 1 END, 'en', false, 0, '[]', at, at + interval '20 minutes',
           at + make_interval(mins => 20 + other), CASE WHEN dice < 12 THEN 'solved' END, department
    FROM talk
    """,
    f"""
    INSERT INTO touchpoint (id, address_id, conversation_id, direction, actor, kind, text, payload,
                            recorded_at)
    SELECT {_ID.format(at="moment", n="n * 8 + turn")},
           place, id,
           CASE turn % 2 WHEN 0 THEN 'in' ELSE 'out' END, CASE turn % 2 WHEN 0 THEN 'citizen' ELSE 'bot' END,
           'text', 'When is my bin emptied in Quay Road, please?', '{{}}', moment
    FROM talk CROSS JOIN generate_series(0, 5) AS turn
         CROSS JOIN LATERAL (SELECT at + make_interval(secs => turn * 20)) AS t (moment)
    """,
    f"""
    INSERT INTO answer (id, touchpoint_id, question_id, question, language, outcome, probability,
                        knowledge_version, passages, created_at, helpful)
    SELECT {_ID.format(at="at", n="n * 8 + turn")}, {_ID.format(at="replied", n="n * 8 + turn + 1")},
           {_ID.format(at="moment", n="n * 8 + turn")}, 'When?', 'en',
           CASE WHEN dice < 70 THEN 'answered' WHEN dice < 85 THEN 'clarified' ELSE 'refused' END, 0.9, 3,
           '[]', replied, CASE WHEN other < 10 THEN other < 7 END
    FROM talk CROSS JOIN generate_series(0, 2, 2) AS turn
         CROSS JOIN LATERAL (SELECT at + make_interval(secs => turn * 20),
                                    at + make_interval(secs => turn * 20 + 20)) AS t (moment, replied)
    """,
    """
    INSERT INTO wait (id, conversation_id, address_id, channel, department, language, reason, priority, since,
                      promised_at, first_word_at, ended_at, ended)
    SELECT uuidv7(), id, place, 'sms', department,
           'en', 'asked', 0, at, at + interval '30 minutes', at + make_interval(mins => other),
           at + make_interval(mins => other), 'taken'
    FROM talk WHERE dice < 12
    """,
    """
    INSERT INTO flag (id, conversation_id, address_id, touchpoint_id, channel, department, language, score,
                      level, signals, handed_over, raised_at)
    SELECT uuidv7(), id, place, id, 'sms',
           department, 'en', 0.7, CASE WHEN other < 60 THEN 'uneasy' ELSE 'unhappy' END, '[]', false, at
    FROM talk WHERE dice < 6
    """,
    """
    INSERT INTO rating (id, conversation_id, address_id, channel, department, language, state, closed_at,
                        due_at, asked_at, score, rated_at)
    SELECT uuidv7(), id, place, 'sms', department,
           'en', CASE WHEN other < 50 THEN 'given' ELSE 'asked' END, at + interval '1 hour', at,
           at + interval '1 hour', CASE WHEN other < 50 THEN 1 + other % 5 END,
           CASE WHEN other < 50 THEN at + interval '2 hours' END
    FROM talk WHERE dice < 30
    """,
    """
    INSERT INTO report (id, number, reference, address_id, conversation_id, category, place,
                        description, state, created_at, changed_at, district, department)
    SELECT uuidv7(), n, 'R26-' || n || '-1', place, id,
           (ARRAY['pothole', 'street_light', 'waste'])[1 + other % 3], 'Quay Road',
           'Dark', 'received', at, at,
           (ARRAY['Harbour', 'Old Town', 'Northfield'])[1 + other % 3], department
    FROM talk WHERE dice BETWEEN 40 AND 50
    """,
    "DROP TABLE talk",
)


if __name__ == "__main__":
    main()
