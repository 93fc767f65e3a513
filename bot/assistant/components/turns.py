"""One turn of a conversation: taken once, undone when the hub gave it up, or not taken at all.

    lock the conversation -> read it -> known touchpoint? return what was answered
    -> undo given-up turns -> understand -> predict and act -> write state and outcome together

Nothing is written before the end, so a turn that fails leaves the conversation as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, AsyncIterator, Dict, List, Optional, Sequence, Text, Tuple

from rasa.core.actions.action import Action, ActionExecutionRejection
from rasa.core.channels.channel import CollectingOutputChannel, OutputChannel, UserMessage
from rasa.core.nlg import NaturalLanguageGenerator
from rasa.core.policies.policy import PolicyPrediction
from rasa.core.processor import MessageProcessor
from rasa.shared.core.constants import REQUESTED_SLOT
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import BotUttered, Event, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.nlu.constants import INTENT_NAME_KEY, PREDICTED_CONFIDENCE_KEY

from components.brain import brain
from components.trackers import Trackers

FALLBACK_INTENT = "nlu_fallback"
MEDIA_INTENT = "media"
CHANNEL = "civicline"
REPORT_SLOTS = ("category", "place", "description", "photo", "beginning")
# A sentence vector does not get better beyond this, and a report keeps the whole text.
UNDERSTOOD_CHARACTERS = 1_000


class GivenUp(RuntimeError):
    """The hub has given this touchpoint up, so it is not answered any more."""


class TurnFailed(BaseException):
    """An action failed.

    Derived from BaseException because Rasa swallows every Exception that an action
    raises, logs it, and counts the turn as done.
    """


@dataclass(frozen=True)
class Turn:
    """What the hub passes on of one touchpoint."""

    conversation: str
    touchpoint: str
    text: str
    language: str
    choice: Optional[Dict[Text, Any]] = None
    history: List[Dict[Text, Any]] = field(default_factory=list)
    media: List[Dict[Text, Any]] = field(default_factory=list)
    given_up: List[str] = field(default_factory=list)
    after: Optional[str] = None
    facts: Dict[Text, Any] = field(default_factory=dict)

    @property
    def command(self) -> bool:
        """Whether the text begins like a command: it is then read by nobody but the search."""
        return self.text.lstrip().startswith("/")

    @property
    def words(self) -> str:
        """The text as Rasa may see it: a leading slash would make it an intent."""
        return self.text.replace("\0", " ").strip().lstrip("/").strip()

    def metadata(self) -> Dict[Text, Any]:
        """Return what the actions are told beside the text."""
        known = asdict(self)
        return {name: known[name] for name in ("choice", "language", "history", "media", "facts")}


class _Watched(Action):
    """An action whose failure ends the turn instead of being swallowed."""

    def __init__(self, action: Action) -> None:
        self._action = action

    def name(self) -> Text:
        return self._action.name()

    async def run(
        self,
        output_channel: OutputChannel,
        nlg: NaturalLanguageGenerator,
        tracker: DialogueStateTracker,
        domain: Domain,
    ) -> List[Event]:
        try:
            return await self._action.run(output_channel, nlg, tracker, domain)
        except ActionExecutionRejection:
            raise
        except Exception as error:
            raise TurnFailed(f"{self.name()}: {type(error).__name__}") from error

    def event_for_successful_execution(self, prediction: PolicyPrediction) -> Event:
        return self._action.event_for_successful_execution(prediction)


class Turns(MessageProcessor):
    """Rasa's message processor, taking each touchpoint once."""

    trackers: Trackers
    _locks: Dict[Text, Tuple[asyncio.Lock, List[object]]]

    async def take(self, turn: Turn) -> Dict[Text, Any]:
        """Return the outcome of a turn; raises GivenUp, Conflict, TurnFailed or what the database raises."""
        async with self._alone(turn.conversation):
            known = asyncio.create_task(brain().fetch(turn.words[:UNDERSTOOD_CHARACTERS]))
            try:
                kept = await self.trackers.load(turn.conversation, [turn.touchpoint, *turn.given_up])
                if turn.touchpoint in kept.outcomes:
                    return _repeated(kept.outcomes[turn.touchpoint])
                tracker = self._undone(self._since(kept.tracker, turn.after), turn.given_up)
                await known
                outcome = await self._answer(tracker, turn)
                await self.trackers.keep(
                    tracker,
                    kept.revision,
                    turn.touchpoint,
                    json.dumps(outcome, ensure_ascii=False),
                    turn.given_up,
                )
                return outcome
            finally:
                known.cancel()

    async def understand(self, text: Text) -> Dict[Text, Any]:
        """Return the intent and its nearest others of a text that belongs to no conversation."""
        await brain().fetch(text[:UNDERSTOOD_CHARACTERS])
        return self._parsed(Turn("", "", text, "en"), DialogueStateTracker("", self.domain.slots))

    async def _answer(self, tracker: DialogueStateTracker, turn: Turn) -> Dict[Text, Any]:
        output = CollectingOutputChannel()
        await self._update_tracker_session(tracker, output)
        parsed = self._parsed(turn, tracker)
        said = UserUttered(
            turn.words,
            parsed["intent"],
            [],
            parsed,
            input_channel=CHANNEL,
            message_id=turn.touchpoint,
            metadata=turn.metadata(),
        )
        tracker.update(said, self.domain)
        tracker = await self.run_action_extract_slots(output, tracker)
        await self._run_prediction_loop(output, tracker)
        messages = _messages_after(tracker, turn.touchpoint)
        if not messages:
            raise TurnFailed("the turn ended without a message")
        return {
            "touchpoint": turn.touchpoint,
            "repeated": False,
            "intent": {
                "name": parsed["intent"][INTENT_NAME_KEY],
                "confidence": parsed["intent"][PREDICTED_CONFIDENCE_KEY],
            },
            "form": tracker.active_loop_name,
            "asking": tracker.get_slot(REQUESTED_SLOT) if tracker.active_loop_name else None,
            "unfinished": _unfinished(tracker),
            "messages": messages,
        }

    async def _run_action(
        self,
        action: Action,
        tracker: DialogueStateTracker,
        output_channel: OutputChannel,
        nlg: NaturalLanguageGenerator,
        prediction: PolicyPrediction,
    ) -> bool:
        return await super()._run_action(_Watched(action), tracker, output_channel, nlg, prediction)

    def _parsed(self, turn: Turn, tracker: DialogueStateTracker) -> Dict[Text, Any]:
        if turn.choice is not None:
            return _named(turn.choice["intent"], 1.0)
        if not turn.words:
            return _named(MEDIA_INTENT if turn.media else FALLBACK_INTENT, 1.0 if turn.media else 0.0)
        if turn.command:
            return _named(FALLBACK_INTENT, 0.0)
        message = UserMessage(turn.words[:UNDERSTOOD_CHARACTERS])
        parsed = self._parse_message_with_graph(message, tracker)
        return {
            "intent": parsed["intent"],
            "entities": [],
            "intent_ranking": parsed.get("intent_ranking", []),
        }

    def _since(self, tracker: DialogueStateTracker, after: Optional[Text]) -> DialogueStateTracker:
        """Return the tracker without what was said up to a touchpoint, its slots and its form included.

        A person has dealt with that. Touchpoints' ids are in the order in which they were made.
        """
        events = list(tracker.events)
        said = [(at, event) for at, event in enumerate(events) if isinstance(event, UserUttered)]
        if after is None or not any((event.message_id or "") <= after for _, event in said):
            return tracker
        fresh = next((at for at, event in said if (event.message_id or "") > after), len(events))
        return DialogueStateTracker.from_events(tracker.sender_id, events[fresh:], self.domain.slots)

    def _undone(self, tracker: DialogueStateTracker, given_up: Sequence[Text]) -> DialogueStateTracker:
        """Return the tracker as it was before the given-up turns at its end; slots are replayed."""
        events = list(tracker.events)
        while True:
            at = next(
                (at for at in reversed(range(len(events))) if isinstance(events[at], UserUttered)), None
            )
            if at is None or events[at].message_id not in given_up:  # type: ignore[attr-defined]
                break
            events = events[:at]
        if len(events) == len(tracker.events):
            return tracker
        return DialogueStateTracker.from_events(tracker.sender_id, events, self.domain.slots)

    @contextlib.asynccontextmanager
    async def _alone(self, conversation: Text) -> AsyncIterator[None]:
        """Hold a conversation; who waits for it is served in order (Rasa's own lock polls each second)."""
        lock, users = self._locks.setdefault(conversation, (asyncio.Lock(), []))
        me = object()
        users.append(me)
        try:
            async with lock:
                yield
        finally:
            users.remove(me)
            if not users:
                self._locks.pop(conversation, None)


def _repeated(outcome: Optional[Text]) -> Dict[Text, Any]:
    if outcome is None:
        raise GivenUp("The hub has given this touchpoint up.")
    return {**json.loads(outcome), "repeated": True}


def _messages_after(tracker: DialogueStateTracker, touchpoint: Text) -> List[Dict[Text, Any]]:
    messages: List[Dict[Text, Any]] = []
    for event in reversed(list(tracker.events)):
        if isinstance(event, UserUttered) and event.message_id == touchpoint:
            break
        if isinstance(event, BotUttered) and (event.data or {}).get("custom"):
            messages.insert(0, event.data["custom"])
    return messages


def _unfinished(tracker: DialogueStateTracker) -> Optional[Dict[Text, Any]]:
    """Return what was said of a report that is neither sent nor dropped, so that it can go on elsewhere."""
    said = {name: tracker.get_slot(name) for name in REPORT_SLOTS}
    begun = any(value for name, value in said.items() if name != "photo")
    return {name: value for name, value in said.items() if value} if begun else None


def _named(intent: Text, confidence: float) -> Dict[Text, Any]:
    named = {INTENT_NAME_KEY: intent, PREDICTED_CONFIDENCE_KEY: confidence}
    return {"intent": named, "entities": [], "intent_ranking": [named]}
