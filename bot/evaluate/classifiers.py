"""Teach what `bot/classifier.py` reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bot.classifier import PLACES, Letters, Network, packed, places, unpacked

# Of the networks: units, how hard weights are held back, how often all examples are gone through. Vectors of
# length 1 are stretched while learning, or the first steps would see hardly a difference between them.
UNITS = 64
HELD_BACK = 0.01
ROUNDS = 20
STRETCHED = 8.0
# Networks that begin differently and are averaged by lying side by side in one.
NETWORKS = 3
# Of the letters: the inverse of how hard their weights are held back.
LETTERS_STRENGTH = 30.0


def network(vectors: Any, classes: Any, weights: Any = None) -> Network:
    """Return a network that tells classes (0, 1, 2, ...) from vectors, each row counting as `weights` say."""
    from sklearn.neural_network import MLPClassifier

    hidden, output = [], []
    for number in range(NETWORKS):
        learner = MLPClassifier((UNITS,), alpha=HELD_BACK, max_iter=ROUNDS, random_state=number)
        learner.fit(vectors * STRETCHED, classes, sample_weight=weights)
        (first, second), (first_bias, second_bias) = learner.coefs_, learner.intercepts_
        hidden.append(np.vstack([first * STRETCHED, first_bias]).T)
        output.append((second.T / NETWORKS, second_bias / NETWORKS))
    side_by_side = np.hstack([rows for rows, _ in output])
    bias = np.sum([bias for _, bias in output], axis=0)
    return Network.stored(
        {"hidden": packed(np.vstack(hidden)), "output": packed(np.hstack([side_by_side, bias[:, None]]))}
    )


def letters(texts: Sequence[str], truth: Any, weights: Any = None) -> Letters:
    """Return the weights of letters that tell the texts where `truth` holds from the others."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    found = [places(text) for text in texts]
    starts = np.cumsum([0, *(len(row) for row in found)])
    values = np.concatenate([np.full(len(row), 1 / np.sqrt(max(1, len(row)))) for row in found])
    table = csr_matrix((values, np.concatenate(found), starts), shape=(len(found), PLACES))
    learner = LogisticRegression(C=LETTERS_STRENGTH, max_iter=300, fit_intercept=False)
    learner.fit(table, truth, sample_weight=weights)
    return Letters(unpacked(packed(learner.coef_))[0])


def stored_network(one: Network) -> dict[str, Any]:
    """Return a network as it is kept in a file."""
    return {"hidden": packed(one.hidden), "output": packed(one.output)}
