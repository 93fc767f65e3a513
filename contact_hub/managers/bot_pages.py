"""The page with the switch: what the bot is silent about, since when, by whom and why."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from contact_hub.city import City
from contact_hub.database import Database
from contact_hub.knowledge import switch
from contact_hub.knowledge.models import BotSwitch
from contact_hub.managers.look import Visitor, page, visitor
from contact_hub.staff.access import Action
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go

HERE = "/managers/bot"
DONE = {
    "off": "The bot is off from the next message on. The reason is in the audit.",
    "topic-off": "The bot gives no answer about that from the next message on. The reason is in the audit.",
    "on": "The bot answers again. The reason is in the audit.",
    "topic-on": "The bot answers about that again. The reason is in the audit.",
}


def add(routes: APIRouter, database: Database, guard: Guard, city: City) -> None:
    """`/managers/bot`."""

    async def shown(who: Visitor, *, status: int = 200, **words: Any) -> Response:
        async with database.begin() as session:
            found = await switch.spans(session)
        return page(
            "bot.html",
            who,
            HERE,
            status=status,
            topics=city.topics,
            longest=switch.LONGEST_REASON,
            off=[_row(city, span) for span in found if span.on_at is None],
            past=[_row(city, span) for span in found if span.on_at is not None],
            **{"chosen": "", "reason": "", **words},
        )

    @routes.get("/bot")
    async def bot_page(request: Request, done: str = "") -> Response:
        return await shown(await visitor(guard, request, Action.SWITCH), done=DONE.get(done, ""))

    @routes.post("/bot/off")
    async def off(
        request: Request, topic: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = ""
    ) -> Response:
        who = await visitor(guard, request, Action.SWITCH)
        try:
            async with database.begin() as session:
                await switch.turn_off(session, who.viewer, topic or None, reason, topics=city.topics)
        except switch.CannotSwitch as refused:
            return await shown(who, status=422, wrong=str(refused), chosen=topic, reason=reason)
        return go(f"{HERE}?done={'topic-off' if topic else 'off'}")

    @routes.post("/bot/on")
    async def on(
        request: Request, topic: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = ""
    ) -> Response:
        who = await visitor(guard, request, Action.SWITCH)
        try:
            async with database.begin() as session:
                await switch.turn_on(session, who.viewer, topic or None, reason)
        except switch.CannotSwitch as refused:
            return await shown(who, status=422, wrong=str(refused))
        return go(f"{HERE}?done={'topic-on' if topic else 'on'}")


def _row(city: City, span: BotSwitch) -> dict[str, Any]:
    return {
        "topic": span.topic,
        "about": span.topic and city.topics.get(span.topic, span.topic),
        "since": city.moment(span.off_at, "en"),
        "by": span.off_by,
        "why": span.why,
        "until": "" if span.on_at is None else city.moment(span.on_at, "en"),
        "on_by": span.on_by or "",
    }
