"""The element's own words: the city's where it has them, English where it has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
PREFIX = "chat_"

# The element is built with the same file, for the moments in which it cannot ask us.
ENGLISH: Mapping[str, str] = json.loads((Path(__file__).parent / "english.json").read_text(encoding="utf-8"))

# Sentences the assistant says in the conversation too, so that each is written (and translated) once.
SHARED: Mapping[str, str] = {
    "welcome": "greet",
    "cancel": "button_cancel",
    "too_large": "media_too_large",
    "unsupported": "media_unsupported",
    "slow_down": "slow_down",
}


def labels_from(responses: Mapping[str, str]) -> dict[str, str]:
    """Picks the element's words out of a language's responses (`chat_*`, else shared, else English)."""
    found = {}
    for name, english in ENGLISH.items():
        text = responses.get(PREFIX + name) or responses.get(SHARED.get(name, ""))
        found[name] = text or english
    return found


def direction(language: str) -> str:
    """Tells the writing direction of a language code: `rtl` or `ltr`."""
    return "rtl" if language.partition("-")[0].lower() in RIGHT_TO_LEFT else "ltr"
