"""A citizen's history from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer()


@app.command()
def timeline(
    citizen: Annotated[str, typer.Argument(help="A citizen's id, or an address such as sms:+35315550123.")],
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """Show everything that happened between a citizen and the city, newest first."""

    async def work() -> None:
        import uuid

        from contact_hub.api import out
        from contact_hub.citizens.models import Citizen
        from contact_hub.citizens.service import find_address
        from contact_hub.timeline.service import page

        async with hub() as parts, parts.database.begin() as session:
            channel, colon, value = citizen.partition(":")
            found = await find_address(session, channel, value) if colon else None
            try:
                citizen_id = found.citizen_id if found else uuid.UUID(citizen)
            except ValueError:
                raise fail("This is neither a citizen's id nor a known address (channel:value).") from None
            if await session.get(Citizen, citizen_id) is None:
                raise fail("There is no such citizen.")
            events = [out(t, name) for t, name in (await page(session, citizen_id, limit=limit)).touchpoints]
            zone = parts.city.zone
        if as_json:
            show({"citizen": citizen_id, "touchpoints": [event.model_dump(mode="json") for event in events]})
            return
        for event in reversed(events):
            at = event.recorded_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
            typer.echo(
                f"{at}  {event.channel:9} {event.actor:8} {event.kind:9} {event.text or event.payload}"
            )

    run(work)
