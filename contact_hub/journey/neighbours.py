"""The two processes the journey asks: the brain (language, search) and Rasa (intent and dialogue)."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog

log = structlog.get_logger()

# The resident hears from us within 3 s: what Rasa has not answered by then is given up. A search
# begins beside a slow Rasa (see responding.py), so that it need not fit into what is left.
RASA_SECONDS = 2.1
READ_SECONDS = 0.4
SEARCH_SECONDS = 0.9


class NeighbourDown(Exception):
    """The other process is away, too slow, or failed; `late` means that it may still be at work on it."""

    def __init__(self, who: str, why: str, *, late: bool = False) -> None:
        super().__init__(f"{who}: {why}")
        self.who = who
        self.why = why
        self.late = late


@dataclass(frozen=True, slots=True)
class Reading:
    """What the brain sees in a turn before anyone answers it; None is what could not be read in time."""

    language: str
    confidence: float
    unhappy: float | None = None  # how likely it is dissatisfied
    repeats: tuple[int, float] | None = None  # the place in the history of what it asks again, and how alike
    danger: tuple[str, float] | None = None  # "emergency" or "self_harm", and how likely


@dataclass(frozen=True, slots=True)
class RasaTurn:
    """What Rasa made of a message."""

    intent: str | None
    confidence: float
    form: str | None
    messages: tuple[dict[str, Any], ...]
    repeated: bool = False
    unfinished: dict[str, Any] | None = None  # what was said so far of a report


@dataclass(frozen=True, slots=True)
class Question:
    """One message as Rasa gets it; `choice` comes only from a stored button."""

    conversation: uuid.UUID
    touchpoint: uuid.UUID
    text: str
    language: str
    choice: dict[str, Any] | None = None
    history: Sequence[dict[str, str]] = ()
    media: Sequence[dict[str, str]] = ()
    given_up: Sequence[str] = ()
    after: uuid.UUID | None = None  # what was said up to there a person has dealt with
    facts: dict[str, Any] = field(default_factory=dict)


class Neighbours:
    """HTTP to the brain and to Rasa over kept connections."""

    def __init__(self, *, brain_url: str, rasa_url: str, secret: str) -> None:
        self._urls = {"brain": brain_url.rstrip("/"), "rasa": rasa_url.rstrip("/")}
        self._headers = {"X-Internal-Secret": secret}
        self._session: aiohttp.ClientSession | None = None

    @property
    def _client(self) -> aiohttp.ClientSession:
        """Made on first use: it belongs to the loop that runs then."""
        if self._session is None:
            # Shorter than the 5 s after which the brain hangs up on an idle connection.
            connector = aiohttp.TCPConnector(limit_per_host=64, keepalive_timeout=4)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(sock_connect=0.5),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def read(self, text: str, hint: str | None, history: Sequence[dict[str, str]] = ()) -> Reading:
        """Language of a turn and how it is meant; raises NeighbourDown."""
        body = {"text": text, "hint": hint, "history": list(history)}
        found = await self._ask("brain", "/read", body, READ_SECONDS)
        try:
            language, confidence = str(found["language"]), float(found["confidence"])
        except (KeyError, TypeError, ValueError):
            raise NeighbourDown("brain", "its answer names no language") from None
        try:
            unhappy, repeats, danger = (found.get(name) for name in ("unhappy", "repeats", "danger"))
            return Reading(
                language,
                confidence,
                None if unhappy is None else float(unhappy),
                None if repeats is None else (int(repeats["turn"]), float(repeats["similarity"])),
                None if danger is None else (str(danger["kind"]), float(danger["probability"])),
            )
        except (KeyError, TypeError, ValueError):
            log.error("journey.reading_not_understood")
            return Reading(language, confidence)

    async def search(self, text: str, language: str, history: Sequence[dict[str, str]]) -> dict[str, Any]:
        """The brain's own answer without Rasa; raises NeighbourDown."""
        body = {"text": text, "language": language, "history": list(history), "k": 5}
        return await self._ask("brain", "/search", body, SEARCH_SECONDS)

    async def passages(self, articles: list[dict[str, Any]]) -> dict[str, Any]:
        """Articles cut into passages with their vectors, for an import; may take a minute."""
        return await self._ask("brain", "/passages", {"articles": articles}, 300)

    async def group(self, texts: Sequence[str]) -> list[list[int]]:
        """Which of the texts mean the same, as lists of their places; may take a minute. NeighbourDown."""
        found = await self._ask("brain", "/group", {"texts": list(texts)}, 120)
        try:
            groups = [[int(at) for at in group] for group in found["groups"]]
        except (KeyError, TypeError, ValueError):
            raise NeighbourDown("brain", "its answer holds no groups") from None
        if sorted(at for group in groups for at in group) != list(range(len(texts))):
            raise NeighbourDown("brain", "its groups are not of these texts")
        return groups

    async def turn(self, question: Question, *, seconds: float = RASA_SECONDS) -> RasaTurn:
        """One turn of the dialogue; raises NeighbourDown. Asking twice for a touchpoint is harmless."""
        body = {
            "conversation": str(question.conversation),
            "touchpoint": str(question.touchpoint),
            "text": question.text,
            "choice": question.choice,
            "language": question.language,
            "history": list(question.history),
            "media": list(question.media),
            "given_up": list(question.given_up),
            "after": None if question.after is None else str(question.after),
            "facts": question.facts,
        }
        found = await self._ask("rasa", "/webhooks/civicline/turn", body, seconds)
        messages = tuple(m for m in found.get("messages") or () if isinstance(m, dict))
        if not messages and not found.get("repeated"):
            # A failed action leaves Rasa answering "200 []": that is a failure, not silence.
            raise NeighbourDown("rasa", "answered nothing")
        intent = found.get("intent") or {}
        return RasaTurn(
            intent=intent.get("name"),
            confidence=float(intent.get("confidence") or 0.0),
            form=found.get("form"),
            messages=messages,
            repeated=bool(found.get("repeated")),
            unfinished=found.get("unfinished") if isinstance(found.get("unfinished"), dict) else None,
        )

    async def alive(self) -> dict[str, bool]:
        """Whether each neighbour says it is ready, for /readyz."""
        return {
            "brain": await self._ok("brain", "/healthz"),
            "rasa": await self._ok("rasa", "/webhooks/civicline/"),
        }

    async def health(self) -> dict[str, Any]:
        """What the brain says of itself; empty when it is away."""
        try:
            async with asyncio.timeout(2), self._client.get(f"{self._urls['brain']}/healthz") as answer:
                return dict(await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}

    async def _ask(self, who: str, path: str, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.post(f"{self._urls[who]}{path}", json=body, allow_redirects=False) as answer,
            ):
                status, words = answer.status, await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NeighbourDown(who, type(error).__name__) from None
        except TimeoutError:
            raise NeighbourDown(who, f"no answer in {seconds} s", late=True) from None
        except aiohttp.ClientError as error:
            raise NeighbourDown(who, type(error).__name__, late=True) from None
        if status != 200:
            raise NeighbourDown(who, f"HTTP {status}")
        try:
            found = json.loads(words)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NeighbourDown(who, "its answer is no JSON object")
        return found

    async def _ok(self, who: str, path: str) -> bool:
        try:
            async with asyncio.timeout(2), self._client.get(f"{self._urls[who]}{path}") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
