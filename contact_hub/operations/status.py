"""How the line is: what runs, what waits, and what has not ended yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from contact_hub.operations import line, postgres
from contact_hub.operations.processes import memory_mb
from contact_hub.settings import Settings, libpq_url

_QUEUES = """
    SELECT lane, count(*) AS waiting, count(*) FILTER (WHERE token IS NOT NULL AND due > now()) AS in_hand,
           count(*) FILTER (WHERE attempts > 1) AS retried,
           coalesce(extract(epoch FROM now() - min(created_at)), 0)::float AS oldest_s
    FROM task GROUP BY lane
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM inbound WHERE outcome IS NULL) AS unsettled_inbound,
           (SELECT count(*) FROM inbound WHERE outcome = 'dead_lettered') AS dead_letters,
           (SELECT count(*) FROM ticket WHERE closed_at IS NULL) AS open_tickets,
           (SELECT count(*) FROM conversation WHERE state = 'waiting') AS waiting_conversations,
           (SELECT max(number) FROM knowledge_version) AS knowledge_version
"""
LANES = {"in": "inbound", "out": "outbound"}


def look(settings: Settings) -> dict[str, Any]:
    """Gives the state of the line on these settings; a database that is away leaves its part empty."""
    found = line.running(settings)
    alone = (
        postgres.running(settings.civicline_data) if found is None and settings.database_url is None else None
    )
    _, database_url = line.known(settings)
    processes = found["processes"] if found else []
    if alone is not None:  # it outlived its line, and the next start adopts it
        processes = [{"name": "postgres", "pid": alone.pid, "port": None, "restarts": 0}]
        database_url = alone.url
    state: dict[str, Any] = {
        "running": found is not None,
        "url": found["url"] if found else None,
        "pid": found["pid"] if found else None,
        "processes": [_process(told) for told in processes],
    }
    return state | _tables(database_url)


def words(state: dict[str, Any]) -> str:
    """Puts the state into words for a terminal."""
    if not state["running"]:
        lines = ["Civicline is not running here: start it with `make run` or `civicline up`."]
    else:
        lines = [f"Civicline runs at {state['url']} (pid {state['pid']})."]
    for process in state["processes"]:
        how = f"pid {process['pid']}" if process["alive"] else "not running"
        port = f"port {process['port']}" if process["port"] else ""
        again = f"started again {process['restarts']} times" if process["restarts"] else ""
        memory = f"{process['memory_mb']:6.0f} MB"
        lines.append(f"  {process['name']:<10} {how:<12} {port:<12} {memory}  {again}".rstrip())
    if state["database"] != "ok":
        lines.append(f"The database cannot be asked: {state['database']}.")
        return "\n".join(lines)
    for name, queue in state["queues"].items():
        oldest = f", the oldest for {queue['oldest_s']:.0f} s" if queue["waiting"] else ""
        lines.append(f"  {name:<10} {queue['waiting']} waiting{oldest}, {queue['in_hand']} in hand")
    lines.append(f"  {state['unsettled_inbound']} messages not settled yet, {state['dead_letters']} given up")
    people = f"{state['waiting_conversations']} conversations and {state['open_tickets']} tickets"
    lines.append(f"  {people} wait for a person")
    return "\n".join(lines)


def _process(told: dict[str, Any]) -> dict[str, Any]:
    alive = Path(f"/proc/{told['pid']}/exe").exists()
    return {**told, "alive": alive, "memory_mb": round(memory_mb(told["pid"]), 1) if alive else 0.0}


def _tables(database_url: str | None) -> dict[str, Any]:
    empty = {"waiting": 0, "in_hand": 0, "retried": 0, "oldest_s": 0.0}
    state: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": "it is not running" if database_url is None else "ok",
        "queues": {name: dict(empty) for name in LANES.values()},
        "unsettled_inbound": None,
        "dead_letters": None,
        "open_tickets": None,
        "waiting_conversations": None,
        "knowledge_version": None,
    }
    if database_url is None:
        return state
    try:
        with psycopg.connect(libpq_url(database_url), connect_timeout=5, row_factory=dict_row) as connection:
            for row in connection.execute(_QUEUES):
                state["queues"][LANES.get(row.pop("lane"), "other")] = row
            state |= connection.execute(_COUNTS).fetchone() or {}
    except psycopg.errors.UndefinedTable:
        state["database"] = "its tables are missing; `civicline migrate` makes them"
    except psycopg.Error as error:
        state["database"] = f"it does not answer ({type(error).__name__})"
    return state
