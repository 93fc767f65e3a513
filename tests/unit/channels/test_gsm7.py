"""What a text costs by SMS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.base.gsm7 import ALPHABET, EXTENSION, Segments, economical, is_gsm7, segments


def test_alphabet_has_its_size() -> None:
    # GSM 03.38: 128 places, one of them the escape; the extension table has ten.
    assert len(ALPHABET) == 127
    assert len(EXTENSION) == 10
    assert not ALPHABET & EXTENSION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 306, Segments("GSM-7", 306, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("€" * 81, Segments("GSM-7", 162, 2)),
        # 153 is odd: an escaped character that would straddle two segments moves on whole.
        ("€" * 153, Segments("GSM-7", 306, 3)),
        ("ü" * 160, Segments("GSM-7", 160, 1)),
        ("ç", Segments("UCS-2", 1, 1)),
        ("é" * 69 + "—", Segments("UCS-2", 70, 1)),
        ("م" * 71, Segments("UCS-2", 71, 2)),
        ("م" * 134, Segments("UCS-2", 134, 2)),
        ("م" * 135, Segments("UCS-2", 135, 3)),
        ("😀" * 35, Segments("UCS-2", 70, 1)),
        # 67 is odd as well: 33 emoji fit into a joined segment.
        ("😀" * 67, Segments("UCS-2", 134, 3)),
    ],
)
def test_segments(text: str, expected: Segments) -> None:
    assert segments(text) == expected


@pytest.mark.parametrize(
    ("text", "cheap"),
    [
        ("“Yes” – it’s ‘open’…", "\"Yes\" - it's 'open'..."),
        ("9\u202f–\u200a17\u00a0Uhr", "9 - 17 Uhr"),
        ("Cafe\u0301", "Café"),
        ("soft\u00adhyphen\ufeff", "softhyphen"),
        ("• one\n• two", "- one\n- two"),
        ("price: 5 €", "price: 5 €"),
        # Words that need UCS-2 anyway keep their typography.
        ("“façade” – yes", "“façade” – yes"),
        ("“中文”", "“中文”"),
        ("well… 😀", "well… 😀"),
    ],
)
def test_spelling_is_economical_only_where_that_saves(text: str, cheap: str) -> None:
    assert economical(text) == cheap


@given(st.text())
def test_economical_never_costs_more_and_is_stable(text: str) -> None:
    cheap = economical(text)
    assert economical(cheap) == cheap
    assert is_gsm7(cheap) or cheap == text
    assert segments(cheap).count <= max(segments(text).count, 1) or is_gsm7(cheap)
