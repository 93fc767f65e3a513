"""Figures put into tables, with small groups hidden: the same for the page, its charts and its exports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.city import City
from contact_hub.managers import figures
from contact_hub.managers.figures import By, Counted
from contact_hub.managers.hiding import few, hidden
from contact_hub.managers.look import channel_name, language_name
from contact_hub.managers.period import Period
from contact_hub.managers.tables import FEW, Cell, Column, Figure, Kind, Table
from contact_hub.staff.access import Viewer


@dataclass(frozen=True, slots=True)
class _Told:
    """A figure, of how many, and what it means: the `part` of those, or a `value` that rests on them.

    `beside` names the other parts of the same number that could be worked out from it.
    """

    name: str
    kind: Kind
    of: str
    meaning: str
    value: str | None = None
    part: str | None = None
    beside: tuple[str, ...] = ()

    def read(self, counts: Mapping[str, Any]) -> float | None:
        n = int(counts.get(self.of) or 0)
        if self.value == self.of:
            return n
        if self.value is not None:
            found = counts.get(self.value)
            return None if found is None or not n else float(found)
        return None if not n else int(counts.get(self.part or "") or 0) / n

    def parts(self, counts: Mapping[str, Any]) -> list[int]:
        """What those that it is of fall into, none of which may be few; empty where it tells of no part."""
        named = [int(counts.get(name) or 0) for name in (self.part, *self.beside) if name]
        return [*named, int(counts.get(self.of) or 0) - sum(named)] if named else []

    def shut(self, apart: Counted, groups: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The groups for which it is not told, and those for which it is not told of how many either."""
        small = hidden({group: int(apart.get(group, {}).get(self.of) or 0) for group in groups})
        parts = {group: self.parts(apart.get(group, {})) for group in groups}
        each = zip(*parts.values(), strict=True)
        closed = hidden(*(dict(zip(parts, part, strict=True)) for part in each), beyond=small)
        return closed, closed if self.part in _BASES else small


TALKS = _Told("Conversations", "count", "talks", "conversations that began in this time", value="talks")
_BOT = (
    TALKS,
    _Told(
        "Contained for 7 days",
        "share",
        "settled",
        "of the conversations that ended at least 7 days ago: only the bot took part, and the same resident "
        "did not come back within 7 days with the same topic",
        part="contained",
    ),
    _Told(
        "Answered",
        "share",
        "answers",
        "of the questions that were searched for: quoted from an article",
        part="answered",
        beside=("refused",),
    ),
    _Told(
        "Refused",
        "share",
        "answers",
        "of the same questions: the bot said that it does not know; the rest was asked back about, or "
        "withheld because the topic was switched off",
        part="refused",
        beside=("answered",),
    ),
    _Told(
        "Thumbs up",
        "share",
        "thumbs",
        "of the answers that residents gave a thumb: up",
        part="helpful",
    ),
    _Told(
        "Bot's answer after",
        "minutes",
        "answers",
        "the time in which half of the questions were answered by the bot",
        value="bot_minutes",
    ),
)
_PEOPLE = (
    _Told(
        "Waited for a person",
        "count",
        "waits",
        "times that a resident began to wait for a person",
        value="waits",
    ),
    _Told(
        "First word after",
        "minutes",
        "heard",
        "the time in which half of them had a person's first word, nights and weekends included",
        value="first_word",
    ),
    _Told(
        "Within the promise",
        "share",
        "promised",
        "of the waits with a promised time that is over or was kept: a person's first word came by then",
        part="kept",
    ),
    _Told(
        "Resolved after",
        "minutes",
        "resolved",
        "the time in which half of the conversations that a person had a part in were closed, from their "
        "beginning",
        value="resolution",
    ),
)
_VOICES = (
    _Told(
        "Satisfaction",
        "score",
        "rated",
        "the mean of what residents gave, from 1 (bad) to 5 (very good)",
        value="mean",
        beside=("score_1", "score_2", "score_3", "score_4", "score_5"),
    ),
    _Told("Answered the question", "share", "asked", "of those who were asked for it", part="rated"),
    _Told(
        "Third contact",
        "share",
        "talks",
        "of the conversations: the resident's third or later one about the same topic within 14 days, "
        "whatever the channels",
        part="repeated",
    ),
    _Told("Flagged", "share", "talks", "of the conversations: with at least one flag", part="flagged"),
)
_GROUPS: tuple[tuple[str, str, tuple[_Told, ...]], ...] = (
    ("bot", "The bot", _BOT),
    ("people", "People", _PEOPLE),
    ("voices", "What residents say", _VOICES),
)
# What some figure is of. Where that is the part of a share, the share does not tell of how many it is either.
_BASES = frozenset(told.of for _, _, group in _GROUPS for told in group)
BY_NAMES: Mapping[By, str] = {
    By.WEEK: "week",
    By.MONTH: "month",
    By.CHANNEL: "channel",
    By.TOPIC: "topic",
    By.LANGUAGE: "language",
    By.DISTRICT: "district",
}
_OUTCOMES = {
    "answered": "Answered",
    "clarified": "Asked back",
    "refused": "Refused",
    "withheld": "Withheld: the topic was off",
}


async def tables(session: AsyncSession, viewer: Viewer, city: City, period: Period, by: By) -> list[Table]:
    """Every table of the page with the figures, in its order."""
    together, apart = await figures.counted(session, viewer, period, by)
    found = [_overview(together)]
    found += [_apart(key, title, told, apart, city, period, by) for key, title, told in _GROUPS]
    for key, title, heading, name, order in _lists(city):
        counts = await figures.listed(session, viewer, period, key)
        found.append(_list(key, title, heading, name, order, counts))
    return found


def _overview(counts: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = []
    for told in (*_BOT, *_PEOPLE, *_VOICES):
        n = int(counts.get(told.of) or 0)
        closed = few(n) or any(few(part) for part in told.parts(counts))
        value = Figure(FEW if closed else told.read(counts), told.kind)
        of_few = few(n) or (closed and told.part in _BASES)
        rows.append([told.name, value, FEW if of_few else n, told.meaning])
    return Table(
        "overview",
        "Key figures",
        [Column("Figure"), Column("Value", "count"), Column("Of", "count"), Column("What it means")],
        rows,
    )


def _apart(
    key: str,
    title: str,
    told: Sequence[_Told],
    apart: Counted,
    city: City,
    period: Period,
    by: By,
) -> Table:
    groups = _ordered(apart, told[0].of, city, period, by)
    shut = {one.name: one.shut(apart, [group for group, _ in groups]) for one in told}
    columns, drawn = [Column(BY_NAMES[by].capitalize())], []
    for one in told:
        if one.kind in {"share", "score"}:
            drawn.append(len(columns))
        columns.append(Column(one.name, one.kind))
        if one.value != one.of:
            columns.append(Column(f"of ({one.name.lower()})", "count"))
    rows: list[list[Cell]] = []
    for group, name in groups:
        counts = apart.get(group, {})
        row: list[Cell] = [name]
        for one in told:
            closed, of_few = shut[one.name]
            row.append(FEW if group in closed else one.read(counts))
            if one.value != one.of:
                row.append(FEW if group in of_few else int(counts.get(one.of) or 0))
        rows.append(row)
    chart: Literal["line", "bar"] = "line" if by in {By.WEEK, By.MONTH} else "bar"
    return Table(key, f"{title} by {BY_NAMES[by]}", columns, rows, chart=chart, drawn=drawn)


def _ordered(apart: Counted, of: str, city: City, period: Period, by: By) -> list[tuple[str, str]]:
    """The groups with their names: time in its order with no gap, others the largest first."""
    if by is By.WEEK:
        first = period.first - timedelta(days=period.first.weekday())
        weeks = range((period.last - first).days // 7 + 1)
        return [(f"{day}", f"{day}") for day in (first + timedelta(days=7 * week) for week in weeks)]
    if by is By.MONTH:
        return [(month, month) for month in _months(period.first, period.last)]
    naming = _naming(city, by)
    known = sorted(apart, key=lambda group: (-int(apart[group].get(of) or 0), naming(group)))
    return [(group, naming(group)) for group in known]


def _months(first: date, last: date) -> list[str]:
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]


def _naming(city: City, by: By) -> Callable[[str], str]:
    if by is By.CHANNEL:
        return channel_name
    if by is By.LANGUAGE:
        return language_name
    if by is By.TOPIC:
        names = {str(item["key"]): str(item["name"]) for item in city.settings["departments"]}
        return lambda group: names.get(group, group or "no topic yet")
    return lambda group: group or "not known"


# Lists of one count ------------------------------------------------------------------------------------

_Naming = Callable[[str], str]
_TOLD_AS_SHARES = frozenset({"answered", "refused"})  # by the tables above, which would tell a hidden one


def _lists(city: City) -> list[tuple[str, str, str, _Naming, Sequence[str] | None]]:
    """Key, title, heading of the groups, their names, and their order where it is not by size."""
    endings = {str(one["key"]): str(one["name"]) for one in city.settings.get("resolutions") or ()}
    levels = ("uneasy", "unhappy", "danger")
    return [
        ("scores", "Satisfaction, from 1 to 5", "Given", str, ("1", "2", "3", "4", "5")),
        ("outcomes", "What became of questions", "Outcome", lambda g: _OUTCOMES.get(g, g), tuple(_OUTCOMES)),
        ("levels", "Flags", "Level", str.capitalize, levels),
        (
            "resolutions",
            "How conversations with people ended",
            "Outcome",
            lambda g: endings.get(g, g or "not said"),
            None,
        ),
        ("reports", "Reports by district", "District", lambda g: g or "not known", None),
        ("categories", "Reports by kind", "Kind", lambda g: city.category(g, "en"), None),
    ]


def _list(
    key: str,
    title: str,
    heading: str,
    name: _Naming,
    order: Sequence[str] | None,
    counts: Mapping[str, int],
) -> Table:
    groups = list(order or ()) + sorted(
        set(counts) - set(order or ()), key=lambda group: (-counts[group], name(group))
    )
    shut = hidden({group: counts.get(group, 0) for group in groups}, told_elsewhere=_TOLD_AS_SHARES)
    rows: list[list[Cell]] = [
        [name(group), FEW if group in shut else counts.get(group, 0)] for group in groups
    ]
    return Table(key, title, [Column(heading), Column("Number", "count")], rows, chart="bar", drawn=(1,))
