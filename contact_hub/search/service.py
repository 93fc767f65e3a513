"""Finding what was ever said, and who said it, by whoever may see it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.scope import visible
from contact_hub.citizens.service import DESK
from contact_hub.search import marking, walking
from contact_hub.search.marking import Piece
from contact_hub.search.query import LONGEST, CannotSearch, parse
from contact_hub.search.walking import Filters, Walk
from contact_hub.staff.access import Viewer
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import OLDEST
from contact_hub.timeline.words import CONFIGURATIONS, PLAIN, SHORTEST_NUMBER, configuration, fold

CANDIDATES = 2000  # the newest matches, among which the most relevant are chosen
MOST_PEOPLE = 10
EVERYTHING = Filters()


class Order(StrEnum):
    """What comes first."""

    NEWEST = "newest"
    RELEVANCE = "relevance"


@dataclass(frozen=True, slots=True)
class Hit:
    """A touchpoint that was found, and what of it to show."""

    touchpoint: Touchpoint
    channel: str
    citizen_id: uuid.UUID
    excerpt: list[Piece]


@dataclass(frozen=True, slots=True)
class Found:
    """Some hits, and the cursor to go on from; a page may be short before the end is reached."""

    hits: list[Hit]
    next: str | None


async def search(
    session: AsyncSession,
    viewer: Viewer,
    typed: str,
    *,
    filters: Filters = EVERYTHING,
    order: Order = Order.NEWEST,
    cursor: str | None = None,
    limit: int = 20,
) -> Found:
    """Find touchpoints of citizens whom this viewer may see; raises CannotSearch."""
    query = parse(typed)
    at = _read(cursor)
    wanted = await _compiled(session, query.strict, filters)
    if not wanted:
        return Found([], None)
    ranked = order is Order.RELEVANCE
    walk = await walking.prepare(session, viewer, wanted, filters, ranked=ranked)
    if ranked:
        ids, following = await _most_relevant(session, walk, at, limit)
    else:
        ids, following = await _newest(session, walk, at.before, limit)
    loose = " | ".join((await _compiled(session, query.loose, filters)).values())
    return Found(await _hits(session, ids, loose), following)


_COMPILE = text("""
    SELECT c::text, q::text FROM unnest(CAST(:configurations AS regconfig[])) AS c, to_tsquery(c, :words) AS q
    WHERE querytree(q) NOT IN ('', 'T')
""")


async def _compiled(session: AsyncSession, words: str, filters: Filters) -> dict[str, str]:
    """What each language makes of a query; empty when none of them has anything to look for.

    "die" is an article in German and a verb in English: each language leaves out its own stop words.
    Where nothing is left but exclusions (querytree says T), the language is left out.
    """
    wanted = {configuration(language) for language in filters.languages}
    known = sorted(wanted or {PLAIN, *CONFIGURATIONS.values()})
    rows = await session.execute(_COMPILE, {"configurations": known, "words": words})
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to go on: below an id; in order of relevance behind so many of those down to another id."""

    before: uuid.UUID | None = None
    skip: int = 0
    down_to: uuid.UUID | None = None


def _read(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place()
    before, _, rest = cursor.partition("~")
    skip, _, down_to = rest.partition("~")
    try:
        return _Place(
            uuid.UUID(before),
            max(0, min(int(skip or 0), CANDIDATES)),
            uuid.UUID(down_to) if down_to else None,
        )
    except ValueError:
        raise CannotSearch("This is not a cursor that a search ended with.") from None


async def _newest(
    session: AsyncSession, walk: Walk, before: uuid.UUID | None, limit: int
) -> tuple[list[uuid.UUID], str | None]:
    walked = await walking.go(session, walk, before, limit + 1)
    ids = [match.id for match in walked.matches]
    if len(ids) > limit:
        return ids[:limit], str(ids[limit - 1])
    return ids, None if walked.reached is None else str(walked.reached)


async def _most_relevant(
    session: AsyncSession, walk: Walk, at: _Place, limit: int
) -> tuple[list[uuid.UUID], str | None]:
    """The best of the newest matches, then of those before them.

    Pages stay put because both ends of what they are chosen from are part of the cursor.
    """
    walked = await walking.go(session, walk, at.before, CANDIDATES, down_to=at.down_to)
    best = sorted(walked.matches, key=lambda match: (match.rank, match.id), reverse=True)
    shown = [match.id for match in best[at.skip : at.skip + limit]]
    behind = at.skip + limit
    if behind < len(best):
        newest = at.before or uuid.UUID(int=walked.matches[0].id.int + 1)
        return shown, f"{newest}~{behind}~{walked.reached or OLDEST}"
    older = walked.reached if walked.reached != OLDEST else None
    return shown, None if older is None else str(older)


async def _hits(session: AsyncSession, ids: Sequence[uuid.UUID], loose: str) -> list[Hit]:
    if not ids:
        return []
    rows = await session.execute(
        select(Touchpoint, Address.channel, Address.citizen_id)
        .join(Address, Address.id == Touchpoint.address_id)
        .where(Touchpoint.id.in_(ids))
    )
    by_id = {row[0].id: row for row in rows}
    found = [by_id[identity] for identity in ids if identity in by_id]
    excerpts = await marking.excerpts(session, [row[0] for row in found], loose)
    return [Hit(row[0], row[1], row[2], pieces) for row, pieces in zip(found, excerpts, strict=True)]


async def noted(session: AsyncSession, viewer: Viewer, found: Found, known: list[Person]) -> None:
    """Write down that somebody searched, and whose words they were shown; not what they looked for."""
    await audit.record(session, viewer, "search", shown=len(found.hits) + len(known))
    seen = [hit.citizen_id for hit in found.hits] + [person.citizen_id for person in known]
    for citizen_id in dict.fromkeys(seen):
        await audit.record(session, viewer, "search.shown", citizen_id=citizen_id)


# People ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A citizen who was found by name, or by an address."""

    citizen_id: uuid.UUID
    name: str | None
    channel: str | None
    address: str | None


_NAME = re.compile(r"[^\W\d_]+")


async def people(session: AsyncSession, viewer: Viewer, typed: str, limit: int = MOST_PEOPLE) -> list[Person]:
    """The citizens of a name, or behind an address or a phone number in any notation."""
    typed = typed.strip()
    if not typed or len(typed) > LONGEST or "\x00" in typed:
        return []
    found = await _behind(session, viewer, typed, limit)
    known = {person.citizen_id for person in found}
    named = [
        person for person in await _named(session, viewer, typed, limit) if person.citizen_id not in known
    ]
    return [*found, *named][:limit]


async def _behind(session: AsyncSession, viewer: Viewer, typed: str, limit: int) -> list[Person]:
    # Each way by itself, for each has its own index.
    ways: list[ColumnElement[bool]] = [Address.value == typed]
    digits = "".join(c for c in typed if c.isascii() and c.isdigit()).lstrip("0")
    if re.fullmatch(r"[+()\d\s./-]+", typed, re.ASCII) and SHORTEST_NUMBER <= len(digits) <= 15:
        end = func.number_end(Address.value) == digits[-SHORTEST_NUMBER:]
        ways.append(end & Address.value.endswith(digits))
    found: dict[uuid.UUID, Person] = {}
    for way in ways:
        rows = await session.execute(
            select(Address.citizen_id, Citizen.name, Address.channel, Address.value)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(way, Address.channel != DESK, visible(viewer))
            .limit(limit)
        )
        found |= {row[0]: Person(*row) for row in rows if row[0] not in found}
    return list(found.values())[:limit]


async def _named(session: AsyncSession, viewer: Viewer, typed: str, limit: int) -> list[Person]:
    parts = [folded for part in _NAME.findall(typed) if (folded := fold(part))][:8]
    if not parts or len(parts[-1]) < 2:
        return []
    wanted = " & ".join(f"'{part}'" for part in parts) + ":*"
    rows = await session.execute(
        select(Citizen.id, Citizen.name)
        .where(
            func.name_words(Citizen.name).bool_op("@@")(func.to_tsquery("simple", wanted)), visible(viewer)
        )
        .limit(limit)
    )
    return [Person(row[0], row[1], None, None) for row in rows]
