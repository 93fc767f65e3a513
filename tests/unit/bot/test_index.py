"""The vector index finds what is near, under the ids it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bot.knowledge.index import DuplicatePassage, VectorIndex


def vectors(count: int, dimensions: int = 32, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_each_vector_is_its_own_nearest() -> None:
    rows = vectors(200)
    ids = np.arange(200) * 7 + 1_000_000_000_000
    scores, found = VectorIndex.build(ids, rows).nearest(rows, 3)
    assert (found[:, 0] == ids).all()
    assert scores[:, 0] == pytest.approx(1.0, abs=1e-5)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(DuplicatePassage, match="passage 4 stands 2 times"):
        VectorIndex.build(np.array([1, 4, 4]), vectors(3))


def test_it_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    rows = vectors(50)
    index = VectorIndex.build(np.arange(50), rows)
    index.write(tmp_path / "index.faiss")
    again = VectorIndex.read(tmp_path / "index.faiss")
    assert len(again) == 50
    assert again.vector(17) == pytest.approx(rows[17])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(b"no index")
    with pytest.raises(ValueError, match=r"index\.faiss is not a readable index"):
        VectorIndex.read(path)


def test_many_passages_are_grouped_and_still_found() -> None:
    # The same code as for 100,000 passages, with the limit lowered.
    rows = vectors(6_000)
    index = VectorIndex.build(np.arange(6_000), rows, large=5_000)
    _, found = index.nearest(rows[:200], 1)
    assert (found[:, 0] == np.arange(200)).mean() > 0.95


def test_more_neighbours_than_passages_are_all_passages() -> None:
    _, found = VectorIndex.build(np.arange(3), vectors(3)).nearest(vectors(1), 10)
    assert sorted(found[0]) == [0, 1, 2]
