"""What the city promises to whoever waits: reckoned from how long others waited, in opening time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import DANGER, Conversation
from contact_hub.city import City
from contact_hub.database import memory_of, now
from contact_hub.handoff.hours import closing, open_after, open_between
from contact_hub.handoff.models import Wait
from contact_hub.handoff.queue import position
from contact_hub.handoff.rules import Rules
from contact_hub.staff.models import Role, Staff, StaffSession

MEASURED = 100  # waits that are looked at
FEWEST = 3  # from here on a median says something
LOOK_BACK = timedelta(days=14)
AT_WORK = timedelta(minutes=30)  # since somebody was last seen: as long as a session stays open unused
KEPT = timedelta(minutes=1)  # for so long a measured wait is used again
MARGIN = 1.5  # what is promised against what is expected


@dataclass(frozen=True, slots=True)
class Promise:
    """What somebody who waits can be told: their place, how long it takes, and by when at the latest.

    `expected` is None while too little was measured, `opens` while somebody answers now.
    """

    position: int
    expected: timedelta | None
    by: datetime | None
    opens: datetime | None
    closes: datetime | None


async def promise(
    session: AsyncSession, city: City, rules: Rules, conversation: Conversation, *, at_least: timedelta
) -> Promise:
    """Reckon what a waiting conversation is promised, and write it down for the clock to keep.

    An answer is promised within no less opening time than `at_least`.
    """
    seen = await outlook(session, city, rules, conversation)
    if conversation.priority >= DANGER:
        span = at_least
    else:
        span = max(at_least, rules.unmeasured if seen.expected is None else seen.expected * MARGIN)
    by = _rounded(open_after(city, now(), span))
    conversation.promised_at = by
    await session.execute(
        update(Wait)
        .where(Wait.conversation_id == conversation.id, Wait.ended_at.is_(None), Wait.promised_at.is_(None))
        .values(promised_at=by)
        .execution_options(synchronize_session=False)
    )
    return replace(seen, by=by)


async def outlook(session: AsyncSession, city: City, rules: Rules, conversation: Conversation) -> Promise:
    """What a waiting conversation can be told without promising anything new: what was promised stands."""
    moment, promised = now(), conversation.promised_at
    front = city.front_department
    place = await position(session, conversation, rules, front)
    expected = await expect(session, city, conversation, place, front)
    by = promised if promised is not None and promised > moment else None
    opens = None if city.is_open(moment) else city.next_opening(moment)
    return Promise(place, expected, by, opens, closing(city, moment))


async def expect(
    session: AsyncSession, city: City, conversation: Conversation, place: int, front: str
) -> timedelta | None:
    """How much opening time it takes until the turn of this place in the queue comes.

    While others waited, the time from one taking to the next of the same person is what a conversation
    costs them: the median of that, for everybody before, over the people at work. In a time without a
    queue it is the median of the waits themselves. None while neither was measured often enough.
    """
    pace, wait = await _measured(session, city, conversation, front)
    if pace is None:
        return wait
    people = await at_work(session, conversation.department or front, front)
    return pace * math.ceil(place / max(1, people))


async def _measured(
    session: AsyncSession, city: City, conversation: Conversation, front: str
) -> tuple[timedelta | None, timedelta | None]:
    """What a conversation costs a person, and how long others waited; each None where too little is known.

    Kept for a minute: reckoning with opening hours takes long, and whoever asks holds a conversation's lock.
    """
    kept: dict[tuple[str, str | None], tuple[datetime, timedelta | None, timedelta | None]]
    kept = memory_of(session).setdefault("measured waits", {})
    about = (conversation.department or front, conversation.language)
    at, pace, wait = kept.get(about, (None, None, None))
    if at is not None and abs(now() - at) < KEPT:
        return pace, wait
    taken = await _taken(session, conversation, front)
    paces = [
        open_between(city, before, ended)
        for since, ended, before in taken
        if before is not None and since <= before
    ]
    waits = [open_between(city, since, ended) for since, ended, _ in taken]
    pace = _median(paces) if len(paces) >= FEWEST else None
    wait = _median(waits) if len(waits) >= FEWEST else None
    if wait is not None:
        kept[about] = now(), pace, wait
    return pace, wait


def _median(spans: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=statistics.median(span.total_seconds() for span in spans))


async def _taken(
    session: AsyncSession, conversation: Conversation, front: str
) -> Sequence[tuple[datetime, datetime, datetime | None]]:
    """The last waits that a person of this department ended, and when that person ended one before."""
    department = conversation.department or front
    office = Wait.department == department
    if department == front:
        office = or_(office, Wait.department.is_(None))
    before = func.lag(Wait.ended_at).over(partition_by=Wait.taken_by, order_by=Wait.ended_at)
    query = (
        select(Wait.since, Wait.ended_at, before)
        .where(Wait.ended == "taken", Wait.ended_at > now() - LOOK_BACK, office, Wait.priority < DANGER)
        .order_by(Wait.ended_at.desc())
        .limit(MEASURED)
    )
    own = (await session.execute(query.where(Wait.language == conversation.language))).all()
    rows = own if len(own) >= FEWEST else (await session.execute(query)).all()
    return [(since, ended, earlier) for since, ended, earlier in rows]


async def at_work(session: AsyncSession, department: str, front: str) -> int:
    """How many people who answer this department's conversations were seen lately."""
    rows = await session.scalars(
        select(Staff.departments).where(
            Staff.disabled_at.is_(None),
            Staff.role.in_((Role.AGENT, Role.SUPERVISOR)),
            Staff.id.in_(
                select(StaffSession.staff_id).where(
                    StaffSession.last_seen_at > now() - AT_WORK, StaffSession.second_step.is_(False)
                )
            ),
        )
    )
    return sum(department in departments for departments in rows)


def _rounded(at: datetime | None) -> datetime | None:
    """Up to the next five minutes: nobody believes a promise to the second."""
    if at is None:
        return None
    over = timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)
    return at if not over else at - over + timedelta(minutes=5)
