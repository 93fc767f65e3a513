"""What a resident who waits for a person is told, and promised."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from babel.dates import format_time
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Channel
from contact_hub.citizens import identity
from contact_hub.citizens.models import Address, Conversation
from contact_hub.citizens.service import SESSION_CHANNELS
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.handoff import promises
from contact_hub.handoff.promises import Promise
from contact_hub.handoff.rules import Rules, rules_of
from contact_hub.journey.turn import Reply
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Purpose
from contact_hub.timeline.models import Touchpoint

HEARD = "wait_heard"  # which leaves only as long as nobody has taken the conversation


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits, and where."""

    conversation: Conversation
    citizen_id: uuid.UUID
    channel: str
    language: str


async def promised(
    session: AsyncSession,
    city: City,
    channels: dict[str, Channel],
    who: Waiter,
    *,
    lead: str | None = None,
) -> str:
    """Promise something to somebody who waits from now on, and give the words that tell them.

    They hear their place, how long it should take as far as that was measured, until when people are
    here or by when the answer comes, and that they need not stay. `lead` stands where it was something
    else than the bot that put them into the queue.
    """
    rules = rules_of(city)
    made = await promises.promise(session, city, rules, who.conversation, at_least=rules.promise)
    language = who.language
    if made.opens is not None:
        place = city.say("handed_off_closed", language, opens=city.moment(made.opens, language))
    else:
        place = city.say("handed_off", language, position=made.position)
    words = [place] if lead is None else [lead, place]
    words += _how_long(city, language, made)
    if who.channel in SESSION_CHANNELS:
        words.append(city.say("wait_close", language))
        other = await elsewhere(session, channels, who.citizen_id)
        if other is not None:
            channel = city.say(f"channel_{other.channel}", language)
            words.append(city.say("wait_elsewhere", language, channel=channel))
    return " ".join(words)


def _how_long(city: City, language: str, made: Promise) -> list[str]:
    """Minutes where they were measured and end today, else the moment that is promised, else nothing."""
    expected, closing = made.expected, made.closes
    if expected is not None and closing is not None and now() + expected < closing:
        closes = format_time(
            closing.astimezone(city.zone), "short", tzinfo=city.zone, locale=city.speaks(language)
        )
        return [city.say("wait_about", language, minutes=_minutes(expected), closes=closes)]
    if made.by is not None:
        return [city.say("wait_by", language, until=city.moment(made.by, language))]
    return []


def _minutes(span: timedelta) -> int:
    """Whole minutes, and from ten on in fives: nobody knows better than that."""
    minutes = max(1, math.ceil(span.total_seconds() / 60))
    return minutes if minutes < 10 else 5 * math.ceil(minutes / 5)


async def heard(session: AsyncSession, city: City, conversation: Conversation, language: str) -> Reply | None:
    """What somebody is told who writes while they wait; None where they were told so lately."""
    rules = rules_of(city)
    told = (
        exists()
        .where(Touchpoint.conversation_id == conversation.id)
        .where(Touchpoint.recorded_at > now() - rules.heard)
        .where(Touchpoint.payload["say"].astext == HEARD)
    )
    if await session.scalar(select(told)):
        return None
    made = await promises.outlook(session, city, rules, conversation)
    if made.opens is not None:
        place = city.say("wait_heard_closed", language, opens=city.moment(made.opens, language))
    else:
        place = city.say(HEARD, language, position=made.position)
    return Reply(" ".join([place, *_how_long(city, language, made)]), "system", say=HEARD)


def closed(city: City, conversation: Conversation, language: str) -> Reply | None:
    """What somebody is told who writes to a person outside opening hours; None while people are here."""
    moment = now()
    opens = None if city.is_open(moment) else city.next_opening(moment)
    if opens is None:
        return None
    at = city.moment(opens, language)
    words = city.say("held_closed", language, name=conversation.holder, opens=at)
    return Reply(words, "system", say="held_closed")


async def elsewhere(
    session: AsyncSession, channels: dict[str, Channel], citizen_id: uuid.UUID
) -> Address | None:
    """Where else a resident may be told that an answer waits in their browser: only with their consent."""
    if not await consent.allowed(session, citizen_id, Purpose.ALERTS):
        return None
    return await identity.last_personal(session, citizen_id, set(channels))


def at_night(rules: Rules, city: City, at: datetime) -> bool:
    """Whether it is a time in which no phone is made to ring."""
    start, end = rules.night
    clock = at.astimezone(city.zone).time()
    return start <= clock < end if start <= end else clock >= start or clock < end
