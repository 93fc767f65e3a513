"""Asks the brain for sentence vectors.

A turn fetches its vector ahead, while the tracker is being read, so that Rasa's
synchronous pipeline finds it in the cache and never waits for the network.
"""

from __future__ import annotations

import base64
import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Optional

import aiohttp
import numpy as np
import requests

from components.settings import from_environment

logger = logging.getLogger(__name__)

# The hub waits three seconds for a whole turn; a brain that takes longer than this
# for one sentence counts as away and the classical features take over.
TIMEOUT_SECONDS = 0.8
TRAINING_TIMEOUT_SECONDS = 120.0
# Small, so that a busy brain answers each well within the timeout.
BATCH = 16
CACHED_TEXTS = 2_000


class BrainAway(RuntimeError):
    """The brain did not answer, or answered something else than vectors."""


class WrongModel(RuntimeError):
    """The brain embeds with another model than the one the intents were trained with."""


class Brain:
    """The brain's `/embed`, with one session and a cache of the sentences seen lately."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.expected: Optional[str] = None
        self.seen: Optional[str] = None
        self._headers = {"X-Internal-Secret": secret}
        self._session = requests.Session()
        self._session.headers.update(self._headers)
        self._async_session: Optional[aiohttp.ClientSession] = None
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()

    def embed(self, texts: Sequence[str], timeout: float = TRAINING_TIMEOUT_SECONDS) -> np.ndarray:
        """Return one float32 row per text; raises BrainAway or WrongModel."""
        rows = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            try:
                response = self._session.post(
                    f"{self.url}/embed", json={"texts": batch, "ours": True}, timeout=timeout
                )
                response.raise_for_status()
                answer = response.json()
            except (requests.RequestException, ValueError) as error:
                raise BrainAway(
                    f"The brain at {self.url} does not answer: {type(error).__name__}."
                ) from error
            rows.append(self._rows(answer, len(batch)))
        return np.vstack(rows)

    async def fetch(self, text: str) -> None:
        """Put the vector of a text into the cache; a brain that is away is no error here."""
        if not text.strip() or text in self._cache:
            return
        if self._async_session is None:
            self._async_session = aiohttp.ClientSession(
                headers=self._headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            )
        try:
            async with self._async_session.post(f"{self.url}/embed", json={"texts": [text]}) as response:
                response.raise_for_status()
                self._keep(text, self._rows(await response.json(), 1)[0])
        except (aiohttp.ClientError, OSError, ValueError, BrainAway, WrongModel, TimeoutError) as error:
            logger.warning("brain_away: %s", type(error).__name__)
        except Exception as error:  # asyncio.TimeoutError is no TimeoutError before Python 3.11
            if type(error).__name__ != "TimeoutError":
                raise
            logger.warning("brain_away: timeout")

    def vector(self, text: str) -> Optional[np.ndarray]:
        """Return the cached vector of a text, or None where the brain did not give one."""
        if text in self._cache:
            self._cache.move_to_end(text)
        return self._cache.get(text)

    def fingerprint(self, timeout: float = TRAINING_TIMEOUT_SECONDS) -> str:
        """Return the name of the embedding model that the brain uses now."""
        self.embed(["fingerprint"], timeout=timeout)
        assert self.seen is not None
        return self.seen

    async def close(self) -> None:
        """Close the connections."""
        self._session.close()
        if self._async_session is not None:
            await self._async_session.close()

    def _keep(self, text: str, row: np.ndarray) -> None:
        self._cache[text] = row
        while len(self._cache) > CACHED_TEXTS:
            self._cache.popitem(last=False)

    def _rows(self, answer: Any, count: int) -> np.ndarray:
        try:
            self.seen = str(answer["fingerprint"])
            flat = np.frombuffer(base64.b64decode(answer["vectors"]), dtype="<f4")
            rows = flat.reshape(count, int(answer["dimensions"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BrainAway(f"The brain at {self.url} answered something else than vectors.") from error
        if self.expected is not None and self.seen != self.expected:
            raise WrongModel(
                f"The brain embeds with {self.seen} but the intents were trained with {self.expected}: "
                "run `civicline train`."
            )
        return rows


@lru_cache(maxsize=1)
def brain() -> Brain:
    """Return this process's one connection to the brain."""
    settings = from_environment()
    return Brain(settings.brain_url, settings.secret)
