"""The `civicline` command. Heavy things are imported by the command that needs them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands import app as evaluate
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
kb = typer.Typer(help="The city's knowledge base.", no_args_is_help=True)
queue = typer.Typer(help="Conversations that wait for a person.", no_args_is_help=True)
staff = typer.Typer(help="The people who work here.", no_args_is_help=True)
token = typer.Typer(help="Keys for the city's other systems.", no_args_is_help=True)
for name, group in (("kb", kb), ("queue", queue), ("staff", staff), ("token", token)):
    app.add_typer(group, name=name)
app.add_typer(operations)
app.add_typer(evaluate, name="evaluate")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def main() -> None:
    """Entry of the command; every expected failure is one sentence and exit status 1 or 2."""
    app()


def fail(sentence: str, status: int = 1) -> typer.Exit:
    """Print a sentence to stderr and give the exit to raise."""
    typer.echo(sentence, err=True)
    return typer.Exit(status)


def show(data: Any) -> None:
    """Print data as JSON."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


@asynccontextmanager
async def hub(*, wakeups: bool = False, brain: bool = False) -> AsyncIterator[Parts]:
    """The hub's parts on the line's database, which is started for the while when nothing runs."""
    from contact_hub.composition import Parts
    from contact_hub.operations import logs
    from contact_hub.operations.line import borrowed

    with borrowed(brain=brain) as (settings, database_url):
        logs.configure(settings.model_copy(update={"log_level": "error"}))  # stdout is for the answer
        parts = Parts(settings, database_url, pool_size=5)
        try:
            if wakeups:
                await parts.wakeups.start()
            yield parts
        finally:
            await parts.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous command."""
    asyncio.run(work())  # type: ignore[arg-type]


# Processes ------------------------------------------------------------------------------------------


@app.command()
def up() -> None:
    """Start everything, watch it, and stop all of it on Ctrl-C."""
    from contact_hub.operations.up import run_line
    from contact_hub.settings import load_settings

    async def admin_link(database_url: str, site_url: str) -> str | None:
        from contact_hub.database import Database
        from contact_hub.staff.service import first_admin_link

        database = Database(database_url, pool_size=1)
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
        _ = parts.city, parts.channels
    except CityError as error:
        raise fail(str(error), 2) from None
    return parts


# Talking ----------------------------------------------------------------------------------------------


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


# Knowledge --------------------------------------------------------------------------------------------


@kb.command("import")
def kb_import(
    source: Annotated[str, typer.Argument(help="A file, a folder or a URL.", metavar="PATH|URL")],
    allow_private: Annotated[bool, typer.Option(help="Permit URLs on this machine's own network.")] = False,
    as_json: Json = False,
) -> None:
    """Bring articles in: JSON lines, Markdown, HTML, PDF, DOCX, a folder or a web address."""
    from bot.knowledge import importers
    from bot.knowledge.importers.problems import ImportFailed

    try:
        articles = importers.read(source, allow_private=allow_private)
    except ImportFailed as error:
        typer.echo("\n".join(str(problem) for problem in error.problems), err=True)
        raise fail("Nothing was imported.") from None

    collection = source if "://" in source else str(Path(source).resolve())

    async def work() -> None:
        from rich.console import Console
        from rich.progress import Progress

        from contact_hub.knowledge.service import ArticleIn, NotImported, import_articles

        wanted = [
            ArticleIn(
                a.article,
                a.language,
                a.title,
                a.text,
                a.url or a.source,
                tuple(a.questions),
                a.owner or None,
                a.reviewed,
                a.valid_until,
            )
            for a in articles
        ]
        async with hub(brain=True) as parts:
            with Progress(console=Console(stderr=True), disable=as_json) as progress:
                bar = progress.add_task("Embedding articles", total=None)
                try:
                    done = await import_articles(
                        parts.database,
                        parts.neighbours,
                        wanted,
                        collection,
                        lambda n, total: progress.update(bar, completed=n, total=max(total, 1)),
                    )
                except NotImported as error:
                    raise fail(str(error)) from None
        if as_json:
            show(
                {
                    "version": done.version,
                    "articles": done.articles,
                    "embedded": done.embedded,
                    "removed": done.removed,
                    "changed": done.changed,
                }
            )
        elif done.changed:
            typer.echo(
                f"Version {done.version} is published: {done.articles} articles from here, {done.embedded} of"
                f" them new or changed, {done.removed} replaced or removed."
            )
        else:
            typer.echo(f"Nothing changed: version {done.version} has these {done.articles} articles already.")

    run(work)


@kb.command("search")
def kb_search(
    question: str,
    language: Annotated[str | None, typer.Option(help="Language of the question, such as es.")] = None,
    as_json: Json = False,
) -> None:
    """Show what the search finds for a question, and whether the bot would answer it."""

    async def work() -> None:
        from contact_hub.journey.neighbours import NeighbourDown

        async with hub(brain=True) as parts:
            try:
                spoken = language or (await parts.neighbours.read(question, None)).language
                found = await parts.neighbours.search(question, spoken, [])
            except NeighbourDown as down:
                raise fail(f"The brain does not answer ({down.why}).") from None
        if as_json:
            show(found)
            return
        typer.echo(f"{found['outcome']}, probability {found['probability']:.2f}")
        for passage in found["passages"]:
            typer.echo(
                f"{passage['score']:8.3f}  {passage['article']} [{passage['language']}]  {passage['title']}"
            )

    run(work)


@kb.command("check")
def kb_check(
    folder: Annotated[Path | None, typer.Argument(help="Default: the city's own knowledge folder.")] = None,
    as_json: Json = False,
) -> None:
    """Look for wrong front matter, expired and doubled articles, broken links, missing translations."""
    from bot.commands import kb_check as check

    check(folder, as_json)


# History ------------------------------------------------------------------------------------------------


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


# The agents' queue -----------------------------------------------------------------------------------------


@queue.command("list")
def queue_list(as_json: Json = False) -> None:
    """Show who waits for a person, the most urgent first."""

    async def work() -> None:
        from dataclasses import asdict

        from contact_hub.handoff.service import waiting

        async with hub() as parts, parts.database.begin() as session:
            found = await waiting(session)
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


@queue.command("reply")
def queue_reply(
    conversation: Annotated[str, typer.Argument(help="Its id, or the last letters of it.")],
    text: str,
    agent: Annotated[str, typer.Option(help="The name the resident sees.")] = "City staff",
) -> None:
    """Answer a resident; the conversation is then yours and the bot stays silent."""

    async def work() -> None:
        from contact_hub.journey import by_hand

        async with hub(wakeups=True) as parts:
            try:
                await by_hand.reply(parts.writer, parts.wakeups, conversation, agent, text)
            except by_hand.CannotDo as error:
                raise fail(str(error)) from None
            await parts.wakeups.flush()
        typer.echo("Sent.")

    run(work)


@queue.command("close")
def queue_close(
    conversation: Annotated[str, typer.Argument(help="Its id, or the last letters of it.")],
    agent: Annotated[str, typer.Option(help="Who closes it.")] = "City staff",
) -> None:
    """Close a conversation; what the resident writes next begins a new one with the bot."""

    async def work() -> None:
        from contact_hub.journey import by_hand

        async with hub(wakeups=True) as parts:
            try:
                await by_hand.close(parts.writer, parts.wakeups, conversation, agent)
            except by_hand.CannotDo as error:
                raise fail(str(error)) from None
            await parts.wakeups.flush()
        typer.echo("Closed.")

    run(work)


# People and keys --------------------------------------------------------------------------------------------


@staff.command("add")
def staff_add(
    name: str, role: Annotated[str, typer.Option(help="agent, supervisor, manager, records or admin")]
) -> None:
    """Invite somebody; they choose their password on the link that is printed."""

    async def work() -> None:
        from contact_hub.staff.models import Role
        from contact_hub.staff.service import add_staff

        if role not in {*Role}:
            raise fail(f"'{role}' is no role. Choose one of {', '.join(Role)}.", 2)
        async with hub() as parts, parts.database.begin() as session:
            link = await add_staff(session, name, Role(role), parts.settings.site_url)
        typer.echo(f"One-time link for {name}, good for 24 hours:\n{link}")

    run(work)


@token.command("create")
def token_create(
    scope: Annotated[list[str], typer.Option(help="What it may do; give the option again for more.")],
    label: Annotated[str, typer.Option(help="Which system it is for.")] = "integration",
    as_json: Json = False,
) -> None:
    """Make an API token; it is shown this once."""

    async def work() -> None:
        from contact_hub.staff.service import Scope, create_token

        unknown = [s for s in scope if s not in {*Scope}]
        if unknown:
            raise fail(f"'{unknown[0]}' is no scope. Choose from {', '.join(Scope)}.", 2)
        async with hub() as parts, parts.database.begin() as session:
            made = await create_token(session, label, [Scope(s) for s in scope])
        if as_json:
            show({"token": made, "scopes": scope})
        else:
            typer.echo(made)

    run(work)


if __name__ == "__main__":
    main()
