"""A citizen's history from the command line."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from contact_hub.api.timelines import TouchpointOut

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]

app = typer.Typer()


@app.command()
def timeline(
    citizen: Annotated[str, typer.Argument(help="A citizen's id, or an address such as sms:+35315550123.")],
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    before: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only these; give it again for more.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only these, such as text or rating.")] = None,
    direction: Annotated[list[str] | None, typer.Option(help="in, out or inner.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=MOMENTS, help="From this day or moment on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=MOMENTS, help="Before this day or moment.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show everything that happened between a citizen and the city, newest first."""

    async def work() -> None:
        from contact_hub.api import out
        from contact_hub.audit import service as audit
        from contact_hub.timeline.reading import Wanted, page

        cursor = _cursor(before)
        async with hub() as parts, parts.database.begin() as session:
            zone = parts.city.zone
            citizen_id = await citizen_of(session, citizen)
            wanted = Wanted(
                channel or (), kind or (), direction or (), local(since, zone), local(until, zone)
            )
            found = await page(session, citizen_id, before=cursor, limit=limit, wanted=wanted)
            events = [out(event) for event in found.events]
            await audit.record(
                session, at_the_command_line(), "timeline.read", citizen_id=citizen_id, shown=len(events)
            )
        if as_json:
            touchpoints = [event.model_dump(mode="json") for event in events]
            show({"citizen": citizen_id, "touchpoints": touchpoints, "next": found.older})
            return
        for event in reversed(events):
            at = event.recorded_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
            typer.echo(
                f"{at}  {event.channel:9} {event.actor:8} {event.kind:9} {event.text or event.payload}"
                f"{_beside(event)}"
            )
        if found.older is not None:
            typer.echo(f"Older: --before {found.older}", err=True)

    run(work)


async def citizen_of(session: AsyncSession, which: str) -> uuid.UUID:
    """The citizen whom an argument of a command names; raises typer.Exit."""
    from contact_hub.citizens import identity
    from contact_hub.citizens.service import find_address

    channel, colon, value = which.partition(":")
    found = await find_address(session, channel, value) if colon else None
    try:
        citizen_id = found.citizen_id if found else uuid.UUID(which)
    except ValueError:
        raise fail("This is neither a citizen's id nor a known address (channel:value).") from None
    now_is = await identity.current(session, citizen_id)
    if now_is is None:
        raise fail("There is no such citizen.")
    return now_is


def _cursor(before: str | None) -> uuid.UUID | None:
    try:
        return None if before is None else uuid.UUID(before)
    except ValueError:
        raise fail("--before takes the cursor that a page ended with.", 2) from None


def local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """A moment as somebody in the city means it."""
    return None if moment is None else moment.replace(tzinfo=zone)


def _beside(event: TouchpointOut) -> str:
    """What else a line says: how far a message got, and how sure the bot was."""
    said = [f"{part.state}{f' ({part.reason})' if part.reason else ''}" for part in event.deliveries]
    if event.answer is not None and event.direction == "out":
        articles = ", ".join(f"{p.article} v{p.version}" for p in event.answer.passages[:1] if p.article)
        said.append(f"{event.answer.outcome} {event.answer.probability:.0%} {articles}".rstrip())
    said += [file.name for file in event.files]
    return f"  [{'; '.join(said)}]" if said else ""
