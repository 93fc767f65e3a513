"""A resident whom the city has flagged, kept waiting, asked to rate it, and whom an agent has in hand."""

from __future__ import annotations

import uuid
from datetime import timedelta

from contact_hub.database import new_id, now
from contact_hub.flags.models import DrawnFor, Flag, Level, Reading, Review, Verdict
from contact_hub.handoff.models import HeldReply, Mention, Presence, Wait
from contact_hub.ratings.models import Asking, Rating
from contact_hub.staff.models import Role
from contact_hub.staff.service import make
from tests.hub.line import Resident

TABLES = ("flag", "reading", "review", "rating", "wait", "mention", "presence", "held_reply")


async def look_after(resident: Resident, words: str) -> uuid.UUID:
    """Write a row of every kind about a resident's conversation, `words` wherever words can stand.

    Returns the flag's id.
    """
    line, place, talk = resident.line, await resident.place(), await resident.conversation()
    said = (await resident.touchpoints())[0].id
    whose = {"conversation_id": talk.id, "address_id": place.id}
    where = {**whose, "channel": place.channel, "department": "waste", "language": "en"}
    earlier = now() - timedelta(minutes=10)
    async with line.database.begin() as session:
        person = await make(session, f"Ana {new_id()}", Role.AGENT, ["waste"])
        signal = {"signal": "words", "weight": 0.7, "evidence": str(said), "words": f"They said {words}"}
        flag = Flag(
            **where,
            touchpoint_id=said,
            score=0.9,
            level=Level.UNHAPPY,
            signals=[signal],
            handed_over=True,
            dismissed_at=now(),
            dismissed_by="Ana",
            dismissed_why=f"Not about {words}",
        )
        session.add(flag)
        await session.flush()
        session.add_all(
            [
                Reading(**whose, touchpoint_id=said, score=0.8),
                Review(
                    conversation_id=talk.id,
                    flag_id=flag.id,
                    drawn_for=DrawnFor.DISMISSED,
                    day=now().date(),
                    verdict=Verdict.RIGHT,
                    why=f"Because of {words}",
                ),
                Rating(
                    **where, state=Asking.GIVEN, closed_at=earlier, asked_at=earlier, score=2, rated_at=now()
                ),
                Wait(
                    **where,
                    reason="unhappy",
                    priority=2,
                    since=earlier,
                    promised_at=earlier,
                    ended_at=now(),
                    ended="taken",
                ),
                Mention(staff_id=person.id, conversation_id=talk.id, touchpoint_id=said, by="Ana"),
                Presence(conversation_id=talk.id, staff_id=person.id, draft=f"Dear {words}"),
                HeldReply(
                    conversation_id=talk.id,
                    touchpoint_id=new_id(),
                    agent="Ana",
                    text=f"About {words}",
                    due_at=now() + timedelta(seconds=5),
                ),
            ]
        )
        return flag.id
