"""What may be the answer to where a problem is."""

from __future__ import annotations

import pytest

from bot.actions.places import Places
from bot.actions.words import Words
from bot.settings import city_folder


@pytest.fixture(scope="module")
def places() -> Places:
    """The places of the city as shipped."""
    return Places.of(city_folder(), Words.of(city_folder()))


@pytest.mark.parametrize(
    "said",
    ["53.349805, -6.26031", "-33.9 18.4", "53.3,-6.2", "Town Hall (53.349805, -6.26031)", "Mill Lane 3"],
)
def test_a_street_and_a_pair_of_coordinates_are_places(places: Places, said: str) -> None:
    assert places.answer(said) == said


@pytest.mark.parametrize(
    "said", ["12", "5, 10", "12.30", "53.3, -6.2, 4.1", "2026.11, 1234.5", "?", "I don't know"]
)
def test_other_numbers_and_no_answer_are_none(places: Places, said: str) -> None:
    assert places.answer(said) is None
