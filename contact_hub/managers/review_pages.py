"""The pages on which managers judge conversations, and what their verdicts come to."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from contact_hub.audit import service as audit
from contact_hub.city import City
from contact_hub.database import Database, now
from contact_hub.managers import drawing, reviews
from contact_hub.managers.estimates import Share
from contact_hub.managers.look import Visitor, page, there, visitor
from contact_hub.managers.period import NoPeriod, Period
from contact_hub.managers.tables import Cell, Column, Table
from contact_hub.staff.access import Action
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go

HERE = "/managers/reviews"
MORE = 20
LATELY = 20  # judged ones that are listed
ANSWERS = {
    "yes": "Yes, somebody should have",
    "no": "No, there was no need",
    "unsure": "I cannot say",
}


def add(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    """`/managers/reviews` and what is below it."""
    _list(routes, database, guard, city)
    _one(routes, database, guard, city)


def _list(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    async def shown(who: Visitor, first: str, last: str, done: str = "") -> Response:
        wrong, status = "", 200
        try:
            period = Period.asked(first, last, city.zone, now())
        except NoPeriod as no:
            wrong, status = str(no), 422
            period = Period.asked("", "", city.zone, now())
        async with database.begin() as session:
            found = await reviews.findings(session, who.viewer, period)
            chance = await reviews.items(session, who.viewer, reviews.waiting(drawn_by_chance=True))
            dismissed = await reviews.items(session, who.viewer, reviews.waiting(drawn_by_chance=False))
            judged = await reviews.items(session, who.viewer, reviews.judged(), LATELY)
        return page(
            "reviews.html",
            who,
            HERE,
            status=status,
            wrong=wrong,
            done=done,
            period=period,
            table=table(found),
            found=found,
            chance=chance,
            dismissed=dismissed,
            judged=judged,
            departments=_departments(city),
            more=MORE,
        )

    @routes.get("/reviews")
    async def reviews_page(request: Request, first: str = "", last: str = "", drawn: str = "") -> Response:
        who = await visitor(guard, request, Action.REVIEW)
        number = int(drawn) if drawn.isascii() and drawn.isdigit() and len(drawn) < 5 else None
        done = (
            "" if number is None else f"{number} more to judge." if number else "There are no more to draw."
        )
        return await shown(who, first, last, done)

    @routes.post("/reviews/draw")
    async def draw(request: Request) -> Response:
        who = await visitor(guard, request, Action.REVIEW)
        async with database.begin() as session:
            number = await drawing.more(session, city, MORE)
            await audit.record(session, who.viewer, "review.drawn", number=number)
        return go(f"{HERE}?drawn={number}")


def _one(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    async def shown(
        who: Visitor, which: uuid.UUID, *, with_flag: bool = False, status: int = 200, **words: Any
    ) -> Response:
        async with database.begin() as session:
            found = await reviews.case_of(session, who.viewer, which, with_flag=with_flag)
            case = there(found, "conversation under review")
            waiting = await reviews.items(session, who.viewer, reviews.waiting(drawn_by_chance=True), limit=2)
        judged = case.review.verdict is not None
        evidence: dict[str, list[str]] = {}
        for signal in case.flag.signals if case.flag else ():
            evidence.setdefault(str(signal["evidence"]), []).append(str(signal["words"]))
        following = next((item.id for item in waiting if item.id != which), None)
        return page(
            "review.html",
            who,
            HERE,
            status=status,
            case=case,
            judged=judged,
            evidence=evidence,
            answers=ANSWERS,
            department=_departments(city).get(case.department or "", "no department"),
            moment=lambda at: city.moment(at, "en"),
            following=following,
            longest=reviews.LONGEST_WHY,
            **{"why": case.why, **words},
        )

    @routes.get("/reviews/{which}")
    async def review_page(request: Request, which: uuid.UUID, flag: str = "") -> Response:
        return await shown(await visitor(guard, request, Action.REVIEW), which, with_flag=flag == "shown")

    @routes.post("/reviews/{which}")
    async def judge(
        request: Request,
        which: uuid.UUID,
        unhappy: Annotated[str, Form()] = "",
        why: Annotated[str, Form()] = "",
    ) -> Response:
        who = await visitor(guard, request, Action.REVIEW)
        try:
            async with database.begin() as session:
                kept = await reviews.judge(session, who.viewer, which, unhappy, why)
        except reviews.CannotJudge as cannot:
            return await shown(who, which, status=422, wrong=str(cannot), why=why)
        there(kept or None, "conversation under review")
        return go(f"{HERE}/{which}")


def table(found: reviews.Findings) -> Table:
    """What the verdicts of a period say, as a table."""

    def row(name: str, share: Share | None, aside: str) -> list[Cell]:
        if share is None:
            return [name, None, None, None, None, aside]
        return [name, share.value, share.low, share.high, share.n, aside]

    missed = found.missed
    number = (
        ""
        if missed is None
        else f"about {missed.value * found.unflagged:.0f} of {found.unflagged:.0f} conversations, "
        f"{missed.low * found.unflagged:.0f} to {missed.high * found.unflagged:.0f}"
    )
    return Table(
        "reviews",
        "What the verdicts say",
        [
            Column("Figure"),
            Column("Estimate", "share"),
            Column("From", "share"),
            Column("To", "share"),
            Column("Judged", "count"),
            Column("Aside"),
        ],
        [
            row("Flags that were right (precision)", found.right, f"{found.unsure_flags} unsure"),
            row(
                "Dismissed flags that should have stood",
                found.dismissed_right,
                f"of {found.dismissed} dismissed",
            ),
            row(
                "Unflagged conversations that should have been flagged",
                missed,
                number or f"{found.unsure_unflagged} unsure",
            ),
            row("Unhappy residents who were flagged (recall)", found.caught, "estimated from both samples"),
        ],
        about="95 % intervals by Wilson, of samples drawn by chance and weighted by what they stand for; "
        "the last line's is wider. Fewer than 5 judgements give no figure.",
    )


def _departments(city: City) -> dict[str, str]:
    return {str(item["key"]): str(item["name"]) for item in city.settings["departments"]}
