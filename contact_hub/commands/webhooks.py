"""Telling the city's other systems what happens."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

if TYPE_CHECKING:
    from contact_hub.events.kinds import Kind

app = typer.Typer(help="What the city's other systems are told.", no_args_is_help=True)

Webhook = Annotated[str, typer.Argument(help="Its id, as `civicline webhook list` shows it.", metavar="ID")]


@app.command("add")
def webhook_add(
    url: Annotated[str, typer.Argument(help="Where events are posted to.", metavar="URL")],
    events: Annotated[str, typer.Option(help="Which events, with commas between them; or all.")],
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Send residents' words as well, not only ids and kinds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell a system what happens from now on; its secret is shown this once."""

    async def work() -> None:
        from contact_hub.webhooks import service
        from contact_hub.webhooks.reach import NotAllowed, NotReached

        kinds = _kinds(events)
        async with hub() as parts:
            try:
                await parts.telling.reach.check(url)
            except (NotAllowed, NotReached) as error:
                raise fail(f"{url} cannot be told: {error}") from None
            async with parts.database.begin() as session:
                identity, secret = await service.add(session, url, kinds, with_text=with_text)
        if as_json:
            show({"id": identity, "secret": secret})
        else:
            typer.echo(f"Webhook {identity}\nIts secret, shown this once: {secret}")

    run(work)


@app.command("list")
def webhook_list(as_json: Json = False) -> None:
    """Show every webhook and how it fares."""

    async def work() -> None:
        from contact_hub.webhooks.service import standing

        async with hub() as parts, parts.database.begin() as session:
            found = await standing(session)
        if as_json:
            show([asdict(one) for one in found])
            return
        if not found:
            typer.echo("No other system is told anything.")
        for one in found:
            trouble = f", {one.failures} failures in a row ({one.last_error})" if one.failures else ""
            text = ", with text" if one.with_text else ""
            typer.echo(
                f"{one.id}  {one.state:4} {one.url}  {','.join(one.events)}{text}:"
                f" {one.waiting} waiting, {one.dead} given up{trouble}"
            )

    run(work)


@app.command("remove")
def webhook_remove(webhook: Webhook) -> None:
    """Stop telling a system, and forget what it has not received."""

    async def work() -> None:
        from contact_hub.webhooks import service

        async with hub() as parts, parts.database.begin() as session:
            try:
                await service.remove(session, _id(webhook))
            except service.NoSuchWebhook as error:
                raise fail(str(error)) from None
        typer.echo("Removed.")

    run(work)


@app.command("replay")
def webhook_replay(
    webhook: Webhook,
    since: Annotated[
        str,
        typer.Option("--from", help="The id of the first event, or a time such as 2026-11-22T10:00."),
    ],
    as_json: Json = False,
) -> None:
    """Send again, in order, whatever is kept from an event or a time on."""

    async def work() -> None:
        from contact_hub.webhooks import service

        cursor = _cursor(since)
        async with hub() as parts, parts.database.begin() as session:
            try:
                number = await service.replay(session, _id(webhook), cursor)
            except service.NoSuchWebhook as error:
                raise fail(str(error)) from None
        show({"events": number}) if as_json else typer.echo(f"{number} events are on their way again.")

    run(work)


@app.command("resume")
def webhook_resume(webhook: Webhook) -> None:
    """Try again now, also a webhook whose receiver said it was gone."""

    async def work() -> None:
        from contact_hub.webhooks import service

        async with hub() as parts, parts.database.begin() as session:
            try:
                await service.resume(session, _id(webhook))
            except service.NoSuchWebhook as error:
                raise fail(str(error)) from None
        typer.echo("Its events are on their way.")

    run(work)


@app.command("secret")
def webhook_secret(webhook: Webhook, as_json: Json = False) -> None:
    """Make a new secret, shown this once; for a day every event is signed with both."""

    async def work() -> None:
        from contact_hub.webhooks import service

        async with hub() as parts, parts.database.begin() as session:
            try:
                secret = await service.new_secret(session, _id(webhook))
            except service.NoSuchWebhook as error:
                raise fail(str(error)) from None
        if as_json:
            show({"secret": secret})
        else:
            typer.echo(f"Its new secret, shown this once: {secret}\nThe former one signs as well for a day.")

    run(work)


@app.command("test")
def webhook_test(webhook: Webhook, as_json: Json = False) -> None:
    """Post a test event now, and tell how it was answered."""

    async def work() -> None:
        from contact_hub.sealing import Unsealable
        from contact_hub.webhooks import service
        from contact_hub.webhooks.reach import NotAllowed, NotReached

        async with hub() as parts:
            try:
                answer = await parts.telling.try_out(_id(webhook))
            except (service.NoSuchWebhook, NotAllowed, NotReached, Unsealable) as error:
                raise fail(f"It did not arrive: {error}") from None
        if as_json:
            show({"status": answer.status})
        else:
            typer.echo(f"It was answered {answer.status}.")
        if not 200 <= answer.status < 300:
            raise typer.Exit(1)

    run(work)


def _kinds(events: str) -> list[Kind]:
    from contact_hub.webhooks.service import TOLD

    if events.strip() == "all":
        return list(TOLD)
    names = [name.strip() for name in events.split(",") if name.strip()]
    known = {str(kind): kind for kind in TOLD}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = f"'{unknown[0]}' is no event" if unknown else "No event was named"
        raise fail(f"{wrong}. Choose from {', '.join(known)}; or all.", 2)
    return [known[name] for name in names]


def _id(webhook: str) -> uuid.UUID:
    try:
        return uuid.UUID(webhook)
    except ValueError:
        raise fail(f"'{webhook}' is no webhook's id: `civicline webhook list` shows them.", 2) from None


def _cursor(since: str) -> uuid.UUID:
    from contact_hub.webhooks.service import cursor_at

    try:
        return uuid.UUID(since)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise fail(f"'{since}' is neither an event's id nor a time such as 2026-11-22T10:00.", 2) from None
    return cursor_at(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
