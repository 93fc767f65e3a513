"""The `civicline` command: its processes here, everything else in `contact_hub.commands`."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import typer

from bot import commands as brain_commands
from bot.commands import app as evaluate
from contact_hub.commands import (
    audit,
    bot,
    citizen,
    demo,
    history,
    knowledge,
    people,
    privacy,
    queue,
    rights,
    safety,
    search,
    talk,
    webhooks,
)
from contact_hub.commands.shell import danger_phrase, fail, hub, run, the_assistant
from contact_hub.operations.commands import app as operations

if TYPE_CHECKING:
    from contact_hub.composition import Parts

app = typer.Typer(
    name="civicline",
    help="One line between a city and each of its residents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry of the command; every expected failure is one sentence and exit status 1 or 2."""
    app()


@app.command()
def up() -> None:
    """Start everything, watch it, and stop all of it on Ctrl-C."""
    from contact_hub.operations.up import run_line
    from contact_hub.settings import load_settings

    async def admin_link(database_url: str, site_url: str) -> str | None:
        from contact_hub.database import Database
        from contact_hub.staff.service import first_admin_link

        key = load_settings().secret_key
        database = Database(
            database_url, pool_size=1, secret_key=key.get_secret_value() if key is not None else None
        )
        try:
            return await first_admin_link(database, site_url)
        finally:
            await database.close()

    raise typer.Exit(run_line(load_settings(), admin_link))


@app.command()
def web() -> None:
    """Run the web process: webhooks, web chat, pages, API."""
    import uvicorn

    from contact_hub.app import create_app
    from contact_hub.operations import logs

    parts = _own_parts(pool_size=16)
    logs.configure(parts.settings)
    uvicorn.run(
        create_app(parts),
        host=parts.settings.host,
        port=parts.settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=16 * 1024,
        ws_ping_interval=45,
        timeout_graceful_shutdown=5,
    )


@app.command()
def worker() -> None:
    """Run a worker: the journey, the outbox, timers. Start as many as you like."""
    from contact_hub.operations import beside, logs
    from contact_hub.worker import Worker

    parts = _own_parts(pool_size=24)
    logs.configure(parts.settings)

    async def work() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        if parts.settings.worker_port is not None:
            loop = asyncio.get_running_loop()
            beside.serve(parts.settings.host, parts.settings.worker_port, loop)
        await Worker(
            database=parts.database,
            listen_url=parts.listen_url,
            city=parts.city,
            channels=parts.channels,
            neighbours=parts.neighbours,
            telling=parts.telling,
            folder=parts.settings.civicline_data,
            site_url=parts.settings.site_url,
        ).run(stop)

    import uvloop

    uvloop.run(work())


@app.command()
def brain() -> None:
    """Run the brain: embeddings, search, actions, language."""
    from bot.service import main as serve

    serve()


@app.command()
def migrate() -> None:
    """Bring the database to this version's tables."""

    async def work() -> None:
        from contact_hub.operations.migrate import upgrade

        async with hub() as parts:
            typer.echo(f"The tables are at {await asyncio.to_thread(upgrade, parts.database_url)}.")

    run(work)


def _own_parts(pool_size: int) -> Parts:
    from contact_hub.city import CityError
    from contact_hub.composition import Parts
    from contact_hub.settings import load_settings

    settings = load_settings()
    if settings.database_url is None:
        raise fail("DATABASE_URL is not set. Start everything with `civicline up`, or set it.", 2)
    parts = Parts(settings, settings.database_url.get_secret_value(), pool_size=pool_size)
    try:
        _ = parts.city, parts.schedule, parts.channels, parts.telling
    except CityError as error:
        raise fail(str(error), 2) from None
    return parts


for group in (talk.app, history.app, search.app, privacy.app, rights.app, operations, safety.app, demo.app):
    app.add_typer(group)
for name, group in (
    ("kb", knowledge.app),
    ("citizen", citizen.app),
    ("queue", queue.app),
    ("bot", bot.app),
    ("consent", privacy.consent),
    ("hold", rights.hold),
    ("staff", people.staff),
    ("token", people.token),
    ("sealed", people.sealed),
    ("audit", audit.app),
    ("keys", safety.keys),
    ("webhook", webhooks.app),
    ("evaluate", evaluate),
):
    app.add_typer(group, name=name)
brain_commands.assistant = the_assistant
brain_commands.danger_phrase = danger_phrase


if __name__ == "__main__":
    main()
