"""What the pages of the desk are made with, and who sits at them."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException, Request

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.access import Action, Viewer, allows
from contact_hub.staff.guard import LONGEST_REASON, Guard
from contact_hub.staff.look import sign_in_first
from contact_hub.staff.sessions import SignedIn


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who is signed in and may do what they came for."""

    me: SignedIn
    viewer: Viewer
    mentions: int  # of them in notes that they have not seen yet, for a page that says so


@dataclass(frozen=True, slots=True)
class Room:
    """The parts of the hub that the desk works with."""

    database: Database
    guard: Guard
    city: City
    writer: Writer
    wakeups: Wakeups
    neighbours: Neighbours

    async def seat(
        self,
        request: Request,
        action: Action = Action.QUEUE,
        *,
        reason: str = "",
        quietly: bool = False,
    ) -> Seat:
        """Whose request this is; sends whoever is not signed in to do so, and raises a 403.

        `reason` is why they look beyond their own open conversations, as their form says it. What a page
        asks by itself is asked `quietly`.
        """
        me = await self.guard.signed_in(request, quietly=quietly)
        if me is None:
            if quietly or "hx-request" in request.headers or request.method != "GET":
                raise HTTPException(401, "You are signed out. Please sign in again.")
            query = f"?{request.url.query}" if request.url.query else ""
            raise sign_in_first(f"{request.url.path}{query}")
        words = " ".join(reason.replace("\x00", "").split())[:LONGEST_REASON]
        viewer = self.guard.viewer_of(me, words or None)
        if not allows(viewer, action):
            raise HTTPException(403, f"Your role does not let you {action}.")
        page = request.method == "GET" and not quietly
        return Seat(me, viewer, await self._mentions(me) if page else 0)

    async def _mentions(self, me: SignedIn) -> int:
        rows = await self.database.glance(
            "SELECT count(*) FROM mention WHERE staff_id = %(me)s AND seen_at IS NULL", me=me.staff.id
        )
        return int(str(rows[0][0]))

    @property
    def departments(self) -> dict[str, str]:
        """The names of the city's departments by key, in its own order."""
        return {str(item["key"]): str(item["name"]) for item in self.city.settings["departments"]}
