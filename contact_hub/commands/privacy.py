"""What citizens agreed to, and removing words from a history, from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from contact_hub.commands.shell import Json, at_the_command_line, fail, hub, run, show

app = typer.Typer()
consent = typer.Typer(help="What a citizen's data may be used for.", no_args_is_help=True)

Citizen = Annotated[str, typer.Argument(help="A citizen's id, or an address such as sms:+35315550123.")]
PurposeName = Annotated[str, typer.Argument(help="alerts, improvement or survey.", metavar="PURPOSE")]
Reason = Annotated[str, typer.Option(help="How the citizen said so, such as 'by letter of 3 May'.")]
By = Annotated[str, typer.Option(help="Who writes it down.")]


@consent.command("show")
def consent_show(citizen: Citizen, as_json: Json = False) -> None:
    """Show what a citizen agreed to, withdrew and was shown, oldest first."""

    async def work() -> None:
        from dataclasses import asdict

        from contact_hub.audit import service as audit
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy.consent import Purpose, allowed, terms_of

        async with hub() as parts, parts.database.begin() as session:
            citizen_id = await citizen_of(session, citizen)
            terms = await terms_of(session, citizen_id)
            now = {purpose: await allowed(session, citizen_id, purpose) for purpose in Purpose}
            await audit.record(session, at_the_command_line(), "citizen.read", citizen_id=citizen_id)
            zone = parts.city.zone
        if as_json:
            show({"citizen": citizen_id, "allowed": now, "terms": [asdict(term) for term in terms]})
            return
        for term in terms:
            at = term.decided_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
            by = f"by {term.by}" + (f", {term.reason}" if term.reason else "")
            typer.echo(f"{at}  {term.purpose:11} {term.decision:9} {term.version:8} {term.channel:9} {by}")
        typer.echo("May be used for: " + ", ".join(purpose for purpose, yes in now.items() if yes))

    run(work)


@consent.command("grant")
def consent_grant(citizen: Citizen, purpose: PurposeName, reason: Reason, by: By = "staff") -> None:
    """Write down that a citizen agreed, elsewhere, to a use of their data."""
    _decide(citizen, purpose, reason, by, yes=True)


@consent.command("withdraw")
def consent_withdraw(citizen: Citizen, purpose: PurposeName, reason: Reason, by: By = "staff") -> None:
    """Write down that a citizen withdrew, elsewhere, what they had agreed to."""
    _decide(citizen, purpose, reason, by, yes=False)


def _decide(citizen: str, purpose: str, reason: str, by: str, *, yes: bool) -> None:
    async def work() -> None:
        from contact_hub.commands.history import citizen_of
        from contact_hub.privacy.consent import ASKED, Decision, Purpose, by_staff

        if purpose not in ASKED:
            raise fail(f"'{purpose}' is nothing to agree to. Choose one of {', '.join(ASKED)}.", 2)
        decision = Decision.GRANTED if yes else Decision.WITHDRAWN
        async with hub() as parts, parts.database.begin() as session:
            citizen_id = await citizen_of(session, citizen)
            viewer = at_the_command_line(by, reason=reason)
            try:
                await by_staff(session, parts.city, citizen_id, Purpose(purpose), decision, viewer, reason)
            except ValueError as error:
                raise fail(str(error), 2) from None
        typer.echo(f"Written down: {purpose} {decision}.")

    run(work)


@app.command()
def redact(
    touchpoint: Annotated[str, typer.Argument(help="The message's id, as the timeline shows it.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept, so it must not repeat the words.")],
    part: Annotated[list[str] | None, typer.Option(help="Only these words; give it again for more.")] = None,
    by: By = "staff",
    as_json: Json = False,
) -> None:
    """Remove a message, or some of its words, with every copy. This cannot be undone."""

    async def work() -> None:
        import uuid
        from dataclasses import asdict

        from contact_hub.privacy.holds import Held
        from contact_hub.privacy.redaction import NotThere
        from contact_hub.privacy.redaction import redact as remove

        try:
            which = uuid.UUID(touchpoint)
        except ValueError:
            raise fail("This is no message's id.", 2) from None
        async with hub() as parts, parts.database.begin() as session:
            try:
                viewer = at_the_command_line(by, reason=reason)
                done = await remove(session, which, viewer, reason=reason, parts=part or ())
            except NotThere as error:
                raise fail(str(error)) from None
            except Held:
                raise fail("A legal hold keeps this record: nothing is removed while it lasts.") from None
        if as_json:
            show(asdict(done))
        else:
            typer.echo(f"Removed in {done.places} places, and {done.files} attachments.")

    run(work)
