"""Talking to the line from a terminal."""

from __future__ import annotations

import asyncio

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer()


@app.command()
def ask(question: str, as_json: Json = False) -> None:
    """Ask one question through the whole journey."""

    async def work() -> None:
        from contact_hub.terminal import Console, NoAnswer, summary

        async with hub(wakeups=True) as parts:
            console = Console(parts)
            await console.start()
            try:
                exchange = await console.say(question)
            except NoAnswer as error:
                raise fail(str(error)) from None
            found = summary(exchange)
            if as_json:
                show(found)
            else:
                typer.echo(found["text"])
                for source in found["sources"]:
                    typer.echo(f"\n{source['title']}\n{source['url']}")

    run(work)


@app.command()
def chat() -> None:
    """Talk to the line in this terminal."""

    async def work() -> None:
        from channels.console import Console as Terminal
        from contact_hub.terminal import Console, NoAnswer

        async with hub(wakeups=True) as parts:
            console, terminal = Console(parts), Terminal()
            await console.start()
            typer.echo(f"{parts.city.name}. Write a message; Ctrl-D ends.")
            while True:
                try:
                    words = await asyncio.to_thread(input, "> ")
                except (EOFError, KeyboardInterrupt):
                    return
                try:
                    exchange = await console.say(words)
                except NoAnswer as error:
                    typer.echo(str(error), err=True)
                    continue
                for reply in exchange.replies:
                    typer.echo(terminal.lines(reply))

    run(work)
