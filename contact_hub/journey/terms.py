"""Consent and privacy on a message's way: understood before anything else, asked for where it fits.

The steps decide without a database; what they decided is written here, with the other effects of the
turn and in their transaction.
"""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import ConversationState
from contact_hub.city import City
from contact_hub.handoff import service as handoff
from contact_hub.journey.turn import Change, Choice, Reply, Step, Turn
from contact_hub.privacy import consent, redaction
from contact_hub.privacy.consent import ASKED, Decision, Origin, Purpose
from contact_hub.privacy.holds import Held
from contact_hub.privacy.masking import SENSITIVE, Kind, mask
from contact_hub.staff.access import Viewer

RESIDENT = Viewer("system", "the resident")
# Nothing may stand beside these words: a life may hang on them, or the resident wants no more of them.
_ALONE = frozenset({Step.EMERGENCY, Step.SELF_HARM, Step.OPTED_OUT, Step.SILENT})


# Understanding -----------------------------------------------------------------------------------


def wished(turn: Turn, city: City) -> Step | None:
    """Whether the whole message, in any language, is about consent; a person at the desk changes nothing."""
    wish = None if turn.choice is not None else city.wish(turn.text)
    if wish is None:
        return None
    if not turn.language_known:
        turn.language = turn.new_language = wish.language
    if wish.what == "show":
        turn.show_terms = True
        return Step.TERMS_SHOWN
    decision = Decision.GRANTED if wish.what == "grant" else Decision.WITHDRAWN
    purposes = ASKED if wish.purpose == "all" else (Purpose(wish.purpose),)
    turn.changes = [Change(purpose, decision) for purpose in purposes]
    turn.replies.append(_confirmation(turn, city, wish.purpose, decision))
    return Step.TERMS_CHANGED


def pressed(turn: Turn, city: City) -> Step | None:
    """Whether a button answers for a purpose, or for a number that nobody should send."""
    meaning = turn.choice or {}
    if "consent" in meaning:
        purpose = Purpose(meaning["consent"])
        decision = Decision.GRANTED if meaning.get("yes") else Decision.REFUSED
        turn.changes = [Change(purpose, decision)]
        turn.replies.append(_confirmation(turn, city, purpose, decision))
        if "about" in meaning:
            turn.of_survey = True
            turn.asks_about = uuid.UUID(meaning["about"]) if meaning.get("yes") else None
        return Step.TERMS_CHANGED
    if "remove" in meaning:
        sent = meaning["remove"]
        turn.remove = uuid.UUID(sent) if sent else None
        key = "sensitive_removed" if sent else "sensitive_kept"
        turn.replies.append(Reply(city.say(key, turn.language), author="system", say=key))
        return Step.REMOVED if sent else Step.SAID
    return None


def _confirmation(turn: Turn, city: City, purpose: str, decision: Decision) -> Reply:
    language = turn.language
    if decision is Decision.GRANTED:
        key = "consent_granted"
        terms = city.say(f"consent_{purpose}_terms", language, city=city.name)
        words = city.say(key, language, terms=terms, stop=city.say(f"consent_{purpose}_stop", language))
    else:
        key = "consent_refused" if decision is Decision.REFUSED else f"consent_{purpose}_withdrawn"
        words = city.say(key, language)
    return Reply(words, author="system", say=key)


# Numbers that nobody should send -----------------------------------------------------------------


def cover(turn: Turn) -> None:
    """Mask what should go no further."""
    masked = mask(turn.text, SENSITIVE)
    turn.text, turn.sensitive = masked.text, masked.kinds


def bare(turn: Turn) -> bool:
    """Whether nothing but what is masked was sent."""
    left = turn.text
    for kind in turn.sensitive:
        left = left.replace(f"[{kind}]", "")
    return bool(turn.sensitive) and not any(c.isalnum() for c in left)


def warn(turn: Turn, city: City) -> None:
    """Tell the resident what their message held, and offer to remove it. While a person helps, they do."""
    if not turn.sensitive or turn.state != ConversationState.BOT or turn.step in _ALONE:
        return
    language = turn.language
    what = ", ".join(city.say(f"sensitive_{kind}", language) for kind in Kind if kind in turn.sensitive)
    turn.replies.append(
        Reply(
            city.say("sensitive_warning", language, what=what),
            author="system",
            say="sensitive_warning",
            choices=[
                Choice(city.say("button_remove", language), {"remove": str(turn.touchpoint_id)}),
                Choice(city.say("button_keep", language), {"remove": ""}),
            ],
        )
    )


# Writing -----------------------------------------------------------------------------------------


async def carry_out(session: AsyncSession, city: City, turn: Turn) -> None:
    """Write what the resident decided, remove what they asked to be removed, show what they agreed to."""
    origin = _origin(turn)
    for change in turn.changes:
        if change.decision is Decision.GRANTED:
            await consent.grant(session, city, origin, change.purpose, language=turn.language)
        else:
            await consent.withdraw(
                session, city, origin, change.purpose, language=turn.language, decision=change.decision
            )
    if turn.suppress:
        await _withdraw_messages(session, city, turn)
    if turn.remove is not None:
        await _remove(session, city, turn, turn.remove)
    if turn.show_terms:
        turn.replies.append(await _shown(session, city, turn))


async def _remove(session: AsyncSession, city: City, turn: Turn, touchpoint_id: uuid.UUID) -> None:
    """Remove the numbers in a message; under a legal hold tell the resident, and a person."""
    try:
        await redaction.redact(
            session, touchpoint_id, RESIDENT, reason="asked by the resident", kinds=SENSITIVE, by="citizen"
        )
    except Held:
        kept = [reply for reply in turn.replies if reply.say != "sensitive_removed"]
        held = Reply(city.say("erase_held", turn.language), author="system", say="erase_held")
        turn.replies = [*kept, held]
        await handoff.open_ticket(
            session,
            "erasure_request",
            "A resident under a legal hold asks to have a number removed.",
            conversation_id=turn.conversation_id,
            touchpoint_id=turn.touchpoint_id,
        )


async def _withdraw_messages(session: AsyncSession, city: City, turn: Turn) -> None:
    """Who wants no more messages wants no alerts and no surveys, on any channel."""
    for purpose in (Purpose.ALERTS, Purpose.SURVEY):
        if await consent.allowed(session, turn.citizen_id, purpose):
            await consent.withdraw(session, city, _origin(turn), purpose, language=turn.language)


async def _shown(session: AsyncSession, city: City, turn: Turn) -> Reply:
    terms = await consent.terms_of(session, turn.citizen_id)
    language = turn.language
    lines = [
        city.say("consent_show", language),
        city.say("consent_show_service", language, name=city.say("consent_service_name", language)),
    ]
    for purpose in ASKED:
        name = city.say(f"consent_{purpose}_name", language)
        since = [
            t.decided_at
            for t in terms
            if t.purpose == purpose and t.in_force and t.decision is Decision.GRANTED
        ]
        if since:
            lines.append(
                city.say("consent_show_yes", language, name=name, date=city.day(min(since), language))
            )
        elif city.asks_for(purpose):
            lines.append(city.say("consent_show_no", language, name=name))
    return Reply("\n".join(lines), author="system", say="consent_show")


async def add(session: AsyncSession, city: City, turn: Turn) -> tuple[str, str] | None:
    """Let a question and the privacy notice ride in the words that leave anyway.

    Returns the notice and its version where it was added, to be written down as shown.
    """
    if not turn.replies or turn.step in _ALONE or turn.channel == "console":
        return None
    await _ask(session, city, turn)
    notice = None if turn.informed else city.notice(turn.channel, turn.language)
    if notice is not None:
        first = turn.replies[0]
        first.words = _beside(first.words, notice[0], asks=bool(first.choices))
    return notice


def _beside(words: str, notice: str, *, asks: bool) -> str:
    """The words with the notice below them; a question at their end stays beside its buttons."""
    said, _, question = words.rpartition("\n\n") if asks else (words, "", "")
    return "\n\n".join(filter(None, (said, notice, question)))


async def _ask(session: AsyncSession, city: City, turn: Turn) -> None:
    """Ask for a purpose where the resident has just seen its use; once, and never over a choice."""
    purpose = _moment(turn)
    last = turn.replies[-1]
    if purpose is None or last.choices or not city.asks_for(purpose):
        return
    if await consent.decided(session, turn.citizen_id, purpose):
        return
    ask_in(last, city, purpose, turn.language)


def ask_in(reply: Reply, city: City, purpose: Purpose, language: str, **more: str) -> None:
    """Let a message end in the question for a purpose; `more` comes back with the answer."""
    terms = city.say(f"consent_{purpose}_terms", language, city=city.name)
    reply.words = f"{reply.words}\n\n{city.say('consent_ask', language, terms=terms)}"
    reply.choices = [
        Choice(city.say("button_yes", language), {"consent": purpose, "yes": True, **more}),
        Choice(city.say("button_no", language), {"consent": purpose, "yes": False, **more}),
    ]


def _moment(turn: Turn) -> Purpose | None:
    if turn.step is Step.REPORTED:
        return Purpose.ALERTS
    return Purpose.IMPROVEMENT if turn.step is Step.RATED_HELPFUL else None


async def note_shown(
    session: AsyncSession, turn: Turn, notice: tuple[str, str], touchpoint_id: uuid.UUID
) -> None:
    """Write down that the notice stood in this message."""
    origin = Origin(turn.address_id, turn.channel, turn.conversation_id, touchpoint_id)
    await consent.inform(session, origin, notice[0], notice[1], turn.language)


def _origin(turn: Turn) -> Origin:
    return Origin(turn.address_id, turn.channel, turn.conversation_id, turn.touchpoint_id)
