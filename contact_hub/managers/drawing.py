"""Which conversations managers judge: some drawn by chance for each day, and every dismissed flag.

The flags that are drawn by chance are those of dissatisfaction; of danger only the dismissed ones are judged.

Chance is the order of a digest of the id, which is as good as random for UUIDv7 and the same whenever it
is looked at: drawing twice draws the same. A day is drawn when it has been over for a day, so that talks
nobody closed have ended by themselves. What is drawn of a day stands for all there was on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any

from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.city import City
from contact_hub.database import Database, new_id, now
from contact_hub.flags.models import DrawnFor, Review
from contact_hub.managers.period import beginning

CATCH_UP_DAYS = 7
_LOCK = 0x72766965  # one draws at a time
_UNSEALED = (
    "NOT EXISTS (SELECT FROM address a JOIN sealed_record s ON s.citizen_id = a.citizen_id"
    " WHERE a.id = {address})"
)
_FLAGS = f"""
    SELECT f.id AS flag, f.conversation_id AS conversation, r.id AS review, r.drawn_for = 'sample' AS drawn
    FROM flag f LEFT JOIN review r ON r.flag_id = f.id
    WHERE f.raised_at >= :since AND f.raised_at < :until AND f.level <> 'danger'
      AND {_UNSEALED.format(address="f.address_id")}
    ORDER BY md5(f.id::text)
"""  # noqa: S608 - our words
_UNFLAGGED = f"""
    SELECT NULL::uuid AS flag, c.id AS conversation, r.id AS review, r.id IS NOT NULL AS drawn
    FROM conversation c LEFT JOIN review r ON r.conversation_id = c.id AND r.flag_id IS NULL
    WHERE (c.closed_at >= :since AND c.closed_at < :until
           OR c.state = 'bot' AND c.last_activity_at >= :since AND c.last_activity_at < :until)
      AND NOT c.follow_up AND NOT EXISTS (SELECT FROM flag f WHERE f.conversation_id = c.id)
      AND EXISTS (SELECT FROM touchpoint t WHERE t.conversation_id = c.id
                  AND t.direction = 'in' AND t.kind = 'text')
      AND {_UNSEALED.format(address="c.address_id")}
    ORDER BY md5(c.id::text)
"""  # noqa: S608 - our words
_DISMISSED = f"""
    SELECT f.id AS flag, f.conversation_id AS conversation,
           (f.raised_at AT TIME ZONE :zone)::date AS day
    FROM flag f
    WHERE f.dismissed_at IS NOT NULL AND NOT EXISTS (SELECT FROM review r WHERE r.flag_id = f.id)
      AND {_UNSEALED.format(address="f.address_id")}
"""  # noqa: S608 - our words


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many are drawn by chance for a day."""

    flags: int
    unflagged: int

    @classmethod
    def of(cls, city: City) -> Wanted:
        """As the city's settings say."""
        said = city.settings.get("reviews") or {}
        return cls(int(said.get("flags_a_day", 5)), int(said.get("unflagged_a_day", 10)))


MOST_TIMES = 4  # the nightly sample is what can be drawn of a day by hand


def chores(database: Database, city: City) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """What the worker's clock does for this room, as often as it ticks."""

    async def draw() -> None:
        async with database.begin() as session:
            await nightly(session, city)

    return {"reviews": draw}


async def nightly(session: AsyncSession, city: City) -> int:
    """Draw what is due and was not drawn yet; returns how many that were."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    wanted = Wanted.of(city)
    drawn = await _dismissed(session, city)
    for day in due_days(city):
        there = await _drawn(session, day)
        if there[DrawnFor.SAMPLE] < wanted.flags:
            drawn += await _draw(session, city, day, DrawnFor.SAMPLE, wanted.flags)
        if there[DrawnFor.UNFLAGGED] < wanted.unflagged:
            drawn += await _draw(session, city, day, DrawnFor.UNFLAGGED, wanted.unflagged)
    return drawn


async def more(session: AsyncSession, city: City, number: int) -> int:
    """Draw about so many more of each kind, spread over the last days; returns how many that were."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    drawn = await _dismissed(session, city)
    wanted, each = Wanted.of(city), ceil(number / CATCH_UP_DAYS)
    for day in due_days(city):
        there = await _drawn(session, day)
        for why, wished in ((DrawnFor.SAMPLE, wanted.flags), (DrawnFor.UNFLAGGED, wanted.unflagged)):
            if there[why] >= MOST_TIMES * wished:
                continue  # a sample, and not every conversation there was
            drawn += await _draw(session, city, day, why, there[why] + each)
    return drawn


def due_days(city: City) -> list[date]:
    """The days that may be drawn: the last ones that have been over for a day."""
    today = now().astimezone(city.zone).date()
    return [today - timedelta(days=back) for back in range(2, 2 + CATCH_UP_DAYS)]


async def _drawn(session: AsyncSession, day: date) -> dict[DrawnFor, int]:
    rows = await session.execute(
        text("SELECT drawn_for, count(*) FROM review WHERE day = :day GROUP BY 1"), {"day": day}
    )
    counted = {DrawnFor(why): int(n) for why, n in rows}
    return {why: counted.get(why, 0) for why in DrawnFor}


async def _draw(session: AsyncSession, city: City, day: date, why: DrawnFor, number: int) -> int:
    """Let so many of the day be under review; what was drawn already stays and counts among them."""
    statement = _FLAGS if why is DrawnFor.SAMPLE else _UNFLAGGED
    bounds = {"since": beginning(day, city.zone), "until": beginning(day + timedelta(days=1), city.zone)}
    everything: Sequence[Any] = (await session.execute(text(statement), bounds)).all()
    there = [row for row in everything if row.drawn]
    fresh = [row for row in everything if not row.drawn][: max(0, number - len(there))]
    if not fresh:
        return 0
    for row in fresh:
        if row.review is None:
            await _insert(session, row.conversation, row.flag, why, day)
        else:  # a dismissed flag, which was to be judged anyway
            await session.execute(
                update(Review).where(Review.id == row.review).values(drawn_for=why, day=day)
            )
    await session.execute(
        update(Review)
        .where(Review.day == day, Review.drawn_for == why)
        .values(stands_for=len(everything) / (len(there) + len(fresh)))
    )
    return len(fresh)


async def _dismissed(session: AsyncSession, city: City) -> int:
    rows = (await session.execute(text(_DISMISSED), {"zone": city.zone.key})).all()
    for row in rows:
        await _insert(session, row.conversation, row.flag, DrawnFor.DISMISSED, row.day)
    return len(rows)


async def _insert(
    session: AsyncSession, conversation: uuid.UUID, flag: uuid.UUID | None, why: DrawnFor, day: date
) -> None:
    await session.execute(
        insert(Review).values(
            id=new_id(),
            conversation_id=conversation,
            flag_id=flag,
            drawn_for=why,
            drawn_at=now(),
            day=day,
            stands_for=1.0,
            blind=False,
        )
    )
