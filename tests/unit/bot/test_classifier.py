"""What small classifiers are made of: letters, and numbers kept in a byte each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot import classifier
from bot.classifier import Letters, hurried, packed, places, unpacked


@given(arrays(np.float64, (3, 7), elements=st.floats(-1000, 1000)))
def test_numbers_come_back_to_within_a_byte_of_their_row(table: np.ndarray) -> None:
    stored = unpacked(packed(table))
    widest = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(stored - table) <= widest / 127 * 0.51 + 1e-6).all()


@given(st.text(max_size=200))
def test_every_text_has_its_places_and_a_score(text: str) -> None:
    found = places(text)
    assert found == sorted(set(found))
    assert all(0 <= place < classifier.PLACES for place in found)
    assert np.isfinite(Letters(np.ones(classifier.PLACES, dtype=np.float32)).score(text))


def test_haste_changes_nothing_about_the_letters() -> None:
    assert hurried("Żółty DOM’s straße") == "zolty doms strasse"
    assert places("Où est-ce qu'on brûle ?") == places("ou est-ce quon brule ?")
    assert places("") == []


def test_words_count_in_pairs_as_well() -> None:
    assert places("gas bill") != places("bill gas")


def test_only_the_beginning_of_a_very_long_text_is_looked_at() -> None:
    assert places("a" * 1_000 + "b" * 9_000) == places("a" * 1_000)
