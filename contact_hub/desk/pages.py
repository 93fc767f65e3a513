"""Where people answer residents: everything under `/desk`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.desk import talk
from contact_hub.desk.look import page
from contact_hub.desk.room import Room
from contact_hub.journey.effects import Writer
from contact_hub.journey.neighbours import Neighbours
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.guard import Guard


def router(
    database: Database,
    guard: Guard,
    city: City,
    writer: Writer,
    wakeups: Wakeups,
    neighbours: Neighbours,
) -> APIRouter:
    """Everything under `/desk`."""
    routes = APIRouter(prefix="/desk", include_in_schema=False)
    room = Room(database, guard, city, writer, wakeups, neighbours)

    talk.add(routes, room)

    @routes.get("")
    async def queue(request: Request) -> Response:
        return page("queue.html", await room.seat(request), here="queue")

    return routes
