"""The vector index: the only module that imports faiss.

Exact search stays below 5 ms to about 60,000 passages, which is any city; from 100,000 on the
index groups its vectors and keeps them in one byte per number.
"""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from bot.knowledge.embeddings import Vectors

LARGE = 100_000
# How many of the groups a question looks into; 32 of about 1,300 keeps recall above .98.
PROBES = 32
# FAISS asks for 39 or more training vectors a group and warns below that.
TRAINING_PER_GROUP = 50

faiss.omp_set_num_threads(1)


class DuplicatePassage(ValueError):
    """An id stands twice among the passages: FAISS would return both."""


class VectorIndex:
    """An immutable set of vectors under the ids that the hub gave them."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, ids: np.ndarray[Any, Any], vectors: Vectors, large: int = LARGE) -> "VectorIndex":
        """Return an index over `vectors` (one row per id); raise DuplicatePassage on a repeated id."""
        if len(ids) != len(vectors):
            raise ValueError(f"{len(ids)} ids came with {len(vectors)} vectors.")
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) != len(ids):
            raise DuplicatePassage(f"passage {unique[counts > 1][0]} stands {counts.max()} times")
        dimensions = int(vectors.shape[1])
        if len(ids) < large:
            inner: Any = faiss.IndexFlatIP(dimensions)
        else:
            groups = max(1, int(4 * np.sqrt(len(ids))))
            inner = faiss.index_factory(dimensions, f"IVF{groups},SQ8", faiss.METRIC_INNER_PRODUCT)
            chosen = np.random.default_rng(0).permutation(len(ids))[: groups * TRAINING_PER_GROUP]
            inner.train(vectors[np.sort(chosen)])
            inner.nprobe = PROBES
        index = faiss.IndexIDMap2(inner)
        if len(ids):
            index.add_with_ids(np.ascontiguousarray(vectors), ids.astype(np.int64))
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> "VectorIndex":
        """Return the index stored at `path`; raise ValueError where it cannot be read."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is not a readable index") from error
        return cls(index)

    def write(self, path: Path) -> None:
        """Store the index at `path`."""
        faiss.write_index(self._index, str(path))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """How long each vector is."""
        return int(self._index.d)

    def nearest(self, vector: Vectors, k: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return (cosines, ids) of the k nearest passages for each row of `vector`, best first."""
        scores, ids = self._index.search(np.ascontiguousarray(vector), max(1, min(k, len(self))))
        return scores, ids

    def vector(self, passage: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the vector stored under an id."""
        stored: np.ndarray[Any, np.dtype[np.float32]] = self._index.reconstruct(int(passage))
        return stored
