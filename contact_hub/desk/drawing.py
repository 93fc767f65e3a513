"""Drawing one person's view of the queue: a whole page, or only what changed since the last time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contact_hub.desk.lines import Row
from contact_hub.desk.look import channel_name, clock_of, language_name, row_html
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_words import reason
from contact_hub.desk.views import FACETS, MOST, NONE, STEP, WAITING, Filters, View

_LABELS = {
    "department": "Department",
    "language": "Language",
    "channel": "Channel",
    "reason": "Why they wait",
}
_NOTHING = {
    "department": "no department yet",
    "language": "not known yet",
    "channel": "none",
    "reason": "none",
}


@dataclass(slots=True)
class Drawing:
    """What somebody has on their screen, and how more of it is drawn."""

    room: Room
    seat: Seat
    filters: Filters
    known: dict[uuid.UUID, Row] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def page(self, view: View, rows: Sequence[Row], at: datetime) -> dict[str, Any]:
        """The words of the whole page."""
        by_id = {row.talk.id: row for row in rows}
        return {
            **self._around(at),
            "lists": {
                name: [by_id[talk.id] for talk in talks if talk.id in by_id]
                for name, talks in view.lists.items()
            },
            "facets": [(name, _LABELS[name], self._options(view, name)) for name in FACETS],
            "chosen": self.filters.chosen,
            "query": self.filters.query(),
            "waiting": view.counted.waiting,
            "found_words": self._found(view),
            "more": self._more(view),
        }

    def news(self, view: View, rows: Sequence[Row], at: datetime) -> dict[str, Any] | None:
        """What to put on the screen where it differs from what is there; None where nothing does.

        `lists` holds the ids of each list in order, `rows` the HTML of those that are new or changed.
        """
        told: dict[str, Any] = {
            "lists": {name: [str(talk.id) for talk in talks] for name, talks in view.lists.items()},
            "counts": {name: len(talks) for name, talks in view.lists.items()} | view.counts,
            "alarms": view.alarms,
            "facets": {name: self._options(view, name) for name in FACETS},
            "found": self._found(view),
            "more": self._more(view),
        }
        changed = [row for row in rows if self.known.get(row.talk.id) is not row]
        if told == self.told and not changed:
            return None
        self.told, self.known = told, {row.talk.id: row for row in rows}
        around = self._around(at)
        return {
            **told,
            "rows": {str(row.talk.id): row_html(row=row, **around) for row in changed},
            "now": at.isoformat(),
        }

    def _around(self, at: datetime) -> dict[str, Any]:
        return {
            "me": self.seat.viewer.name,
            "at": at,
            "clock": clock_of(self.room.city),
            "departments": self.room.departments,
        }

    def _options(self, view: View, name: str) -> list[tuple[str, str, int]]:
        """The choices of one filter: value, words and how many each lets through."""
        counts: Mapping[str, int] = view.counted.facets[name]
        chosen = self.filters.chosen.get(name)
        values = set(counts) | ({chosen} if chosen else set())
        known = [(value, self._words(name, value), counts.get(value, 0)) for value in values]
        return sorted(known, key=lambda option: (option[0] == NONE, option[1].casefold()))

    def _words(self, name: str, value: str) -> str:
        if value == NONE:
            return _NOTHING[name]
        if name == "department":
            return self.room.departments.get(value, value)
        if name == "language":
            return language_name(value)
        return channel_name(value) if name == "channel" else reason(value)

    def _found(self, view: View) -> str:
        shown, found = len(view.lists[WAITING]), view.counted.found
        if self.filters.chosen:
            return f"{found} of {view.counted.waiting}" + (
                f", the first {shown} shown" if shown < found else ""
            )
        return f"the first {shown} shown" if shown < found else ""

    def _more(self, view: View) -> str:
        """The address of a longer list, empty where everything is shown."""
        size = len(view.lists[WAITING])
        return self.filters.query(size + STEP) if size < view.counted.found and size + STEP <= MOST else ""
