"""Languages: clear turns are recognised, short ones keep the conversation's."""

from __future__ import annotations

import pytest

from bot.language import RECOGNISED, SUPPORTED, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When is my recycling collected?", "en"),
        ("Wann wird mein Altpapier abgeholt?", "de"),
        ("¿Cuándo recogen la basura?", "es"),
        ("Quand passe la collecte du recyclage ?", "fr"),
        ("Quando ritirano la raccolta differenziata?", "it"),
        ("Kiedy odbierane są śmieci?", "pl"),
        ("Quando é recolhida a reciclagem?", "pt"),
        ("Geri dönüşüm ne zaman toplanıyor?", "tr"),
        ("متى يتم جمع إعادة التدوير؟", "ar"),
        ("什么时候收可回收垃圾？", "zh"),
        ("Hur ofta hämtas soporna hos oss?", "sv"),
        ("Wanneer wordt het oud papier opgehaald?", "nl"),
        ("Когда вывозят мусор?", "ru"),
        ("Коли вивозять сміття на нашій вулиці?", "uk"),
        ("ごみの収集日はいつですか？", "ja"),
        ("재활용 쓰레기는 언제 수거하나요?", "ko"),
        ("چه زمانی زباله‌ها جمع‌آوری می‌شود؟", "fa"),
    ],
)
def test_a_sentence_is_recognised(text: str, expected: str) -> None:
    assert read(text).language == expected


@pytest.mark.parametrize(
    "text", ["ok", "Mill Lane 4", "12", "👍", "", "   ", "...", "https://example.com/page"]
)
def test_a_turn_that_says_little_keeps_the_conversations_language(text: str) -> None:
    assert read(text, "de").language == "de"


@pytest.mark.parametrize(
    ("text", "expected"), [("Hola, buenos días", "es"), ("مرحبا", "ar"), ("merci beaucoup", "fr")]
)
def test_a_clear_change_of_language_is_followed(text: str, expected: str) -> None:
    assert read(text, "en").language == expected


def test_a_text_without_letters_says_so_by_its_confidence() -> None:
    assert read("123 !!!", "pl").confidence == 0.0


def test_without_a_hint_the_citys_first_language_is_assumed() -> None:
    assert read("42", supported=("de", "tr")).language == "de"


def test_a_question_in_english_about_a_foreign_word_stays_english() -> None:
    assert read("what does 垃圾 mean on the sign in my street?").language == "en"


def test_a_very_long_text_is_read_as_fast_as_a_short_one() -> None:
    assert read("Das ist ein langer Text über die Stadt. " * 5000).language == "de"


def test_the_city_answers_only_in_languages_it_recognises() -> None:
    assert set(SUPPORTED) <= set(RECOGNISED)
    assert len(RECOGNISED) >= 25
