"""Whether a resident seems unhappy, decided beside every turn, and what follows for them.

The signs are found once the turn's steps have decided it; nothing here asks anybody. They are written
with the turn's other effects, in their transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import InboundKind
from contact_hub.citizens.models import Address, Conversation, ConversationState
from contact_hub.city import City
from contact_hub.flags import service as flags
from contact_hub.flags.models import Level
from contact_hub.flags.rules import Rules, Signal
from contact_hub.flags.service import Raised, Sign
from contact_hub.flags.signals import Contact, come_back, same_question, shouts
from contact_hub.handoff.rules import PRIORITY
from contact_hub.journey.turn import Choice, Past, Reply, Step, Turn
from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.reading import moment_of
from contact_hub.timeline.service import Said

UNHAPPY = "unhappy"  # the reason of a handoff that nobody asked for
_TWICE_SENT = timedelta(seconds=10)  # a finger or a network sends the same thing again; nobody asks again
_FORGOTTEN = timedelta(days=1)  # who asks the same thing after that comes back, and does not insist
_PLEASED = frozenset({"thanks_reply", "goodbye", "helpful_thanks"})

# Nothing was said there that could be unhappy, or it is not for us to answer.
_UNREAD = frozenset(
    {
        *(Step.OPTED_OUT, Step.OPTED_IN, Step.SILENT, Step.PROVIDER_HELP, Step.REACHABILITY_NOTED),
        *(Step.EDIT_NOTED, Step.EMERGENCY, Step.SELF_HARM, Step.CODE_SENT, Step.CONTACT_SHARED),
        *(Step.UNLINKED, Step.TERMS_CHANGED, Step.TERMS_SHOWN, Step.REMOVED, Step.ERASURE_CONFIRMED),
        Step.RATED,
    }
)


async def recall(
    session: AsyncSession,
    turn: Turn,
    rules: Rules,
    conversation: Conversation,
    said: Sequence[Said],
    *,
    shared: bool,
) -> None:
    """Give the turn what has to be known of the past; where several people write, only of this talk."""
    since = _first_id_at(turn.received_at - rules.contacts_within)
    earlier, contacts = await flags.past(
        session,
        conversation_id=turn.conversation_id,
        citizen_id=turn.citizen_id,
        touchpoint_id=turn.touchpoint_id,
        since=since,
    )
    turn.past = Past(
        said, earlier, () if shared else contacts, conversation.read_from, conversation.department
    )


def _first_id_at(moment: datetime) -> uuid.UUID:
    """The smallest id that a touchpoint of that moment can have."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)


# Deciding ----------------------------------------------------------------------------------------


def weigh(turn: Turn, city: City, rules: Rules) -> None:
    """Look for signs in a turn that its steps have decided, and let what they come to follow."""
    if turn.urgent:
        turn.flag = _alarmed(turn, rules)  # what follows of it is decided already
    if turn.step in _UNREAD:
        return
    turn.flag = flags.weigh(rules, _signs(turn, city, rules), turn.past.earlier, turn.past.read_from)
    if turn.flag is None or turn.state != ConversationState.BOT:
        return
    if turn.flag.level is Level.UNHAPPY:
        _hand_over(turn, city)
    elif turn.handoff is None:
        _offer_person(turn, city)


def _alarmed(turn: Turn, rules: Rules) -> Raised:
    """The flag of a message that tells of danger: by a fixed phrase, or by the detector as sure as it is."""
    heard = None if turn.reading is None else turn.reading.danger
    if heard is None:  # the phrases come before anything is read
        signal, weight, values = Signal.DANGER_WORDS, rules.weights[Signal.DANGER_WORDS], {}
    else:
        signal, weight, values = Signal.DANGER_HEARD, heard[1], {"percent": round(100 * heard[1])}
    sign = Sign(signal, weight, turn.touchpoint_id, rules.explain(signal, **values))
    return Raised(round(weight, 3), Level.DANGER, (sign,))


def _signs(turn: Turn, city: City, rules: Rules) -> list[Sign]:
    found: list[Sign] = []

    def add(signal: Signal, *also: uuid.UUID, weight: float | None = None, **values: object) -> None:
        weighs = rules.weights[signal] if weight is None else weight
        if weighs > 0:
            found.append(
                Sign(signal, weighs, turn.touchpoint_id, rules.explain(signal, **values), tuple(also))
            )

    written = turn.kind == InboundKind.TEXT and turn.choice is None
    if written and turn.reading is not None and turn.reading.unhappy is not None:
        sure = turn.reading.unhappy
        add(Signal.WORDS, weight=rules.of_words(sure), percent=round(100 * sure))
    if written and shouts(turn.text):
        add(Signal.SHOUTING)
    if _asks_for_person(turn, city):
        add(Signal.ASKED_FOR_PERSON)
    elif written and turn.form is None and (asked := _asked_before(turn, rules)) is not None:
        add(Signal.ASKED_AGAIN, asked)
    if turn.step is Step.REFUSED and (refused := _refused_before(turn)) is not None:
        add(Signal.REFUSED_TWICE, refused)
    if turn.helpful is not None and not turn.helpful[1] and not _judged_before(turn, turn.helpful[0]):
        add(Signal.THUMBS_DOWN)
    if (earlier := _come_back(turn, rules)) is not None:
        add(
            Signal.THIRD_CONTACT,
            *(contact.touchpoint_id for contact in earlier),
            contacts=len(earlier) + 1,
            days=rules.contacts_within.days,
        )
    return found


def _asks_for_person(turn: Turn, city: City) -> bool:
    """Whether they ask in so many words, by a button, or by a yes to the offer."""
    if turn.handoff == "asked" or city.wants_person(turn.text):
        return True
    return turn.rasa is not None and turn.rasa.intent == "talk_to_human"


def _asked_before(turn: Turn, rules: Rules) -> uuid.UUID | None:
    """Their message that this one repeats: as the brain says, or in nearly the same words without it."""
    said = turn.past.said
    if turn.reading is not None and turn.reading.repeats is not None:
        place = turn.reading.repeats[0]
        # Places are those in the history, which holds the last of what was said.
        words = [one for one in said if one.words][-len(turn.history) :] if turn.history else []
        if 0 <= place < len(words) and _counts(turn, words[place].id):
            return words[place].id
    for one in reversed(said):
        repeated = one.role == "citizen" and same_question(turn.text, one.words, rules.similarity)
        if repeated and _counts(turn, one.id):
            return one.id
    return None


def _counts(turn: Turn, earlier: uuid.UUID) -> bool:
    """Whether an earlier message is of this talk since a person gave it back, and not just sent twice."""
    if turn.past.read_from is not None and earlier <= turn.past.read_from:
        return False
    return _TWICE_SENT < moment_of(turn.touchpoint_id) - moment_of(earlier) < _FORGOTTEN


def _refused_before(turn: Turn) -> uuid.UUID | None:
    """The answer before this one, where it was none either."""
    for one in reversed(turn.past.said):
        if one.outcome is not None:
            fresh = turn.past.read_from is None or one.id > turn.past.read_from
            return one.id if one.outcome == "refused" and fresh else None
    return None


def _judged_before(turn: Turn, answer_id: uuid.UUID) -> bool:
    """Whether they have said already that this answer did not help: a button may be pressed twice."""
    return any(one.helpful is False and one.answer == str(answer_id) for one in turn.past.said)


def _come_back(turn: Turn, rules: Rules) -> list[Contact] | None:
    """The earlier visits about what this turn is about, once in a conversation."""
    if any(given["signal"] == Signal.THIRD_CONTACT for flag in turn.past.earlier for given in flag.signals):
        return None
    answers = (reply.answer for reply in turn.replies if reply.answer is not None)
    article = next(
        (
            str(answer["passages"][0].get("article") or "")
            for answer in answers
            if answer["outcome"] == "answered" and answer.get("passages")
        ),
        None,
    )
    report = turn.report
    problem = None if report is None else f"{report['category']}|{str(report['place']).lower()}"
    held = turn.handoff is not None or turn.state != ConversationState.BOT
    about = flags.matters(article, problem, turn.past.department if held else None)
    if not about:
        return None
    now_here = Contact(turn.touchpoint_id, turn.conversation_id, turn.received_at, about)
    return come_back(turn.past.contacts, now_here, rules.contacts)


def _hand_over(turn: Turn, city: City) -> None:
    """A person takes over. What the bot knows for certain is still said; everything else makes way."""
    if turn.handoff is not None or turn.urgent:
        return  # they get a person already
    kept = [
        reply
        for reply in turn.replies
        if reply.author == "system" or (reply.answer is not None and reply.answer["outcome"] == "answered")
    ]
    dropped = [reply for reply in turn.replies if reply not in kept]
    # A question without an answer is still one that the bot could not answer.
    unanswered = next((reply.answer for reply in dropped if reply.answer is not None), None)
    words = city.say("unhappy_sorry", turn.language)
    if turn.step is Step.COMMENTED:  # they were asked to say what was missing
        words = f"{city.say('rate_comment_thanks', turn.language)}\n\n{words}"
    sorry = Reply(words, say="unhappy_sorry", answer=unanswered)
    if dropped or not kept:
        turn.step = Step.REPORTED if turn.report is not None else Step.HANDED_OFF
    turn.replies = [sorry, *kept]
    turn.handoff = UNHAPPY


def _offer_person(turn: Turn, city: City) -> None:
    """The bot goes on, and a person is one button away."""
    if not turn.replies:
        return
    last = turn.replies[-1]
    if last.say in _PLEASED:
        # "You are welcome" is no answer to "thanks for nothing".
        last.words, last.say = city.say("unhelpful_offer", turn.language), "unhelpful_offer"
        last.choices = [Choice(city.say("button_person", turn.language), {"handoff": "asked"})]
        return
    if any("handoff" in choice.meaning for choice in last.choices):
        return
    last.words = f"{last.words}\n\n{city.say('uneasy_offer', turn.language)}"
    last.choices = [*last.choices, Choice(city.say("button_person", turn.language), {"handoff": "asked"})]


# Writing -----------------------------------------------------------------------------------------


async def keep(session: AsyncSession, conversation: Conversation, turn: Turn, *, handed_over: bool) -> None:
    """Write how the turn was read and the flag it raised, and let the queue know how urgent it is."""
    if turn.reading is not None and turn.reading.unhappy is not None:
        await flags.keep_reading(session, conversation, turn.touchpoint_id, turn.reading.unhappy)
    if turn.flag is not None:
        await _raise(
            session,
            conversation,
            turn.channel,
            turn.flag,
            turn.touchpoint_id,
            language=turn.language,
            handed_over=handed_over,
            names_it=turn.handoff is None or handed_over,
        )


async def overdue(
    session: AsyncSession, city: City, rules: Rules, conversation: Conversation, promised_at: datetime
) -> uuid.UUID | None:
    """Flag a locked conversation whose promise was not kept; None where that is known already."""
    asked = await session.scalar(
        select(Touchpoint.id)
        .where(Touchpoint.conversation_id == conversation.id, Touchpoint.kind == "handoff")
        .order_by(Touchpoint.id.desc())
        .limit(1)
    )
    if asked is None:
        return None
    promised = city.moment(promised_at, city.default_language)
    return await raise_for(session, rules, conversation, Signal.WAITED_TOO_LONG, asked, promised=promised)


async def raise_for(
    session: AsyncSession,
    rules: Rules,
    conversation: Conversation,
    signal: Signal,
    evidence: uuid.UUID,
    **values: object,
) -> uuid.UUID | None:
    """Raise a flag on a locked conversation for one sign; None where it adds nothing to what is known."""
    address = await session.get_one(Address, conversation.address_id)
    earlier, _ = await flags.past(
        session,
        conversation_id=conversation.id,
        citizen_id=address.citizen_id,
        touchpoint_id=evidence,
        since=evidence,  # contacts are no matter here
    )
    sign = Sign(signal, rules.weights[signal], evidence, rules.explain(signal, **values))
    raised = flags.weigh(rules, [sign], earlier, conversation.read_from)
    if raised is None:
        return None
    return await _raise(session, conversation, address.channel, raised, evidence)


async def _raise(
    session: AsyncSession,
    conversation: Conversation,
    channel: str,
    raised: Raised,
    touchpoint_id: uuid.UUID,
    *,
    language: str | None = None,
    handed_over: bool = False,
    names_it: bool = True,
) -> uuid.UUID:
    """Write the flag; a conversation that waits is as urgent as it says, and waits for that reason.

    `names_it` is false where the resident has just given a reason of their own.
    """
    waiting = conversation.state == ConversationState.WAITING
    if raised.level is Level.UNHAPPY and waiting and conversation.priority < PRIORITY[UNHAPPY]:
        conversation.priority = PRIORITY[UNHAPPY]
        conversation.reason = UNHAPPY if names_it else conversation.reason
    return await flags.raise_(
        session,
        conversation,
        channel,
        raised,
        touchpoint_id,
        language=language,
        handed_over=handed_over,
    )
