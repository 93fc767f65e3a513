"""Which kind of problem a text is about: by the city's words first, then by meaning."""

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bot.actions.words import UNSPACED, plain

Embed = Callable[[Sequence[str]], Awaitable[Any]]

OTHER = "other"
# Cosines of the multilingual sentence encoder. A nonsense word may lie as near to a kind
# as a description of it does, but then it lies as near to others.
SURE_IN_ANSWER = 0.45
SURE_IN_SENTENCE = 0.50
AHEAD = 0.08


@dataclass
class Kinds:
    """The city's kinds of problem, with the words residents use for them in every language."""

    words: dict[str, list[str]]
    embed: Embed | None = None
    _patterns: list[tuple[re.Pattern[str] | str, str, int]] = field(default_factory=list)
    _vectors: Any = None
    _owners: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, city: Path, embed: Embed | None) -> "Kinds":
        """Return the kinds that city.yml lists."""
        listed = yaml.safe_load((city / "city.yml").read_text(encoding="utf-8"))["report_categories"]
        words = {}
        for kind in listed:
            examples = [word for language in (kind.get("examples") or {}).values() for word in language]
            names = list((kind.get("names") or {}).values())
            words[str(kind["key"])] = list(dict.fromkeys(str(word) for word in [*names, *examples]))
        made = cls(words, embed)
        made._compile()
        return made

    def _compile(self) -> None:
        for kind, words in self.words.items():
            for word in {plain(word) for word in words}:
                if UNSPACED.search(word):
                    self._patterns.append((word, kind, len(word) * 3))
                else:
                    # A plural or a case ending may follow: two letters, where the word is long enough.
                    ending = r"\w{0,2}" if len(word) > 3 else ""
                    self._patterns.append(
                        (re.compile(rf"(?<!\w){re.escape(word)}{ending}(?!\w)"), kind, len(word))
                    )

    def by_words(self, text: str) -> str | None:
        """Return the kind whose longest word the text holds."""
        said = plain(text)
        best: tuple[int, str] | None = None
        for pattern, kind, length in self._patterns:
            held = pattern in said if isinstance(pattern, str) else pattern.search(said)
            if held and kind != OTHER and (best is None or length > best[0]):
                best = (length, kind)
        if best is None and any(plain(word) == said for word in self.words.get(OTHER, [])):
            return OTHER
        return best[1] if best else None

    async def find(self, text: str, sure: float) -> str | None:
        """Return the kind a text is about, or None where neither words nor meaning are clear."""
        return self.by_words(text) or await self._by_meaning(text, sure)

    async def nearest(self, text: str, count: int) -> list[str]:
        """Return the kinds nearest in meaning, to choose from."""
        scores = await self._scores(text)
        return sorted((kind for kind in scores if kind != OTHER), key=lambda kind: -scores[kind])[:count]

    async def warm(self, folder: Path, fingerprint: str) -> None:
        """Embed the words once per city and model; until that is done, kinds are known by words alone."""
        if self.embed is None:
            return
        owners = [(kind, word) for kind, words in self.words.items() for word in words]
        digest = hashlib.sha256(json.dumps([fingerprint, owners]).encode()).hexdigest()[:16]
        file = folder / f"kinds-{digest}.npy"
        try:
            vectors = np.load(file)
        except (OSError, ValueError):
            vectors = np.asarray(await self.embed([word for _, word in owners]))
            await asyncio.to_thread(_keep, file, vectors)
        self._owners, self._vectors = [kind for kind, _ in owners], vectors

    async def _by_meaning(self, text: str, sure: float) -> str | None:
        scores = await self._scores(text)
        ranked = sorted(((score, kind) for kind, score in scores.items() if kind != OTHER), reverse=True)
        if len(ranked) < 2 or ranked[0][0] < sure or ranked[0][0] - ranked[1][0] < AHEAD:
            return None
        return ranked[0][1]

    async def _scores(self, text: str) -> dict[str, float]:
        if self.embed is None or self._vectors is None or not text.strip():
            return dict.fromkeys(self.words, 0.0)
        said = np.asarray(await self.embed([text]))[0]
        best: dict[str, float] = {}
        for kind, cosine in zip(self._owners, self._vectors @ said, strict=True):
            best[kind] = max(best.get(kind, -1.0), float(cosine))
        return best


def _keep(file: Path, vectors: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob("kinds-*.npy"):
        old.unlink(missing_ok=True)
    np.save(file, vectors)
