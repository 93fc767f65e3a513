"""Splitting loses nothing, keeps every limit and never breaks a character apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.base import text as words
from channels.base.gsm7 import segments

WORDS = st.text(alphabet=st.sampled_from("abc .!?\n\té😀🇮🇪👍🏽👨‍👩‍👧ال。中́"), max_size=400)
MEASURES: list[Callable[[str], int]] = [len, words.utf16_units, lambda text: segments(text).count * 30]


def without_space(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=150, deadline=None)
@given(text=WORDS | st.text(max_size=400), limit=st.integers(60, 200))
def test_parts_hold_everything_and_fit(measure: Callable[[str], int], text: str, limit: int) -> None:
    parts = words.split(text, words.within(limit, measure))
    assert without_space("".join(parts)) == without_space(text)
    assert all(measure(part) <= limit for part in parts)
    assert all(part == part.strip() and part for part in parts)


@settings(max_examples=150, deadline=None)
@given(text=WORDS, limit=st.integers(30, 90))
def test_no_part_begins_inside_a_character(text: str, limit: int) -> None:
    for part in words.split(text, words.within(limit))[1:]:
        first = part[0]
        assert not 0x1F3FB <= ord(first) <= 0x1F3FF
        assert first != "\u200d"
    flags = "🇮🇪🇪🇸🇩🇪" * 30
    assert all(len(part) % 2 == 0 for part in words.split(flags, words.within(limit)))


def test_surrogate_pairs_and_accents_stay_whole() -> None:
    text = "e\u0301" * 100
    for part in words.split(text, words.within(31)):
        assert not unicodedata.combining(part[0])
    assert all(
        part.encode("utf-16-le").decode("utf-16-le") == part
        for part in words.split("😀" * 99, words.within(7, words.utf16_units))
    )


@pytest.mark.parametrize(
    ("text", "limit", "first"),
    [
        ("One paragraph here.\n\nAnother one. And more of it.", 40, "One paragraph here."),
        ("A line of words\nthen a second line that is long", 30, "A line of words"),
        ("First sentence. Second sentence goes on and on", 30, "First sentence."),
        ('He said "no." Then he went away from there', 25, 'He said "no."'),
        ("ends exactly here. and then more", 18, "ends exactly here."),
        ("just words without any end to them", 12, "just words"),
        ("x" * 50, 20, "x" * 20),
        ("第一句话在这里。第二句话在那里。", 12, "第一句话在这里。"),
        ("هل يفتح؟ نعم يفتح كل يوم في التاسعة", 15, "هل يفتح؟"),
        ("v. 2 of the long form with a very long tail of words", 30, "v. 2 of the long form with a"),
    ],
)
def test_seam_is_at_the_best_place(text: str, limit: int, first: str) -> None:
    assert words.split(text, words.within(limit))[0] == first


def test_nothing_to_say_has_no_parts() -> None:
    assert words.split(" \n\t ", words.within(10)) == []


def test_thousands_of_accents_on_one_letter_are_cut_all_the_same() -> None:
    parts = words.split("e" + "\u0301" * 5000, words.within(1000))
    assert sum(map(len, parts)) == 5001


def test_long_text_is_split_quickly() -> None:
    import time

    started = time.perf_counter()
    parts = words.split("word and word. " * 7000, lambda text: segments(text).count <= 2)
    assert time.perf_counter() - started < 3
    assert len(parts) > 300


@given(text=st.text(max_size=80), limit=st.integers(5, 40))
def test_clip_fits_and_says_that_it_clipped(text: str, limit: int) -> None:
    clipped = words.clip(text, limit, words.utf16_units)
    assert words.utf16_units(clipped) <= limit or len(clipped) <= 2
    assert clipped == text or clipped.endswith("…")
