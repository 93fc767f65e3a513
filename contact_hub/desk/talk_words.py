"""The desk's own words for what stands in the history: kinds, states, reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contact_hub.city import City
from contact_hub.timeline.reading import Event

CHANNELS: Mapping[str, str] = {
    "web_chat": "Web chat",
    "sms": "SMS",
    "telegram": "Telegram",
    "console": "Terminal",
    "desk": "Desk",
}
KINDS: Mapping[str, str] = {
    "text": "message",
    "photo": "photo",
    "voice": "voice message",
    "document": "document",
    "location": "place",
    "contact": "contact",
    "button": "pressed",
    "edit": "corrected message",
    "unsupported": "something we cannot show",
    "note": "note",
    "flag": "flag",
}
# What arrives from a resident's side without being said by them to us.
REFUSED_KINDS = frozenset({"opt_out", "opt_in", "reachable"})
DELIVERY: Mapping[str, str] = {
    "queued": "waiting to leave",
    "sending": "leaving",
    "uncertain": "nobody knows yet whether it left",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "not delivered",
    "cancelled": "not sent",
}
ANSWERED: Mapping[str, str] = {"answered": "Answered", "clarified": "Asked back", "refused": "Did not know"}
STATES: Mapping[str, str] = {
    "bot": "with the assistant",
    "waiting": "waiting for a person",
    "agent": "with a colleague",
    "closed": "closed",
}
REASONS: Mapping[str, str] = {
    "asked": "asked for a person",
    "complaint": "complains",
    "unhelpful": "the answer did not help",
    "refused": "the assistant did not know",
    "assistant_down": "the assistant was away",
    "technical": "something went wrong on our side",
    "emergency": "emergency",
    "self_harm": "may hurt themselves",
    "unhappy": "seems unhappy",
    "uneasy": "seems uneasy",
    "taken": "taken over",
    "closed": "closed",
    "given back": "given back",
    "transferred": "transferred",
    "assigned": "assigned",
}
PROOFS: Mapping[str, str] = {
    "wrote": "wrote from it",
    "session": "their browser",
    "code": "by a code",
    "contact": "by Telegram's contact button",
    "agent": "looked into by a colleague",
}
PURPOSES: Mapping[str, str] = {
    "service": "Answering",
    "alerts": "News and alerts",
    "improvement": "Improving answers",
    "survey": "Asking for ratings",
}
DECISIONS: Mapping[str, str] = {
    "informed": "was shown the notice",
    "asked": "was asked",
    "granted": "agreed",
    "refused": "said no",
    "withdrawn": "withdrew",
}
REPORT_STATES: Mapping[str, str] = {
    "received": "received",
    "in_progress": "in progress",
    "done": "done",
    "rejected": "not accepted",
}
LIKENESS: Mapping[str, str] = {
    "same_number": "the same number was typed",
    "same_name": "the same name",
    "returned_number": "a number that may have a new owner",
    "shared_device": "one device used by both",
}
LEVELS: Mapping[str, str] = {"uneasy": "Uneasy", "unhappy": "Unhappy", "danger": "Danger"}


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened, in a sentence, with details below it."""

    words: str
    details: tuple[tuple[str, str], ...] = ()
    tone: str = "plain"  # plain, good, bad
    signals: tuple[tuple[str, str], ...] = ()  # of a flag: words, and the id of the touchpoint behind them


def reason(key: str | None) -> str:
    """Why a conversation is where it is."""
    return REASONS.get(key or "", (key or "").replace("_", " "))


def happened(event: Event, city: City) -> Happened:
    """An inner event in a sentence; a kind that nobody described shows what it carries."""
    tell = _TELL.get(event.kind)
    return _other(event, city) if tell is None else tell(event, city)


_TOLD_OTHERWISE = {"from", "to", "holder", "reason", "epoch", "department", "resolution"}


def _handoff(event: Event, city: City) -> Happened:
    payload = event.payload
    to, holder = str(payload.get("to", "")), _word(payload, "holder")
    why = reason(_word(payload, "reason"))
    words = {
        "waiting": "Waiting for a person",
        "agent": f"{holder or 'A colleague'} took over",
        "bot": "Given back to the assistant",
        "closed": f"Closed by {holder}" if holder else "Closed",
    }.get(to, "Changed hands")
    if why and to == "waiting":
        words = f"{words}: {why}"
    details = _details(payload, without=_TOLD_OTHERWISE)
    if department := _word(payload, "department"):
        details.insert(0, ("to", departments(city).get(department, department)))
    if resolution := _word(payload, "resolution"):
        details.insert(0, ("outcome", resolutions(city).get(resolution, resolution)))
    return Happened(words, tuple(details))


def _snooze(event: Event, city: City) -> Happened:
    try:
        until = datetime.fromisoformat(_word(event.payload, "until"))
    except ValueError:
        return Happened("Put aside")
    return Happened(f"Put aside until {city.moment(until, 'en')}")


def _flag(event: Event, city: City) -> Happened:
    payload = event.payload
    level = LEVELS.get(_word(payload, "level"), "Flagged")
    score = payload.get("score")
    shown = f" ({float(score):.0%})" if isinstance(score, int | float) else ""
    signals = payload.get("signals")
    found = tuple(
        (str(one.get("words") or one.get("signal") or ""), str(one.get("evidence") or ""))
        for one in (signals if isinstance(signals, list) else [])
        if isinstance(one, dict)
    )
    return Happened(f"{level}{shown}", tone="bad", signals=found)


def _dismissed(event: Event, city: City) -> Happened:
    by, why = _word(event.payload, "by"), _word(event.payload, "why")
    return Happened(f"{by or 'A colleague'} took a flag away", (("why", why),) if why else ())


def _rating(event: Event, city: City) -> Happened:
    payload = event.payload
    comment = _word(payload, "comment") or (event.text or "")
    details = (("they wrote", comment),) if comment else ()
    if "helpful" in payload:
        good = bool(payload["helpful"])
        words = "The answer helped" if good else "The answer did not help"
        return Happened(words, details, "good" if good else "bad")
    stars = payload.get("rating", payload.get("score", payload.get("stars")))
    if isinstance(stars, int):
        return Happened(f"Rated {stars} of 5", details, "bad" if stars <= 2 else "good")
    return Happened("Rated", details)


def _report(event: Event, city: City) -> Happened:
    payload = event.payload
    category = city.category(_word(payload, "category"), "en")
    details = [("place", _word(payload, "place")), ("what", _word(payload, "description"))]
    return Happened(
        f"Reported {_word(payload, 'reference')}: {category}", tuple((n, v) for n, v in details if v)
    )


def _consent(event: Event, city: City) -> Happened:
    payload = event.payload
    purpose = PURPOSES.get(_word(payload, "purpose"), _word(payload, "purpose"))
    decision = DECISIONS.get(_word(payload, "decision"), _word(payload, "decision"))
    return Happened(f"{purpose}: {decision}", tuple(_details(payload, only={"by", "reason"})))


def _merge(event: Event, city: City) -> Happened:
    undone = event.payload.get("done") == "undone"
    return Happened("A merge was undone: two citizens again" if undone else "Merged into one citizen")


def _redaction(event: Event, city: City) -> Happened:
    whole = event.payload.get("whole")
    words = "A message was removed" if whole else "Words of a message were removed"
    return Happened(words, tuple(_details(event.payload, only={"by", "reason"})))


def _delivery(event: Event, city: City) -> Happened:
    state = DELIVERY.get(_word(event.payload, "state"), _word(event.payload, "state"))
    return Happened(f"A message was {state}", tuple(_details(event.payload, only={"reason", "code"})), "bad")


def _reachable(event: Event, city: City) -> Happened:
    if event.payload.get("reachable"):
        return Happened("Can be reached again", tone="good")
    return Happened("Blocked us: nothing reaches them here", tone="bad")


def _said(words: str, tone: str = "plain") -> Callable[[Event, City], Happened]:
    return lambda event, city: Happened(words, tone=tone)


def _other(event: Event, city: City) -> Happened:
    words = event.text or event.kind.replace("_", " ").capitalize()
    return Happened(words, tuple(_details(event.payload)))


_TELL: Mapping[str, Callable[[Event, City], Happened]] = {
    "handoff": _handoff,
    "flag": _flag,
    "flag_dismissed": _dismissed,
    "rating": _rating,
    "report": _report,
    "consent": _consent,
    "merge": _merge,
    "redaction": _redaction,
    "delivery": _delivery,
    "reachable": _reachable,
    "snooze": _snooze,
    "snooze_ended": _said("Taken up again"),
    "silence": _said("Asked for silence: no messages from now on", "bad"),
    "silence_ended": _said("Wants messages again", "good"),
    "opt_out": _said("Stopped messages with their provider", "bad"),
    "opt_in": _said("Wants messages again", "good"),
}


def _details(
    payload: Mapping[str, Any], *, only: set[str] | None = None, without: set[str] | None = None
) -> list[tuple[str, str]]:
    """What else a payload says in plain words and numbers; ids and lists are for programs."""
    found = []
    for name, value in payload.items():
        wanted = name in only if only is not None else name not in (without or ())
        plain = isinstance(value, int | float | bool) or (isinstance(value, str) and value)
        if wanted and plain and not _is_id(value):
            found.append((name.replace("_", " "), str(value)))
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36 and value.count("-") == 4


def _word(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def departments(city: City) -> dict[str, str]:
    """Every department's key with its name, in the city's order."""
    return {str(one["key"]): str(one["name"]) for one in city.settings.get("departments", ())}


def resolutions(city: City) -> dict[str, str]:
    """Every way a conversation can end, by its key, as staff call it."""
    return {str(one["key"]): str(one["name"]) for one in city.settings.get("resolutions") or ()}


def language_name(city: City, code: str | None) -> str:
    """A language's name as the desk writes it."""
    key = f"language_{code}"
    return city.say(key, "en") if code and city.has(key) else (code or "not known yet")
