"""Searches that people keep under a name; nobody sees another's."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import new_id, now
from contact_hub.search.models import SavedSearch
from contact_hub.search.query import CannotSearch, parse

MOST = 100  # of one owner


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
