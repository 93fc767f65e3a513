"""Searches that people keep under a name; nobody sees another's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import new_id, now
from contact_hub.search.models import SavedSearch
from contact_hub.search.query import CannotSearch, parse
from contact_hub.timeline.words import normal, number, tokens

MOST = 100  # of one owner
_LONG_NAME = 6  # letters of a single name that nobody looks for as a word
_NUMBER = re.compile(r"\+?\d{7,15}")


async def save(
    session: AsyncSession, owner_id: uuid.UUID, name: str, query: str, filters: dict[str, Any]
) -> SavedSearch:
    """Keep a search, in place of an earlier one of that name; raises CannotSearch."""
    parse(query)
    others = await session.scalar(
        select(func.count()).where(SavedSearch.owner_id == owner_id, SavedSearch.name != name)
    )
    if (others or 0) >= MOST:
        raise CannotSearch(f"{MOST} searches are kept already: remove one first.")
    kept: SavedSearch = (
        await session.scalars(
            insert(SavedSearch)
            .values(id=new_id(), owner_id=owner_id, name=name, query=query, filters=filters, created_at=now())
            .on_conflict_do_update(
                index_elements=["owner_id", "name"], set_={"query": query, "filters": filters}
            )
            .returning(SavedSearch),
            execution_options={"populate_existing": True},
        )
    ).one()
    return kept


async def kept_by(session: AsyncSession, owner_id: uuid.UUID) -> Sequence[SavedSearch]:
    """Somebody's searches by name."""
    found = await session.scalars(
        select(SavedSearch).where(SavedSearch.owner_id == owner_id).order_by(SavedSearch.name)
    )
    return found.all()


async def forget(session: AsyncSession, owner_id: uuid.UUID, search_id: uuid.UUID) -> bool:
    """Remove one of somebody's own searches; False when there is none."""
    gone = await session.execute(
        delete(SavedSearch)
        .where(SavedSearch.owner_id == owner_id, SavedSearch.id == search_id)
        .returning(SavedSearch.id)
    )
    return gone.first() is not None


async def forget_person(session: AsyncSession, names: Sequence[str], addresses: Sequence[str]) -> int:
    """Remove everybody's searches for a person, by full name or address; returns how many there were.

    A name of a single short word is a word like any other, and says nothing of who was looked for.
    """
    known = [words for words in map(_words_of, names) if len(words) > 1 or len("".join(words)) >= _LONG_NAME]
    ends = {end for address in addresses if _NUMBER.fullmatch(address) and (end := number(address))}
    others = [address.casefold() for address in addresses if not _NUMBER.fullmatch(address)]
    exact = {words.casefold() for words in (*names, *addresses)}
    gone = 0
    for search in await session.scalars(select(SavedSearch)):
        said = f"{search.query}\n{search.name}"
        words = _words_of(said)
        if (
            any(_written(name) <= words for name in known)
            or words & ends
            or any(other in said.casefold() for other in others)
            or exact.intersection(_values(search.filters))
        ):
            await session.delete(search)
            gone += 1
    await session.flush()
    return gone


def _words_of(text: str) -> frozenset[str]:
    """Its words and numbers as search compares them."""
    return frozenset(word.token for word in tokens(normal(text)))


def _written(name: frozenset[str]) -> frozenset[str]:
    """What of a name stands in any text with it: its last Chinese character is followed by another there."""
    return frozenset(word for word in name if len(word) > 1 or word.isascii())


def _values(filters: Any) -> Iterator[str]:
    if isinstance(filters, dict | list):
        for value in filters.values() if isinstance(filters, dict) else filters:
            yield from _values(value)
    else:
        yield str(filters).casefold()
