"""One message's way through the journey: what is known of it, and what shall come of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from contact_hub.flags.service import Earlier, Raised
from contact_hub.flags.signals import Contact
from contact_hub.journey.neighbours import RasaTurn, Reading
from contact_hub.privacy.consent import Decision, Purpose
from contact_hub.privacy.masking import Kind
from contact_hub.timeline.models import Outcome
from contact_hub.timeline.service import Said


class Step(StrEnum):
    """The named outcome of the step that decided a turn; kept with the inbound and shown in metrics."""

    OPTED_OUT = "opted_out"
    OPTED_IN = "opted_in"
    SILENT = "silent"
    PROVIDER_HELP = "provider_help"
    REACHABILITY_NOTED = "reachability_noted"
    EDIT_NOTED = "edit_noted"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    EMOJI_ONLY = "emoji_only"
    UNSUPPORTED = "unsupported"
    MEDIA_REFUSED = "media_refused"
    EMERGENCY = "emergency"
    SELF_HARM = "self_harm"
    STALE_BUTTON = "stale_button"
    CODE_SENT = "code_sent"
    CONTACT_SHARED = "contact_shared"
    UNLINKED = "unlinked"
    RATED_HELPFUL = "rated_helpful"
    RATED_UNHELPFUL = "rated_unhelpful"
    RATED = "rated"
    COMMENTED = "commented"
    TERMS_CHANGED = "terms_changed"
    TERMS_SHOWN = "terms_shown"
    WARNED = "warned"
    REMOVED = "removed"
    HELD_BY_PERSON = "held_by_person"
    ANSWERED = "answered"
    CLARIFIED = "clarified"
    REFUSED = "refused"
    TOPIC_OFF = "topic_off"
    BOT_OFF = "bot_off"
    FORM = "form"
    REPORTED = "reported"
    ERASURE_CONFIRMED = "erasure_confirmed"
    SAID = "said"
    HANDED_OFF = "handed_off"
    SEARCHED_WITHOUT_RASA = "searched_without_rasa"
    DEAD_LETTERED = "dead_lettered"


@dataclass(frozen=True, slots=True)
class Choice:
    """A button to offer: its label and what pressing it means, which never leaves the hub."""

    title: str
    meaning: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What a resident decided about a purpose."""

    purpose: Purpose
    decision: Decision


HIDDEN = "••••••"  # in the history, for what only the resident may read


@dataclass(slots=True)
class Reply:
    """One message to the resident, ready to be written to the history and sent."""

    words: str
    author: str = "bot"
    choices: list[Choice] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    say: str | None = None
    ask_contact: str | None = None  # the title of Telegram's own button for sharing one's number
    touchpoint_id: uuid.UUID | None = None  # where it was decided before the message was written
    copy: uuid.UUID | None = None  # a copy of their data, to be fetched from the feed
    files: list[uuid.UUID] = field(default_factory=list)  # kept under `touchpoint_id` already
    by: str | None = None  # which person said it
    kept: str | None = None  # what the history has in its place, where with it others could act for them


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with the message, already fetched (`data`) or already kept (`file_id`)."""

    kind: str
    name: str
    mime: str
    file_id: uuid.UUID
    data: bytes | None = None


@dataclass(slots=True)
class LeftOpen:
    """What a resident left open last time, and in which conversation."""

    report: dict[str, Any] | None = None  # what was said of it
    report_in: uuid.UUID | None = None
    question: str | None = None
    question_in: uuid.UUID | None = None
    question_offered: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """What came before a turn, as far as it says how its resident feels."""

    said: Sequence[Said] = ()  # in this conversation, oldest first
    earlier: Sequence[Earlier] = ()  # flags of this conversation
    contacts: Sequence[Contact] = ()  # of the last weeks, on all channels
    read_from: uuid.UUID | None = None  # what is older than this touchpoint raises no flag any more
    department: str | None = None  # whose matter the conversation was so far


@dataclass(frozen=True, slots=True)
class Survey:
    """A question that was asked here about a conversation, and what we said last."""

    rating_id: uuid.UUID
    conversation_id: uuid.UUID
    state: str
    asked_at: datetime
    rated_at: datetime | None
    commented: bool
    last_said: str | None


@dataclass(slots=True)
class Turn:
    """A message on its way. Steps read and extend it; `effects.apply` makes it true in one transaction."""

    # what came
    touchpoint_id: uuid.UUID
    conversation_id: uuid.UUID
    address_id: uuid.UUID
    citizen_id: uuid.UUID
    channel: str
    account: str
    address: str
    kind: str
    text: str
    payload: dict[str, Any]
    received_at: datetime
    attempts: int
    # the conversation as it was when the turn began
    state: str
    epoch: int
    language: str
    language_known: bool
    language_fixed: bool
    form: str | None
    given_up: list[str]
    read_from: uuid.UUID | None  # what was said up to there a person has dealt with
    history: list[dict[str, str]]
    suppressed: bool
    off: frozenset[str] = frozenset()  # the topics about which the bot is switched off
    written_in: str | None = None  # the language the message was filed under as it came
    informed: bool = True  # whether the privacy notice, as it is now, was shown
    facts: dict[str, Any] = field(default_factory=dict)
    named: bool = False  # whether the city knows what their account is called
    name: str | None = None  # of a resident who returns, where it is known and may be used
    left_open: LeftOpen | None = None
    survey: Survey | None = None
    past: Past = field(default_factory=Past)
    album_answered: bool = False  # it is a picture of an album that has its answer
    just_said: str | None = None  # to a file like this one, a moment ago
    choice: dict[str, Any] | None = None
    note: dict[str, Any] = field(default_factory=dict)
    # what shall come of it
    step: Step | None = None
    replies: list[Reply] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    reading: Reading | None = None  # None where nothing was read, or the brain was away
    rasa: RasaTurn | None = None
    fallback: dict[str, Any] | None = None  # what a search found while Rasa was slow
    give_up: bool = False
    flag: Raised | None = None
    handoff: str | None = None
    urgent: bool = False
    report: dict[str, Any] | None = None
    new_language: str | None = None
    fix_language: bool = False
    suppress: bool | None = None
    reachable: bool | None = None
    helpful: tuple[uuid.UUID, bool] | None = None
    rated: tuple[uuid.UUID, int] | None = None  # a rating they were asked for, and the score
    comments: uuid.UUID | None = None  # the rating that their words are about
    asks_about: uuid.UUID | None = None  # the conversation that may be asked about now
    of_survey: bool = False  # it answers a question of ours, and is no contact of theirs
    wants_copy: bool = False  # of their data
    erase: bool | None = None  # what they answered to whether they want to be erased
    wants_code: bool = False  # to link another address with this one
    code: str | None = None  # that the resident was given at another address
    contact: str | None = None  # the resident's own number, as Telegram proves it
    unlink: uuid.UUID | None = None  # the merge that the resident says was not them
    tickets: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    show_terms: bool = False
    sensitive: frozenset[Kind] = frozenset()  # what was masked in `text`
    remove: uuid.UUID | None = None  # the message whose private numbers shall go

    @property
    def outcome(self) -> Outcome:
        """How the inbound ends."""
        if self.handoff or self.step in {Step.HELD_BY_PERSON, Step.HANDED_OFF}:
            return Outcome.HANDED_OFF
        if self.step is Step.DEAD_LETTERED:
            return Outcome.DEAD_LETTERED
        return Outcome.ANSWERED if self.replies else Outcome.SUPPRESSED
