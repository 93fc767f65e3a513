"""How the managers' pages look, and who may open them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from babel import Locale
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from contact_hub.managers.tables import shown
from contact_hub.staff.access import Action, Viewer, allows
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import needs, sign_in_first
from contact_hub.web.templates import environment_of

# The pages in the order in which the navigation shows them, and what one needs for each.
PLACES = (
    ("/managers", "Figures", Action.COUNT),
    ("/managers/reviews", "Reviews", Action.REVIEW),
    ("/managers/questions", "Questions", Action.WRITE),
    ("/managers/bot", "Bot", Action.SWITCH),
)
_Found = TypeVar("_Found")
_CHANNELS = {"web_chat": "Web chat", "sms": "Text message", "telegram": "Telegram", "console": "Terminal"}


def channel_name(key: str) -> str:
    """What staff call a channel; one without a name of its own is shown by its key."""
    return _CHANNELS.get(key, key)


def language_name(code: str | None) -> str:
    """The English name of a language."""
    if not code:
        return "not known"
    try:
        return Locale.parse(code).get_display_name("en") or code
    except ValueError:
        return code


_environment = environment_of(Path(__file__).parent / "templates")
_environment.filters |= {"shown": shown, "channel": channel_name, "language": language_name}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever opens a page: their name for its head, and on whose behalf everything is read."""

    name: str
    viewer: Viewer


async def visitor(guard: Guard, request: Request, action: Action) -> Visitor:
    """Who is signed in and may do that; raises what sends others to sign in, or a 403."""
    me = await guard.signed_in(request)
    if me is None:
        raise sign_in_first(request.url.path if request.method == "GET" else "/managers")
    needs(guard, me, action)
    return Visitor(me.staff.name, guard.viewer_of(me))


def there(found: _Found | None, what: str) -> _Found:
    """What was found; raises a 404, the same for what is not there and what is not theirs."""
    if found is None:
        raise HTTPException(404, f"There is no such {what}.")
    return found


def page(template: str, who: Visitor, here: str, *, status: int = 200, **words: Any) -> HTMLResponse:
    """Make a page; `here` is the address of the place it belongs to."""
    made = _environment.get_template(template).render(
        me=who.name,
        my_role=who.viewer.role,
        here=here,
        places=[(path, name) for path, name, action in PLACES if allows(who.viewer, action)],
        **{"wrong": "", "done": "", **words},
    )
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})
