"""Ratings of conversations: when somebody is asked, what they answer, what becomes of it."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.scope import visible
from contact_hub.ratings.models import Rating
from contact_hub.staff.access import Viewer


async def page(
    session: AsyncSession,
    viewer: Viewer,
    *,
    before: uuid.UUID | None = None,
    limit: int = 50,
    since: datetime | None = None,
) -> list[tuple[Rating, uuid.UUID]]:
    """Ratings that were given by citizens whom the viewer may see, with the citizen of each; newest first."""
    query = (
        select(Rating, Citizen.id)
        .join(Address, Address.id == Rating.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(visible(viewer), Rating.score.is_not(None))
        .order_by(Rating.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Rating.id < before)
    if since is not None:
        query = query.where(Rating.rated_at >= since)
    return [(rating, citizen) for rating, citizen in await session.execute(query)]
