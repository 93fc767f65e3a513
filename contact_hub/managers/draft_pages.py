"""The pages on which questions without an answer become articles."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.journey.neighbours import NeighbourDown, Neighbours
from contact_hub.knowledge import drafts
from contact_hub.knowledge.drafts import CannotWrite, ChangedMeanwhile, DraftState, Written
from contact_hub.knowledge.models import DraftArticle
from contact_hub.knowledge.service import NotImported
from contact_hub.managers import questions
from contact_hub.managers.look import Visitor, page, there, visitor
from contact_hub.managers.markdown import rendered
from contact_hub.staff.access import Action
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go

HERE = "/managers/questions"
DONE = {
    "saved": "Saved.",
    "review": "Handed in. Somebody else can read and publish it now.",
    "draft": "Given back to its author.",
    "published": "Published. The bot answers from it, and those who asked are told if they agreed to that.",
    "discarded": "Discarded. Its questions are open again.",
}
_WHAT = "draft"


def add(routes: APIRouter, database: Database, guard: Guard, city: City, brain: Neighbours) -> None:
    """`/managers/questions` and `/managers/drafts`."""
    _questions(routes, database, guard, city, brain)
    _writing(routes, database, guard, city)
    _publishing(routes, database, guard, city, brain)


def _questions(routes: APIRouter, database: Database, guard: Guard, city: City, brain: Neighbours) -> None:
    async def shown(who: Visitor, *, status: int = 200, wrong: str = "", done: str = "") -> Response:
        async with database.begin() as session:
            found = await questions.open_questions(session)
            articles = await drafts.drafts(session)
        groups: list[questions.Group] | None = None
        try:
            groups = await questions.grouped(brain, found)
        except NeighbourDown:
            wrong = wrong or "The questions cannot be grouped just now: the brain does not answer."
        return page(
            "questions.html",
            who,
            HERE,
            status=status,
            wrong=wrong,
            done=done,
            groups=groups if groups is not None else [questions.Group((one,)) for one in found],
            drafts=articles,
            most=questions.MOST_QUESTIONS,
        )

    @routes.get("/questions")
    async def questions_page(request: Request, done: str = "") -> Response:
        return await shown(await visitor(guard, request, Action.WRITE), done=DONE.get(done, ""))

    @routes.post("/drafts")
    async def begin(request: Request, answers: Annotated[list[uuid.UUID] | None, Form()] = None) -> Response:
        who = await visitor(guard, request, Action.WRITE)
        try:
            async with database.begin() as session:
                written, wanted = await questions.prefilled(session, city, answers or [])
                draft_id = await drafts.begin(session, who.viewer, written, wanted)
        except CannotWrite as cannot:
            return await shown(who, status=422, wrong=str(cannot))
        return go(f"/managers/drafts/{draft_id}")


async def _page(
    session: AsyncSession,
    who: Visitor,
    city: City,
    draft: DraftArticle,
    written: Written | None = None,
    **words: Any,
) -> Response:
    status = words.pop("status", 200)
    shown = written or Written(
        draft.article.partition("/")[0], draft.language, draft.title, draft.text, draft.url
    )
    return page(
        "draft.html",
        who,
        HERE,
        status=status,
        draft=draft,
        asked=(await questions.about(session, draft)).shown,
        written=shown,
        preview=rendered(shown.text),
        mine=draft.written_by == who.viewer.name,
        topics=city.topics,
        languages=city.languages,
        moment=lambda at: city.moment(at, "en"),
        longest_title=drafts.LONGEST_TITLE,
        longest_text=drafts.LONGEST_TEXT,
        longest_url=drafts.LONGEST_URL,
        **{"read_at": draft.changed_at, "theirs": None, **words},
    )


def _writing(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    async def draft_of(session: AsyncSession, which: uuid.UUID) -> DraftArticle:
        return there(await drafts.locked(session, which), _WHAT)

    @routes.get("/drafts/{which}")
    async def draft_page(request: Request, which: uuid.UUID, done: str = "") -> Response:
        who = await visitor(guard, request, Action.WRITE)
        async with database.begin() as session:
            draft = await draft_of(session, which)
            return await _page(session, who, city, draft, done=DONE.get(done, ""))

    @routes.post("/drafts/{which}")
    async def write(
        request: Request,
        which: uuid.UUID,
        topic: Annotated[str, Form()] = "",
        language: Annotated[str, Form()] = "",
        title: Annotated[str, Form()] = "",
        text: Annotated[str, Form()] = "",
        url: Annotated[str, Form()] = "",
        then: Annotated[str, Form()] = "save",
        changed_at: Annotated[datetime | None, Form()] = None,
    ) -> Response:
        who = await visitor(guard, request, Action.WRITE)
        written = Written(topic, language, title, text, url)
        try:
            async with database.begin() as session:
                draft = await draft_of(session, which)
                clean = written.cleaned(topics=city.topics, languages=city.languages)
                await drafts.write(session, who.viewer, draft, clean, read_at=changed_at)
                if then == "review":
                    await drafts.move(session, who.viewer, draft, DraftState.REVIEW)
        except CannotWrite as cannot:
            meanwhile = isinstance(cannot, ChangedMeanwhile)
            async with database.begin() as session:
                draft = await draft_of(session, which)
                return await _page(
                    session,
                    who,
                    city,
                    draft,
                    written,
                    status=422,
                    wrong=str(cannot),
                    read_at=draft.changed_at if meanwhile else changed_at,
                    theirs=rendered(draft.text) if meanwhile else None,
                )
        return go(f"/managers/drafts/{which}?done={'review' if then == 'review' else 'saved'}")


def _publishing(routes: APIRouter, database: Database, guard: Guard, city: City, brain: Neighbours) -> None:
    async def refused(who: Visitor, which: uuid.UUID, why: Exception, status: int) -> Response:
        async with database.begin() as session:
            draft = there(await drafts.locked(session, which), _WHAT)
            return await _page(session, who, city, draft, status=status, wrong=str(why))

    async def moved(request: Request, which: uuid.UUID, to: DraftState) -> Response:
        who = await visitor(guard, request, Action.WRITE)
        try:
            async with database.begin() as session:
                await drafts.move(session, who.viewer, there(await drafts.locked(session, which), _WHAT), to)
        except CannotWrite as cannot:
            return await refused(who, which, cannot, 422)
        return go(f"{HERE}?done={to}")

    @routes.post("/drafts/{which}/back")
    async def back(request: Request, which: uuid.UUID) -> Response:
        return await moved(request, which, DraftState.DRAFT)

    @routes.post("/drafts/{which}/discard")
    async def discard(request: Request, which: uuid.UUID) -> Response:
        return await moved(request, which, DraftState.DISCARDED)

    @routes.post("/drafts/{which}/publish")
    async def publish(request: Request, which: uuid.UUID) -> Response:
        who = await visitor(guard, request, Action.WRITE)
        try:
            there(await drafts.publish(database, brain, who.viewer, which), _WHAT)
        except CannotWrite as cannot:
            return await refused(who, which, cannot, 422)
        except NotImported as not_now:
            return await refused(who, which, not_now, 503)
        return go(f"{HERE}?done=published")
