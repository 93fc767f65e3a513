"""One person's view of the queue: what is theirs, what waits, what colleagues have, narrowed as they wish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from contact_hub.database import now
from contact_hub.desk.lines import Snapshot, Talk
from contact_hub.staff.access import Viewer

STEP = 50  # lines more with every "show more"
MOST = 500
MINE, SNOOZED, WAITING, COLLEAGUES = "mine", "snoozed", "waiting", "colleagues"
FACETS = ("department", "language", "channel", "reason")
NONE = "none"  # in a form and an address: no department yet, no language known


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

    def query(self, show: int | None = None) -> str:
        """These filters as they stand in an address."""
        size = show or self.show
        return urlencode(self.chosen | ({} if size == STEP else {"show": str(size)}))


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What the filters make of those who wait: the same for everybody with the same filters."""

    shown: Sequence[Talk]
    found: int
    waiting: int  # filtered or not
    facets: Mapping[str, Mapping[str, int]]  # how many each value of each filter would let through


@dataclass(frozen=True, slots=True)
class View:
    """The lists of one person, each in the order in which it is shown."""

    lists: Mapping[str, Sequence[Talk]]
    narrowed: Narrowed
    mentions: int

    @property
    def shown(self) -> list[Talk]:
        """Every conversation that is shown."""
        return [talk for talks in self.lists.values() for talk in talks]


def narrowed(snapshot: Snapshot, filters: Filters) -> Narrowed:
    """What is let through, worked out once a snapshot."""
    known = snapshot.narrowed.get(filters)
    if isinstance(known, Narrowed):
        return known
    waiting = [talk for talk in snapshot.talks if talk.waits]
    found = _through(waiting, filters.chosen)
    facets = {
        name: dict(Counter(_key(talk, name) for talk in _through(waiting, filters.chosen, but=name)))
        for name in FACETS
    }
    made = snapshot.narrowed[filters] = Narrowed(found[: filters.show], len(found), len(waiting), facets)
    return made


def view_of(snapshot: Snapshot, viewer: Viewer, filters: Filters) -> View:
    """What somebody sees."""
    name = viewer.name
    held = [talk for talk in snapshot.talks if not talk.waits]
    mine = [talk for talk in held if talk.holder == name]
    waiting = narrowed(snapshot, filters)
    return View(
        {
            MINE: sorted((talk for talk in mine if not talk.snoozed), key=_unanswered_first),
            SNOOZED: sorted((talk for talk in mine if talk.snoozed), key=lambda t: t.snoozed_until or now()),
            COLLEAGUES: [talk for talk in held if talk.holder != name][:MOST],
            WAITING: waiting.shown,
        },
        waiting,
        0 if viewer.id is None else snapshot.mentions.get(viewer.id, 0),
    )


def _through(talks: list[Talk], chosen: Mapping[str, str], *, but: str = "") -> list[Talk]:
    for name, wanted in chosen.items():
        if name != but:
            talks = [talk for talk in talks if _key(talk, name) == wanted]
    return talks


def _key(talk: Talk, name: str) -> str:
    return getattr(talk, name) or NONE


def _unanswered_first(talk: Talk) -> tuple[bool, float, str]:
    since: datetime | None = talk.since
    return (since is None, since.timestamp() if since else 0.0, str(talk.id))
