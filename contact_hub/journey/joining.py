"""Joining a resident's addresses, and parting them again, as part of a turn's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import InboundKind
from contact_hub.citizens.models import Address, Conversation
from contact_hub.city import City
from contact_hub.database import new_id
from contact_hub.identity import codes, linking, merging, suggestions
from contact_hub.identity.linking import Link, Outcome
from contact_hub.journey.turn import Choice, Reply, Turn

_SAID = {
    Outcome.ALREADY: "link_already",
    Outcome.SHARED: "link_shared",
    Outcome.CHECK: "link_check",
    Outcome.WRONG: "link_wrong",
    Outcome.HERE: "link_here",
    Outcome.LOCKED: "link_locked",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What the other address of a link is told."""

    address: Address
    conversation: Conversation
    reply: Reply


async def apply(session: AsyncSession, city: City, turn: Turn, *, asks_contact: bool) -> list[Notice]:
    """Do what the turn wants joined or parted, add the replies to it, and give what others are told."""
    notices: list[Notice] = []
    if turn.wants_code:
        await _give_code(session, city, turn, asks_contact=asks_contact)
    if turn.code is not None:
        link = await linking.by_code(session, turn.address_id, turn.code, turn.touchpoint_id)
        if link.outcome is Outcome.LINKED and link.other is not None and link.conversation is not None:
            notices.append(_at_the_other(city, turn, link, link.other, link.conversation))
        _answer(city, turn, link)
    elif turn.contact is not None:
        # Nothing goes to the phone: a text that nobody asked for would be a surprise, and costs money.
        _answer(
            city, turn, await linking.by_contact(session, turn.address_id, turn.contact, turn.touchpoint_id)
        )
    elif turn.unlink is not None:
        await merging.undo(session, turn.unlink, reason="The resident says that this was not them.")
        turn.replies.append(_say(turn, city, "link_undone"))
    await _look_alike(session, city, turn)
    return notices


async def _give_code(session: AsyncSession, city: City, turn: Turn, *, asks_contact: bool) -> None:
    if await linking.shared(session, await session.get_one(Address, turn.address_id)):
        turn.replies.append(_say(turn, city, "link_shared"))
        return
    message = new_id()
    code = await codes.give(session, turn.address_id, message)
    if code is None:
        turn.replies.append(_say(turn, city, "link_too_many"))
        return
    minutes = int(codes.LIFETIME.total_seconds() // 60)
    reply = _say(turn, city, "link_code", code=codes.shown(code), minutes=minutes)
    reply.touchpoint_id = message
    if asks_contact:
        reply.words += "\n\n" + city.say("link_contact", turn.language)
        reply.ask_contact = city.say("button_contact", turn.language)
    turn.replies.append(reply)


def _at_the_other(city: City, turn: Turn, link: Link, other: Address, there: Conversation) -> Notice:
    """The same news for the other address, where whoever asked for the code reads it."""
    if not turn.language_known and there.language is not None:  # a code is no language
        turn.language = turn.new_language = city.speaks(there.language)
    return Notice(other, there, _done(city, city.speaks(there.language or turn.language), turn.channel, link))


def _answer(city: City, turn: Turn, link: Link) -> None:
    if link.outcome is Outcome.LINKED and link.other is not None:
        turn.replies.append(_done(city, turn.language, link.other.channel, link))
    else:
        turn.replies.append(_say(turn, city, _SAID[link.outcome]))


def _done(city: City, language: str, channel: str, link: Link) -> Reply:
    """The good news, and a way back for whoever did not mean it."""
    return Reply(
        city.say("link_done", language, channel=city.say(f"channel_{channel}", language)),
        author="system",
        say="link_done",
        choices=[Choice(city.say("button_not_me", language), {"unlink": str(link.merge)})],
    )


async def _look_alike(session: AsyncSession, city: City, turn: Turn) -> None:
    """Tell agents of a likeness; the resident is told nothing, because a likeness proves nothing."""
    if turn.kind == InboundKind.EDIT or "group_member" in turn.payload:
        return
    words = turn.text if turn.choice is None and suggestions.may_hold_number(turn.text) else ""
    number = turn.payload.get("phone") if turn.contact is None else None
    name = None if turn.named else turn.payload.get("profile_name")
    if not (words or number or name):
        return
    whose = (await session.get_one(Address, turn.address_id, populate_existing=True)).citizen_id
    if words:
        await suggestions.from_words(session, whose, words, city.region, turn.touchpoint_id)
    if number:
        await suggestions.from_number(session, whose, str(number), turn.touchpoint_id)
    if name:
        await suggestions.from_name(session, whose, str(name), turn.touchpoint_id)


def _say(turn: Turn, city: City, key: str, **values: object) -> Reply:
    return Reply(city.say(key, turn.language, **values), author="system", say=key)
