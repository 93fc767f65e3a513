"""Search over all history from the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from contact_hub.commands.history import MOMENTS, local
from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

app = typer.Typer()


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='Words, "phrases", -exclusions, numbers, names.')],
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only these; give it again for more.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only these, such as text or report.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only these, such as de.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Of the conversation, such as waiting.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=MOMENTS, help="From this day or moment on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=MOMENTS, help="Before this day or moment.")
    ] = None,
    order: Annotated[str, typer.Option(help="newest or relevance.")] = "newest",
    as_json: Json = False,
) -> None:
    """Find what was ever said, and citizens by name, address or phone number; newest first."""

    async def work() -> None:
        from contact_hub.api.search import shown
        from contact_hub.search.query import CannotSearch
        from contact_hub.search.service import Order, noted, people
        from contact_hub.search.service import search as find
        from contact_hub.search.walking import Filters

        if order not in {*Order}:
            raise fail("--order is newest or relevance.", 2)
        viewer = at_the_command_line()
        async with hub() as parts, parts.database.begin() as session:
            zone = parts.city.zone
            moments = local(since, zone), local(until, zone)
            filters = Filters(channel or (), kind or (), language or (), state or (), *moments)
            try:
                found = await find(
                    session, viewer, query, filters=filters, order=Order(order), cursor=cursor, limit=limit
                )
            except CannotSearch as error:
                raise fail(str(error), 2) from None
            known = await people(session, viewer, query) if cursor is None else []
            await noted(session, viewer, found, known)
            result = shown(found, known)
        if as_json:
            show(result.model_dump(mode="json"))
            return
        for person in result.citizens:
            typer.echo(
                f"{person.citizen}  {person.name or ''}  {person.channel or ''} {person.address or ''}"
            )
        for hit in result.hits:
            at = hit.recorded_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
            words = "".join(typer.style(p.text, bold=p.marked) for p in hit.excerpt).replace("\n", " ")
            typer.echo(f"{at}  {hit.channel:9} {hit.actor:8} {hit.citizen}  {words}")
        if result.next is not None:
            typer.echo(f"More: --cursor {result.next}", err=True)

    run(work)
