"""Which language a text is written in.

Short turns ("ok", "Mill Lane") say little: they keep the language of the conversation.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SUPPORTED = ("en", "es", "de", "fr", "it", "pl", "pt", "tr", "ar", "zh")
# Recognised beyond the city's own, so that a citizen is told in words which languages there are.
RECOGNISED = (
    *SUPPORTED,
    *("nl", "sv", "da", "nb", "fi", "cs", "sk", "hu", "ro", "el", "ru", "uk", "bg", "hr", "ja", "ko"),
    *("hi", "fa", "he", "vi", "id", "ca"),
)

_LETTER = re.compile(r"[^\W\d_]", re.UNICODE)


@dataclass(frozen=True)
class Reading:
    """A language (ISO 639-1) and how sure that is (0-1)."""

    language: str
    confidence: float


def read(text: str, hint: str | None = None) -> Reading:
    """Return the language of a text; `hint` is the conversation's, kept where the text is unclear."""
    letters = len(_LETTER.findall(text))
    if letters < 2:
        return Reading(hint or SUPPORTED[0], 0.0)
    ranked = _detect(text[:500])
    if not ranked:
        return Reading(hint or SUPPORTED[0], 0.0)
    return Reading(*ranked[0])


def _detect(text: str) -> list[tuple[str, float]]:
    values = _detector().compute_language_confidence_values(text)
    return [(value.language.iso_code_639_1.name.lower(), float(value.value)) for value in values if value.value > 0]


@lru_cache(maxsize=1)
def _detector() -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in RECOGNISED]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()
