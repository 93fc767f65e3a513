"""What small classifiers of a turn are made of: a network on its sentence vector, and a look at its letters.

A sentence vector knows what a turn means, in languages too that nobody taught; its letters know the
very words that were taught, where vectors blur ("gas", "bill"). Both are numbers in a JSON file, a
byte each, read by numpy alone. `bot/evaluate/classifiers.py` makes them.
"""

import base64
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bot.knowledge.embeddings import Vector

# Runs of letters of one to this many, within a word and the spaces around it, and pairs of words.
LONGEST_RUN = 6
# Runs are not stored: each counts at the place that its checksum gives, of so many.
PLACES = 2**16
# How much of a text is looked at.
LONGEST_TEXT = 1_000

Numbers = np.ndarray[Any, np.dtype[np.float32]]

_BARE: dict[str, str | int | None] = {"ł": "l", "ı": "i", "'": None, "’": None}


def hurried(text: str) -> str:
    """Return a text as people in a hurry type it: small letters, no accents, no apostrophes."""
    kept = (c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return "".join(kept).translate(str.maketrans(_BARE))


def places(text: str) -> list[int]:
    """Return the place of each run of letters and pair of words in a text, each once, in order."""
    words = hurried(text[:LONGEST_TEXT]).split()
    runs = {f"{one}_{next_one}" for one, next_one in pairwise(words)}
    for word in words:
        framed = f" {word} "
        for length in range(1, LONGEST_RUN + 1):
            runs.update(framed[at : at + length] for at in range(len(framed) - length + 1))
    return sorted({zlib.crc32(run.encode()) % PLACES for run in runs})


@dataclass(frozen=True)
class Letters:
    """A weight for each place; what a text scores is their sum over the root of how many places it has."""

    weights: Numbers

    def score(self, text: str) -> float:
        """Return what the letters of a text say; 0 is undecided."""
        found = places(text)
        return float(self.weights[found].sum() / np.sqrt(len(found))) if found else 0.0

    @classmethod
    def stored(cls, words: Mapping[str, Any]) -> "Letters":
        """Return what `packed` stored."""
        return cls(unpacked(words)[0])


@dataclass(frozen=True)
class Network:
    """A layer of rectified units on a sentence vector, and a linear one on these for each score.

    The last column of either layer is its bias.
    """

    hidden: Numbers
    output: Numbers

    def scores(self, vector: Vector) -> Numbers:
        """Return a score for each class, softmaxed how likely each is; of two, the log odds of the latter."""
        units = np.maximum(self.hidden[:, :-1] @ vector + self.hidden[:, -1], 0)
        found: Numbers = self.output[:, :-1] @ units + self.output[:, -1]
        return found

    @classmethod
    def stored(cls, layers: Mapping[str, Any]) -> "Network":
        """Return what `packed` stored of both layers."""
        return cls(unpacked(layers["hidden"]), unpacked(layers["output"]))


def packed(rows: Any) -> dict[str, Any]:
    """Return a table as text, a byte for each number and a scale for each row."""
    table = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    scales = np.maximum(np.abs(table).max(axis=1), 1e-9) / 127
    numbers = np.rint(table / scales[:, None]).astype(np.int8)
    return {
        "width": table.shape[1],
        "scales": [float(f"{scale:.6g}") for scale in scales],
        "numbers": base64.b64encode(numbers.tobytes()).decode(),
    }


def unpacked(stored: Mapping[str, Any]) -> Numbers:
    """Return the table that `packed` made text of."""
    numbers = np.frombuffer(base64.b64decode(stored["numbers"]), np.int8).reshape(-1, stored["width"])
    scales: Sequence[float] = stored["scales"]
    found: Numbers = numbers.astype(np.float32) * np.asarray(scales, dtype=np.float32)[:, None]
    return found
