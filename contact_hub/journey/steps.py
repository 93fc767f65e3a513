"""The journey of a message, in the order in which it happens.

Each step looks at the turn and either decides it, by naming an outcome, or passes it on with None.
Steps may ask the brain, Rasa or a provider; none of them holds a transaction or writes anything.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from channels.base.contract import InboundKind, MediaRef
from channels.base.errors import PermanentFailure, TemporaryFailure
from contact_hub.city import City
from contact_hub.database import new_id
from contact_hub.handoff.rules import DANGERS
from contact_hub.identity.codes import read as read_code
from contact_hub.journey import compose, rating, weighing, wishes
from contact_hub.journey import terms as privacy
from contact_hub.journey.neighbours import NeighbourDown
from contact_hub.journey.responding import respond, switched_off
from contact_hub.journey.tools import Tools
from contact_hub.journey.turn import Choice, Media, Reply, Step, Turn
from contact_hub.knowledge.switch import ALTOGETHER

log = structlog.get_logger()

LONGEST_SCREENED = 5000  # characters looked through for danger: a resident's own message is shorter
LONGEST_LABEL = 150  # characters of what a shared place is called


StepFunction = Callable[[Turn, Tools], Awaitable[Step | None]]


async def travel(turn: Turn, tools: Tools) -> None:
    """Take the turn through the steps until one decides it."""
    for step in STEPS:
        turn.step = await step(turn, tools)
        if turn.step is not None:
            weighing.weigh(turn, tools.city, tools.flags)
            privacy.warn(turn, tools.city)
            return
    raise RuntimeError("no step decided the turn")  # respond always does


async def danger(turn: Turn, tools: Tools) -> Step | None:
    """The fixed phrases of danger: they wait for no model, whatever the conversation is about."""
    if turn.choice is not None:
        return None  # a button's words are ours
    found = tools.city.danger(turn.text[:LONGEST_SCREENED])
    if found is None:
        return None
    spoken = turn.language if turn.language in found.languages else found.languages[0]
    return _alarm(turn, tools.city, found.kind, spoken)


def _alarm(turn: Turn, city: City, kind: str, spoken: str) -> Step:
    """Name whoever helps, in the language of the message, and bring it before everybody else's."""
    spoken = city.speaks(spoken)
    if spoken != turn.language and not turn.language_fixed:
        turn.new_language = spoken
    turn.language = spoken
    words = city.say(kind, spoken, **city.helplines)
    turn.replies.append(Reply(words, author="system", say=kind))
    turn.handoff, turn.urgent = kind, True
    return Step(kind)


async def terms(turn: Turn, tools: Tools) -> Step | None:
    """Consent given, withdrawn or asked about: obeyed wherever it is said and whoever is answering."""
    if turn.kind == InboundKind.TEXT:
        return privacy.wished(turn, tools.city)
    return None


async def screen(turn: Turn, tools: Tools) -> Step | None:
    """What needs no understanding: silence asked for, or ended, and what no words come with."""
    city = tools.city
    match turn.kind:
        case InboundKind.REACHABLE:
            turn.reachable = bool(turn.payload.get("reachable"))
            return Step.REACHABILITY_NOTED
        case InboundKind.EDIT:
            return Step.EDIT_NOTED
        case InboundKind.OPT_OUT:
            turn.suppress = True
            return Step.OPTED_OUT
        # A plain "yes" is one of the provider's opt-in words, and an answer to our own questions as well:
        # it opts in only whoever had opted out.
        case InboundKind.OPT_IN if turn.suppressed or turn.payload.get("provider_answered"):
            turn.suppress = False
            return Step.OPTED_IN
        case _:
            pass
    if turn.payload.get("provider_help"):
        return Step.PROVIDER_HELP
    if turn.choice is not None:
        return None  # a button's words are ours: its "Yes" answers the question above it
    if city.wants_silence(turn.text):
        turn.suppress = True
        turn.replies.append(_say(turn, city, "stop_confirmed"))
        return Step.OPTED_OUT
    if turn.suppressed and city.wants_messages(turn.text):
        turn.suppress = False
        turn.replies.append(_say(turn, city, "start_confirmed"))
        return Step.OPTED_IN
    return None


async def survey(turn: Turn, tools: Tools) -> Step | None:
    """The answer to how satisfied they were: a number that nobody else would understand."""
    step = rating.answered(turn, tools.city)
    turn.of_survey = step is not None
    return step


async def link(turn: Turn, tools: Tools) -> Step | None:
    """What joins addresses or parts them, whoever holds the conversation: a code, a contact, a "not me"."""
    if turn.choice and "unlink" in turn.choice:
        turn.unlink = uuid.UUID(turn.choice["unlink"])
        return Step.UNLINKED
    if turn.kind == InboundKind.CONTACT and turn.payload.get("own") and turn.payload.get("phone"):
        turn.contact = str(turn.payload["phone"])
        return Step.CONTACT_SHARED
    if turn.kind == InboundKind.CONTACT and turn.state == "bot":
        turn.replies.append(_say(turn, tools.city, "contact_not_own"))
        return Step.SAID
    if turn.choice is None and turn.kind == InboundKind.TEXT:
        turn.code = read_code(turn.text)
    return None if turn.code is None else Step.CODE_SENT


async def press(turn: Turn, tools: Tools) -> Step | None:
    """What a pressed button decides by itself: whether an answer helped, or nothing any more."""
    city, bots = tools.city, turn.state == "bot"
    if turn.choice and "helpful" in turn.choice:
        good = bool(turn.choice["good"])
        turn.helpful = (uuid.UUID(turn.choice["helpful"]), good)
        if bots and good:
            turn.replies.append(_say(turn, city, "helpful_thanks"))
        elif bots:
            offer = [compose.person_button(city, turn.language)]
            turn.replies.append(_say(turn, city, "unhelpful_offer", offer))
        return Step.RATED_HELPFUL if good else Step.RATED_UNHELPFUL
    decided = privacy.pressed(turn, city) or wishes.pressed(turn, city)
    if decided is not None:
        return decided
    if turn.kind == InboundKind.BUTTON and turn.choice is None and bots and ALTOGETHER not in turn.off:
        turn.replies.append(_say(turn, city, "help"))
        return Step.STALE_BUTTON
    return None


async def unpack(turn: Turn, tools: Tools) -> Step | None:
    """Bring the message into a form that can be read: fetched files, plain text."""
    city = tools.city
    if not turn.address:
        return Step.UNSUPPORTED  # it names nobody who could be answered
    refused = await _fetch(turn, tools)
    if turn.state != "bot":
        return None  # whoever holds the talk is owed a word, even for a file that was refused
    if refused is not None:
        return refused
    if turn.kind == InboundKind.UNSUPPORTED:
        turn.replies.append(_say(turn, city, "unsupported_message"))
        return Step.UNSUPPORTED
    command = _COMMANDS.get(turn.text.strip().casefold())
    if command is not None and ALTOGETHER not in turn.off:
        turn.replies.append(_say(turn, city, command))
        return Step.SAID
    # What begins with a slash is words like any other: no intent is ever injected.
    turn.text = _SLASHES.sub("", turn.text)
    if not turn.text.strip() and not turn.media and turn.kind not in _PLACES:
        turn.replies.append(_say(turn, city, "empty_message"))
        return Step.EMPTY
    limit = int(city.settings.get("limits", {}).get("message_length", {}).get("any", 5000))
    if len(turn.text) > limit:
        turn.replies.append(_say(turn, city, "too_long", limit=limit))
        return Step.TOO_LONG
    if turn.text.strip() and not turn.media and turn.form is None and _only_symbols(turn.text):
        turn.replies.append(_say(turn, city, "emoji_only"))
        return Step.EMOJI_ONLY
    if turn.kind == InboundKind.LOCATION and not turn.text.strip():
        turn.text = _place(turn.payload)
        # It is no sentence to be understood: it names a place, in a report or for one.
        turn.choice = {"intent": "inform", "entities": {"place": turn.text}}
    return None


def _place(payload: dict[str, Any]) -> str:
    """A shared location in words: what it is called, where that is known, and its coordinates."""
    where = f"{payload.get('latitude')}, {payload.get('longitude')}"
    label = str(payload.get("label") or "").strip()[:LONGEST_LABEL]
    return f"{label} ({where})" if label else where


_SLASHES = re.compile(r"^\s*/[\s/]*")
_COMMANDS = {"/start": "greet", "/help": "help"}  # every Telegram client offers these
_PLACES = {InboundKind.LOCATION, InboundKind.CONTACT, InboundKind.BUTTON}


async def _fetch(turn: Turn, tools: Tools) -> Step | None:
    channel = tools.channels.get(turn.channel)
    for item in turn.payload.get("media") or ():
        if channel is None:
            continue
        ref = MediaRef(item["ref"], item["kind"], item.get("mime"), item.get("name"), item.get("size"))
        try:
            media = await channel.fetch(ref)
        except PermanentFailure as failure:
            log.info("journey.media_refused", reason=failure.reason)
            limit = tools.city.settings.get("limits", {}).get("upload_mb", 20)
            turn.replies.append(_say(turn, tools.city, "media_too_large", limit=limit))
            return Step.MEDIA_REFUSED
        except TemporaryFailure:
            raise
        turn.media.append(Media(ref.kind, media.name, media.mime, new_id(), media.data))
    for kept in turn.payload.get("files") or ():
        turn.media.append(Media("photo", "", "", uuid.UUID(kept)))
    return None


async def cover(turn: Turn, tools: Tools) -> Step | None:
    """Mask what nobody should send, before the brain or Rasa sees it."""
    privacy.cover(turn)
    return None


async def read(turn: Turn, tools: Tools) -> Step | None:
    """Find out how the words are meant, and their language unless the resident chose it."""
    if _wordless(turn):
        return None
    hint = turn.language if turn.language_known else None
    try:
        reading = await tools.neighbours.read(turn.text[:LONGEST_SCREENED], hint, turn.history)
    except NeighbourDown as down:
        log.warning("journey.brain_away", at="read", why=down.why)
        return None
    turn.reading = reading
    if reading.danger is not None and reading.danger[0] in DANGERS:
        return _alarm(turn, tools.city, reading.danger[0], reading.language)
    if turn.language_fixed:
        return None
    spoken = tools.city.speaks(reading.language)
    if reading.language in tools.city.languages and spoken != turn.language:
        turn.language = turn.new_language = spoken
    elif not turn.language_known:
        turn.new_language = turn.language
    return None


def _wordless(turn: Turn) -> bool:
    """Whether a message holds no words of the resident's own: a button, a command, a code, symbols."""
    words = turn.text.strip()
    if turn.choice is not None or words.casefold() in _COMMANDS or _only_symbols(words):
        return True
    return turn.kind == InboundKind.TEXT and read_code(words) is not None


async def silent(turn: Turn, tools: Tools) -> Step | None:
    """Whoever wanted silence where that is final hears nothing more."""
    channel = tools.channels.get(turn.channel)
    final = turn.suppressed and channel is not None and channel.silence_is_final
    return Step.SILENT if final else None


async def bare(turn: Turn, tools: Tools) -> Step | None:
    """Where nothing but what nobody should send was sent, there is nothing to answer."""
    if privacy.bare(turn) and turn.state == "bot" and turn.form is None and not turn.media:
        return Step.WARNED
    return None


async def held(turn: Turn, tools: Tools) -> Step | None:
    """A conversation that a person holds, or waits for, is theirs: the bot stays silent."""
    return Step.HELD_BY_PERSON if turn.state != "bot" else None


STEPS: list[StepFunction] = [
    *(danger, terms, screen, cover, read, silent),  # whatever a message is about, and whoever holds it
    *(survey, link, press, unpack, bare, held, switched_off, respond),
]


def _say(turn: Turn, city: City, key: str, choices: list[Choice] | None = None, **values: object) -> Reply:
    return Reply(city.say(key, turn.language, **values), say=key, choices=choices or [])


def _only_symbols(text: str) -> bool:
    """Whether there is no letter and no digit in any script, such as in a row of emoji."""
    return not any(unicodedata.category(c)[0] in "LN" for c in text)
