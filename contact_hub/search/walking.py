"""Walking through the history from its newest end.

A word that is everywhere has millions of places in the index, and one that is nowhere has none; reading
either way is fast for one and slow for the other. So the history is read in stretches that grow: what is
common is found in the first, what is rare costs one look into the index per month. Everything in a
stretch that matches is found, so a stretch costs what it holds and never what lies before it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, case, cast, func, literal, literal_column, select, true
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Float, Integer, Text

from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import visible
from contact_hub.database import now
from contact_hub.staff.access import Viewer
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import OLDEST, first_id_at, moment_of
from contact_hub.timeline.words import CONFIGURATIONS, PLAIN

FEW = 2000  # addresses: up to so many are looked through one by one instead of the whole history
PATIENCE = 0.7  # seconds after which a page is given as it is, with the place to go on from
_GROWING = (timedelta(hours=1), timedelta(hours=8), timedelta(hours=64), timedelta(days=16))
_AHEAD = timedelta(days=1)  # another machine's clock may run a little ahead of ours


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a search; what is empty lets everything through. `states` are the conversation's."""

    channels: Sequence[str] = ()
    kinds: Sequence[str] = ()
    languages: Sequence[str] = ()
    states: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A touchpoint that was found; `rank` where it was asked for."""

    id: uuid.UUID
    rank: float


@dataclass(frozen=True, slots=True)
class Walked:
    """What was found, newest first, and the id below which nothing was looked at yet (None: all was)."""

    matches: list[Match]
    reached: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Walk:
    """What stays the same from stretch to stretch.

    `words` fits what any language makes of a search, for the index; `by_language` is what each of them
    makes of it, by configuration. `addresses` is all that there is to look through, where that is little.
    """

    words: ColumnElement[str]
    by_language: Mapping[str, str]
    filters: Filters
    may_see: ColumnElement[bool]
    addresses: Sequence[uuid.UUID] | None = None
    ranked: bool = False

    def stretch(self, newest: uuid.UUID, oldest: uuid.UUID, limit: int) -> Select[uuid.UUID, float]:
        """The newest matches between two ids, among what may be seen."""
        # MATERIALIZED: with a limit in sight PostgreSQL would rather read row after row of a month,
        # hoping to meet enough of them soon.
        found = self._found(newest, oldest).cte("found").prefix_with("MATERIALIZED")
        # OFFSET: it would also rather list everybody who may be seen, where looking at the few who
        # are behind the newest matches is enough.
        allowed: Select[int] = (
            select(literal_column("1", Integer))
            .select_from(Address)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Address.id == found.c.address_id, self.may_see)
            .offset(0)
        )
        if self.filters.channels:
            allowed = allowed.where(Address.channel.in_(self.filters.channels))
        if self.filters.states:
            allowed = allowed.join(Conversation, Conversation.id == found.c.conversation_id).where(
                Conversation.state.in_(self.filters.states)
            )
        return (
            select(found.c.id, found.c.rank)
            .join(allowed.lateral(), true())
            .order_by(found.c.id.desc())
            .limit(limit)
        )

    def _found(
        self, newest: uuid.UUID, oldest: uuid.UUID
    ) -> Select[uuid.UUID, uuid.UUID, uuid.UUID | None, float]:
        rank = func.ts_rank_cd(Touchpoint.words, self.words) if self.ranked else literal_column("0", Float)
        query = select(
            Touchpoint.id, Touchpoint.address_id, Touchpoint.conversation_id, rank.label("rank")
        ).where(Touchpoint.id < newest, Touchpoint.id >= oldest, Touchpoint.words.bool_op("@@")(self.words))
        if len(self.by_language) > 1:
            query = query.where(Touchpoint.words.bool_op("@@")(self._in_its_language()))
        # The same expression as in the index: what is rarer than the words narrows the look itself.
        marks = array([Touchpoint.kind, Touchpoint.language])
        for wanted in (self.filters.kinds, self.filters.languages):
            if wanted:
                query = query.where(marks.overlap(cast(list(wanted), ARRAY(Text))))
        if self.addresses is not None:
            query = query.where(Touchpoint.address_id.in_(self.addresses))
        return query

    def _in_its_language(self) -> ColumnElement[str]:
        """What a text's own language makes of the search: "bin" is a stop word in German only."""
        language = func.lower(func.split_part(Touchpoint.language, "-", 1))
        spoken = {code: self.by_language.get(name) for code, name in CONFIGURATIONS.items()}
        return case(
            *((language == code, cast(literal(words), TSQUERY)) for code, words in spoken.items()),
            else_=cast(literal(self.by_language.get(PLAIN)), TSQUERY),
        )


async def prepare(
    session: AsyncSession, viewer: Viewer, by_language: Mapping[str, str], filters: Filters, *, ranked: bool
) -> Walk:
    """A walk through what this viewer may see; `by_language` as `Walk` has it, and not empty."""
    words = cast(literal(" | ".join(f"({one})" for one in sorted(set(by_language.values())))), TSQUERY)
    may_see = visible(viewer)
    if not filters.channels and not filters.states and may_see is true():
        return Walk(words, by_language, filters, may_see, None, ranked)
    few = select(Address.id).join(Citizen, Citizen.id == Address.citizen_id).where(may_see).limit(FEW + 1)
    if filters.channels:
        few = few.where(Address.channel.in_(filters.channels))
    if filters.states:
        few = few.where(
            Address.id.in_(select(Conversation.address_id).where(Conversation.state.in_(filters.states)))
        )
    addresses = (await session.scalars(few)).all()
    few_enough = addresses if len(addresses) <= FEW else None
    return Walk(words, by_language, filters, may_see, few_enough, ranked)


async def go(
    session: AsyncSession,
    walk: Walk,
    before: uuid.UUID | None,
    limit: int,
    *,
    down_to: uuid.UUID | None = None,
) -> Walked:
    """Walk until there are enough matches, the history ends, or patience does.

    `down_to` is how far an earlier walk came: the same stretch is walked again, to its end.
    """
    found: list[Match] = []
    began = time.monotonic()
    if walk.addresses is not None and not walk.addresses:
        return Walked([], None)
    first = await session.scalar(select(Touchpoint.id).order_by(Touchpoint.id).limit(1))
    if first is None:
        return Walked([], None)
    for newest, oldest in stretches(before, walk.filters, max(first, down_to or first)):
        rows = await session.execute(walk.stretch(newest, oldest, limit - len(found)))
        found += [Match(*row) for row in rows]
        if len(found) >= limit:
            return Walked(found, found[-1].id)
        if down_to is None and oldest > first and time.monotonic() - began > PATIENCE:
            return Walked(found, oldest)
    return Walked(found, down_to)


def stretches(
    before: uuid.UUID | None, filters: Filters, first: uuid.UUID
) -> Iterator[tuple[uuid.UUID, uuid.UUID]]:
    """Pairs of ids, newest first, each from below the one to the other; `first` is the oldest there is."""
    newest = min(first_id_at(now() + _AHEAD), before or uuid.UUID(int=2**128 - 1))
    if filters.until is not None:
        newest = min(newest, first_id_at(filters.until))
    last = first if filters.since is None else max(first, first_id_at(filters.since))
    growing = iter(_GROWING)
    start = min(moment_of(newest), now())
    while newest > last:
        back = next(growing, None)
        oldest = first_id_at(_start_of_month(newest) if back is None else start - back)
        oldest = max(last, oldest) if oldest > OLDEST else last
        yield newest, oldest
        newest = oldest


def _start_of_month(identity: uuid.UUID) -> datetime:
    """The start of the month, and so of the partition, that holds what lies just before an id."""
    just_before = moment_of(identity) - timedelta(milliseconds=1)
    return just_before.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
