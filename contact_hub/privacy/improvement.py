"""What residents' words may teach: the questions nobody could answer, of those who agreed to that."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.sealed import SealedRecord
from contact_hub.knowledge.models import Answer
from contact_hub.privacy.consent import Purpose, permits
from contact_hub.privacy.masking import mask
from contact_hub.timeline.models import Touchpoint


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question without names of anybody: what was asked and how it ended."""

    id: uuid.UUID  # of the answer that was none
    question: str
    language: str
    outcome: str
    helpful: bool | None
    asked_at: datetime


def _asked_back_in_vain() -> ColumnElement[bool]:
    """The bot asked what was meant, and nothing was answered in that conversation afterwards."""
    later, asked = aliased(Answer), aliased(Touchpoint)
    answered = (
        select(later.id)
        .join(asked, asked.id == later.question_id)
        .where(
            asked.conversation_id == Touchpoint.conversation_id,
            later.id > Answer.id,
            later.outcome == "answered",
        )
    )
    return (Answer.outcome == "clarified") & ~answered.exists()


async def unanswered(
    session: AsyncSession,
    limit: int = 100,
    *,
    among: Collection[uuid.UUID] | None = None,
    but: Select[uuid.UUID] | None = None,
) -> list[Unanswered]:
    """Questions that were refused, badly answered or asked back about in vain, newest first.

    Of citizens who agree today and whose record is not sealed; with `among` only those to these answers,
    with `but` none to those.

    Whoever withdraws is missing from the next list. Masked once more, in case the masks have learned.
    """
    rows = await session.scalars(
        select(Answer)
        .join(Touchpoint, Touchpoint.id == Answer.question_id)
        .join(Address, Address.id == Touchpoint.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(
            or_(Answer.outcome == "refused", Answer.helpful.is_(False), _asked_back_in_vain()),
            permits(Purpose.IMPROVEMENT),
            ~exists().where(SealedRecord.citizen_id == Citizen.id),
            true() if among is None else Answer.id.in_(among),
            true() if but is None else Answer.id.not_in(but),
        )
        .order_by(Answer.id.desc())
        .limit(limit)
    )
    return [
        Unanswered(row.id, mask(row.question).text, row.language, row.outcome, row.helpful, row.created_at)
        for row in rows
    ]
