"""The load: so many residents at once, each turn waiting for its answer, a new sender every ten turns.

A sender never writes faster than the web chat lets a session write (five messages in any five
seconds). A resident whose sender has to pause goes on as another one, so that the number of turns
under way stays the same; both sides of a comparison are driven by exactly this code.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BURST, WINDOW = 5, 5.2  # messages, seconds: a little more than the web chat's own five


class NoReply(Exception):
    """A turn that was not answered, with the reason."""


class Sender(Protocol):
    """Someone who writes to a bot."""

    async def say(self, words: str) -> None:
        """Send words and return when the bot's answer is here; raises NoReply."""


class Bot(Protocol):
    """A bot under load."""

    async def new_sender(self) -> Sender:
        """Someone the bot has not heard of."""


@dataclass
class Visit:
    """One sender with what is left of the conversation, and when it last wrote."""

    sender: Sender
    lines: deque[str]
    written: deque[float] = field(default_factory=lambda: deque(maxlen=BURST))

    def may_write(self) -> bool:
        """Whether the web chat would take another message now."""
        return len(self.written) < BURST or time.monotonic() - self.written[0] > WINDOW


@dataclass
class Phase:
    """What happened between the first message of a phase and its last answer."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def turns_per_second(self) -> float:
        """Answered turns a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class Crowd:
    """The residents of one bot; they keep their conversations from one phase to the next."""

    def __init__(self, bot: Bot, conversation: Callable[[int], Sequence[str]]) -> None:
        """Remember the bot and what its n-th sender has to say."""
        self._bot = bot
        self._conversation = conversation
        self._places: dict[int, deque[Visit]] = {}
        self.senders = 0

    async def talk(self, residents: int, seconds: float) -> Phase:
        """Let so many residents talk at once for a while; turns that have begun are waited for."""
        phase = Phase()
        began = time.monotonic()
        await asyncio.gather(
            *(self._one(place, began + seconds, phase) for place in range(residents)),
        )
        phase.seconds = time.monotonic() - began
        return phase

    async def _one(self, place: int, until: float, phase: Phase) -> None:
        visits = self._places.setdefault(place, deque())
        while time.monotonic() < until:
            visit = next((visit for visit in visits if visit.may_write()), None)
            if visit is None:
                lines = deque(self._conversation(self.senders))
                self.senders += 1
                visit = Visit(await self._bot.new_sender(), lines)
                visits.append(visit)
            words = visit.lines.popleft()
            if not visit.lines:
                visits.remove(visit)
            visit.written.append(time.monotonic())
            began = time.perf_counter()
            try:
                await visit.sender.say(words)
            except (NoReply, TimeoutError, OSError) as error:
                phase.failures.append(f"{type(error).__name__}: {error}")
                if visit in visits:
                    visits.remove(visit)  # whoever is not answered leaves
            else:
                phase.latencies.append(time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
