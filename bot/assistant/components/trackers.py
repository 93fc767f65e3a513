"""Where conversations are kept: one bounded row each, and one row per turn taken.

Rasa's own SQL store keeps every event for ever and replays all of them on each turn,
so that a resident's three hundredth message waits ten times as long as the third.
Here a conversation is one row that holds the state and the last few turns, and the
outcome of each turn is kept beside it for a week: that is what makes a second
delivery of a touchpoint return what was answered, across restarts as well.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Text, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection
from rasa.core.brokers.broker import EventBroker
from rasa.core.tracker_store import TrackerStore
from rasa.shared.core.constants import ACTION_LISTEN_NAME, ACTION_SESSION_START_NAME, REQUESTED_SLOT
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import (
    ActionExecuted,
    ActiveLoop,
    BotUttered,
    Event,
    SessionStarted,
    SlotSet,
    UserUttered,
)
from rasa.shared.core.trackers import DialogueStateTracker

# Turns whose events stay in the tracker; older ones live on in the slots they filled.
KEPT_TURNS = 4
CONNECTIONS = 4
TRACKER_DAYS = 90
TURN_DAYS = 7

TABLES = """
SELECT pg_advisory_xact_lock(7120934401);
CREATE SCHEMA IF NOT EXISTS assistant;
CREATE TABLE IF NOT EXISTS assistant.tracker (
    conversation text PRIMARY KEY,
    revision bigint NOT NULL,
    events text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS assistant.turn (
    conversation text NOT NULL,
    touchpoint text NOT NULL,
    outcome text,  -- null: the hub gave this turn up
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation, touchpoint)
);
CREATE INDEX IF NOT EXISTS turn_taken_at ON assistant.turn (taken_at);
CREATE INDEX IF NOT EXISTS tracker_changed_at ON assistant.tracker (changed_at);
"""

LOAD = """
SELECT t.revision, t.events,
       (SELECT json_object_agg(u.touchpoint, u.outcome)::text FROM assistant.turn u
         WHERE u.conversation = %(conversation)s AND u.touchpoint = ANY(%(touchpoints)s))
FROM (SELECT 1) one LEFT JOIN assistant.tracker t ON t.conversation = %(conversation)s
"""

# One statement, so that the state, the outcome and what was given up commit together.
SAVE = """
WITH saved AS (
    INSERT INTO assistant.tracker AS t (conversation, revision, events)
    VALUES (%(conversation)s, 1, %(events)s)
    ON CONFLICT (conversation) DO UPDATE
        SET revision = t.revision + 1, events = EXCLUDED.events, changed_at = now()
        WHERE t.revision = %(revision)s
    RETURNING revision
), taken AS (
    INSERT INTO assistant.turn (conversation, touchpoint, outcome)
    SELECT %(conversation)s, %(touchpoint)s, %(outcome)s FROM saved WHERE %(touchpoint)s IS NOT NULL
), given_up AS (
    INSERT INTO assistant.turn (conversation, touchpoint)
    SELECT %(conversation)s, unnest(%(given_up)s::text[]) FROM saved
    ON CONFLICT (conversation, touchpoint) DO UPDATE SET outcome = NULL
)
SELECT revision FROM saved
"""

Result = TypeVar("Result")


class Conflict(RuntimeError):
    """Somebody else has changed the conversation since it was read."""


@dataclass(frozen=True)
class Kept:
    """A conversation as it was read: its tracker, and what became of the touchpoints asked about."""

    tracker: DialogueStateTracker
    revision: int
    outcomes: Dict[str, Optional[str]] = field(default_factory=dict)


class Trackers(TrackerStore):
    """Rasa's tracker store on PostgreSQL; SQL runs in threads, never in the event loop."""

    def __init__(
        self,
        domain: Optional[Domain],
        event_broker: Optional[EventBroker] = None,
        url: Text = "",
        **kwargs: Any,
    ) -> None:
        """Remember where the database is; the first use connects."""
        super().__init__(domain, event_broker)
        # The hub's URL may name SQLAlchemy's driver, which libpq does not know.
        scheme, separator, rest = url.partition("://")
        self._url = f"{scheme.partition('+')[0]}{separator}{rest}"
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="trackers")
        self._local = threading.local()

    def prepare(self, patience_seconds: float = 30.0) -> None:
        """Make the tables and drop what is older than it needs to be; waits for a database that starts."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                with psycopg2.connect(self._url, connect_timeout=5) as connection:
                    with connection.cursor() as cursor:
                        cursor.execute(TABLES)
                self._clean()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    async def load(self, conversation: Text, touchpoints: Sequence[Text]) -> Kept:
        """Return the conversation, new where there is none, and the outcomes known of these touchpoints."""
        parameters = {"conversation": conversation, "touchpoints": list(touchpoints)}
        rows = await self._run(LOAD, parameters)
        revision, events, outcomes = rows[0]
        tracker = DialogueStateTracker.from_dict(conversation, json.loads(events or "[]"), self.domain.slots)
        return Kept(tracker, revision or 0, json.loads(outcomes or "{}"))

    async def keep(
        self,
        tracker: DialogueStateTracker,
        revision: int,
        touchpoint: Optional[Text] = None,
        outcome: Optional[Text] = None,
        given_up: Sequence[Text] = (),
    ) -> None:
        """Write the conversation and what became of the turn, or raise Conflict and write nothing."""
        events = [_slim(event) for event in self.bounded(list(tracker.events))]
        rows = await self._run(
            SAVE,
            {
                "conversation": tracker.sender_id,
                "revision": revision,
                "events": json.dumps(events, ensure_ascii=False, separators=(",", ":")),
                "touchpoint": touchpoint,
                "outcome": outcome,
                "given_up": [name for name in given_up if name != touchpoint],
            },
        )
        if not rows:
            raise Conflict("The conversation was changed by another process meanwhile.")

    async def forget(self, conversations: Sequence[Text]) -> None:
        """Delete everything kept of these conversations."""
        parameters = {"conversations": list(conversations)}
        for table in ("tracker", "turn"):
            await self._run(
                f"DELETE FROM assistant.{table} WHERE conversation = ANY(%(conversations)s) RETURNING 1",  # noqa: S608
                parameters,
            )

    def bounded(self, events: List[Event]) -> List[Event]:
        """Return the last turns, behind events that restore the state they began in."""
        starts = [at for at, event in enumerate(events) if isinstance(event, UserUttered)]
        if len(starts) <= KEPT_TURNS:
            return events
        cut = starts[-KEPT_TURNS]
        before = DialogueStateTracker.from_events("", events[:cut], self.domain.slots)
        state: List[Event] = [ActionExecuted(ACTION_SESSION_START_NAME), SessionStarted()]
        state += [
            SlotSet(name, slot.value)
            for name, slot in before.slots.items()
            if slot.value is not None and name != REQUESTED_SLOT
        ]
        if before.active_loop_name:
            state += [ActionExecuted(before.active_loop_name), ActiveLoop(before.active_loop_name)]
            state += [SlotSet(REQUESTED_SLOT, before.get_slot(REQUESTED_SLOT))]
        state.append(ActionExecuted(ACTION_LISTEN_NAME))
        for event in state:
            event.timestamp = events[cut].timestamp
        return state + events[cut:]

    async def retrieve(self, sender_id: Text) -> Optional[DialogueStateTracker]:
        """Return the tracker of a conversation, for Rasa's own tools."""
        kept = await self.load(sender_id, [])
        return kept.tracker if kept.revision else None

    async def save(self, tracker: DialogueStateTracker) -> None:
        """Write a tracker that no touchpoint belongs to, for Rasa's own tools."""
        kept = await self.load(tracker.sender_id, [])
        await self.keep(tracker, kept.revision)

    async def keys(self) -> Iterable[Text]:
        """Return the conversations that are kept."""
        return [row[0] for row in await self._run("SELECT conversation FROM assistant.tracker", {})]

    async def _run(self, statement: Text, parameters: Dict[Text, Any]) -> List[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._execute, statement, parameters)

    def _execute(self, statement: Text, parameters: Dict[Text, Any]) -> List[Any]:
        def fetch(connection: Connection) -> List[Any]:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return list(cursor.fetchall())

        return self._connected(fetch)

    def _connected(self, use: Callable[[Connection], Result]) -> Result:
        """Run once more on a fresh connection where the old one has died, as after a database restart.

        A save that had committed before its connection died is then a Conflict:
        the turn fails, and its redelivery finds the outcome.
        """
        known = getattr(self._local, "connection", None)
        if known is not None:
            try:
                return use(known)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                known.close()
        connection = psycopg2.connect(self._url, connect_timeout=2)
        connection.autocommit = True
        self._local.connection = connection
        return use(connection)

    def _clean(self) -> None:
        with psycopg2.connect(self._url, connect_timeout=5) as connection:
            with connection.cursor() as cursor:
                cursor.execute(
                    "DELETE FROM assistant.turn WHERE taken_at < now() - make_interval(days => %s);"
                    "DELETE FROM assistant.tracker WHERE changed_at < now() - make_interval(days => %s)",
                    (TURN_DAYS, TRACKER_DAYS),
                )


def _slim(event: Event) -> Dict[Text, Any]:
    """Return an event without what only its own turn needed: answers, history, rankings."""
    known = event.as_dict()
    if isinstance(event, UserUttered):
        known["parse_data"] = {"intent": event.intent, "entities": [], "text": event.text}
        known["metadata"] = {}
    elif isinstance(event, BotUttered):
        custom = (event.data or {}).get("custom") or {}
        if "answer" in custom:
            custom = {"answer": {"outcome": custom["answer"].get("outcome")}}
        known["data"] = {"custom": custom}
    return {name: value for name, value in known.items() if value not in (None, {}, [])}
