"""How the desk looks: one frame, never kept by a browser or a proxy, in the language of the staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date
from starlette.responses import HTMLResponse

from contact_hub.city import City
from contact_hub.database import now
from contact_hub.desk.room import Seat
from contact_hub.desk.talk_words import CHANNELS, KINDS, LEVELS, reason
from contact_hub.staff.access import Action, allows
from contact_hub.web.templates import environment_of

environment = environment_of(Path(__file__).parent / "templates")


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


def ago(since: datetime, at: datetime) -> str:
    """How long something has lasted, as short as it can be said; queue.js goes on counting alike."""
    minutes = max(0, int((at - since).total_seconds() // 60))
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min"


def clock_of(city: City) -> Callable[[datetime], str]:
    """Tells the time in the city's zone, and the day where it is not today."""

    def clock(moment: datetime) -> str:
        local = moment.astimezone(city.zone)
        days = (local.date() - now().astimezone(city.zone).date()).days
        day = "" if days == 0 else format_date(local, "EEE d MMM ", locale="en")
        return f"{day}{local:%H:%M}"

    return clock


environment.filters["reason"] = reason
environment.filters["kind"] = lambda key: KINDS.get(key, key.replace("_", " "))
environment.filters["level"] = lambda key: LEVELS.get(key, key)
environment.globals["ago"] = ago
environment.filters["channel"] = channel_name
environment.filters["language"] = language_name


def page(
    template: str, seat: Seat, *, status: int = 200, here: str = "", wrong: str = "", **words: Any
) -> HTMLResponse:
    """Make a whole page; `here` is the key of the place in the frame's navigation that it is."""
    frame = {
        "me": seat.me.staff.name,
        "my_role": seat.me.staff.role,
        "mentions": seat.mentions,
        "answers": allows(seat.viewer, Action.QUEUE),
        "seals_records": allows(seat.viewer, Action.SEAL),
        "manages": allows(seat.viewer, Action.COUNT),
        "here": here,
        "wrong": wrong,
    }
    made = environment.get_template(template).render(frame | words)
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})


def part(template: str, *, status: int = 200, **words: Any) -> HTMLResponse:
    """Make a piece of a page, for htmx to put in its place."""
    made = environment.get_template(template).render(**words)
    return HTMLResponse(made, status, {"Cache-Control": "no-store"})


_row = environment.get_template("row.html")


def row_html(**words: Any) -> str:
    """Make one line of the queue as it stands in an event."""
    return _row.render(**words)
