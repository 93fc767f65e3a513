"""Who is who: looking at citizens, linking, merging and parting them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contact_hub.commands.history import citizen_of
from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

if TYPE_CHECKING:
    from contact_hub.citizens.models import Address
    from contact_hub.identity.merging import Side
    from contact_hub.identity.models import Merge, Suggestion

app = typer.Typer(help="Who is who: link, merge, part.", no_args_is_help=True)

WHICH = "A citizen's id, or an address such as sms:+35315550123."
Citizen = Annotated[str, typer.Argument(help=WHICH)]
Other = Annotated[str, typer.Argument(help=WHICH)]
Reason = Annotated[str, typer.Option(help="Why; it stays in the record.")]
Agent = Annotated[str, typer.Option(help="Who does it; it stays in the record.")]


@app.command("show")
def citizen_show(citizen: Citizen, as_json: Json = False) -> None:
    """Show a citizen: every address with how and when it was proved, merges, and likenesses."""

    async def work() -> None:
        from contact_hub.audit import service as audit
        from contact_hub.identity import merging, suggestions

        async with hub() as parts, parts.database.begin() as session:
            found = await citizen_of(session, citizen)
            side = await merging.side(session, found)
            told = {
                **_side(side),
                "merges": [_entry(entry) for entry in await merging.history(session, found)],
                "suggestions": [_likeness(s) for s in await suggestions.open_ones(session, found)],
            }
            await audit.record(session, at_the_command_line(), "citizen.read", citizen_id=found)
        if as_json:
            show(told)
            return
        _print_side(told)
        for entry in told["merges"]:
            state = f"undone by {entry['undone_by']}" if entry["undone_at"] else "stands"
            typer.echo(f"merge {entry['merge']}  {entry['absorbed']} into {entry['survivor']}  {state}")
        for like in told["suggestions"]:
            typer.echo(f"perhaps the same ({like['likeness']}): {like['citizens'][0]}, {like['citizens'][1]}")

    run(work)


@app.command("preview")
def citizen_preview(survivor: Citizen, other: Other, as_json: Json = False) -> None:
    """Show what merging the other into the survivor would do; nothing is done."""

    async def work() -> None:
        from contact_hub.audit import service as audit
        from contact_hub.identity import merging

        async with hub() as parts, parts.database.begin() as session:
            try:
                found = await merging.preview(
                    session, await citizen_of(session, survivor), await citizen_of(session, other)
                )
            except merging.CannotMerge as error:
                raise fail(str(error)) from None
            for side in (found.survivor, found.absorbed):
                await audit.record(session, at_the_command_line(), "citizen.read", citizen_id=side.citizen)
        told = {
            "survivor": _side(found.survivor),
            "absorbed": _side(found.absorbed),
            "moves": [f"{a.channel}:{a.value}" for a in found.moves],
            "warnings": found.warnings,
        }
        if as_json:
            show(told)
            return
        typer.echo("This citizen stays:")
        _print_side(_side(found.survivor))
        typer.echo("and takes over the addresses of:")
        _print_side(_side(found.absorbed))
        for warning in found.warnings:
            typer.echo(f"Look twice: {warning}")

    run(work)


@app.command("merge")
def citizen_merge(
    survivor: Citizen, other: Other, reason: Reason, agent: Agent = "City staff", as_json: Json = False
) -> None:
    """Merge the other into the survivor; it can be undone at any time, without loss."""
    _join(survivor, other, reason, agent, as_json)


@app.command("link")
def citizen_link(
    address: Citizen, other: Other, reason: Reason, agent: Agent = "City staff", as_json: Json = False
) -> None:
    """Link two addresses of one person, whoever wrote first; the older citizen stays."""
    _join(address, other, reason, agent, as_json, by_age=True)


@app.command("undo")
def citizen_undo(
    merge: Annotated[uuid.UUID, typer.Argument(help="The merge's id; `citizen show` lists them.")],
    reason: Reason,
    agent: Agent = "City staff",
    as_json: Json = False,
) -> None:
    """Part what a merge joined, whatever has happened since."""

    async def work() -> None:
        from contact_hub.identity import merging

        async with hub() as parts, parts.database.begin() as session:
            try:
                told = _entry(
                    await merging.undo(session, merge, by=at_the_command_line(agent), reason=reason)
                )
            except merging.CannotMerge as error:
                raise fail(str(error)) from None
        if as_json:
            show(told)
        else:
            typer.echo(f"Undone: {told['absorbed']} stands on its own again.")

    run(work)


@app.command("suggestions")
def citizen_suggestions(as_json: Json = False) -> None:
    """Show who may be one person: likenesses that prove nothing, the newest first."""

    async def work() -> None:
        from contact_hub.audit import service as audit
        from contact_hub.identity import suggestions

        async with hub() as parts, parts.database.begin() as session:
            told = [_likeness(found) for found in await suggestions.open_ones(session)]
            await audit.record(session, at_the_command_line(), "suggestions.read", shown=len(told))
        if as_json:
            show(told)
            return
        for like in told:
            typer.echo(
                f"{like['suggestion']}  {like['likeness']:15} {like['citizens'][0]}  {like['citizens'][1]}"
            )

    run(work)


@app.command("dismiss")
def citizen_dismiss(
    suggestion: Annotated[uuid.UUID, typer.Argument(help="Its id.")], agent: Agent = "City staff"
) -> None:
    """Say that the two of a suggestion are not one; the same likeness is not suggested again."""

    async def work() -> None:
        from contact_hub.audit import service as audit
        from contact_hub.identity import suggestions

        async with hub() as parts, parts.database.begin() as session:
            if not await suggestions.dismiss(session, suggestion, at_the_command_line(agent)):
                raise fail("There is no such suggestion, or it was dismissed before.")
            await audit.record(
                session, at_the_command_line(agent), "suggestion.dismissed", subject=str(suggestion)
            )
        typer.echo("Dismissed.")

    run(work)


def _join(first: str, second: str, reason: str, agent: str, as_json: bool, *, by_age: bool = False) -> None:
    async def work() -> None:
        from contact_hub.identity import linking, merging

        async with hub() as parts, parts.database.begin() as session:
            try:
                survivor, other = await citizen_of(session, first), await citizen_of(session, second)
                if by_age and survivor != other:
                    survivor, other = await linking.by_age(session, survivor, other)
                told = _entry(
                    await merging.merge(
                        session, survivor, other, by=at_the_command_line(agent), reason=reason
                    )
                )
            except merging.CannotMerge as error:
                raise fail(str(error)) from None
        if as_json:
            show(told)
        else:
            typer.echo(
                f"They are one now: {told['survivor']}. To undo: civicline citizen undo {told['merge']}"
            )

    run(work)


def _side(side: Side) -> dict[str, Any]:
    return {
        "citizen": side.citizen,
        "since": side.since,
        "name": side.name,
        "language": side.language,
        "addresses": [_address(a) for a in side.addresses if a.channel != "desk"],
        "touchpoints": side.touchpoints,
        "open_conversations": side.open_conversations,
    }


def _address(address: Address) -> dict[str, Any]:
    return {
        "channel": address.channel,
        "value": address.value,
        "proof": address.proof,
        "verified_at": address.verified_at,
        "last_inbound_at": address.last_inbound_at,
        "retired_at": address.retired_at,
    }


def _entry(entry: Merge) -> dict[str, Any]:
    return {
        "merge": entry.id,
        "survivor": entry.survivor_id,
        "absorbed": entry.absorbed_id,
        "method": entry.method,
        "made_by": entry.made_by,
        "reason": entry.reason,
        "made_at": entry.made_at,
        "undone_at": entry.undone_at,
        "undone_by": entry.undone_by,
        "undo_reason": entry.undo_reason,
    }


def _likeness(found: Suggestion) -> dict[str, Any]:
    return {
        "suggestion": found.id,
        "likeness": found.likeness,
        "citizens": [found.first_id, found.second_id],
        "made_at": found.made_at,
    }


def _print_side(side: dict[str, Any]) -> None:
    typer.echo(f"{side['citizen']}  {side['name'] or 'no name'}  {side['language'] or ''}")
    for address in side["addresses"]:
        at = address["verified_at"]
        proved = f"proved by {address['proof']}" + (f" on {at:%Y-%m-%d}" if at else "")
        typer.echo(f"  {address['channel']}:{address['value']}  {proved}")
    total = sum(side["touchpoints"].values())
    typer.echo(f"  {total} touchpoints, {side['open_conversations']} open conversations")
