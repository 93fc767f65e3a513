"""Who looked at what and did what, and whether anybody has touched that."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer(help="Who looked at whose record, and what was done.", no_args_is_help=True)


@app.command("verify")
def audit_verify(
    receipt: Annotated[
        list[str] | None,
        typer.Option(help="What an earlier check printed: proves that nothing before it is gone."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that no entry was changed, removed, added or moved; exit status 1 where one was."""

    async def work() -> None:
        from contact_hub.audit.checking import Receipt, verify

        try:
            receipts = [Receipt.read(words) for words in receipt or []]
        except ValueError as error:
            raise fail(f"A receipt looks like 120:9f3c..., and this does not: {error}", 2) from None
        async with hub() as parts:
            found = await verify(parts.database, receipts)
        if as_json:
            show(
                {
                    "entries": found.entries,
                    "whole": not found.faults,
                    "receipt": found.receipt and str(found.receipt),
                    "faults": [{"number": fault.number, "what": fault.what} for fault in found.faults],
                }
            )
        else:
            for fault in found.faults:
                words = fault.what if fault.number is None else f"Entry {fault.number} {fault.what}."
                typer.echo(words, err=True)
            typer.echo(
                f"{found.entries} entries, {'no change' if not found.faults else 'NOT as they were written'}."
            )
            if found.receipt is not None and not found.faults:
                typer.echo(f"Keep this receipt elsewhere: {found.receipt}")
        if found.faults:
            raise typer.Exit(1)

    run(work)


@app.command("show")
def audit_show(
    citizen: Annotated[str | None, typer.Option(help="Only this citizen's record (an id).")] = None,
    staff: Annotated[str | None, typer.Option(help="Only what this person or system did.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest entries, all or of one record or one person."""

    async def work() -> None:
        import uuid

        from contact_hub.audit.service import entries

        try:
            citizen_id = None if citizen is None else uuid.UUID(citizen)
        except ValueError:
            raise fail("This is not a citizen's id.", 2) from None
        async with hub() as parts, parts.database.begin() as session:
            found = await entries(session, citizen_id=citizen_id, viewer_name=staff, limit=limit)
            zone = parts.city.zone
        if as_json:
            names = (
                "number",
                "at",
                "viewer_kind",
                "viewer_id",
                "viewer_name",
                "action",
                "citizen_id",
                "subject",
                "words",
            )
            show([{name: getattr(entry, name) for name in names} for entry in found])
            return
        for entry in reversed(found):
            at = entry.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
            about = " ".join(str(part) for part in (entry.citizen_id, entry.subject) if part)
            words = ", ".join(f"{name}: {value}" for name, value in (entry.words or {}).items())
            typer.echo(f"{entry.number:7}  {at}  {entry.viewer_name:20} {entry.action:24} {about}  {words}")

    run(work)
