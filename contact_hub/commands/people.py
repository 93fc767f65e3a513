"""The people who work here, the keys of the city's other systems, and sealed records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from contact_hub.city import City
    from contact_hub.staff.models import Staff

staff = typer.Typer(help="The people who work here.", no_args_is_help=True)
token = typer.Typer(help="Keys for the city's other systems.", no_args_is_help=True)
sealed = typer.Typer(help="Records that only the people named on them see.", no_args_is_help=True)

Departments = Annotated[
    list[str] | None, typer.Option("--department", help="A key of city.yml; give the option again for more.")
]

Languages = Annotated[
    list[str] | None,
    typer.Option("--language", help="They answer in it; give the option again for more. Without: in any."),
]


# Staff -------------------------------------------------------------------------------------------


@staff.command("add")
def staff_add(
    name: str,
    role: Annotated[str, typer.Option(help="agent, supervisor, manager, records or admin")],
    department: Departments = None,
    language: Languages = None,
) -> None:
    """Invite somebody; they choose their password on the link that is printed.

    Agents and supervisors without a department work in the city's first one, which also looks after
    what no department has been given yet.
    """

    async def work() -> None:
        from contact_hub.staff.models import Role
        from contact_hub.staff.service import Refused, add_staff, proper_name

        if role not in {*Role}:
            raise fail(f"'{role}' is no role. Choose one of {', '.join(Role)}.", 2)
        async with hub() as parts, parts.database.begin() as session:
            wanted = list(department or [])
            if not wanted and role in {Role.AGENT, Role.SUPERVISOR}:
                wanted = [next(iter(_known(parts.city)))]
            _check(parts.city, wanted)
            _check_languages(parts.city, language or [])
            try:
                link = await add_staff(
                    session,
                    proper_name(name),
                    Role(role),
                    parts.settings.site_url,
                    departments=wanted,
                    languages=language or [],
                )
            except Refused as refused:
                raise fail(str(refused), 2) from None
        typer.echo(f"One-time link for {name}, good for 24 hours:\n{link}")

    run(work)


@staff.command("list")
def staff_list(as_json: Json = False) -> None:
    """Show who works here, with their role and departments."""

    async def work() -> None:
        from contact_hub.staff.service import everybody

        async with hub() as parts, parts.database.begin() as session:
            people = await everybody(session)
        if as_json:
            show(
                [
                    {
                        "id": person.id,
                        "name": person.name,
                        "role": person.role,
                        "departments": person.departments,
                        "languages": person.languages,
                        "second_factor": person.totp_since is not None,
                        "disabled": person.disabled_at is not None,
                    }
                    for person in people
                ]
            )
            return
        for person in people:
            state = "disabled" if person.disabled_at else ""
            typer.echo(
                f"{person.name:30} {person.role:11} {', '.join(person.departments):40} {state}".rstrip()
            )

    run(work)


@staff.command("departments")
def staff_departments(
    name: str, department: Annotated[list[str] | None, typer.Argument(help="Keys of city.yml.")] = None
) -> None:
    """Set in which departments somebody works; without any they work in none."""

    async def work() -> None:
        from contact_hub.staff.service import change

        async with hub() as parts, parts.database.begin() as session:
            _check(parts.city, department or [])
            person = await _person(session, name)
            await change(session, person, departments=department or [])
        typer.echo(f"{person.name} works in: {', '.join(person.departments) or 'no department'}.")

    run(work)


@staff.command("languages")
def staff_languages(
    name: str, language: Annotated[list[str] | None, typer.Argument(help="Codes such as es.")] = None
) -> None:
    """Set in which languages somebody answers; without any they answer in all."""

    async def work() -> None:
        from contact_hub.staff.service import change

        async with hub() as parts, parts.database.begin() as session:
            _check_languages(parts.city, language or [])
            person = await _person(session, name)
            await change(session, person, languages=language or [])
        typer.echo(f"{person.name} answers in: {', '.join(person.languages) or 'any language'}.")

    run(work)


@staff.command("disable")
def staff_disable(name: str) -> None:
    """Shut an account and sign it out everywhere."""

    async def work() -> None:
        from contact_hub.staff.service import Refused, disable

        async with hub() as parts, parts.database.begin() as session:
            person = await _person(session, name)
            try:
                await disable(session, person)
            except Refused as refused:
                raise fail(str(refused)) from None
        typer.echo(f"{person.name} can no longer sign in.")

    run(work)


@staff.command("reset")
def staff_reset(name: str) -> None:
    """Print a one-time link for a new password; the old one and the second factor end at once."""

    async def work() -> None:
        from contact_hub.staff.service import reset

        async with hub() as parts, parts.database.begin() as session:
            person = await _person(session, name)
            link = await reset(session, person, parts.settings.site_url)
        typer.echo(f"One-time link for {person.name}, good for 24 hours:\n{link}")

    run(work)


async def _person(session: AsyncSession, name: str) -> Staff:
    from contact_hub.staff.service import locked, named

    found = await named(session, name)
    person = None if found is None else await locked(session, found.id)
    if person is None:
        raise fail(f"There is nobody called {name}.")
    return person


def _known(city: City) -> list[str]:
    return [str(item["key"]) for item in city.settings["departments"]]


def _check(city: City, keys: Sequence[str]) -> None:
    for key in keys:
        if key not in _known(city):
            raise fail(f"'{key}' is no department. Choose from {', '.join(_known(city))}.", 2)


def _check_languages(city: City, codes: Sequence[str]) -> None:
    for code in codes:
        if code not in city.languages:
            raise fail(f"The city does not speak '{code}'. Choose from {', '.join(city.languages)}.", 2)


# Tokens ------------------------------------------------------------------------------------------


@token.command("create")
def token_create(
    scope: Annotated[list[str], typer.Option(help="What it may do; give the option again for more.")],
    label: Annotated[str, typer.Option(help="Which system it is for.")] = "integration",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it serves.")] = 365,
    as_json: Json = False,
) -> None:
    """Make an API token; it is shown this once."""

    async def work() -> None:
        from contact_hub.staff.access import Scope
        from contact_hub.staff.tokens import create_token

        unknown = [s for s in scope if s not in {*Scope}]
        if unknown:
            raise fail(f"'{unknown[0]}' is no scope. Choose from {', '.join(Scope)}.", 2)
        async with hub() as parts, parts.database.begin() as session:
            made = await create_token(session, label, [Scope(s) for s in scope], days=days)
        if as_json:
            show({"token": made, "scopes": scope})
        else:
            typer.echo(made)

    run(work)


@token.command("list")
def token_list(as_json: Json = False) -> None:
    """Show every token, what it may do and whether it still serves."""

    async def work() -> None:
        from contact_hub.staff.tokens import state, tokens

        async with hub() as parts, parts.database.begin() as session:
            found = await tokens(session)
        if as_json:
            show(
                [
                    {
                        "id": one.id,
                        "label": one.label,
                        "scopes": one.scopes,
                        "state": state(one),
                        "created_at": one.created_at,
                        "created_by": one.created_by,
                        "expires_at": one.expires_at,
                        "last_used_at": one.last_used_at,
                    }
                    for one in found
                ]
            )
            return
        for one in found:
            ends = one.expires_at.strftime("%Y-%m-%d") if one.expires_at else "never"
            typer.echo(f"{one.id}  {state(one):8} ends {ends:10}  {one.label}: {', '.join(one.scopes)}")

    run(work)


@token.command("revoke")
def token_revoke(which: Annotated[str, typer.Argument(help="Its id, as `token list` shows it.")]) -> None:
    """End a token now."""

    async def work() -> None:
        import uuid

        from contact_hub.staff.tokens import revoke

        try:
            token_id = uuid.UUID(which)
        except ValueError:
            raise fail("This is not a token's id. `civicline token list` shows them.", 2) from None
        async with hub() as parts, parts.database.begin() as session:
            done = await revoke(session, token_id)
        if not done:
            raise fail("There is no such token, or it was revoked before.")
        typer.echo("Revoked.")

    run(work)


# Sealed records ----------------------------------------------------------------------------------


@sealed.command("add")
def sealed_add(
    citizen: Annotated[str, typer.Argument(help="A citizen's id.")],
    reader: Annotated[list[str], typer.Option(help="Who may see it; give the option again for more.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
) -> None:
    """Seal a citizen's record: from now on only the people named see it."""

    async def work() -> None:
        import uuid

        from contact_hub.citizens.models import Citizen
        from contact_hub.citizens.sealed import seal

        async with hub() as parts, parts.database.begin() as session:
            try:
                citizen_id = uuid.UUID(citizen)
            except ValueError:
                raise fail("This is not a citizen's id.", 2) from None
            if await session.get(Citizen, citizen_id) is None:
                raise fail("There is no such citizen.")
            readers = [(await _person(session, name)).id for name in reader]
            await seal(session, citizen_id, readers, reason, viewer=at_the_command_line())
        typer.echo(f"Sealed. Only {', '.join(reader)} may see this record.")

    run(work)


@sealed.command("remove")
def sealed_remove(
    citizen: Annotated[str, typer.Argument(help="A citizen's id.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
) -> None:
    """Take every seal off a citizen's record."""

    async def work() -> None:
        import uuid

        from contact_hub.citizens.sealed import unseal

        try:
            citizen_id = uuid.UUID(citizen)
        except ValueError:
            raise fail("This is not a citizen's id.", 2) from None
        async with hub() as parts, parts.database.begin() as session:
            done = await unseal(session, citizen_id, reason, viewer=at_the_command_line())
        if not done:
            raise fail("This record is not sealed.")
        typer.echo("The record is open to those whose work it is.")

    run(work)
