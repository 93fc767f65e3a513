"""Where people answer residents: everything under `/desk`."""

from __future__ import annotations

from fastapi import APIRouter

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.desk import citizen_pages, people_pages, queue_pages, seal_pages, search_pages, talk
from contact_hub.desk.board import Board
from contact_hub.desk.room import Room
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.guard import Guard


def router(
    database: Database,
    guard: Guard,
    city: City,
    writer: Writer,
    wakeups: Wakeups,
    neighbours: Neighbours,
    board: Board,
) -> APIRouter:
    """Everything under `/desk`."""
    routes = APIRouter(prefix="/desk", include_in_schema=False)
    room = Room(database, guard, city, writer, wakeups, neighbours)
    queue_pages.add(routes, room, board)
    search_pages.add(routes, room)
    citizen_pages.add(routes, room)
    people_pages.add(routes, room)
    seal_pages.add(routes, room)
    talk.add(routes, room)
    return routes
