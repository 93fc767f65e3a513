"""Everything that is known of a message as its turn begins."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.journey import buttons, continuity, rating, weighing, wordless
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Turn
from contact_hub.knowledge import switch
from contact_hub.operations.queue import Claimed
from contact_hub.privacy import consent
from contact_hub.privacy.masking import SENSITIVE, mask
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Touchpoint

_HISTORY = 6  # messages by which a follow-up question is understood


async def load(session: AsyncSession, task: Claimed, writer: Writer) -> Turn | None:
    """Everything a turn needs to begin, read in one short transaction; None when its message is gone."""
    city = writer.city
    row = (
        await session.execute(
            select(
                *(Touchpoint, Conversation, Address, Citizen.language, Citizen.name),
                citizens.suppressed_address(),
                consent.informed(city.notice_version),
                switch.now_off(),
                *continuity.seen_before(),
            )
            .join(Conversation, Conversation.id == Touchpoint.conversation_id)
            .join(Address, Address.id == Conversation.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Touchpoint.id == uuid.UUID(task.payload["touchpoint"]))
        )
    ).first()
    if row is None:
        return None
    touchpoint, conversation, address, citizen_language, name, suppressed, informed, off, *seen = row
    language = conversation.language or citizen_language
    said = await timeline.recent(session, conversation.id, touchpoint.id, after=conversation.read_from)
    turn = Turn(
        touchpoint_id=touchpoint.id,
        conversation_id=conversation.id,
        address_id=address.id,
        citizen_id=address.citizen_id,
        channel=address.channel,
        account="",
        address=address.value,
        kind=touchpoint.kind,
        text=touchpoint.text or "",
        payload=touchpoint.payload,
        received_at=touchpoint.recorded_at,
        attempts=task.attempts,
        state=conversation.state,
        epoch=conversation.epoch,
        language=city.speaks(language),
        language_known=language in city.languages,
        language_fixed=conversation.language_fixed,
        form=conversation.form,
        given_up=list(conversation.given_up),
        read_from=conversation.read_from,
        history=[
            {"role": one.role, "text": mask(one.words, SENSITIVE).text}
            for one in [one for one in said if one.words][-_HISTORY:]
        ],
        suppressed=suppressed,
        off=frozenset(off or ()),
        written_in=touchpoint.language,
        informed=informed,
        named=name is not None,
    )
    await continuity.recall(session, turn, *seen)
    await weighing.recall(session, turn, writer.flags, conversation, said, shared=seen[-1])
    await wordless.recall(session, turn)
    await buttons.resolve(session, turn, city)
    await rating.recall(session, turn)
    return turn
