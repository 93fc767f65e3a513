"""The city's knowledge base from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer(help="The city's knowledge base.", no_args_is_help=True)


@app.command("import")
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


@app.command("search")
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


@app.command("check")
def kb_check(
    folder: Annotated[Path | None, typer.Argument(help="Default: the city's own knowledge folder.")] = None,
    as_json: Json = False,
) -> None:
    """Look for wrong front matter, expired and doubled articles, broken links, missing translations.

    And, with the city's own folder, whether city.yml says how long what is kept, when a talk ends and
    for how long words belong to a rating, and flags.yml what makes somebody look unhappy.
    """
    from bot.commands import kb_check as check
    from contact_hub.city import CityError, load_city
    from contact_hub.composition import city_folder
    from contact_hub.flags.rules import rules_of
    from contact_hub.journey.closing import idle_after
    from contact_hub.journey.rating import comments_within
    from contact_hub.privacy.schedule import schedule_of
    from contact_hub.settings import load_settings

    if folder is None:
        try:
            city = load_city(city_folder(load_settings()))
            schedule_of(city)
            idle_after(city)
            comments_within(city)
            rules_of(city)
        except CityError as error:
            raise fail(str(error)) from None
    check(folder, as_json)


@app.command("unanswered")
def kb_unanswered(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, as_json: Json = False
) -> None:
    """List questions that found no good answer, of residents who agreed to that, without their numbers."""

    async def work() -> None:
        from dataclasses import asdict

        from contact_hub.privacy.improvement import unanswered

        async with hub() as parts, parts.database.begin() as session:
            found = await unanswered(session, limit)
        if as_json:
            show([asdict(line) for line in found])
            return
        for line in found:
            typer.echo(f"{line.asked_at:%Y-%m-%d}  {line.language}  {line.outcome:8} {line.question}")

    run(work)
