"""Requests: what only the hub can do is passed on to it."""

from pathlib import Path
from typing import Any

import pytest

from bot.actions.requests import Requests
from bot.actions.turn import Reply, Turn

ROOT = Path(__file__).parents[3]


def asked(text: str, intent: str) -> Turn:
    nothing: dict[str, Any] = {"history": [], "photos": [], "facts": {}, "slots": {}, "last_said": []}
    plain: dict[str, Any] = {
        "in_form": False,
        "opening": False,
        "after_aside": False,
        "asked": None,
        "chosen": None,
    }
    return Turn(text=text, intent=intent, confidence=0.9, language="en", **nothing, **plain)


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests.of(ROOT / "nlu_data")


@pytest.mark.parametrize(
    ("text", "values"),
    [("can we change the language", {}), ("not German, English please", {"language": "en"})],
)
async def test_the_hub_offers_the_languages_where_none_is_named(
    requests: Requests, text: str, values: dict[str, str]
) -> None:
    reply = Reply()
    await requests.change_language(asked(text, "change_language"), reply)
    assert reply.messages == [{"request": "change_language", "values": values}]
