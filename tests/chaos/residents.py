"""Residents for the chaos test: they talk or fill in a report, and behave as real clients and providers do.

The web chat's client posts again with the same client_id until it hears 202 and reads its feed by
long polling. Telegram's fake delivers again until 2xx, in order. Twilio's gives up after 15 seconds;
what it could not deliver stands in its list until the city asks for it.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from channels.base.gsm7 import economical
from contact_hub.city import City
from tests.chaos.watch import Watch
from tests.whole import WholeLine

PATIENCE = 240.0  # seconds until a resident gives up on an answer: longer than any restart takes
MOST_OPENINGS = 6  # how often a resident begins the report before they leave it

QUESTIONS = (
    "When is my recycling collected?",
    "How do I get a parking permit?",
    "Where can I get a library card?",
    "How do I register to vote?",
    "What are the opening hours of the swimming pool?",
    "How do I pay my council tax?",
    "How do I get a birth certificate?",
    "Where is the recycling centre?",
    "How can I contest a parking fine?",
    "How do I apply for a building permit?",
)
OPENING = "I want to report a pothole"


class Ended(StrEnum):
    """How a conversation ended, as its resident sees it."""

    TALKED = "talked"
    REPORTED = "reported"
    HANDED_OVER = "handed over"
    LEFT = "left"  # after too many attempts
    UNHEARD = "unheard"  # nothing came back in time


@dataclass(frozen=True)
class Sentences:
    """What the bot says at the points a resident reacts to, as every channel spells it."""

    place: str
    description: str
    photo: str
    category: str
    done: str
    person: tuple[str, ...]

    @classmethod
    def of(cls, city: City) -> Sentences:
        """Read them from the city's words."""

        def said(key: str) -> str:
            return plain(city.say(key, "en"))

        return cls(
            said("report_ask_place"),
            said("report_ask_description"),
            said("report_ask_photo"),
            said("report_ask_category"),
            said("report_done").partition("{")[0].strip(),
            (
                said("assistant_down_handoff"),
                said("handed_off").partition("{")[0].strip(),
                said("handed_off_closed").partition("{")[0].strip(),
                said("technical_problem").partition("{")[0].strip(),
            ),
        )


def plain(words: str) -> str:
    """Words without what a channel may change about them."""
    return " ".join(economical(words).split())


@dataclass
class Resident(ABC):
    """One conversation's resident: what they will say, what they said and what they heard."""

    number: int
    line: WholeLine
    watch: Watch
    sentences: Sentences
    reports: bool
    thinks: tuple[float, float]  # seconds between hearing and writing
    channel: str = ""
    address: str = ""
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    ended: Ended | None = None
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.chance.seed(self.number)
        self._read = 0

    @property
    def place(self) -> str:
        """Where this resident's pothole is; nobody else's is there."""
        return f"{self.number + 1} Mill Lane beside oak number {self.number + 1:04}"

    @property
    def description(self) -> str:
        """What they say about it."""
        return f"The hole beside oak {self.number + 1:04} is as deep as a bucket."

    async def live(self) -> None:
        """Have the whole conversation."""
        await self.arrive()
        if self.reports:
            await self._report()
        else:
            await self._talk()
        await self.leave()

    async def _talk(self) -> None:
        """Ask four questions; some residents do not wait for an answer before the next."""
        first = self.chance.randrange(len(QUESTIONS))
        hasty = self.number % 4 == 0 and self.channel != "sms"  # Twilio promises no order within a second
        questions = [QUESTIONS[(first + step) % len(QUESTIONS)] for step in range(4)]
        for step, question in enumerate(questions):
            await self._thinks()
            heard = await self._asks(question, wait=not hasty or step == len(questions) - 1)
            if heard is None:
                self.ended = Ended.UNHEARD
                return
        self.ended = Ended.HANDED_OVER if self._has_a_person() else Ended.TALKED

    async def _report(self) -> None:
        """Answer whatever the form asks; half of the residents ask something else in the middle."""
        words, openings, aside = OPENING, 1, self.number % 2 == 0
        while True:
            await self._thinks()
            heard = await self._asks(words)
            if heard is None:
                self.ended = Ended.UNHEARD
                return
            if self._has_a_person():
                self.ended = Ended.HANDED_OVER
                return
            if self.sentences.done in heard:
                self.ended = Ended.REPORTED
                return
            if self.sentences.photo in heard:
                words = "no photo"
            elif self.sentences.description in heard:
                words, aside = (QUESTIONS[0], False) if aside else (self.description, aside)
            elif self.sentences.place in heard:
                words = self.place
            elif self.sentences.category in heard:
                words = "pothole"
            elif openings == MOST_OPENINGS:
                self.ended = Ended.LEFT
                return
            else:
                words, openings = OPENING, openings + 1

    def _has_a_person(self) -> bool:
        everything = plain(" ".join(self.heard))
        return any(sentence in everything for sentence in self.sentences.person)

    async def _thinks(self) -> None:
        await asyncio.sleep(self.chance.uniform(*self.thinks))

    async def _asks(self, words: str, *, wait: bool = True) -> str | None:
        """Write; give what came back when the city has done with it, None when nothing did in time."""
        self.said.append(words)
        await self.writes(words)
        if not wait:
            return ""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.watch.done_with(self.address, len(self.said))
                await self.reads()
        except TimeoutError:
            return None
        heard, self._read = self.heard[self._read :], len(self.heard)
        return plain(" ".join(heard))

    async def arrive(self) -> None:
        """Be somebody with an address."""

    async def leave(self) -> None:
        """Go, having read everything."""
        await self.reads()

    @abstractmethod
    async def writes(self, words: str) -> None:
        """Hand a message to the provider."""

    @abstractmethod
    async def reads(self) -> None:
        """Bring `heard` up to date."""


@dataclass
class OnTheWeb(Resident):
    """A browser with the chat in it."""

    http: httpx.AsyncClient = field(kw_only=True)
    seqs: list[int] = field(default_factory=list)
    own_seqs: list[int] = field(default_factory=list)
    _token: str = ""

    async def arrive(self) -> None:
        """Open a session."""
        self.channel = "web_chat"
        made = (await self._stubbornly("POST", "/channels/web_chat/sessions", json={})).json()
        self.address, self._token = made["session"], made["token"]
        self.watch.follow(self.address)

    async def writes(self, words: str) -> None:
        """Post, again and again with the same client_id, until it is taken."""
        message = {"text": words, "client_id": uuid.uuid4().hex}
        taken = await self._stubbornly("POST", "/channels/web_chat/messages", json=message)
        self.own_seqs.append(int(taken.json()["seq"]))

    async def reads(self) -> None:
        """Read the feed on from the last line."""
        while True:
            after = self.seqs[-1] if self.seqs else 0
            got = await self._stubbornly("GET", "/channels/web_chat/messages", params={"after": after})
            page = got.json()["messages"]
            if not page:
                return
            self.seqs += [message["seq"] for message in page]
            self.heard += [message["text"] for message in page if message["from"] != "citizen"]

    async def _stubbornly(self, method: str, path: str, **more: object) -> httpx.Response:
        pause = 0.2
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
                answer = await self.http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]
                if answer.is_success:
                    return answer
                if answer.status_code not in {429, 503}:
                    raise AssertionError(f"the web chat said {answer.status_code}: {answer.text[:200]}")
                pause = float(answer.headers.get("retry-after", pause))
            except httpx.HTTPError:
                pause = min(pause * 1.5, 3.0)
            await asyncio.sleep(pause * self.chance.uniform(0.7, 1.3))


@dataclass
class OnTelegram(Resident):
    """A chat with the bot."""

    async def arrive(self) -> None:
        """Have a chat's number."""
        self.channel, self.address = "telegram", str(70_000_000 + self.number)
        self.watch.follow(self.address)

    async def writes(self, words: str) -> None:
        """Hand it to Telegram, which delivers it until it is taken."""
        await asyncio.to_thread(self.line.telegram.says, int(self.address), words)

    async def reads(self) -> None:
        """Look at the chat."""
        self.heard = self.watch.telegram(self.address)


@dataclass
class BySms(Resident):
    """A mobile phone."""

    async def arrive(self) -> None:
        """Have a number."""
        self.channel, self.address = "sms", f"+1555{7_000_000 + self.number}"
        self.watch.follow(self.address)

    async def writes(self, words: str) -> None:
        """Hand it to Twilio."""
        await asyncio.to_thread(self.line.twilio.text, self.address, words)

    async def reads(self) -> None:
        """Look at the phone."""
        self.heard = self.watch.sms(self.address)
