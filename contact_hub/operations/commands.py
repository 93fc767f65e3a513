"""The commands that set up, start and look after the line."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


@app.command()
def rasa() -> None:
    """Run the assistant, in its own environment."""
    _become(training=False)


@app.command()
def train(
    force: Annotated[bool, typer.Option(help="Train although nothing has changed.")] = False,
    as_json: Json = False,
) -> None:
    """Train the assistant if its words, its configuration or the embedding model changed."""
    wishes = (("--force", force), ("--json", as_json))
    _become(*(name for name, wished in wishes if wished), training=True)


@app.command()
def status(as_json: Json = False) -> None:
    """Tell what runs, what waits, and what has not ended yet."""
    from contact_hub.operations.status import look, words
    from contact_hub.settings import load_settings

    found = look(load_settings())
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2, default=str) if as_json else words(found))
    if not found["running"]:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say in plain words what is missing on this machine, and how to mend it."""
    from contact_hub.operations.doctor import examine, words

    found = examine()
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], ensure_ascii=False, indent=2))
    else:
        typer.echo(words(found))
    if any(not finding.well and finding.needed for finding in found):
        raise typer.Exit(1)


def _become(*arguments: str, training: bool) -> None:
    """Turn this process into one of the assistant's environment."""
    from contact_hub.operations import assistant, line
    from contact_hub.settings import SettingsError, load_settings

    if not assistant.PYTHON.exists():
        raise SettingsError(["The assistant's environment is missing: `make setup` makes it."])
    settings, database_url = line.known(load_settings())
    if database_url is None and not training:
        raise SettingsError(["DATABASE_URL is not set: start everything with `civicline up`, or set it."])
    told = assistant.environment(settings, database_url)
    command = assistant.train(*arguments) if training else assistant.serve(*arguments)
    os.execve(command[0], command, told)  # noqa: S606 - our own program
