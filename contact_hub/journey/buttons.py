"""Buttons: what they are called outside, and what pressing one, or saying its number, means."""

from __future__ import annotations

import base64
import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.city import City
from contact_hub.journey.turn import Turn
from contact_hub.timeline.models import Touchpoint

_OWN = frozenset({"erase_ask", "rate_low", "survey_ask"})  # questions of our own that a yes or no answers
_AFTERWARDS = frozenset({"survey_ask"})  # of those, what the last words of a closed conversation ask


def button_id(touchpoint_id: uuid.UUID, number: int) -> str:
    """A button's name outside: 22 letters for the message that offered it, and its place there."""
    return f"{base64.urlsafe_b64encode(touchpoint_id.bytes).rstrip(b'=').decode()}.{number}"


def read_button_id(name: str) -> tuple[uuid.UUID, int] | None:
    """The message and place a button's name stands for; None for anything else."""
    head, dot, tail = name.partition(".")
    if not dot or not tail.isdecimal() or len(head) != 22 or len(tail) > 2:
        return None
    try:
        return uuid.UUID(bytes=base64.urlsafe_b64decode(head + "==")), int(tail)
    except ValueError:
        return None


async def pressed_title(session: AsyncSession, press: Touchpoint) -> str:
    """What stood on the button that a resident pressed; nothing for a stranger's or an invented one."""
    named = read_button_id(str(press.payload.get("button", "")))
    offer = await session.get(Touchpoint, named[0]) if named else None
    if named is None or offer is None or offer.address_id != press.address_id:
        return ""
    buttons = offer.payload.get("buttons") or []
    return str(buttons[named[1] - 1]["title"]) if 1 <= named[1] <= len(buttons) else ""


async def resolve(session: AsyncSession, turn: Turn, city: City) -> None:
    """Find out which stored button was pressed, or meant by a number alone where buttons cannot be shown."""
    if turn.kind == "button":
        named = read_button_id(str(turn.payload.get("button", "")))
        if named is None:
            return
        offer = await session.get(Touchpoint, named[0])
        # A button works only where it was offered: nobody presses a stranger's.
        if offer is None or offer.address_id != turn.address_id:
            return
        number = named[1]
    elif (chosen := _chosen(turn, city)) is not None:
        number = chosen
        offer = await session.scalar(
            select(Touchpoint)
            .where(
                Touchpoint.address_id == turn.address_id,
                Touchpoint.direction == "out",
                Touchpoint.id < turn.touchpoint_id,
            )
            .order_by(Touchpoint.id.desc())
            .limit(1)
        )
        if offer is not None and offer.conversation_id != turn.conversation_id:
            offer = offer if offer.payload.get("say") in _AFTERWARDS else None
        if not turn.text.strip().isdecimal() and not (offer is not None and _asks(offer)):
            return  # yes and no answer questions of Rasa's; this one is our own
    else:
        return
    buttons = (offer.payload.get("buttons") or []) if offer is not None else []
    if 1 <= number <= len(buttons):
        turn.choice = dict(buttons[number - 1]["meaning"])
        turn.text = str(buttons[number - 1]["title"])


def _asks(offer: Touchpoint) -> bool:
    """Whether a message ends in a question of our own that a plain yes or no answers."""
    meanings = [button["meaning"] for button in offer.payload.get("buttons") or []]
    for_consent = bool(meanings) and all({"consent", "yes"} <= meaning.keys() for meaning in meanings)
    return for_consent or offer.payload.get("say") in _OWN


def _chosen(turn: Turn, city: City) -> int | None:
    """Which of two or more choices is meant by a number, or by a plain yes or no."""
    words = turn.text.strip()
    if words.isdecimal() and len(words) <= 2:
        return int(words)
    answer = city.yes_or_no(words) if len(words) <= 20 else None
    return None if answer is None else 1 if answer else 2
