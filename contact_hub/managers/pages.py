"""Everything under `/managers`."""

from __future__ import annotations

from fastapi import APIRouter

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.journey.neighbours import Neighbours
from contact_hub.managers import bot_pages, draft_pages, figure_pages, review_pages
from contact_hub.staff.guard import Guard


def router(database: Database, guard: Guard, city: City, brain: Neighbours) -> APIRouter:
    """The managers' pages."""
    routes = APIRouter(prefix="/managers", include_in_schema=False)
    figure_pages.add(routes, database, guard, city)
    review_pages.add(routes, database, guard, city)
    draft_pages.add(routes, database, guard, city, brain)
    bot_pages.add(routes, database, guard, city)
    return routes
