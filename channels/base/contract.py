"""The contract of a channel: what comes in, what goes out, and what a channel must be able to do.

A channel knows its provider and nothing of the hub: it proves and parses requests, sends messages
and looks up what it is unsure about. Storing, ordering, retrying and deciding belong to the hub.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from channels.base.spend import SpendRules


class InboundKind(StrEnum):
    """What a resident did."""

    TEXT = "text"
    BUTTON = "button"  # payload: {"button": "<server-side id>"}
    PHOTO = "photo"
    VOICE = "voice"
    DOCUMENT = "document"
    LOCATION = "location"  # payload: {"latitude", "longitude", "label"?}
    CONTACT = "contact"  # payload: {"phone": "+353...", "own": bool}: proof only when own
    EDIT = "edit"  # payload: {"of": "<external message id>"}: a revision, never answered again
    OPT_OUT = "opt_out"  # the provider itself handled STOP: nothing may be sent back
    OPT_IN = "opt_in"
    REACHABLE = "reachable"  # payload: {"reachable": bool}: blocked or unblocked, never answered
    UNSUPPORTED = "unsupported"  # authentic but not understood: payload keeps it raw


@dataclass(frozen=True, slots=True)
class MediaRef:
    """Something the provider keeps for us to fetch later; `size` in bytes where the provider tells it."""

    ref: str
    kind: str  # photo, voice, document
    mime: str | None = None
    name: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One thing a resident did on one channel, as the provider told it.

    `external_id` is the provider's own id and the key of deduplication within (channel, account).
    `message_id` is the id that later edits and replies name; it may equal `external_id`.
    `language_hint` is the device's language as the provider writes it, such as "pt-br".
    """

    channel: str
    account: str
    external_id: str
    address: str
    kind: InboundKind
    text: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    media: tuple[MediaRef, ...] = ()
    message_id: str | None = None
    provider_time: datetime | None = None
    language_hint: str | None = None
    profile_name: str | None = None


class DeliveryState(StrEnum):
    """How far a message got; the rank never moves backwards."""

    QUEUED = "queued"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def rank(self) -> int:
        """Place in the order of progress: a receipt with a lower rank than the present one is old news."""
        return _RANK[self]


_RANK = {
    DeliveryState.QUEUED: 0,
    DeliveryState.SENDING: 1,
    DeliveryState.UNCERTAIN: 2,
    DeliveryState.SENT: 3,
    DeliveryState.FAILED: 4,
    DeliveryState.CANCELLED: 4,
    DeliveryState.DELIVERED: 5,
    DeliveryState.READ: 6,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider says about a message we sent.

    `delivery` is our own id, proved by a signature the channel checked; else `provider_id` finds it.
    `retry` goes with FAILED: the failure was the network's, the same message is worth another try.
    """

    channel: str
    account: str
    external_id: str
    state: DeliveryState
    provider_id: str | None = None
    delivery: str | None = None
    code: str | None = None
    reason: str | None = None
    unreachable: bool = False
    opted_out: bool = False
    alert: bool = False
    at: datetime | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Button:
    """A choice offered to a resident; `id` (at most 40 ASCII characters) means something only to the hub."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer comes from."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to send, its bytes already read."""

    name: str
    mime: str
    data: bytes


FILE_SECONDS = 5.0  # how much longer a send may take for each file that goes along


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message part on its way out; `delivery` is its id in our books and makes a resend harmless.

    `text` has passed through `Channel.split`. `possible_duplicate` says that an earlier try may have arrived.
    """

    delivery: str
    address: str
    text: str
    author: str = "bot"  # bot, agent, system
    touchpoint: str = ""
    buttons: tuple[Button, ...] = ()
    sources: tuple[Source, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    ask_contact: str | None = None  # the title of a button that shares the resident's own number
    language: str = "en"
    part: int = 1
    parts: int = 1
    possible_duplicate: bool = False
    first_tried_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it."""

    provider_id: str | None = None
    state: DeliveryState = DeliveryState.SENT
    segments: int = 1


class LookUp(StrEnum):
    """What a provider knows of a message whose sending we are unsure of."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    CANNOT = "cannot"  # the provider has no look-up: at most one resend, marked as a possible duplicate


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The outcome of a look-up, with the provider's id where it was found."""

    result: LookUp
    provider_id: str | None = None
    state: DeliveryState = DeliveryState.SENT


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A provider's HTTP request, read whole. Header names are lower case; `url` is what the client called."""

    endpoint: str  # the path's last segment: "webhook", "status"
    method: str
    url: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without its parameters, lower case."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Received:
    """Everything one request or one poll brought, and the body the provider expects back."""

    inbound: tuple[Inbound, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    body: str = ""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Media:
    """A fetched file; `mime` was read from its content, never from its name."""

    name: str
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that is made as it is read, piece by piece, and can be read once."""

    name: str
    mime: str
    pieces: Iterator[bytes]


class Channel(ABC):
    """One way for residents to write; constructed from settings, closed at the end."""

    name: ClassVar[str]
    endpoints: ClassVar[tuple[str, ...]] = ("webhook",)
    max_text: ClassVar[int] = 4000  # in the channel's own unit, see `split`
    has_buttons: ClassVar[bool] = False
    asks_contact: ClassVar[bool] = False  # True: it can ask for the resident's own number, and prove it
    uncertain_wait: ClassVar[float] = 0.0  # seconds to wait for a callback before looking a message up
    silence_is_final: ClassVar[bool] = False  # after an opt-out not even an answer may leave until the opt-in
    sends_files: ClassVar[bool] = False  # whether `Outbound.attachments` arrive as files
    sends_itself: ClassVar[bool] = False  # True: delivery is a row in our database (web chat, console)
    spend: SpendRules | None = None  # limits of a channel whose every message costs money

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Any) -> Channel | None:
        """The channel, or None without its variables; a wrong one raises ValueError with one sentence."""

    @property
    @abstractmethod
    def account(self) -> str:
        """The city's own identity on this channel: bot id, phone number, site."""

    def receive(self, request: WebhookRequest) -> Received:
        """Prove and parse a webhook; pure computing, no network. Raises NotAuthentic or Malformed."""
        raise NotImplementedError(f"{self.name} has no webhooks")

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The text in parts that the provider takes, broken at paragraph, then sentence, then word."""

    @abstractmethod
    async def send(self, message: Outbound) -> Sent:
        """Send one part. Raises TemporaryFailure, PermanentFailure or UncertainFailure."""

    async def look_up(self, message: Outbound) -> LookedUp:
        """Ask the provider whether this message ever left."""
        return LookedUp(LookUp.CANNOT)

    async def acknowledge(self, inbound: Inbound) -> None:
        """Tell the provider that a button press was seen (stops the spinner); failures are not fatal."""

    async def fetch(self, media: MediaRef) -> Media:
        """Fetch a file the provider keeps. Raises TemporaryFailure or PermanentFailure (too large, gone)."""
        raise NotImplementedError(f"{self.name} has no media")

    def polls(self) -> bool:
        """Whether this channel wants `poll` to run (instead of, or beside, its webhook)."""
        return False

    def poll(self, memory: Memory) -> AsyncIterator[Received]:
        """Bring what a webhook would have brought; the hub has stored one `Received` before it asks for more.

        One process of the whole system runs it at a time.
        """
        raise NotImplementedError(f"{self.name} does not poll")

    async def start(self) -> None:
        """Open connections, check credentials, register the webhook."""

    async def close(self) -> None:
        """Give everything back."""

    def gauges(self) -> Mapping[str, float]:
        """Figures about the provider's side for /metrics, such as pending updates."""
        return {}


class Memory(Protocol):
    """A few words a channel wants to remember between polls (an offset, a time), kept by the hub."""

    async def get(self, key: str) -> str | None:
        """The value last set, by any process."""

    async def set(self, key: str, value: str) -> None:
        """Keep a value durably."""


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """One line of a web-chat session as its resident sees it."""

    seq: int
    author: str  # citizen, bot, agent, system
    text: str
    sent_at: datetime
    buttons: tuple[Button, ...] = ()
    sources: tuple[Source, ...] = ()
    attachments: tuple[Mapping[str, Any], ...] = ()  # {"id", "name", "mime", "size"}
    client_id: str | None = None
    touchpoint: str = ""
    calls: tuple[str, ...] = ()  # the numbers it names for somebody in danger: it is to stand out


@dataclass(frozen=True, slots=True)
class Upload:
    """A file a resident sends along with a web-chat message."""

    name: str
    mime: str
    data: bytes


class ChatStore(Protocol):
    """What web chat needs of the hub; implemented there, so that the channel itself knows no database."""

    async def open_session(self, *, language: str | None, ip: str, shared: bool = False) -> tuple[str, str]:
        """A new session and its secret token, of which only the hash is kept.

        `shared` says that several people use the device: it is never joined with anybody's other chats.
        """

    async def session_of(self, token: str) -> str | None:
        """The session this token opens, or None."""

    async def ticket(self, session: str) -> str:
        """A one-use ticket (60 s) that opens a WebSocket without a token in the URL."""

    async def redeem(self, ticket: str) -> str | None:
        """The session of an unused, unexpired ticket, which is used up by this call; else None."""

    async def accept(self, inbound: Inbound, uploads: Sequence[Upload] = ()) -> int:
        """Store what the resident did and return its `seq`; the same client_id returns the same seq."""

    async def feed(self, session: str, after: int, limit: int = 100) -> list[FeedMessage]:
        """Messages with seq > after, oldest first."""

    async def wait(self, session: str, after: int, timeout: float) -> None:
        """Return when the session may have news after `after`, or after `timeout` seconds. A hint only."""

    async def typing(self, session: str) -> bool:
        """Whether an answer is being prepared."""

    async def attachment(self, session: str, attachment: str) -> Media | None:
        """A file of this very session, or None."""

    async def archive(self, session: str, attachment: str) -> Archive | None:
        """The copy of a resident's data that was asked for in this very session, once; else None."""
