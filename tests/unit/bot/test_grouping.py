"""Questions that mean the same become one group, whatever their order and language."""

from __future__ import annotations

import numpy as np

from bot.knowledge.embeddings import Vectors
from bot.knowledge.grouping import grouped


def vectors(*rows: tuple[float, float, float]) -> Vectors:
    made = np.array(rows, dtype=np.float32)
    shortened: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return shortened


DRONE, DRONE_TOO, RINK = (1.0, 0.1, 0.0), (1.0, 0.2, 0.1), (0.0, 0.1, 1.0)


def test_what_is_alike_is_one_group_and_the_largest_comes_first() -> None:
    assert grouped(vectors(RINK, DRONE, DRONE_TOO)) == [[1, 2], [0]]
    assert grouped(vectors(DRONE, RINK, DRONE, DRONE_TOO, RINK)) == [[0, 2, 3], [1, 4]]


def test_what_is_not_alike_stays_alone() -> None:
    apart = vectors((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert grouped(apart) == [[0], [1], [2]]


def test_nothing_and_one_question_are_no_trouble() -> None:
    assert grouped(np.empty((0, 3), dtype=np.float32)) == []
    assert grouped(vectors(DRONE)) == [[0]]
