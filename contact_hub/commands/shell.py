"""What all commands share: the running line, and how they speak."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contact_hub.city import City
    from contact_hub.composition import Parts
    from contact_hub.staff.access import Viewer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


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


@contextmanager
def the_assistant() -> Iterator[tuple[str, str]]:
    """The trained assistant's address and secret; a line is started for the while when nothing runs."""
    from contact_hub.operations.line import assistant

    with assistant() as found:
        yield found


def danger_phrase(text: str) -> bool:
    """Whether one of the city's fixed phrases of danger is in a text."""
    return _city().danger(text) is not None


@cache
def _city() -> City:
    from contact_hub.city import CityError, load_city
    from contact_hub.composition import city_folder
    from contact_hub.settings import load_settings

    try:
        return load_city(city_folder(load_settings()))
    except CityError as error:
        raise fail(str(error), 2) from None


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous command."""
    asyncio.run(work())  # type: ignore[arg-type]


def at_the_command_line(named: str | None = None, *, reason: str | None = None) -> Viewer:
    """On whose behalf a command reads or changes records, as the audit writes it down.

    The operating system says who typed it; `named` is whom they say they do it for.
    """
    from contact_hub.staff.access import Viewer

    user = "somebody"
    with suppress(OSError, KeyError):  # an account without a name
        user = getpass.getuser()
    here = f"{user} at the command line"
    return Viewer("system", here if named is None else f"{named} ({here})", reason=reason)
