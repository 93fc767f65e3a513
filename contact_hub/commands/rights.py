"""A citizen's rights over their data: copies, erasure, holds, and the schedule by which records go."""

from __future__ import annotations

import os
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

if TYPE_CHECKING:
    from contact_hub.composition import Parts
    from contact_hub.privacy.erasure import Answer
    from contact_hub.privacy.holds import Held
    from contact_hub.privacy.retention import Line
    from contact_hub.privacy.schedule import Schedule

app = typer.Typer()
hold = typer.Typer(
    help="Legal holds: while one lasts, nothing of a citizen is removed.", no_args_is_help=True
)

Who = Annotated[str, typer.Argument(help="A citizen's id, or an address such as sms:+35315550123.")]
Reason = Annotated[str, typer.Option(help="Why; it stays in the audit, so name nobody in it.")]


@app.command()
def export(
    citizen: Who,
    output: Annotated[Path | None, typer.Option(help="Default: a new file in this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Write everything kept about a citizen into one ZIP: data with its schema, files, a readable page."""

    async def work() -> None:
        from contact_hub.audit.service import record
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy.export import write

        async with hub() as parts:
            async with parts.database.begin() as session:
                who = await citizen_of(session, citizen)
                await record(session, at_the_command_line(), "citizen.export", citizen_id=who)
            path = output or Path(f"citizen-{who}.zip")
            try:
                # Nobody else reads it, and nothing is written over.
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    made = await write(
                        parts.database, who, file, city=parts.city, site_url=parts.settings.site_url
                    )
            except FileExistsError:
                raise fail(f"{path} is there already: name another file with --output.") from None
            except OSError as error:
                raise fail(f"{path} cannot be written: {error.strerror}.") from None
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        if as_json:
            show(
                {
                    "citizen": who,
                    "file": str(path.resolve()),
                    "touchpoints": made.touchpoints,
                    "files": made.files,
                    "reports": made.reports,
                    "answers": made.answers,
                }
            )
        else:
            typer.echo(f"{path}: {made.touchpoints} touchpoints, {made.files} files, {made.reports} reports.")

    run(work)


@app.command()
def erase(
    citizen: Who,
    reason: Reason,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a citizen with every address, and say class by class what was erased and what a rule keeps."""

    async def work() -> None:
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy import erasure, holds

        async with hub() as parts:
            schedule = _schedule(parts)
            try:
                async with parts.database.begin() as session:
                    who = await citizen_of(session, citizen)
                    would = await erasure.preview(session, who, schedule)
                if dry_run:
                    _tell(would, as_json, done=False)
                    return
                if not yes:
                    _tell(would, False, done=False)
                    typer.confirm("Erase all this? It cannot be undone.", abort=True)
                async with parts.database.begin() as session:
                    done = await erasure.erase(
                        session,
                        at_the_command_line(),
                        who,
                        schedule=schedule,
                        folder=parts.settings.civicline_data,
                        reason=reason,
                    )
            except holds.Held as held:
                raise fail(_held(held)) from None
            except LookupError as error:
                raise fail(str(error)) from None
        _tell(done, as_json, done=True)

    run(work)


@app.command()
def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what has been kept long enough, as the worker does every night; legal holds are respected."""

    async def work() -> None:
        from contact_hub.privacy import retention as schedule

        async with hub() as parts:
            _schedule(parts)
            if dry_run:
                lines = await schedule.look(parts.database, parts.city)
            else:
                lines = await schedule.run(parts.database, parts.city, parts.settings.civicline_data)
        if as_json:
            show({"dry_run": dry_run, "records": [line.as_dict() for line in lines]})
            return
        for line in lines:
            typer.echo(_line(line, "would go" if dry_run else "removed"))

    run(work)


@hold.command("add")
def hold_add(
    citizen: Who,
    reason: Annotated[str, typer.Option(help="Which matter it is for.")],
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day; without it, until lifted.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep everything of a citizen, whoever asks and however old it gets."""

    async def work() -> None:
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy import holds

        async with hub() as parts, parts.database.begin() as session:
            who = await citizen_of(session, citizen)
            end = None if until is None else datetime.combine(until.date(), time.max, parts.city.zone)
            placed = await holds.add(session, at_the_command_line(), who, reason, end)
        if as_json:
            show({"hold": placed.id, "citizen": who, "until": placed.until})
        else:
            typer.echo(f"Held: {who}.")

    run(work)


@hold.command("list")
def hold_list(
    citizen: Annotated[str | None, typer.Argument(help="Only those of this citizen.")] = None,
    as_json: Json = False,
) -> None:
    """Show the holds that last."""

    async def work() -> None:
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy import holds

        async with hub() as parts, parts.database.begin() as session:
            if citizen is None:
                found = await holds.standing(session)
            else:
                found = await holds.of_citizen(session, await citizen_of(session, citizen))
            zone = parts.city.zone
        if as_json:
            columns = ("id", "citizen_id", "reason", "until", "placed_by", "placed_at")
            show([{name: getattr(one, name) for name in columns} for one in found])
            return
        for one in found:
            end = "until lifted" if one.until is None else f"until {one.until.astimezone(zone):%Y-%m-%d}"
            typer.echo(f"{one.citizen_id}  {end}  {one.placed_by}: {one.reason}")

    run(work)


@hold.command("lift")
def hold_lift(citizen: Who, as_json: Json = False) -> None:
    """Lift every hold on a citizen."""

    async def work() -> None:
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy import holds

        async with hub() as parts, parts.database.begin() as session:
            who = await citizen_of(session, citizen)
            lifted = await holds.lift(session, at_the_command_line(), who)
        if as_json:
            show({"citizen": who, "lifted": lifted})
        else:
            typer.echo(f"{lifted} lifted." if lifted else "There was no hold.")

    run(work)


def _schedule(parts: Parts) -> Schedule:
    from contact_hub.city import CityError
    from contact_hub.privacy.schedule import schedule_of

    try:
        return schedule_of(parts.city)
    except CityError as error:
        raise fail(str(error), 2) from None


def _held(held: Held) -> str:
    reasons = "; ".join(hold.reason for hold in held.holds)
    return f"Nothing was erased: a legal hold keeps this record ({reasons})."


def _tell(answer: Answer, as_json: bool, *, done: bool) -> None:
    if as_json:
        show({**answer.as_dict(), "dry_run": not done})
        return
    for line in answer.lines:
        gone = f"{line.erased} {'erased' if done else 'would be erased'}" if line.erased else ""
        kept = f"{line.kept} kept under {line.rule.name}" if line.kept and line.rule else ""
        typer.echo(f"{line.records:14} {', '.join(filter(None, (gone, kept)))}")
        if line.kept and line.rule:
            typer.echo(f"{'':14} {line.rule.why}")


def _line(line: Line, what: str) -> str:
    held = f", {line.held} held" if line.held else ""
    months = f", whole months: {', '.join(line.partitions)}" if line.partitions else ""
    before = f"before {line.before:%Y-%m-%d}" if line.before else "never"
    return f"{line.records:14} {before}  {line.rows} {what}{held}{months}  ({line.rule.name})"
