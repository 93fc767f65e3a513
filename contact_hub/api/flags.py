"""Flags and ratings for the city's other systems: who seemed unhappy and why, and what people say of it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from contact_hub.api.permission import Permission
from contact_hub.audit import service as audit
from contact_hub.composition import Parts
from contact_hub.flags import service as flags
from contact_hub.flags.models import Flag, Level
from contact_hub.privacy.masking import mask
from contact_hub.ratings import service as ratings
from contact_hub.ratings.models import Rating
from contact_hub.staff.access import Action, Viewer


class SignalOut(BaseModel):
    """One sign of dissatisfaction, with the touchpoint that shows it."""

    signal: str = Field(description="its key in the city's rules: words, asked_again, thumbs_down and so on")
    weight: float = Field(description="what it adds to the score, 0 to 1")
    evidence: uuid.UUID = Field(description="the touchpoint that shows it")
    also: list[uuid.UUID] = Field(
        description="other touchpoints that belong to it, such as the first question"
    )
    words: str = Field(description="the reason in words")


class FlagOut(BaseModel):
    """A moment at which a resident seemed unhappy or in danger."""

    flag: uuid.UUID
    citizen: uuid.UUID
    conversation: uuid.UUID
    touchpoint: uuid.UUID = Field(description="what the resident did just before")
    channel: str
    department: str | None
    language: str | None
    score: float
    level: Level
    signals: list[SignalOut]
    handed_over: bool = Field(description="whether a person took over because of it")
    raised_at: datetime
    dismissed_at: datetime | None
    dismissed_by: str | None
    dismissed_why: str | None = Field(description="in the words of staff, with numbers and addresses masked")


class FlagsOut(BaseModel):
    """A page of flags, newest first; `next` is the cursor of the page after it, null at the end."""

    flags: list[FlagOut]
    next: uuid.UUID | None


class RatingOut(BaseModel):
    """What a resident said of a closed conversation, from 1 (bad) to 5 (very good)."""

    rating: uuid.UUID
    citizen: uuid.UUID
    conversation: uuid.UUID
    channel: str
    department: str | None
    language: str | None
    agent: str | None = Field(description="who answered last; null where it was the bot alone")
    score: int
    rated_at: datetime
    comment: uuid.UUID | None = Field(description="the touchpoint with what they wrote about it")


class RatingsOut(BaseModel):
    """A page of ratings, the newest question first; `next` is the cursor of the page after it."""

    ratings: list[RatingOut]
    next: uuid.UUID | None


Limit = Annotated[int, Query(ge=1, le=200)]
Since = Annotated[AwareDatetime | None, Query(alias="from")]


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/flags` and `/ratings`."""
    may_review, may_count = permission.needs(Action.REVIEW), permission.needs(Action.COUNT)

    @routes.get("/flags")
    async def flagged(
        viewer: Viewer = may_review,
        before: uuid.UUID | None = None,
        limit: Limit = 50,
        level: Level | None = None,
        since: Since = None,
    ) -> FlagsOut:
        """Flags of citizens whom the viewer may see, newest first."""
        async with parts.database.begin() as session:
            found = await flags.page(
                session, viewer, before=before, limit=limit + 1, level=level, since=since
            )
            await audit.record(session, viewer, "flags.read", shown=len(found[:limit]))
        shown = [_flag(flag, citizen) for flag, citizen in found[:limit]]
        return FlagsOut(flags=shown, next=shown[-1].flag if len(found) > limit else None)

    @routes.get("/ratings")
    async def rated(
        viewer: Viewer = may_count,
        before: uuid.UUID | None = None,
        limit: Limit = 50,
        since: Since = None,
    ) -> RatingsOut:
        """What residents whom the viewer may see said of their conversations, newest first."""
        async with parts.database.begin() as session:
            found = await ratings.page(session, viewer, before=before, limit=limit + 1, since=since)
            await audit.record(session, viewer, "ratings.read", shown=len(found[:limit]))
        shown = [_rating(rating, citizen) for rating, citizen in found[:limit]]
        return RatingsOut(ratings=shown, next=shown[-1].rating if len(found) > limit else None)


def _flag(flag: Flag, citizen: uuid.UUID) -> FlagOut:
    given: list[dict[str, Any]] = flag.signals
    return FlagOut(
        flag=flag.id,
        citizen=citizen,
        conversation=flag.conversation_id,
        touchpoint=flag.touchpoint_id,
        channel=flag.channel,
        department=flag.department,
        language=flag.language,
        score=flag.score,
        level=Level(flag.level),
        signals=[
            SignalOut(**{"also": [], **signal, "words": mask(str(signal.get("words", ""))).text})
            for signal in given
        ],
        handed_over=flag.handed_over,
        raised_at=flag.raised_at,
        dismissed_at=flag.dismissed_at,
        dismissed_by=flag.dismissed_by,
        dismissed_why=None if flag.dismissed_why is None else mask(flag.dismissed_why).text,
    )


def _rating(rating: Rating, citizen: uuid.UUID) -> RatingOut:
    return RatingOut(
        rating=rating.id,
        citizen=citizen,
        conversation=rating.conversation_id,
        channel=rating.channel,
        department=rating.department,
        language=rating.language,
        agent=rating.agent,
        score=rating.score or 0,
        rated_at=rating.rated_at or rating.closed_at,
        comment=rating.comment_id,
    )
