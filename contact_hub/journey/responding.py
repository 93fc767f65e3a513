"""Answering: Rasa, without Rasa the search, without the brain a person. Never silence."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import structlog

from contact_hub.city import City
from contact_hub.journey import compose, wordless
from contact_hub.journey.neighbours import NeighbourDown, Question, RasaTurn
from contact_hub.journey.tools import Tools
from contact_hub.journey.turn import Reply, Step, Turn
from contact_hub.knowledge.switch import ALTOGETHER

log = structlog.get_logger()

# Rasa restarts within seconds. In the middle of a form nothing but Rasa knows what the words
# belong to, so they wait for it; elsewhere a search answers at once.
FORM_PATIENCE_ATTEMPTS = 12
FORM_PATIENCE_DELAY = 2.5
SLOW_RASA_SECONDS = 1.0


class WaitForRasa(Exception):
    """The turn belongs to a form and Rasa is away: try again after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        super().__init__("rasa is away in the middle of a form")
        self.delay = delay


async def switched_off(turn: Turn, tools: Tools) -> Step | None:
    """While the bot is off a person answers; what a resident may always ask of the hub itself goes on."""
    if ALTOGETHER not in turn.off or (turn.choice or {}).get("handoff"):
        return None
    if turn.text.strip() and not turn.media and turn.form is None:
        try:
            rasa = await tools.neighbours.turn(_question(turn))
        except NeighbourDown as down:
            log.warning("journey.rasa_away", why=down.why, touchpoint=str(turn.touchpoint_id))
        else:
            if rasa.messages and all(message.get("request") in _WISHES for message in rasa.messages):
                turn.rasa = rasa
                return compose.from_rasa(turn, tools.city, rasa)
    return _to_a_person(turn, tools.city)


def _to_a_person(turn: Turn, city: City) -> Step:
    turn.give_up = True  # whatever Rasa makes of it, nobody was told
    turn.replies.append(Reply(city.say("bot_off", turn.language), author="system", say="bot_off"))
    turn.handoff = turn.handoff or "bot_off"
    return Step.BOT_OFF


def was_thought_of(turn: Turn) -> bool:
    """Whether a turn's words are the bot's, and nothing that the hub carries out by itself."""
    if turn.rasa is None:
        return turn.step is Step.SEARCHED_WITHOUT_RASA
    return any(message.get("request") not in _WISHES for message in turn.rasa.messages)


def take_back(turn: Turn, city: City) -> None:
    """Leave to a person what the bot was thinking of as it was switched off; a report that is done stands."""
    turn.replies = [reply for reply in turn.replies if reply.author == "system"]
    turn.step = _to_a_person(turn, city)
    if turn.report is None:
        turn.rasa = None


# What the hub itself carries out: Rasa only recognises it, and the hub has the words for it.
_WISHES = frozenset(
    {"stop_messages", "start_messages", "change_language", "export_my_data", "delete_my_data", "link_channel"}
)


async def respond(turn: Turn, tools: Tools) -> Step | None:
    """Ask Rasa; without Rasa answer from search, without the brain hand over. Never silence."""
    if turn.album_answered:
        return Step.SAID
    if turn.choice and turn.choice.get("handoff"):
        turn.handoff = str(turn.choice["handoff"])
        return Step.HANDED_OFF
    if turn.choice and turn.choice.get("ask"):
        turn.text = str(turn.choice["ask"])
        turn.choice = None
    try:
        turn.rasa = await _rasa_or_search(turn, tools, _question(turn))
    except NeighbourDown as down:
        log.warning("journey.rasa_away", why=down.why, touchpoint=str(turn.touchpoint_id))
        if tools.city.wants_person(turn.text):
            turn.handoff, turn.give_up = "asked", True
            return Step.HANDED_OFF
        if turn.form is not None and turn.attempts < FORM_PATIENCE_ATTEMPTS:
            raise WaitForRasa(FORM_PATIENCE_DELAY) from None
        turn.give_up = True
        key = wordless.received(turn)
        if key is not None and turn.form is None:
            turn.replies.append(Reply(tools.city.say(key, turn.language), say=key))
            wordless.hush(turn)
            return Step.SAID
        return _without_rasa(turn, tools, turn.fallback)
    before = copy.deepcopy((turn.replies, turn.tickets, turn.note, turn.language, turn.new_language))
    try:
        step = compose.from_rasa(turn, tools.city, turn.rasa)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Rasa said something nobody here understands. Its turn stands, but the resident gets an answer.
        log.error("journey.rasa_not_understood", error=type(error).__name__, what=str(error)[:200])
        turn.replies, turn.tickets, turn.note, turn.language, turn.new_language = before
        turn.handoff = turn.report = turn.suppress = turn.helpful = None
        return _without_rasa(turn, tools, await _search(turn, tools))
    wordless.hush(turn)
    return step


def _question(turn: Turn) -> Question:
    return Question(
        conversation=turn.conversation_id,
        touchpoint=turn.touchpoint_id,
        text=turn.text,
        language=turn.language,
        choice=turn.choice,
        history=turn.history,
        media=[{"attachment": str(m.file_id), "kind": m.kind} for m in turn.media],
        given_up=turn.given_up,
        after=turn.read_from,
        facts=turn.facts,
    )


async def _rasa_or_search(turn: Turn, tools: Tools, question: Question) -> RasaTurn:
    """Rasa's turn; when it is slow a search begins beside it, so that its answer is there in time."""
    asking = asyncio.ensure_future(tools.neighbours.turn(question))
    searching: asyncio.Future[dict[str, Any] | None] | None = None
    words = wordless.received(turn) is None  # without any there is nothing to search for
    try:
        await asyncio.wait({asking}, timeout=SLOW_RASA_SECONDS)
        if words and not asking.done():
            searching = asyncio.ensure_future(_search(turn, tools))
        await asyncio.wait({asking})  # it gives up by itself
        if words and asking.exception() is not None and turn.form is None:
            turn.fallback = await (searching or _search(turn, tools))
        return asking.result()
    finally:
        asking.cancel()
        if searching is not None:
            searching.cancel()


async def _search(turn: Turn, tools: Tools) -> dict[str, Any] | None:
    try:
        return await tools.neighbours.search(turn.text, turn.language, turn.history)
    except NeighbourDown as down:
        log.warning("journey.brain_away", at="search", why=down.why)
        return None


def _without_rasa(turn: Turn, tools: Tools, answer: dict[str, Any] | None) -> Step:
    if answer is None or answer["outcome"] != "answered":
        turn.replies.append(
            Reply(
                tools.city.say("assistant_down_handoff", turn.language), author="system", say="assistant_down"
            )
        )
        turn.handoff = "assistant_down"
        return Step.HANDED_OFF
    compose.answer(turn, tools.city, answer, lead=tools.city.say("assistant_down_search", turn.language))
    return Step.SEARCHED_WITHOUT_RASA
