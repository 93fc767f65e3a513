"""One person's view of the queue: what is theirs, what waits, what colleagues have, narrowed as they wish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, or_

from contact_hub.citizens.models import Address, Conversation
from contact_hub.database import now
from contact_hub.desk.lines import Snapshot, Talk
from contact_hub.handoff.queue import Alike, in_danger
from contact_hub.staff.access import Viewer

STEP = 50  # lines more with every "show more"
MOST = 500
MINE, SNOOZED, WAITING, COLLEAGUES = "mine", "snoozed", "waiting", "colleagues"
FACETS = ("department", "language", "channel", "reason")
NONE = "none"  # in a form and an address: no department yet, no language known

_COLUMNS = {
    "department": Conversation.department,
    "language": Conversation.language,
    "channel": Address.channel,
    "reason": Conversation.reason,
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows the queue; what is empty lets everything through."""

    department: str = ""
    language: str = ""
    channel: str = ""
    reason: str = ""
    show: int = STEP

    @property
    def chosen(self) -> dict[str, str]:
        """The filters that narrow anything."""
        return {name: wanted for name in FACETS if (wanted := getattr(self, name))}

    @property
    def conditions(self) -> tuple[ColumnElement[bool], ...]:
        """The same for the reading of the queue; danger is every department's."""
        found = {
            name: or_(_COLUMNS[name].is_(None), _COLUMNS[name] == "")
            if wanted == NONE
            else _COLUMNS[name] == wanted
            for name, wanted in self.chosen.items()
        }
        return tuple(or_(it, in_danger()) if name == "department" else it for name, it in found.items())

    def query(self, show: int | None = None) -> str:
        """These filters as they stand in an address."""
        size = show or self.show
        return urlencode(self.chosen | ({} if size == STEP else {"show": str(size)}))


@dataclass(frozen=True, slots=True)
class Counted:
    """How many wait, and what the filters make of them."""

    waiting: int  # filtered or not
    found: int
    danger: int  # of those who wait, filtered or not
    facets: Mapping[str, Mapping[str, int]]  # how many each value of each filter would let through


@dataclass(frozen=True, slots=True)
class View:
    """The lists of one person, each in the order in which it is shown."""

    lists: Mapping[str, Sequence[Talk]]
    counted: Counted
    mentions: int

    @property
    def shown(self) -> list[Talk]:
        """Every conversation that is shown."""
        return [talk for talks in self.lists.values() for talk in talks]

    @property
    def owed(self) -> list[Talk]:
        """Their own whose residents wait for a word."""
        return [talk for talk in self.lists[MINE] if talk.since is not None]

    @property
    def alarms(self) -> list[str]:
        """Those of them in which somebody may be in danger."""
        return [str(talk.id) for talk in self.owed if talk.danger]

    @property
    def counts(self) -> dict[str, int]:
        """What every page of the desk tells, in its navigation and its title."""
        return {
            "waiting": self.counted.waiting,
            "mine": len(self.lists[MINE]),
            "mentions": self.mentions,
            "owed": len(self.owed),
            "danger": self.counted.danger + len(self.alarms),
        }


def view_of(snapshot: Snapshot, viewer: Viewer, filters: Filters) -> View:
    """What somebody sees."""
    mine = [talk for talk in snapshot.held if talk.holder == viewer.name]
    return View(
        {
            MINE: sorted((talk for talk in mine if not talk.snoozed), key=_danger_first),
            SNOOZED: sorted((talk for talk in mine if talk.snoozed), key=lambda t: t.snoozed_until or now()),
            COLLEAGUES: [talk for talk in snapshot.held if talk.holder != viewer.name],
            WAITING: snapshot.waiting,
        },
        _counted(snapshot.alike, filters.chosen),
        0 if viewer.id is None else snapshot.mentions.get(viewer.id, 0),
    )


def _counted(alike: Iterable[Alike], chosen: Mapping[str, str]) -> Counted:
    waiting = found = danger = 0
    facets: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    for group in alike:
        values = {name: getattr(group, name) or NONE for name in FACETS}
        refused = [
            name
            for name, wanted in chosen.items()
            if values[name] != wanted and not (group.danger and name == "department")
        ]
        waiting += group.count
        danger += group.count if group.danger else 0
        found += 0 if refused else group.count
        for name in FACETS:
            if not refused or refused == [name]:
                facets[name][values[name]] += group.count
    return Counted(waiting, found, danger, facets)


def _danger_first(talk: Talk) -> tuple[bool, bool, float, str]:
    """Danger, then what is unanswered, the longest first."""
    since: datetime | None = talk.since
    return (not talk.danger, since is None, since.timestamp() if since else 0.0, str(talk.id))
