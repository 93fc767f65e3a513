"""A believable week: who wrote when, and the stories played one after the other."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle

from sqlalchemy import ColumnElement, String, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from contact_hub.citizens.models import Address, Citizen, Conversation, Proof
from contact_hub.citizens.service import DESK
from contact_hub.city import City
from contact_hub.database import new_id, now
from contact_hub.demo.play import Scene
from contact_hub.demo.script import Script, Story
from contact_hub.flags.models import DrawnFor, Review, Verdict
from contact_hub.flags.rules import rules_of
from contact_hub.identity import merging
from contact_hub.managers import drawing
from contact_hub.managers.period import beginning
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Origin
from contact_hub.privacy.erasure import take_away
from contact_hub.staff import service as staff_service
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role, Staff
from contact_hub.timeline.models import ChatSession

# The last characters of an invented citizen's id, by which they are known and can be taken away again.
MARK = "64656d6f"
_CHANNELS = ("web_chat", "sms", "telegram", "web_chat")
_HOURS = (8, 9, 9, 10, 11, 12, 13, 15, 16, 17, 19, 21)  # when people write, the city's time
_DAY = timedelta(days=1)
_LONGEST = timedelta(hours=3)  # no story takes longer


class NotNow(RuntimeError):
    """Why the demonstration cannot be made, in the operator's words."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the demonstration consists of, and how its staff get in."""

    residents: int
    conversations: int
    links: dict[str, str]
    roles: dict[str, str]


@dataclass
class _Resident:
    citizen: Citizen
    language: str
    addresses: dict[str, Address]


async def make(session: AsyncSession, city: City, script: Script, *, site_url: str, seed: int = 7) -> Made:
    """Fill the last week.

    Raises NotNow where it is filled already, the city has no articles yet, or a name is somebody's.
    """
    if await invented(session):
        raise NotNow("The demonstration is there already. Take it away first: civicline demo --remove")
    dice = random.Random(seed)  # noqa: S311 - a demonstration
    colleagues = await _colleagues(session, city, script)
    numbers = iter(range(1, 1000))
    residents = [
        await _resident(session, name, language, dice, next(numbers))
        for language, names in script.people.items()
        for name in names
    ]
    turns = {
        language: cycle([one for one in residents if one.language == language]) for language in script.people
    }
    same: dict[str, _Resident] = {}
    played: dict[uuid.UUID, Story] = {}
    for story, language in _played(script):
        who = (
            next(turns[language])
            if story.resident is None
            else same.setdefault(story.resident, next(turns[language]))
        )
        talk = await _play(session, city, story, who, dice, colleagues, next(numbers))
        played[talk.id] = story
    await _join(session, residents, same)
    await _judge(session, city, colleagues, played)
    links = {
        name: await staff_service.reset(session, person, site_url) for name, person in colleagues.items()
    }
    return Made(len(residents), len(played), links, {name: one.role for name, one in colleagues.items()})


async def remove(session: AsyncSession) -> int:
    """Take away everybody who was invented, staff too; returns how many residents that were."""
    gone = 0
    for citizen in await invented(session):
        if await session.get(Citizen, citizen) is not None:  # merged ones go with the one they became
            await take_away(session, citizen)
        gone += 1
    await session.execute(delete(Staff).where(_marked(Staff.id)))
    return gone


async def invented(session: AsyncSession) -> list[uuid.UUID]:
    """The ids of the invented citizens."""
    return list(await session.scalars(select(Citizen.id).where(_marked(Citizen.id))))


async def real(session: AsyncSession) -> int:
    """How many citizens are known who were not invented."""
    query = select(func.count()).select_from(Citizen).where(~_marked(Citizen.id))
    return int(await session.scalar(query) or 0)


def _marked(identity: ColumnElement[uuid.UUID] | InstrumentedAttribute[uuid.UUID]) -> ColumnElement[bool]:
    return func.right(cast(identity, String), len(MARK)) == MARK


def _invented_id(since: datetime) -> uuid.UUID:
    return uuid.UUID(str(new_id(since))[: -len(MARK)] + MARK)


# People ------------------------------------------------------------------------------------------


async def _colleagues(session: AsyncSession, city: City, script: Script) -> dict[str, Staff]:
    everywhere = [str(department["key"]) for department in city.settings["departments"]]
    found = {}
    for one in script.staff:
        person = await session.scalar(select(Staff).where(func.lower(Staff.name) == one.name.lower()))
        if person is not None and not str(person.id).endswith(MARK):
            raise NotNow(f"{one.name} works here already: the demonstration takes nobody's account.")
        if person is None:
            role = Role(one.role)
            person = Staff(
                id=_invented_id(now()),
                name=one.name,
                role=role,
                departments=[] if role is Role.MANAGER else everywhere,
                languages=list(one.languages),
                created_at=now(),
            )
            session.add(person)
            await session.flush()
        found[one.name] = person
    return found


async def _resident(
    session: AsyncSession, name: str, language: str, dice: random.Random, number: int
) -> _Resident:
    since = now() - dice.randint(20, 300) * _DAY
    identity = _invented_id(since)
    citizen = Citizen(id=identity, created_at=since, language=language, name=name)
    session.add(citizen)
    await session.flush()
    session.add(
        Address(
            id=new_id(since),
            citizen_id=identity,
            channel=DESK,
            value=str(identity),
            created_at=since,
            verified_at=since,
            proof=Proof.INNER,
        )
    )
    return _Resident(citizen, language, {})


async def _address(
    session: AsyncSession, city: City, who: _Resident, channel: str, at: datetime, number: int
) -> Address:
    known = who.addresses.get(channel)
    if known is not None:
        return known
    value = {
        "sms": f"+1{202 + number // 100}55501{number % 100:02d}",  # of those set aside for fiction
        "telegram": str(900_000_000 + number),
    }.get(channel)
    if value is None:
        chat = ChatSession(id=new_id(at), language=who.language, created_at=at)
        session.add(chat)
        value = str(chat.id)
    made = Address(
        id=new_id(at),
        citizen_id=who.citizen.id,
        channel=channel,
        value=value,
        created_at=at,
        verified_at=at,
        proof=Proof.SESSION if channel == "web_chat" else Proof.WROTE,
    )
    session.add(made)
    await session.flush()
    shown = city.notice(channel, who.language)
    if shown is not None:
        await consent.inform(session, Origin(made.id, channel), *shown, who.language, at=at)
    who.addresses[channel] = made
    return made


# Stories -----------------------------------------------------------------------------------------


def _played(script: Script) -> Iterator[tuple[Story, str]]:
    """Every story as often as it is played, in one of its languages."""
    for story in script.stories:
        if story.resident is not None:
            yield story, "en"
        for language, times in story.residents.items():
            for _ in range(times):
                yield story, language


async def _play(
    session: AsyncSession,
    city: City,
    story: Story,
    who: _Resident,
    dice: random.Random,
    colleagues: dict[str, Staff],
    number: int,
) -> Conversation:
    at = _when(city, story, dice)
    channel = story.channel or dice.choice(_CHANNELS)
    if story.open and channel in who.addresses:
        channel = next((c for c in _CHANNELS if c not in who.addresses), channel)
    address = await _address(session, city, who, channel, at, number)
    agents = [
        name
        for name, person in colleagues.items()
        if person.role == Role.AGENT and who.language in person.languages
    ]
    holder, rules = dice.choice(agents), rules_of(city)
    scene = Scene(session, city, story, who.citizen, address, who.language, at, colleagues, holder, rules)
    try:
        return await scene.play()
    except LookupError as missing:
        raise NotNow(
            f"The city has no article '{missing}' yet. Start the line once (make run), then try again."
        ) from None


def _when(city: City, story: Story, dice: random.Random) -> datetime:
    """Some minutes ago for what is open; else a moment of the last week at which people write."""
    if story.minutes_ago is not None:
        return now() - timedelta(minutes=story.minutes_ago + dice.uniform(0, 3))
    day = story.days_ago if story.days_ago is not None else dice.uniform(0.6, 7)
    local = (now() - day * _DAY).astimezone(city.zone)
    at = local.replace(hour=dice.choice(_HOURS), minute=dice.randrange(60))
    return at if at < now() - _LONGEST else at - _DAY


async def _join(session: AsyncSession, residents: list[_Resident], same: dict[str, _Resident]) -> None:
    """Two who were one all along: an agent has found out."""
    taken = set(map(id, same.values()))
    pair = [one for one in residents if len(one.addresses) == 1 and id(one) not in taken][:2]
    if len(pair) == 2:
        agent = Viewer("staff", "Maria Keane")
        await merging.merge(
            session,
            pair[0].citizen.id,
            pair[1].citizen.id,
            by=agent,
            reason="Called from the number and named the reference of the other chat.",
        )


async def _judge(
    session: AsyncSession, city: City, colleagues: dict[str, Staff], played: dict[uuid.UUID, Story]
) -> None:
    """The manager has judged the week; what came last waits for her.

    Where nobody real is drawn with them, she had more drawn than each night's few: in so small a week chance
    could leave out all that was missed.
    """
    await drawing.nightly(session, city)
    if not await real(session):
        await drawing.more(session, city, len(played))
    judge = next(name for name, person in colleagues.items() if person.role == Role.MANAGER)
    newest = drawing.due_days(city)[0]
    drawn = select(Review).where(Review.conversation_id.in_(played), Review.day < newest)
    for review in await session.scalars(drawn.execution_options(populate_existing=True)):
        for verdict, why in played[review.conversation_id].review.items():
            review.verdict, review.why, review.judged_by = Verdict(verdict), why, judge
            review.blind = review.drawn_for != DrawnFor.DISMISSED
            review.drawn_at = beginning(review.day + 2 * _DAY, city.zone)
            review.judged_at = review.drawn_at + timedelta(hours=9)
    await session.flush()
