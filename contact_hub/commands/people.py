"""The people who work here, and the keys of the city's other systems."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

staff = typer.Typer(help="The people who work here.", no_args_is_help=True)
token = typer.Typer(help="Keys for the city's other systems.", no_args_is_help=True)


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
