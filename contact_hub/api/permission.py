"""What every route of the API asks first: who is this, and may they do that?"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Header, HTTPException, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens.models import Citizen
from contact_hub.citizens.scope import find
from contact_hub.database import Database
from contact_hub.staff.access import Action, Viewer, allows
from contact_hub.staff.guard import Guard
from contact_hub.web.errors import Refusal

# One answer for an unknown citizen, another office's and a sealed one: none of them can be told apart.
NO_SUCH_CITIZEN = "There is no such citizen."

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The request is malformed"},
    401: {"model": Refusal, "description": "Neither a token nor a signed-in member of staff"},
    403: {
        "model": Refusal,
        "description": "The scopes or the role do not allow this; with a citizen in the path it is 404",
    },
    422: {"model": Refusal, "description": "Something in the request is not as described here"},
    503: {"model": Refusal, "description": "The database is away for a moment"},
}
MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": Refusal, "description": "There is nothing here that this viewer may see"}
}

_bearer = HTTPBearer(auto_error=False, description="A token made by `civicline token create --scope ...`.")


class Permission:
    """Makes the dependencies of routes."""

    def __init__(self, guard: Guard, database: Database) -> None:
        self._guard = guard
        self._database = database
        self._cookie = APIKeyCookie(
            name=guard.cookie.name, auto_error=False, description="A member of staff who is signed in."
        )

    def needs(self, action: Action, *, of_citizen: str | None = None) -> Any:
        """A dependency, for a parameter's default, that gives the viewer, once they may do this.

        `of_citizen` names the path's parameter with a citizen's id, or that of something of theirs: a
        role or a token that may not do this gets the answer that everybody gets for a citizen who is
        not theirs, and that is written down.
        """

        cookie = Depends(self._cookie)  # for the description: the guard reads it

        async def viewer(
            request: Request,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
            signed_in: str | None = cookie,
            x_reason: Annotated[
                str | None,
                Header(description="Why a member of staff looks beyond their own open conversations."),
            ] = None,
        ) -> Viewer:
            found = await self._guard.viewer(request)
            if found is None:
                raise HTTPException(
                    401, "This needs a token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"}
                )
            if allows(found, action):
                return found
            if of_citizen is None:
                missing = (
                    "This token does not have a scope to"
                    if found.kind == "token"
                    else "Your role does not let you"
                )
                raise HTTPException(403, f"{missing} {action}.")
            return await self.refuse(found, str(request.path_params.get(of_citizen, "")))

        return Depends(viewer)

    async def citizen(self, session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID) -> Citizen:
        """The citizen, where this viewer may see them; raises the one 404."""
        found = await find(session, viewer, citizen_id)
        return found or await self.refuse(viewer, str(citizen_id))

    async def refuse(self, viewer: Viewer, which: str) -> NoReturn:
        """Write down that somebody asked for a record they may not see, and raise the one 404.

        It is written alike whether there is such a record or not, and in a transaction of its own:
        the request's is rolled back.
        """
        async with self._database.begin() as session:
            await audit.record(session, viewer, "citizen.refused", subject=which[:64])
        raise HTTPException(404, NO_SUCH_CITIZEN)
