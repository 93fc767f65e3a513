"""What comes without words, a file or a place: kept each time, answered once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from channels.base.contract import InboundKind
from contact_hub.journey.turn import Turn
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import moment_of

AGAIN = timedelta(minutes=1)  # for so long the same words need not be said again to another file


def received(turn: Turn) -> str | None:
    """The key of what is said to a message without words; None where there are words to answer."""
    if turn.kind == InboundKind.LOCATION:
        return "location_received"
    return "media_received" if turn.media and not turn.text.strip() else None


async def recall(session: AsyncSession, turn: Turn) -> None:
    """Give the turn of a file without words what was said to those before it.

    Files come faster than they are answered: what was said may be younger than this one.
    """
    if turn.text.strip() or not (turn.payload.get("media") or turn.payload.get("files")):
        return
    if album := turn.payload.get("album"):
        turn.album_answered = await _answered(session, turn, str(album))
    said = await session.execute(
        select(Touchpoint.id, Touchpoint.text)
        .where(Touchpoint.conversation_id == turn.conversation_id, Touchpoint.direction == "out")
        .order_by(Touchpoint.id.desc())
        .limit(1)
    )
    last = said.first()
    if last is not None and turn.received_at - moment_of(last.id) < AGAIN:
        turn.just_said = last.text


async def _answered(session: AsyncSession, turn: Turn, album: str) -> bool:
    """Whether another picture of the album has its answer; that one was refused is none for the others."""
    other, answer = aliased(Touchpoint), aliased(Touchpoint)
    found = await session.scalar(
        select(
            exists().where(
                other.conversation_id == turn.conversation_id,
                other.direction == "in",
                other.id < turn.touchpoint_id,
                other.payload["album"].astext == album,
                answer.conversation_id == turn.conversation_id,
                answer.direction == "out",
                answer.in_reply_to == other.id,
                answer.payload["say"].astext.is_distinct_from("media_too_large"),
            )
        )
    )
    return bool(found)


def hush(turn: Turn) -> None:
    """Say nothing where it would be what was said a moment ago, to the file before."""
    if turn.just_said is None or turn.handoff is not None or turn.report is not None:
        return
    if len(turn.replies) == 1 and turn.just_said.startswith(turn.replies[0].words):  # a notice may follow
        turn.replies = []
