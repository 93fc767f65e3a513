"""Which language a text is written in.

Writing systems decide most of it without a model. Among the Latin and Cyrillic languages lingua
decides, in its trigram mode: on 27 languages that needs 25 MB where its full mode needs 550 MB.
A short turn ("ok", "Mill Lane 4") says little, so the language of the conversation counts for
more the shorter a turn is.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SUPPORTED = ("en", "es", "de", "fr", "it", "pl", "pt", "tr", "ar", "zh")
# Recognised beyond the city's own, so that a citizen is told in words which languages there are.
LATIN = (
    *("en", "es", "de", "fr", "it", "pl", "pt", "tr"),
    *("nl", "sv", "da", "nb", "fi", "cs", "sk", "hu", "ro", "hr", "id", "vi", "so", "sq"),
)
CYRILLIC = ("ru", "uk", "bg", "sr")
RECOGNISED = (*LATIN, *CYRILLIC, "ar", "fa", "ur", "he", "el", "zh", "ja", "ko", "hi", "th")

# A language that the city answers in is written to it far more often than another one.
SUPPORTED_PRIOR = 4.0
# How much more likely the conversation's language is than any other, before a word is read;
# it fades with the number of words.
HINT_PRIOR = 60.0
HINT_WORDS = 4.0
# What one of a language's commonest words is worth against a language that lacks it, and a
# letter that a language does not write.
COMMON_WORD = 12.0
FOREIGN_LETTER = 0.01
# Trigrams are not independent of each other: their product is surer than it is right.
TEMPER = 0.4
# Where nothing else tells, it is the city's first language.
FIRST_PRIOR = 3.0
LONGEST_READ = 400
# How likely a turn in another script than the conversation's is still in its language.
OTHER_SCRIPT = 0.2

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]*)?", re.UNICODE)
_LETTER = re.compile(r"[^\W\d_]", re.UNICODE)
_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+")
_SCRIPTS = (
    ("kana", re.compile(r"[\u3040-\u30ff]")),
    ("han", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")),
    ("hangul", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("greek", re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")),
    ("cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("devanagari", re.compile(r"[\u0900-\u097f]")),
    ("thai", re.compile(r"[\u0e00-\u0e7f]")),
)
_ALONE = {"hangul": "ko", "hebrew": "he", "greek": "el", "devanagari": "hi", "thai": "th"}
_URDU = re.compile(r"[\u0679\u0688\u0691\u06ba\u06d2\u06be]")
_PERSIAN = re.compile(r"[\u067e\u0686\u0698\u06af\u06cc\u06a9]")


@dataclass(frozen=True)
class Reading:
    """A language (ISO 639-1) and how sure that is (0-1)."""

    language: str
    confidence: float


def read(text: str, hint: str | None = None, supported: tuple[str, ...] = SUPPORTED) -> Reading:
    """Return the language of a text; `hint` is the conversation's, kept where the text is unclear."""
    sample = _LINK.sub(" ", text[: 4 * LONGEST_READ])[:LONGEST_READ]
    letters = len(_LETTER.findall(sample))
    fallback = hint or supported[0]
    if not letters:
        return Reading(fallback, 0.0)
    script = _script(sample, letters)
    if script == "latin":
        return _weighed(sample, LATIN, hint, supported) if letters > 1 else Reading(fallback, 0.0)
    if script == "cyrillic":
        return _weighed(sample, CYRILLIC, hint, supported)
    return Reading(_by_script(sample, script, hint), 0.99)


def telling_words(text: str, spoken: str) -> int:
    """Count the words of a text that are not among the commonest of its language."""
    common = _stored()[0].get(spoken, frozenset())
    words = [match.group().replace("’", "'") for match in _WORD.finditer(text.casefold())]
    # Chinese and Japanese set no spaces: two signs count as a word.
    return sum(
        1 if word.isascii() or spoken not in ("zh", "ja") else len(word) // 2
        for word in words
        if word not in common
    )


def _script(sample: str, letters: int) -> str:
    """Return the writing system of most letters; a Chinese or Japanese one says more than a Latin."""
    counts = Counter({name: len(pattern.findall(sample)) for name, pattern in _SCRIPTS})
    latin = max(0, letters - counts.total())
    dense = 3 * (counts["han"] + counts["kana"] + counts["hangul"])
    if dense > latin:
        return "kana" if counts["kana"] else "hangul" if counts["hangul"] > counts["han"] else "han"
    name, most = counts.most_common(1)[0]
    return name if most > latin else "latin"


def _by_script(sample: str, script: str, hint: str | None) -> str:
    if script == "kana":
        return "ja"
    if script == "han":
        return "ja" if hint == "ja" and len(sample.strip()) < 5 else "zh"
    if script == "arabic":
        if _URDU.search(sample):
            return "ur"
        return (
            "fa" if _PERSIAN.search(sample) else hint if hint in ("fa", "ur") and len(sample) < 12 else "ar"
        )
    return _ALONE[script]


def _weighed(sample: str, among: tuple[str, ...], hint: str | None, supported: tuple[str, ...]) -> Reading:
    """Return the likeliest language, given what is usual here and what was spoken before."""
    words = len(sample.split())
    favour = 1 + (HINT_PRIOR - 1) * math.exp(-(words - 1) / HINT_WORDS)
    common = _common_words(sample)
    marks = {letter for letter in sample.casefold() if letter in _marks()}
    weights: dict[str, float] = {}
    likely = _likelihoods(sample, among)
    for code, likelihood in likely.items():
        weight = likelihood**TEMPER * (SUPPORTED_PRIOR if code in supported else 1.0)
        weight *= FIRST_PRIOR if code == supported[0] else 1.0
        weight *= COMMON_WORD ** min(common[code], 8)
        weight *= FOREIGN_LETTER ** len(marks - _stored()[1].get(code, marks))
        weights[code] = weight * (favour if code == hint else 1.0)
    if hint and hint not in among and weights:
        # Names and an "ok" are written in Latin letters in a conversation in any script.
        weights[hint] = OTHER_SCRIPT * max(likely.values()) ** TEMPER * SUPPORTED_PRIOR * favour
    total = sum(weights.values())
    if not total:
        return Reading(hint or supported[0], 0.0)
    best = max(weights, key=lambda code: weights[code])
    return Reading(best, round(weights[best] / total, 4))


def _likelihoods(sample: str, among: tuple[str, ...]) -> dict[str, float]:
    values = _detector(among).compute_language_confidence_values(sample)
    return {value.language.iso_code_639_1.name.lower(): max(float(value.value), 1e-6) for value in values}


def _common_words(sample: str) -> Counter[str]:
    """Count, for each language, the words of a text that belong to its commonest."""
    found: Counter[str] = Counter()
    for match in _WORD.finditer(sample.casefold()):
        word = match.group().replace("’", "'")
        head, quote, _ = word.partition("'")
        for code, words in _stored()[0].items():
            found[code] += word in words or (bool(quote) and head + quote in words)
    return found


@cache
def _stored() -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Return each language's commonest words, and the letters that it writes beyond a-z."""
    stored = json.loads((Path(__file__).parent / "language_words.json").read_text(encoding="utf-8"))
    words = {code: frozenset(listed.split()) for code, listed in stored["words"].items()}
    return words, {code: frozenset(listed) for code, listed in stored["letters"].items()}


@cache
def _marks() -> frozenset[str]:
    return frozenset().union(*_stored()[1].values())


@cache
def _detector(among: tuple[str, ...]) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in among]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()


__all__ = ["RECOGNISED", "SUPPORTED", "Reading", "read"]
