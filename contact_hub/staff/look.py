"""How the pages of staff look: one frame, never kept by a browser or a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from contact_hub.staff.access import ALLOWED, Action, allows
from contact_hub.staff.guard import Guard
from contact_hub.staff.models import Role
from contact_hub.staff.sessions import SignedIn
from contact_hub.web.templates import environment_of

_environment = environment_of(Path(__file__).parent / "templates")
_LONGEST_PATH = 500
_WORK = (
    (Action.QUEUE, "/desk"),
    (Action.COUNT, "/managers"),
    (Action.SEAL, "/desk/seals"),
    (Action.STAFF, "/staff/people"),
)
_OURS = ("/staff", "/desk", "/managers", "/docs")  # where somebody may want to go on after signing in


def page(template: str, *, status: int = 200, me: SignedIn | None = None, **words: Any) -> HTMLResponse:
    """Make a page; `me` is whose it is."""
    name = None if me is None else me.staff.name
    role = None if me is None else me.staff.role
    places = (
        {}
        if role is None
        else {action: action in ALLOWED[Role(role)] for action in (Action.QUEUE, Action.COUNT)}
    )
    made = _environment.get_template(template).render(
        me=name,
        my_role=role,
        answers=places.get(Action.QUEUE),
        manages=places.get(Action.COUNT),
        **{"wrong": "", "due": False, **words},
    )
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})


def go(path: str) -> RedirectResponse:
    """Send the browser to another page of ours after a form."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def onward(path: str) -> str:
    """Where to go after signing in: a page of ours, never another site."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= _LONGEST_PATH
    ours = any(path == start or path.startswith((f"{start}/", f"{start}?")) for start in _OURS)
    return path if plain and ours else "/staff"


def landing(path: str, role: str) -> str:
    """Where somebody goes on after signing in: where they wished to, else where their work is."""
    if path:
        return onward(path)
    return next((place for action, place in _WORK if action in ALLOWED[Role(role)]), "/staff")


def sign_in_first(path: str) -> HTTPException:
    """What a page does for somebody who is not signed in."""
    return HTTPException(303, "Please sign in.", {"Location": f"/staff/login?next={quote(onward(path))}"})


def needs(guard: Guard, me: SignedIn, action: Action) -> None:
    """Raise a 403 unless this person may do that."""
    if not allows(guard.viewer_of(me), action):
        raise HTTPException(403, "Your account may not do this.")
