"""Questions grouped by meaning, whatever their languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.cluster import AgglomerativeClustering

if TYPE_CHECKING:
    from bot.knowledge.embeddings import Vectors

# Two groups become one while their questions are, on average, at least so similar: between .45 and .50 a
# handful of questions in three languages fell into the groups that a reader makes.
ALIKE = 0.48
# Compared as of no one language, so that only what reads them all has a say.
LANGUAGE = "und"


def grouped(vectors: Vectors) -> list[list[int]]:
    """Return the places of vectors of length 1 that belong together: the largest group first."""
    if len(vectors) < 2:
        return [[at] for at in range(len(vectors))]
    distances = np.clip(1.0 - vectors @ vectors.T, 0.0, 2.0)
    found = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1.0 - ALIKE
    ).fit_predict(distances)
    groups: dict[int, list[int]] = {}
    for at, label in enumerate(found):
        groups.setdefault(int(label), []).append(at)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))
