"""Opening time: how much of it lies between two moments, and when so much of it will have passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from contact_hub.city import City

_DAYS = 31


def spans(city: City, at: datetime, days: int = _DAYS) -> Iterator[tuple[datetime, datetime]]:
    """The spans in which people answer that are not over at `at`, the first of them perhaps under way."""
    today = at.astimezone(city.zone).date()
    for offset in range(days):
        day = today + timedelta(days=offset)
        for start, end in city.opening(day):
            # Seconds pass alike on the days on which clocks are changed only in UTC.
            opens = datetime.combine(day, start, city.zone).astimezone(UTC)
            closes = datetime.combine(day, end, city.zone).astimezone(UTC)
            if closes > at:
                yield opens, closes


def closing(city: City, at: datetime) -> datetime | None:
    """When the span ends in which `at` lies; None while nobody answers."""
    opens, closes = next(spans(city, at, 1), (None, None))
    return closes if opens is not None and opens <= at else None


def open_between(city: City, start: datetime, end: datetime) -> timedelta:
    """How much opening time lies between two moments."""
    total = timedelta()
    for opens, closes in spans(city, start, (end - start).days + 2):
        if opens >= end:
            break
        total += min(closes, end) - max(opens, start)
    return total


def open_after(city: City, at: datetime, span: timedelta) -> datetime | None:
    """The moment at which so much opening time has passed since `at`; None when that is a month away."""
    for opens, closes in spans(city, at):
        begins = max(opens, at)
        if begins + span <= closes:
            return begins + span
        span -= closes - begins
    return None


def open_before(city: City, at: datetime, span: timedelta) -> datetime:
    """Since when so much opening time has passed at `at`; a month ago where it has not passed since."""
    start = at - timedelta(days=_DAYS)
    for opens, closes in reversed(list(spans(city, start, _DAYS + 1))):
        ends = min(closes, at)
        if ends - span >= opens:
            return ends - span
        if ends > opens:
            span -= ends - opens
    return start
