"""The time that figures are of: whole days of the city, with both ends in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

USUAL_DAYS = 28
LONGEST_DAYS = 400


class NoPeriod(ValueError):
    """It is no period of time; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Period:
    """From the first moment of one day to the last of another, in the city's own time."""

    first: date
    last: date
    zone: ZoneInfo

    @classmethod
    def asked(cls, first: str, last: str, zone: ZoneInfo, at: datetime) -> Period:
        """The period that a form asks for, the last four whole weeks where it says nothing; NoPeriod."""
        today = at.astimezone(zone).date()
        try:
            end = date.fromisoformat(last) if last else today - timedelta(days=1)
            start = date.fromisoformat(first) if first else end - timedelta(days=USUAL_DAYS - 1)
        except ValueError:
            raise NoPeriod("Please give both days as year-month-day.") from None
        if start > end:
            raise NoPeriod("The first day lies after the last.")
        if (end - start).days >= LONGEST_DAYS:
            raise NoPeriod(f"Please ask for at most {LONGEST_DAYS} days.")
        if start.year < 2000 or end > today:
            raise NoPeriod("There are no figures of such days.")
        return cls(start, end, zone)

    @property
    def since(self) -> datetime:
        """Its first moment."""
        return beginning(self.first, self.zone)

    @property
    def until(self) -> datetime:
        """The moment after its last."""
        return beginning(self.last + timedelta(days=1), self.zone)

    @property
    def words(self) -> str:
        """As it stands in a heading or a file's name."""
        return f"{self.first} to {self.last}"

    @property
    def query(self) -> str:
        """As a page's address carries it."""
        return f"first={self.first}&last={self.last}"


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day in a zone."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
