"""The two processes the journey asks: the brain (language, search) and Rasa (intent and dialogue)."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

# The resident hears from us within 3 s: what Rasa has not answered by then is given up. A search
# begins beside a slow Rasa (see steps.py), so that it need not fit into what is left.
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
    """What the brain sees in a text before anyone answers it."""

    language: str
    confidence: float


@dataclass(frozen=True, slots=True)
class RasaTurn:
    """What Rasa made of a message."""

    intent: str | None
    confidence: float
    form: str | None
    messages: tuple[dict[str, Any], ...]
    repeated: bool = False


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
    facts: dict[str, Any] = field(default_factory=dict)


class Neighbours:
    """HTTP to the brain and to Rasa over kept connections."""

    def __init__(self, *, brain_url: str, rasa_url: str, secret: str) -> None:
        headers = {"X-Internal-Secret": secret}
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=30)
        tls = _tls()
        self._brain, self._rasa = (
            httpx.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False, verify=tls)
            for url in (brain_url, rasa_url)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._brain.aclose()
        await self._rasa.aclose()

    async def read(self, text: str, hint: str | None) -> Reading:
        """Language of a text; raises NeighbourDown."""
        found = await self._ask(self._brain, "brain", "/read", {"text": text, "hint": hint}, READ_SECONDS)
        try:
            return Reading(str(found["language"]), float(found["confidence"]))
        except (KeyError, TypeError, ValueError):
            raise NeighbourDown("brain", "its answer names no language") from None

    async def search(self, text: str, language: str, history: Sequence[dict[str, str]]) -> dict[str, Any]:
        """The brain's own answer without Rasa; raises NeighbourDown."""
        body = {"text": text, "language": language, "history": list(history), "k": 5}
        return await self._ask(self._brain, "brain", "/search", body, SEARCH_SECONDS)

    async def passages(self, articles: list[dict[str, Any]]) -> dict[str, Any]:
        """Articles cut into passages with their vectors, for an import; may take a minute."""
        return await self._ask(self._brain, "brain", "/passages", {"articles": articles}, 300)

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
            "facts": question.facts,
        }
        found = await self._ask(self._rasa, "rasa", "/webhooks/civicline/turn", body, seconds)
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
        )

    async def alive(self) -> dict[str, bool]:
        """Whether each neighbour says it is ready, for /readyz."""
        return {
            "brain": await _ok(self._brain, "/healthz"),
            "rasa": await _ok(self._rasa, "/webhooks/civicline/"),
        }

    async def health(self) -> dict[str, Any]:
        """What the brain says of itself; empty when it is away."""
        try:
            return dict((await self._brain.get("/healthz", timeout=2)).json())
        except (httpx.HTTPError, ValueError):
            return {}

    async def _ask(
        self, client: httpx.AsyncClient, who: str, path: str, body: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                answer = await client.post(path, json=body, timeout=httpx.Timeout(None, connect=0.5))
        except TimeoutError:
            raise NeighbourDown(who, f"no answer in {seconds} s", late=True) from None
        except (httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            raise NeighbourDown(who, type(error).__name__, late=True) from None
        except httpx.HTTPError as error:
            raise NeighbourDown(who, type(error).__name__) from None
        if answer.status_code != 200:
            raise NeighbourDown(who, f"HTTP {answer.status_code}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NeighbourDown(who, "its answer is no JSON object")
        return found


@cache
def _tls() -> ssl.SSLContext:
    """Reading the authorities' certificates takes 50 ms, once."""
    return httpx.create_ssl_context()


async def _ok(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path, timeout=2)).status_code == 200
    except httpx.HTTPError:
        return False
