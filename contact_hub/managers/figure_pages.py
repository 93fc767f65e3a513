"""The page with the figures, and every table of it as a file."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from sqlalchemy import text

from contact_hub.audit import service as audit
from contact_hub.city import City
from contact_hub.database import Database, now
from contact_hub.managers import review_pages, reviews
from contact_hub.managers.exports import FORMATS, MIMES
from contact_hub.managers.figure_tables import BY_NAMES, tables
from contact_hub.managers.figures import By
from contact_hub.managers.long_run import long_run
from contact_hub.managers.look import page, visitor
from contact_hub.managers.period import NoPeriod, Period
from contact_hub.managers.scope import departments_of
from contact_hub.managers.tables import Table
from contact_hub.staff.access import Action, Viewer
from contact_hub.staff.guard import Guard

HERE = "/managers"
_PATIENCE = text("SET LOCAL statement_timeout = '30s'")


def add(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    """`/managers` itself and `/managers/export`."""

    async def made(viewer: Viewer, period: Period, by: By) -> list[Table]:
        async with database.begin() as session:
            await session.execute(_PATIENCE)
            found = await tables(session, viewer, city, period, by)
            if departments_of(viewer) is None:  # what is kept of the erased tells no departments
                found.append(await long_run(session, period.last))
        return found

    @routes.get("")
    async def figures_page(request: Request, first: str = "", last: str = "", by: str = By.WEEK) -> Response:
        who = await visitor(guard, request, Action.COUNT)
        wrong, chosen = "", _by(by) or By.WEEK
        try:
            period = Period.asked(first, last, city.zone, now())
        except NoPeriod as no:
            wrong, period = str(no), Period.asked("", "", city.zone, now())
        names = {str(item["key"]): str(item["name"]) for item in city.settings["departments"]}
        theirs = departments_of(who.viewer)
        made_tables = await made(who.viewer, period, chosen)
        async with database.begin() as session:  # whoever lays periods over one another leaves a trace
            await audit.record(session, who.viewer, "figures.read", period=period.words, by=chosen)
        return page(
            "figures.html",
            who,
            HERE,
            status=422 if wrong else 200,
            wrong=wrong,
            period=period,
            by=chosen,
            bys=BY_NAMES,
            tables=made_tables,
            theirs=None if theirs is None else [names.get(key, "no topic yet") for key in theirs],
        )

    @routes.get("/export/{key}.{kind}")
    async def export(
        request: Request, key: str, kind: str, first: str = "", last: str = "", by: str = By.WEEK
    ) -> Response:
        chosen = _by(by)
        is_review = key == "reviews"
        who = await visitor(guard, request, Action.REVIEW if is_review else Action.COUNT)
        if kind not in FORMATS or chosen is None:
            raise HTTPException(404, "There is no such table.")
        try:
            period = Period.asked(first, last, city.zone, now())
        except NoPeriod as no:
            raise HTTPException(422, str(no)) from None
        if is_review:
            async with database.begin() as session:
                found = [review_pages.table(await reviews.findings(session, who.viewer, period))]
        else:
            found = await made(who.viewer, period, chosen)
        table = next((one for one in found if one.key == key), None)
        if table is None:
            raise HTTPException(404, "There is no such table.")
        async with database.begin() as session:
            await audit.record(
                session,
                who.viewer,
                "figures.exported",
                subject=key,
                period=period.words,
                by=chosen,
                kind=kind,
            )
        # Every part of the name is ours: a key of a table, two days and a known ending.
        name = f"civicline-{table.key}-{period.first}-{period.last}.{kind}"
        return Response(
            FORMATS[kind](table, table.period or period.words),
            media_type=MIMES[kind],
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )


def _by(asked: str) -> By | None:
    return By(asked) if asked in {*BY_NAMES} else None
