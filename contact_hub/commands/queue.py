"""Answering residents from the command line, until the desk is open."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer(help="Conversations that wait for a person.", no_args_is_help=True)


@app.command("list")
def queue_list(as_json: Json = False) -> None:
    """Show who waits for a person, the most urgent first."""

    async def work() -> None:
        from dataclasses import asdict

        from contact_hub.handoff.rules import rules_of
        from contact_hub.handoff.service import waiting

        async with hub() as parts, parts.database.begin() as session:
            found = await waiting(session, rules=rules_of(parts.city))
            zone = parts.city.zone
        if as_json:
            show([asdict(line) for line in found])
            return
        if not found:
            typer.echo("Nobody is waiting.")
        for line in found:
            since = line.waiting_since.astimezone(zone).strftime("%H:%M") if line.waiting_since else "     "
            typer.echo(
                f"{line.conversation_id}  {line.state:7} {line.channel:9} since {since}  {line.reason or ''}"
                f"{'  ' + line.holder if line.holder else ''}"
            )

    run(work)


@app.command("reply")
def queue_reply(
    conversation: Annotated[str, typer.Argument(help="Its id, or the last letters of it.")],
    text: str,
    agent: Annotated[str, typer.Option(help="The name the resident sees.")] = "City staff",
) -> None:
    """Answer a resident; the conversation is then yours and the bot stays silent."""

    async def work() -> None:
        from contact_hub.journey import by_hand
        from contact_hub.staff.access import Viewer

        async with hub(wakeups=True) as parts:
            viewer = Viewer("system", agent)
            try:
                await by_hand.reply(parts.writer, parts.wakeups, conversation, viewer, text)
            except by_hand.CannotDo as error:
                raise fail(str(error)) from None
            await parts.wakeups.flush()
        typer.echo("Sent.")

    run(work)


@app.command("close")
def queue_close(
    conversation: Annotated[str, typer.Argument(help="Its id, or the last letters of it.")],
    agent: Annotated[str, typer.Option(help="Who closes it.")] = "City staff",
    resolution: Annotated[str | None, typer.Option(help="How it ended: a key of city.yml.")] = None,
) -> None:
    """Close a conversation; what the resident writes next begins a new one with the bot."""

    async def work() -> None:
        from contact_hub.journey import by_hand
        from contact_hub.staff.access import Viewer

        async with hub(wakeups=True) as parts:
            viewer = Viewer("system", agent)
            try:
                await by_hand.close(parts.writer, parts.wakeups, conversation, viewer, resolution)
            except by_hand.CannotDo as error:
                raise fail(str(error)) from None
            await parts.wakeups.flush()
        typer.echo("Closed.")

    run(work)
