"""What the brain sees in a resident's turn before anyone answers it: its language, and how it is meant."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bot import classifier, danger, language, satisfaction
from bot.knowledge.embeddings import AsyncEmbedder, Embedder, Vector

# The hub waits 0.4 s. What is not read by then is missing; the language never is.
BUDGET_SECONDS = 0.25

# What a turn is beyond its language, before it is read.
UNREAD: dict[str, Any] = {"unhappy": None, "repeats": None, "danger": None}


class Reader:
    """Reads turns on threads of its own, which an import that embeds a city's articles does not hold up."""

    def __init__(self) -> None:
        self._embedder = AsyncEmbedder(Embedder(satisfaction.MODEL))
        self._second = AsyncEmbedder(Embedder(danger.SECOND_MODEL))
        self._detector = danger.detector()

    async def read(self, text: str, history: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
        """Return how a turn is meant: `unhappy`, `repeats`, `danger`.

        Raises TimeoutError where it takes longer than so many seconds. A second look at danger that
        would come too late is done without.
        """
        async with asyncio.timeout(seconds) as limit:
            vectors = await self._embedder.encode(satisfaction.words(text, history))
        felt = satisfaction.feeling(text, history, vectors)
        repeats = felt.repeats and {"turn": felt.repeats.turn, "similarity": felt.repeats.similarity}
        seen = await self._danger(text, vectors[-1], limit.when())
        return {
            "unhappy": round(felt.unhappy, 4),
            "repeats": repeats,
            "danger": seen and {"kind": str(seen.kind), "probability": round(seen.probability, 4)},
        }

    async def _danger(self, text: str, vector: Vector, until: float | None) -> danger.Danger | None:
        first = self._detector.look(text, vector)
        if not self._detector.doubts(first):
            return None
        try:
            async with asyncio.timeout_at(until):
                again = await self._second.encode([text[: classifier.LONGEST_TEXT]])
        except TimeoutError:
            return self._detector.at_first_sight(first)
        return self._detector.found(self._detector.look_again(first, again[0]))

    def close(self) -> None:
        """Let go of the threads."""
        self._embedder.close()
        self._second.close()


async def read(
    reader: Reader | None, text: str, hint: str | None, history: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the language of a turn, and how it is meant as far as that can be told in time."""
    started = time.monotonic()
    spoken = language.read(text, hint)
    meant = UNREAD
    if reader is not None and text.strip():
        left = BUDGET_SECONDS - (time.monotonic() - started)
        try:
            meant = await reader.read(text, history, left)
        except TimeoutError:
            meant = UNREAD
    return {"language": spoken.language, "confidence": round(spoken.confidence, 4), **meant}
