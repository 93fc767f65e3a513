"""One turn is taken once, whatever happens around it."""
from typing import Any

from tests.assistant.conftest import Resident


def test_question(resident: Resident) -> None:
    said = resident.says("When is my recycling collected?")
    print(said)
    for t in ["there's a huge pothole in Mill Lane", "how much is a parking permit?", "it is deep and full of water", "skip"]:
        r = resident.send(t); print(t, r.status_code, r.text[:1500])
    assert 0
