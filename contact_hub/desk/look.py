"""How the desk looks: one frame, never kept by a browser or a proxy, in the language of the staff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel import Locale
from starlette.responses import HTMLResponse

from contact_hub.desk.room import Seat
from contact_hub.staff.access import Action, allows
from contact_hub.web.templates import environment_of

environment = environment_of(Path(__file__).parent / "templates")
CHANNELS = {
    "web_chat": "Web chat",
    "sms": "Text message",
    "telegram": "Telegram",
    "console": "Terminal",
    "desk": "Desk",
}


def channel_name(key: str) -> str:
    """What staff call a channel; one without a name of its own is shown by its key."""
    return CHANNELS.get(key, key)


def language_name(code: str | None) -> str:
    """The English name of a language."""
    if not code:
        return "unknown language"
    try:
        return Locale.parse(code).get_display_name("en") or code
    except ValueError:
        return code


environment.filters["channel"] = channel_name
environment.filters["language"] = language_name


def page(
    template: str, seat: Seat, *, status: int = 200, here: str = "", wrong: str = "", **words: Any
) -> HTMLResponse:
    """Make a whole page; `here` is the key of the place in the frame's navigation that it is."""
    made = environment.get_template(template).render(
        me=seat.me.staff.name,
        my_role=seat.me.staff.role,
        mentions=seat.mentions,
        manages=allows(seat.viewer, Action.COUNT),
        here=here,
        wrong=wrong,
        **words,
    )
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})


def part(template: str, *, status: int = 200, **words: Any) -> HTMLResponse:
    """Make a piece of a page, for htmx to put in its place."""
    made = environment.get_template(template).render(**words)
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})
