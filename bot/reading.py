"""What the brain sees in a resident's turn before anyone answers it: its language, and how it is meant."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bot import danger, language, satisfaction
from bot.knowledge.embeddings import AsyncEmbedder, Embedder

# The hub waits 0.4 s. What is not read by then is missing; the language never is.
BUDGET_SECONDS = 0.25

# What a turn is beyond its language, before it is read.
UNREAD: dict[str, Any] = {"unhappy": None, "repeats": None, "danger": None}


class Reader:
    """Reads turns on a thread of its own, which an import that embeds a city's articles does not hold up."""

    def __init__(self) -> None:
        self._embedder = AsyncEmbedder(Embedder(satisfaction.MODEL))

    async def read(self, text: str, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return how a turn is meant: `unhappy`, `repeats`, `danger`."""
        vectors = await self._embedder.encode(satisfaction.words(text, history))
        felt = satisfaction.feeling(text, history, vectors)
        repeats = felt.repeats and {"turn": felt.repeats.turn, "similarity": felt.repeats.similarity}
        seen = danger.read(vectors[-1])
        return {
            "unhappy": round(felt.unhappy, 4),
            "repeats": repeats,
            "danger": seen and {"kind": str(seen.kind), "probability": round(seen.probability, 4)},
        }

    def close(self) -> None:
        """Let go of the thread."""
        self._embedder.close()


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
            meant = await asyncio.wait_for(reader.read(text, history), left)
        except TimeoutError:
            meant = UNREAD
    return {"language": spoken.language, "confidence": round(spoken.confidence, 4), **meant}
