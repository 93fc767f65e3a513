"""Judging conversations: what is under review, what a judge sees of it, and what they say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Date, Select, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.audit.models import Entry
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import unsealed
from contact_hub.database import now
from contact_hub.flags.models import DrawnFor, Flag, Level, Review, Verdict
from contact_hub.managers.estimates import Share, caught, share
from contact_hub.managers.period import Period
from contact_hub.managers.scope import of_theirs
from contact_hub.privacy.masking import mask
from contact_hub.staff.access import Viewer
from contact_hub.timeline.models import Touchpoint

LONGEST_WHY = 500
_READ, _JUDGED = "review.read", "review.judged"
_SHOWN = "shown"
_MOST_TURNS = 200  # of a conversation that is shown; the last ones


class CannotJudge(ValueError):
    """The judgement cannot be kept; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the list of what is under review; before it is judged it does not tell flagged from not."""

    id: uuid.UUID
    channel: str
    language: str | None
    department: str | None
    day: date
    drawn_for: str
    verdict: str | None
    judged_by: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation under review, masked."""

    id: uuid.UUID
    at: datetime
    direction: str
    actor: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Raised:
    """The flag of a conversation under review; what staff wrote about it is masked like what was said."""

    level: str
    score: float
    raised_at: datetime
    handed_over: bool
    signals: Sequence[dict[str, Any]]
    dismissed_at: datetime | None
    dismissed_by: str | None
    dismissed_why: str


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation under review with what was said in it.

    `open` says that its flag, or that there is none, is in view: with the verdict of whoever judged it.
    """

    review: Review
    channel: str
    language: str | None
    department: str | None
    said: Sequence[Said]
    open: bool
    flag: Raised | None
    why: str


def _under_review(viewer: Viewer, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .join(Conversation, Conversation.id == Review.conversation_id)
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(of_theirs(viewer, Conversation.department), unsealed(viewer))
    )


async def items(
    session: AsyncSession, viewer: Viewer, which: ColumnElement[bool], limit: int = 50
) -> list[Item]:
    """What the viewer may judge or has judged, flagged and unflagged mixed by chance."""
    language = func.coalesce(Conversation.language, Citizen.language)
    rows = await session.execute(
        _under_review(viewer, Review, Address.channel, language, Conversation.department)
        .where(which)
        .order_by(Review.judged_at.desc(), func.md5(cast(Review.id, Text)))
        .limit(limit)
    )
    return [
        Item(
            review.id,
            channel,
            spoken,
            department,
            review.day,
            review.drawn_for,
            review.verdict,
            review.judged_by,
        )
        for review, channel, spoken, department in rows
    ]


def waiting(drawn_by_chance: bool) -> ColumnElement[bool]:
    """A condition: not judged yet, of those drawn by chance or of the dismissed flags."""
    dismissed = Review.drawn_for == DrawnFor.DISMISSED
    return Review.verdict.is_(None) & (~dismissed if drawn_by_chance else dismissed)


def judged() -> ColumnElement[bool]:
    """A condition: somebody has judged it."""
    return Review.verdict.is_not(None)


async def case_of(
    session: AsyncSession, viewer: Viewer, review_id: uuid.UUID, *, with_flag: bool = False
) -> Case | None:
    """One conversation under review, where the viewer may see it.

    The look is written into the audit, and so is whether the flag was in view: asked for (`with_flag`),
    judged already, seen by this viewer before, or dismissed, which cannot be judged otherwise.
    """
    language = func.coalesce(Conversation.language, Citizen.language)
    row = (
        await session.execute(
            _under_review(
                viewer, Review, Flag, Address.channel, language, Conversation.department, Address.citizen_id
            )
            .outerjoin(Flag, Flag.id == Review.flag_id)
            .where(Review.id == review_id)
        )
    ).first()
    if row is None:
        return None
    review, flag, channel, spoken, department, citizen_id = row
    shown = (
        with_flag
        or review.verdict is not None
        or review.drawn_for == DrawnFor.DISMISSED
        or await _has_seen(session, viewer, citizen_id)
    )
    told: dict[str, Any] = {"flag": _SHOWN} if shown else {}
    await audit.record(session, viewer, _READ, citizen_id=citizen_id, subject=str(review_id), **told)
    return Case(
        review,
        channel,
        spoken,
        department,
        await _said(session, review.conversation_id),
        shown,
        _raised(flag) if shown and flag is not None else None,
        mask(review.why or "").text,
    )


async def _has_seen(session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID) -> bool:
    """Whether this viewer had a flag of this resident before them, here or where else their record is read.

    The audit knows: a browser would only say what it likes.
    """
    here = Entry.action.in_((_READ, _JUDGED))
    found = await session.scalar(
        select(Entry.number)
        .where(
            Entry.citizen_id == citizen_id,
            Entry.viewer_id.is_not_distinct_from(viewer.id),
            Entry.viewer_name == viewer.name,
            ~here | (Entry.words["flag"].astext == _SHOWN),
        )
        .limit(1)
    )
    return found is not None


def _raised(flag: Flag) -> Raised:
    return Raised(
        flag.level,
        flag.score,
        flag.raised_at,
        flag.handed_over,
        [{**signal, "words": mask(str(signal.get("words", ""))).text} for signal in flag.signals],
        flag.dismissed_at,
        flag.dismissed_by,
        mask(flag.dismissed_why or "").text,
    )


async def _said(session: AsyncSession, conversation_id: uuid.UUID) -> list[Said]:
    """What went in and out, oldest first; not what happened within the city, which would tell of a flag."""
    rows = await session.scalars(
        select(Touchpoint)
        .where(
            Touchpoint.conversation_id == conversation_id,
            Touchpoint.direction.in_(("in", "out")),
        )
        .order_by(Touchpoint.id.desc())
        .limit(_MOST_TURNS)
    )
    return [
        Said(row.id, row.recorded_at, row.direction, row.actor, row.kind, mask(row.text or "").text)
        for row in reversed(rows.all())
    ]


async def judge(session: AsyncSession, viewer: Viewer, review_id: uuid.UUID, unhappy: str, why: str) -> bool:
    """Keep whether somebody should have looked after this resident (`yes`, `no`, `unsure`), and why.

    The verdict is blind where nothing of this resident's flags was before the judge until now.

    Returns False where there is no such review for the viewer; raises CannotJudge.
    """
    why = " ".join(why.replace("\x00", "").split())
    if unhappy not in {"yes", "no", "unsure"}:
        raise CannotJudge("Please choose one of the three answers.")
    if not why:
        raise CannotJudge("Please say why in a few words: others learn from it.")
    if len(why) > LONGEST_WHY:
        raise CannotJudge(f"Please say why in at most {LONGEST_WHY} characters.")
    row = (
        await session.execute(
            _under_review(viewer, Review, Address.citizen_id, Flag.dismissed_by)
            .outerjoin(Flag, Flag.id == Review.flag_id)
            .where(Review.id == review_id)
            .with_for_update(of=Review)
        )
    ).first()
    if row is None:
        return False
    review, citizen_id, dismissed_by = row
    if dismissed_by == viewer.name:
        raise CannotJudge("You took this flag away yourself: somebody else has to judge that.")
    flagged = review.flag_id is not None
    if unhappy == "unsure":
        verdict = Verdict.UNSURE
    else:
        verdict = Verdict.RIGHT if flagged == (unhappy == "yes") else Verdict.WRONG
    # A verdict that is corrected stands in view, and so does a dismissed flag.
    open_ = review.verdict is not None or review.drawn_for == DrawnFor.DISMISSED
    review.blind = not open_ and not await _has_seen(session, viewer, citizen_id)
    review.verdict, review.why, review.judged_by, review.judged_at = verdict, why, viewer.name, now()
    await audit.record(
        session, viewer, _JUDGED, citizen_id=citizen_id, subject=str(review_id), verdict=verdict
    )
    return True


# What the verdicts come to --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Findings:
    """What the verdicts of a period say; a share is None where there are too few of them."""

    right: Share | None  # of the flags: precision
    unsure_flags: int
    dismissed_right: Share | None  # of the dismissed flags: those that should have stood
    dismissed: int
    missed: Share | None  # of the unflagged conversations: those that should have been flagged
    unsure_unflagged: int
    unflagged: float  # conversations that the sample stands for
    flagged: int  # conversations with a flag on the days that were drawn
    caught: Share | None  # of all unhappy residents: recall
    blind: int
    to_judge: int


async def findings(session: AsyncSession, viewer: Viewer, period: Period) -> Findings:
    """Precision, what was missed, and recall, of what was drawn for the days of a period."""
    rows = (
        await session.execute(
            _under_review(
                viewer,
                Review.drawn_for,
                Review.verdict,
                Review.stands_for,
                Review.blind,
                Flag.dismissed_at.is_not(None).label("dismissed"),
            )
            .outerjoin(Flag, Flag.id == Review.flag_id)
            .where(Review.day >= period.first, Review.day <= period.last)
        )
    ).all()

    def weights(why: DrawnFor, verdict: Verdict) -> list[float]:
        return [row.stands_for for row in rows if row.drawn_for == why and row.verdict == verdict]

    right = share(weights(DrawnFor.SAMPLE, Verdict.RIGHT), weights(DrawnFor.SAMPLE, Verdict.WRONG))
    missed = share(weights(DrawnFor.UNFLAGGED, Verdict.WRONG), weights(DrawnFor.UNFLAGGED, Verdict.RIGHT))
    gone = [row for row in rows if row.dismissed]
    flagged = await _flagged(session, viewer, period)
    unflagged = sum(row.stands_for for row in rows if row.drawn_for == DrawnFor.UNFLAGGED)
    return Findings(
        right=right,
        unsure_flags=len(weights(DrawnFor.SAMPLE, Verdict.UNSURE)),
        dismissed_right=share(
            [1.0 for row in gone if row.verdict == Verdict.RIGHT],
            [1.0 for row in gone if row.verdict == Verdict.WRONG],
        ),
        dismissed=len(gone),
        missed=missed,
        unsure_unflagged=len(weights(DrawnFor.UNFLAGGED, Verdict.UNSURE)),
        unflagged=unflagged,
        flagged=flagged,
        caught=caught(flagged, right, unflagged, missed) if right and missed else None,
        blind=sum(row.blind for row in rows),
        to_judge=sum(row.verdict is None for row in rows),
    )


async def _flagged(session: AsyncSession, viewer: Viewer, period: Period) -> int:
    """Conversations with a flag that could be drawn by chance, on those days of which something was."""
    drawn = select(Review.day).where(Review.day >= period.first, Review.day <= period.last)
    raised_on = cast(func.timezone(period.zone.key, Flag.raised_at), Date)
    found = await session.scalar(
        select(func.count(Flag.conversation_id.distinct()))
        .join(Conversation, Conversation.id == Flag.conversation_id)
        .where(
            Flag.raised_at >= period.since,
            Flag.raised_at < period.until,
            Flag.level != Level.DANGER,
            raised_on.in_(drawn),
            of_theirs(viewer, Conversation.department),
        )
    )
    return int(found or 0)
