"""What a resident who waits for a person is told, and what the city promises them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Conversation
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.handoff import service as handoff


async def words_for(
    session: AsyncSession, city: City, conversation: Conversation, address: Address, *, lead: str = ""
) -> str:
    """What somebody is told who waits from now on."""
    language, moment = conversation.language, now()
    opens = None if city.is_open(moment) else city.next_opening(moment)
    if opens is None:
        words = city.say("handed_off", language, position=await handoff.position(session, conversation))
    else:
        words = city.say("handed_off_closed", language, opens=city.moment(opens, city.speaks(language)))
    return words if not lead else f"{lead} {words}"
