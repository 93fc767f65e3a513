"""Whether a part of a message may leave, decided in the transaction that would mark it `sending`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Channel, DeliveryState
from channels.base.errors import PermanentFailure
from channels.base.spend import Refusal, SpendRules
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation
from contact_hub.city import City
from contact_hub.database import now
from contact_hub.handoff.rules import rules_of
from contact_hub.journey.waiting import HEARD, at_night
from contact_hub.knowledge.switch import ALTOGETHER, what_is_off
from contact_hub.operations.queue import Claimed
from contact_hub.outbox import service as outbox
from contact_hub.outbox import spending
from contact_hub.outbox.models import Delivery
from contact_hub.privacy import consent
from contact_hub.timeline.models import Touchpoint

GIVE_UP_AFTER = timedelta(hours=24)
LIMIT_DELAY = 300.0  # seconds until a limit on a number or a block of numbers is asked again


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Stay:
    """Not at all; where the resident or an agent relied on it, a person is asked to look."""

    why: str
    failure: PermanentFailure | None = None


def too_old(task: Claimed) -> bool:
    """Whether a part has waited for so long that nobody expects it any more."""
    return now() - task.created_at > GIVE_UP_AFTER


def unwelcome(city: City, delivery: Delivery, task: Claimed) -> Wait | Stay | None:
    """Whether a question of ours would ring at night, or comes so late that nobody knows what it is about."""
    if delivery.purpose != consent.Purpose.SURVEY or delivery.state != DeliveryState.QUEUED:
        return None
    if too_old(task):
        return Stay("it is too late to ask")
    return Wait(LIMIT_DELAY, "it is night") if at_night(rules_of(city), city, now()) else None


async def ask(
    session: AsyncSession,
    conversation: Conversation,
    delivery: Delivery,
    address: Address,
    channel: Channel | None,
    task: Claimed,
) -> Channel | Wait | Stay:
    """Whether a part may leave (then by which channel), has to wait, or stays."""
    if channel is None:
        why = "the channel is switched off"
        return Stay(why, PermanentFailure(why)) if too_old(task) else Wait(30.0, why)
    uncertain = delivery.state in {DeliveryState.SENDING, DeliveryState.UNCERTAIN}
    if not uncertain:
        stay = await withdrawn(session, conversation, delivery, address)
        if stay is not None:
            return stay
    pause = await outbox.pause_left(session, delivery.channel, channel.account)
    if pause > 0:
        return Wait(pause, "the provider asked to wait")
    if uncertain and delivery.first_tried_at is not None:
        wait = channel.uncertain_wait - (now() - delivery.first_tried_at).total_seconds()
        if wait > 0:
            return Wait(wait, "waiting for the provider's word")
    if not uncertain and channel.spend is not None:
        refusal = await spending.refusal(session, delivery, address, channel.spend)
        if refusal is not None:
            return _unpaid(refusal, channel.spend, task)
    return channel


def _unpaid(refusal: Refusal, rules: SpendRules, task: Claimed) -> Wait | Stay:
    """What a spending rule means for a part: some pass with time, the others need a person."""
    why = f"not paid for: {refusal}"
    if refusal.passes and not too_old(task):
        return Wait(LIMIT_DELAY, why)
    if refusal is Refusal.SPEND:
        spent = f"the day's {rules.day} segments are used up until midnight UTC ({now():%Y-%m-%d})."
        return Stay(why, PermanentFailure(spent, alert=True))
    return Stay(why, PermanentFailure(why))


async def withdrawn(
    session: AsyncSession, conversation: Conversation, delivery: Delivery, address: Address
) -> Stay | None:
    """Why a part must stay, decided in the transaction that would mark it `sending`."""
    why = None
    if delivery.epoch != conversation.epoch and (
        delivery.author == "bot" or (await _payload(session, delivery)).get("say") == HEARD
    ):
        return Stay("the conversation changed hands")
    if delivery.author == "bot" and await _answers_while_off(session, delivery):
        why = "the bot was switched off before its answer left"
        return Stay(why, PermanentFailure(why))
    if not delivery.despite_silence and await citizens.is_suppressed(session, address.channel, address.value):
        why = "the resident asked for silence"
    elif delivery.purpose is not None and not await consent.allowed(
        session, address.citizen_id, consent.Purpose(delivery.purpose)
    ):
        why = f"the resident does not agree to: {delivery.purpose}"
    elif not address.reachable:
        why = f"the address is unreachable: {address.unreachable_reason or 'unknown'}"
    if why is None:
        return None
    # An agent believes that these words were read.
    return Stay(why, PermanentFailure(why) if delivery.author == "agent" else None)


async def _answers_while_off(session: AsyncSession, delivery: Delivery) -> bool:
    """Whether a part is of an answer that the bot gave before it was switched off."""
    if ALTOGETHER not in await what_is_off(session):
        return False
    return "answer" in await _payload(session, delivery)


async def _payload(session: AsyncSession, delivery: Delivery) -> dict[str, Any]:
    said = await session.get(Touchpoint, delivery.touchpoint_id)
    return {} if said is None else said.payload
