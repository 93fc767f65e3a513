"""What an action is told of a turn, and what it may answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

FORM = "report_form"

Message = dict[str, Any]
Event = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One button: the key of its title, and what pressing it means."""

    title: str
    intent: str
    entities: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as the hub stores it."""
        return {"title": self.title, "intent": self.intent, "entities": self.entities}


@dataclass(frozen=True)
class Turn:
    """One turn as an action sees it."""

    text: str
    intent: str
    confidence: float
    language: str
    chosen: dict[str, Any] | None
    history: list[dict[str, Any]]
    photos: list[str]
    facts: dict[str, Any]
    slots: dict[str, Any]
    in_form: bool
    opening: bool
    after_aside: bool
    asked: str | None
    last_said: list[Message]

    def last(self, kind: str) -> Any:
        """Return what was said last of a kind ("say", "answer"), in the turn before this one."""
        return next((message[kind] for message in reversed(self.last_said) if kind in message), None)


@dataclass
class Reply:
    """What an action answers: messages for the hub, events for the conversation."""

    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def say(self, key: str, choices: list[Choice] | None = None, **values: Any) -> None:
        """Suggest a text by its key in nlu_data/responses."""
        message: Message = {"say": key}
        if values:
            message["values"] = values
        if choices:
            message["choices"] = [choice.as_dict() for choice in choices]
        self.messages.append(message)

    def decline(self, key: str, found: dict[str, Any]) -> None:
        """Suggest a text in place of an answer; what search found makes it a question without one."""
        self.messages.append({"say": key, "unanswered": found})

    def answer(self, found: dict[str, Any]) -> None:
        """Suggest what search found."""
        self.messages.append({"answer": found})

    def handoff(self, reason: str) -> None:
        """Suggest a person."""
        self.messages.append({"handoff": {"reason": reason}})

    def report(self, finished: dict[str, Any]) -> None:
        """Suggest a finished report."""
        self.messages.append({"report": finished})

    def request(self, name: str, values: dict[str, Any]) -> None:
        """Pass a wish on that only the hub can fulfil."""
        self.messages.append({"request": name, "values": values})

    def set(self, slot: str, value: Any) -> None:
        """Remember a value."""
        self.events.append({"event": "slot", "name": slot, "value": value, "timestamp": None})

    def next(self, action: str) -> None:
        """Let another action follow."""
        self.events.append({"event": "followup", "name": action, "timestamp": None})


Action = Callable[[Turn, Reply], Awaitable[None]]


def registered(action: Action) -> Callable[..., Awaitable[list[Event]]]:
    """Return the action in the form that rasa-sdk calls."""

    async def run(dispatcher: Any, tracker: Any, domain: dict[str, Any]) -> list[Event]:
        reply = Reply()
        await action(_turn(tracker), reply)
        for message in reply.messages:
            dispatcher.utter_message(json_message=message)
        return reply.events

    return run


def _turn(tracker: Any) -> Turn:
    said = tracker.latest_message
    told = said.get("metadata") or {}
    intent = said.get("intent") or {}
    slots = dict(tracker.slots)
    since = _since_said(tracker.events)
    return Turn(
        text=said.get("text") or "",
        intent=intent.get("name") or "",
        confidence=float(intent.get("confidence") or 0.0),
        language=told.get("language") or "en",
        chosen=told.get("choice"),
        history=told.get("history") or [],
        photos=[item["attachment"] for item in told.get("media") or [] if item.get("kind") == "photo"],
        facts=told.get("facts") or {},
        slots=slots,
        in_form=(tracker.active_loop or {}).get("name") == FORM,
        opening=any(event.get("event") == "active_loop" and event.get("name") == FORM for event in since),
        after_aside=any(event.get("event") == "action" and event.get("name") != FORM for event in since),
        asked=slots.get("requested_slot"),
        last_said=_before(tracker.events),
    )


def _since_said(events: list[Event]) -> list[Event]:
    """Return what has happened since the resident's message."""
    at = max((at for at, event in enumerate(events) if event.get("event") == "user"), default=-1)
    return events[at + 1 :]


def _before(events: list[Event]) -> list[Message]:
    """Return the messages of the turn before the one that is being taken."""
    said: list[Message] = []
    turns = 0
    for event in reversed(events):
        if event.get("event") == "user":
            turns += 1
            if turns == 2:
                break
        elif turns == 1 and event.get("event") == "bot":
            said.insert(0, (event.get("data") or {}).get("custom") or {})
    return said
