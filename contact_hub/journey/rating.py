"""How satisfied somebody was with a conversation: a number, words that follow, and what comes of it.

The answer to our question is taken here before anything else reads it, and opens no case again. The
question itself is `asking`'s.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import InboundKind
from contact_hub.citizens.models import Conversation, ConversationState
from contact_hub.city import City, number_in
from contact_hub.database import new_id, now
from contact_hub.flags.rules import Rules, Signal
from contact_hub.journey import weighing
from contact_hub.journey.rating_words import asks, is_comment, lone_number
from contact_hub.journey.turn import Choice, Reply, Step, Survey, Turn
from contact_hub.ratings import service as ratings
from contact_hub.ratings.models import Asking, Rating
from contact_hub.timeline import service as timeline

WITHIN = timedelta(hours=24)  # of closing to ask, and of asking to answer
REMEMBERED = timedelta(days=7)  # for so long a late answer is still known for one
LOW = 2
SCORES = range(1, 6)
_QUESTIONS = frozenset({"rate_close", "rate_close_sms"})
_THANKS = frozenset({"rate_thanks_comment", "rate_low"})
_DONE = frozenset({"rate_again", "rate_comment_thanks"})

# The question that a pressed button names; else the one that was asked, or answered, last.
_SURVEY = text("""
    SELECT r.id, r.conversation_id, r.state, r.asked_at, r.rated_at, r.comment_id IS NOT NULL,
           (SELECT t.payload ->> 'say' FROM touchpoint t
            WHERE t.address_id = r.address_id AND t.direction = 'out' AND t.id < :touchpoint
            ORDER BY t.id DESC LIMIT 1)
    FROM rating r WHERE r.address_id = :address AND r.asked_at > :since
    ORDER BY r.id = CAST(:named AS uuid) DESC, greatest(r.asked_at, r.rated_at) DESC LIMIT 1
""")


async def recall(session: AsyncSession, turn: Turn) -> None:
    """Give the turn the question that it may answer: the one on its button, else the last one, if any."""
    row = (
        await session.execute(
            _SURVEY,
            {
                "address": turn.address_id,
                "touchpoint": turn.touchpoint_id,
                "since": turn.received_at - REMEMBERED,
                "named": (turn.choice or {}).get("rate"),
            },
        )
    ).first()
    if row is not None:
        turn.survey = Survey(*row)


def answered(turn: Turn, city: City) -> Step | None:
    """Whether the message answers that question, or says something about the answer."""
    meaning, asked = turn.choice or {}, turn.survey
    if "rate" in meaning:
        if asked is None or meaning["rate"] != str(asked.rating_id):
            return _say(turn, city, "rate_late", Step.RATED)
        return _scored(turn, city, asked, int(meaning["score"]))
    if "rate_done" in meaning:
        return _say(turn, city, "rate_comment_thanks", Step.SAID)
    free = turn.kind == InboundKind.TEXT and turn.choice is None and turn.state == ConversationState.BOT
    if asked is None or not free or turn.form is not None:
        return None
    number = lone_number(turn.text, city)
    if number is not None and asked.last_said in _QUESTIONS:
        if number not in SCORES:
            return _say(turn, city, "rate_invalid", Step.SAID, keep=asked.last_said)
        return _scored(turn, city, asked, number)
    if asked.state != Asking.GIVEN:
        return None
    if number is not None and asked.last_said in _THANKS | _DONE:
        return _say(turn, city, "rate_again", Step.RATED)
    return _commented(turn, city, asked)


def _commented(turn: Turn, city: City, asked: Survey) -> Step | None:
    """Whether words that follow a rating are its comment; nothing that needs an answer is."""
    soon = asked.rated_at is not None and turn.received_at - asked.rated_at <= comments_within(city)
    if asked.commented or asked.last_said not in _THANKS or not soon or asks(turn.text):
        return None
    if asked.last_said == "rate_low" and city.begins_with_yes(turn.text):
        turn.choice = {"handoff": "rated_low"}  # what the button beside our question means
        return None
    if not is_comment(turn.text, city):
        return None
    turn.comments = asked.rating_id
    # Where it was meant otherwise, the same words are a button away from being answered.
    meant_otherwise = Choice(city.say("button_need_answer", turn.language), {"ask": turn.text})
    thanked = city.say("rate_comment_thanks", turn.language)
    turn.replies.append(Reply(thanked, choices=[meant_otherwise], say="rate_comment_thanks"))
    return Step.COMMENTED


def comments_within(city: City) -> timedelta:
    """For how long words after a rating are taken for its comment; raises CityError with one sentence."""
    given = city.settings.get("ratings") or {}
    where = f"{city.folder / 'city.yml'}: ratings"
    return timedelta(minutes=number_in(where, given, "comment_minutes", 1, 1440))


def _scored(turn: Turn, city: City, asked: Survey, score: int) -> Step:
    if asked.state == Asking.GIVEN:
        return _say(turn, city, "rate_again", Step.RATED)
    if not in_time(asked, turn.received_at):
        return _say(turn, city, "rate_late", Step.RATED)
    turn.rated = (asked.rating_id, score)
    turn.replies.append(thanks(city, turn.language, score))
    return Step.RATED


def in_time(asked: Survey, at: datetime) -> bool:
    """Whether a question may still be answered."""
    return asked.state == Asking.ASKED and at - asked.asked_at <= WITHIN


def thanks(city: City, language: str, score: int) -> Reply:
    """What follows a rating: words are welcome, and after a low one a person."""
    if score > LOW:
        return Reply(city.say("rate_thanks_comment", language), say="rate_thanks_comment")
    choices = [
        Choice(city.say("button_person", language), {"handoff": "rated_low"}),
        Choice(city.say("button_no", language), {"rate_done": True}),
    ]
    return Reply(city.say("rate_low", language), choices=choices, say="rate_low")


def _say(turn: Turn, city: City, key: str, step: Step, *, keep: str | None = None) -> Step:
    """Answer; `keep` says as what it is remembered, where the question still stands."""
    turn.replies.append(Reply(city.say(key, turn.language), say=keep or key))
    return step


def question(city: City, rating_id: uuid.UUID, channel: str, language: str) -> Reply:
    """Buttons where there are any; a text message asks for the number instead."""
    if channel == "sms":
        return Reply(city.say("rate_close_sms", language), "system", say="rate_close_sms")
    choices = [Choice(str(score), {"rate": str(rating_id), "score": score}) for score in SCORES]
    return Reply(city.say("rate_close", language), "system", choices=choices, say="rate_close")


# Writing -----------------------------------------------------------------------------------------


async def rated_in(session: AsyncSession, turn: Turn) -> uuid.UUID | None:
    """The conversation that is rated: the one asked about last, else this one, else the one before it.

    The one that may be asked about from now on, where the turn says so.
    """
    asked = turn.survey
    if turn.asks_about is not None:
        return turn.asks_about
    if asked is not None and turn.rated is not None:
        return asked.conversation_id
    if not _volunteered(turn):
        return None
    if asked is not None and in_time(asked, turn.received_at):
        return asked.conversation_id
    if await ratings.worth_asking(session, turn.conversation_id):
        return turn.conversation_id
    last = await session.scalar(
        select(Conversation.id)
        .where(
            Conversation.address_id == turn.address_id,
            Conversation.state == ConversationState.CLOSED,
            ~Conversation.follow_up,
            Conversation.closed_at > now() - REMEMBERED,
        )
        .order_by(Conversation.closed_at.desc())
        .limit(1)
    )
    return last or turn.conversation_id


def _volunteered(turn: Turn) -> int | None:
    """The score that a resident names without having pressed or answered our question."""
    score = turn.note.get("rating")
    return score if isinstance(score, int) and turn.rated is None else None


async def keep(
    session: AsyncSession, city: City, rules: Rules, turn: Turn, rated: Conversation | None
) -> None:
    """Write a rating of a locked conversation with the turn's effects, and flag a low one.

    The first one stands, and whoever gives a second is told so.
    """
    if turn.comments is not None:
        await ratings.comment(session, turn.comments, turn.touchpoint_id)
    if rated is None:
        return
    if turn.asks_about is not None:
        await _ask(session, city, turn, rated)
        return
    rating = await _written(session, turn, rated)
    if rating is None or rating.score is None:
        _stands(turn, city)
        return
    told = await timeline.record(
        session,
        address_id=rating.address_id,
        conversation_id=rating.conversation_id,
        direction="inner",
        actor="citizen",
        kind="rating",
        payload={"rating": str(rating.id), "score": rating.score},
        in_reply_to=turn.touchpoint_id,
    )
    if rating.score <= LOW:
        await weighing.raise_for(session, rules, rated, Signal.LOW_RATING, told, score=str(rating.score))


def _stands(turn: Turn, city: City) -> None:
    """Say that the first rating stands, in place of the thanks for this one; what else is said stays."""
    for reply in turn.replies:
        if reply.say in {"rate_thanks", *_THANKS}:
            thanked = city.say(reply.say, turn.language)
            reply.words = reply.words.replace(thanked, city.say("rate_again", turn.language))
            reply.choices = [] if reply.say == "rate_low" else reply.choices
            reply.say = "rate_again"


async def _written(session: AsyncSession, turn: Turn, rated: Conversation) -> Rating | None:
    """The rating that this turn gives; None where there was one already."""
    if turn.rated is not None:
        return await ratings.give(session, turn.rated[0], turn.rated[1])
    score, asked = _volunteered(turn), turn.survey
    if score is None:
        return None
    if asked is not None and asked.conversation_id == rated.id and in_time(asked, turn.received_at):
        return await ratings.give(session, asked.rating_id, score)
    agent = await ratings.last_agent(session, rated.id)
    return await ratings.volunteer(session, rated, turn.channel, agent, score)


async def _ask(session: AsyncSession, city: City, turn: Turn, rated: Conversation) -> None:
    """Let the question follow at once on the yes to being asked, while they still know what it is about."""
    if rated.closed_at is None or turn.received_at - rated.closed_at > WITHIN:
        return
    last = turn.replies[-1]
    last.touchpoint_id = new_id()
    agent = await ratings.last_agent(session, rated.id)
    rating = await ratings.asked_now(session, rated, turn.channel, agent, last.touchpoint_id)
    if rating is None:
        return
    asks = question(city, rating.id, turn.channel, turn.language)
    last.words, last.choices, last.say = f"{last.words}\n\n{asks.words}", asks.choices, asks.say
