"""Vectors of the city's own texts, kept on disk: an article that comes again is not embedded again.

Only what the city wrote itself is kept (articles, training sentences); what residents write never
reaches this file. Losing it costs time and nothing else, so writes do not wait for the disk.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float32]]
Key = tuple[str, ...]


class Vault:
    """A file of vectors by embedding model and text, shared by every process of this machine."""

    def __init__(self, file: Path, fingerprint: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False, timeout=30)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
        )

    def take(self, keys: Sequence[Key]) -> dict[Key, Vector]:
        """Return the vectors (float32) that are kept, by key."""
        found = {}
        with self._lock:
            for key in keys:
                row = self._database.execute(
                    "SELECT vector FROM kept WHERE key = ?", (self._digest(key),)
                ).fetchone()
                if row is not None:
                    found[key] = np.frombuffer(row[0], dtype=np.float32)
        return found

    def put(self, vectors: Mapping[Key, Vector]) -> None:
        """Keep vectors for the next time."""
        rows = [
            (self._digest(key), np.asarray(vector, dtype=np.float32).tobytes())
            for key, vector in vectors.items()
        ]
        with self._lock, self._database:
            self._database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _digest(self, key: Key) -> bytes:
        return hashlib.sha256("\0".join((self._fingerprint, *key)).encode("utf-8", "surrogatepass")).digest()
