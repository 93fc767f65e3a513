"""The switch that turns the bot off, by topic or altogether, each time with a reason in the audit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import new_id, now
from contact_hub.knowledge.models import BotSwitch
from contact_hub.staff.access import Viewer

ALTOGETHER = ""  # among the topics that are off: the bot answers nothing at all
LONGEST_REASON = 500


class CannotSwitch(ValueError):
    """It cannot be switched so; the message says why in one sentence."""


def now_off() -> ScalarSelect[Any]:
    """What is off at this moment, as one column of any query: a list of topics, NULL where nothing is."""
    off = func.array_agg(func.coalesce(BotSwitch.topic, ALTOGETHER))
    return select(off).where(BotSwitch.on_at.is_(None)).scalar_subquery()


async def what_is_off(session: AsyncSession) -> frozenset[str]:
    """The topics about which the bot is silent now; `ALTOGETHER` among them where it is about all."""
    return frozenset(await session.scalar(select(now_off())) or ())


async def turn_off(
    session: AsyncSession, viewer: Viewer, topic: str | None, why: str, *, topics: Collection[str]
) -> None:
    """Let the bot be silent about a topic, or altogether where it is None; raises CannotSwitch."""
    why = _reason(why)
    if topic is not None and topic not in topics:
        raise CannotSwitch(f"There is no topic {topic!r}.")
    moment = now()
    try:
        async with session.begin_nested():
            session.add(BotSwitch(id=new_id(), topic=topic, off_at=moment, off_by=viewer.name, why=why))
    except IntegrityError:
        raise CannotSwitch(f"The bot is off already{_about(topic)}.") from None
    await audit.record(session, viewer, "bot.off", subject=topic, reason=why)


async def turn_on(session: AsyncSession, viewer: Viewer, topic: str | None, why: str) -> None:
    """Let the bot answer again; raises CannotSwitch where it was not off about that."""
    why = _reason(why)
    switch = await session.scalar(
        select(BotSwitch)
        .where(BotSwitch.on_at.is_(None), func.coalesce(BotSwitch.topic, ALTOGETHER) == (topic or ALTOGETHER))
        .with_for_update()
    )
    if switch is None:
        raise CannotSwitch(f"The bot is not off{_about(topic)}.")
    switch.on_at, switch.on_by = now(), viewer.name
    await audit.record(session, viewer, "bot.on", subject=topic, reason=why)


async def spans(session: AsyncSession, limit: int = 50) -> Sequence[BotSwitch]:
    """The times in which the bot was off: those that last first, then the newest."""
    return (
        await session.scalars(
            select(BotSwitch)
            .order_by(BotSwitch.on_at.is_not(None), BotSwitch.off_at.desc(), BotSwitch.id)
            .limit(limit)
        )
    ).all()


def _reason(why: str) -> str:
    why = " ".join(why.replace("\x00", "").split())
    if not why:
        raise CannotSwitch("Please say why: the reason is kept with who did it and when.")
    if len(why) > LONGEST_REASON:
        raise CannotSwitch(f"Please say why in at most {LONGEST_REASON} characters.")
    return why


def _about(topic: str | None) -> str:
    return "" if topic is None else " about this"
