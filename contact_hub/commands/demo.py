"""A demonstration: an invented week, so that desk and managers' view are alive at first sight."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from contact_hub.commands.shell import Json, fail, hub, run, show

app = typer.Typer()


@app.command()
def demo(
    remove: Annotated[bool, typer.Option(help="Take the invented residents away again.")] = False,
    among_real: Annotated[
        bool, typer.Option(help="Do it although there are real residents on this line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fill a week with invented residents in two languages, and print links for the invented staff.

    Making it sends nothing. What is answered to invented residents later goes to numbers and addresses that
    belong to nobody. Whoever was invented can be taken away again, and nobody else is touched.
    """

    async def work() -> None:
        from contact_hub.city import CityError
        from contact_hub.demo import script, week

        async with hub(wakeups=True) as parts:
            if remove:
                async with parts.database.begin() as session:
                    gone = await week.remove(session)
                show({"removed": gone}) if as_json else typer.echo(f"{gone} invented residents are gone.")
                return
            if parts.settings.civicline_env == "production" and not among_real:
                raise fail(
                    "This is a city's real line (CIVICLINE_ENV=production): use --among-real to insist."
                )
            try:
                told = script.read(parts.city.folder / "demo")
                async with parts.database.begin() as session:
                    if not among_real and (known := await week.real(session)):
                        raise fail(
                            "Somebody has already written on this line (a question of your own counts): "
                            f"{known} real {'resident' if known == 1 else 'residents'}. The invented week "
                            "would stand among them in queue and figures until `civicline demo --remove`. "
                            "Use --among-real to insist."
                        )
                    made = await week.make(session, parts.city, told, site_url=parts.settings.site_url)
            except (CityError, week.NotNow) as error:
                raise fail(str(error)) from None
            parts.wakeups.tell("desk")
            await parts.wakeups.flush()
        if as_json:
            show(asdict(made))
            return
        typer.echo(f"{made.residents} invented residents with {made.conversations} conversations.")
        site = parts.settings.site_url
        typer.echo("Open a link, choose a password, and you are in; each link is good once, for 24 hours.")
        typer.echo(f"After that, sign in with the name and that password at {site}/staff/login\n")
        rows = [("NAME", "ROLE", "LINK")]
        rows += [(name, made.roles[name], link) for name, link in made.links.items()]
        wide = [2 + max(len(row[at]) for row in rows) for at in (0, 1)]
        for name, role, link in rows:
            typer.echo(f"{name:<{wide[0]}}{role:<{wide[1]}}{link}")

    run(work)
