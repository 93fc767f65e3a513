"""Turning the bot off and on."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

app = typer.Typer(help="Turn the bot off and on, by topic or altogether.", no_args_is_help=True)

Topic = Annotated[
    str | None, typer.Option(help="A folder of nlu_data/knowledge; without it the bot altogether.")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept with who did it and when.")]


@app.command("off")
def bot_off(reason: Reason, topic: Topic = None) -> None:
    """Let the bot be silent about a topic, or altogether: people answer from the next message on."""

    async def work() -> None:
        from contact_hub.knowledge import switch

        async with hub() as parts, parts.database.begin() as session:
            try:
                await switch.turn_off(session, at_the_command_line(), topic, reason, topics=parts.city.topics)
            except switch.CannotSwitch as refused:
                raise fail(str(refused)) from None
        typer.echo(f"The bot is off{'' if topic is None else f' about {topic}'}. People answer.")

    run(work)


@app.command("on")
def bot_on(reason: Reason, topic: Topic = None) -> None:
    """Let the bot answer again; topics that were turned off by themselves stay off."""

    async def work() -> None:
        from contact_hub.knowledge import switch

        async with hub() as parts, parts.database.begin() as session:
            try:
                await switch.turn_on(session, at_the_command_line(), topic, reason)
            except switch.CannotSwitch as refused:
                raise fail(str(refused)) from None
        typer.echo(f"The bot answers again{'' if topic is None else f' about {topic}'}.")

    run(work)


@app.command("status")
def bot_status(as_json: Json = False) -> None:
    """Show what the bot is silent about now, since when, who turned it off and why."""

    async def work() -> None:
        from contact_hub.knowledge import switch

        async with hub() as parts, parts.database.begin() as session:
            found = [span for span in await switch.spans(session) if span.on_at is None]
            zone = parts.city.zone
        if as_json:
            show(
                [
                    {"topic": span.topic, "since": span.off_at, "by": span.off_by, "reason": span.why}
                    for span in found
                ]
            )
            return
        if not found:
            typer.echo("The bot answers.")
        for span in found:
            about = "altogether" if span.topic is None else f"about {span.topic}"
            since = span.off_at.astimezone(zone)
            typer.echo(f"Off {about} since {since:%Y-%m-%d %H:%M}, by {span.off_by}: {span.why}")

    run(work)
