"""Keep passage vectors between measurements: embedding takes minutes, measuring takes seconds."""

import hashlib
import multiprocessing
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from bot.evaluate.files import Progress, silent
from bot.knowledge.embeddings import Embedder, Role, Vectors

GROUP = 16


class VectorStore:
    """Vectors by text and fingerprint in a file; only a cache, safe to delete at any time."""

    def __init__(self, embedder: Embedder, path: Path, role: Role = Role.PASSAGE) -> None:
        self._embedder, self._role = embedder, role
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=30)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS vector (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
        )

    def encode(self, texts: Sequence[str], languages: Sequence[str], progress: Progress = silent) -> Vectors:
        """Return one row per text, computing only those never seen before."""
        keys = [self._key(text, language) for text, language in zip(texts, languages, strict=True)]
        known = {key: row for key in set(keys) if (row := self._get(key)) is not None}
        passages = zip(keys, texts, languages, strict=True)
        missing = {key: (text, language) for key, text, language in passages if key not in known}
        # Neighbours of one length share a group without padding.
        waiting = sorted(missing.items(), key=lambda item: len(item[1][0]))
        groups = [waiting[at : at + GROUP] for at in range(0, len(waiting), GROUP)]
        computed = _compute(
            self._embedder, self._role, [[passage for _, passage in group] for group in groups]
        )
        done = 0
        for group, rows in zip(groups, computed, strict=True):
            for (key, _), row in zip(group, rows, strict=True):
                known[key] = row
                self._database.execute("INSERT OR REPLACE INTO vector VALUES (?, ?)", (key, row.tobytes()))
            self._database.commit()
            done += len(group)
            progress("embedding passages", done, len(waiting))
        if not keys:
            return np.empty((0, self._embedder.dimensions), dtype=np.float32)
        return np.stack([known[key] for key in keys])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _key(self, text: str, language: str) -> bytes:
        asked = "" if self._role is Role.PASSAGE else f"{self._role}\0"
        return hashlib.sha256(f"{self._embedder.fingerprint}\0{asked}{language}\0{text}".encode()).digest()

    def _get(self, key: bytes) -> Vectors | None:
        row = self._database.execute("SELECT value FROM vector WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)


# What the processes of a pool find when they begin as copies of this one.
_shared: tuple[Embedder, Role] | None = None


def _compute(embedder: Embedder, role: Role, groups: Sequence[list[tuple[str, str]]]) -> Iterator[Vectors]:
    """Yield the rows of each group of (text, language) in order, with one process per core."""
    cores = min(len(os.sched_getaffinity(0)), len(groups) // 2)
    if cores < 2:
        yield from (_rows(embedder, role, group) for group in groups)
        return
    global _shared  # noqa: PLW0603 - a copied process has no other way to the models it already holds
    _shared = embedder, role
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("fork")) as crew:
        yield from crew.map(_rows_of_shared, groups)


def _rows_of_shared(group: list[tuple[str, str]]) -> Vectors:
    assert _shared is not None
    return _rows(*_shared, group)


def _rows(embedder: Embedder, role: Role, group: list[tuple[str, str]]) -> Vectors:
    return embedder.encode([text for text, _ in group], role, [language for _, language in group])
