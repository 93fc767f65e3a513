"""Search finds the right article, quotes it, and the gate knows what nobody wrote about."""

from __future__ import annotations

import asyncio

import pytest

from bot.knowledge import gate, quotes
from bot.knowledge.embeddings import AsyncEmbedder, Embedder
from bot.knowledge.lexical import LexicalIndex, tokens
from bot.knowledge.search import Answer, Outcome, Search, earlier_questions
from bot.knowledge.snapshots import Snapshot
from bot.knowledge.spelling import Spelling


@pytest.fixture(scope="module")
def ask(embedder: Embedder, city: Snapshot):  # type: ignore[no-untyped-def]
    """Asks the city's own knowledge."""
    search = Search(AsyncEmbedder(embedder), city)

    def ask(text: str, language: str = "en", history: list[dict[str, str]] | None = None) -> Answer:
        return asyncio.run(search.answer(text, language, history or []))

    yield ask
    search.close()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("When is my recycling collected?", "en"),
        ("recycling days", "en"),
        ("wen is my recyling colected", "en"),
        ("Wann wird mein Recycling abgeholt?", "de"),
        ("Wann wird mein Altpapier abgeholt?", "de"),
        ("متى يتم جمع إعادة التدوير؟", "ar"),
        ("¿Cuándo recogen el reciclaje?", "es"),
        ("什么时候收可回收垃圾？", "zh"),
    ],
)
def test_the_recycling_question_finds_its_article(ask, text: str, language: str) -> None:  # type: ignore[no-untyped-def]
    answer = ask(text, language)
    assert answer.passages[0].article == "waste/recycling-collection"
    assert answer.outcome in (Outcome.ANSWERED, Outcome.CLARIFIED)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who will win the cup?", "en"),
        ("What is the capital of Mongolia?", "en"),
        ("Wer gewinnt die Weltmeisterschaft?", "de"),
        ("Raconte-moi une blague", "fr"),
        ("谁会赢得世界杯？", "zh"),
    ],
)
def test_what_no_article_is_about_is_not_answered(ask, text: str, language: str) -> None:  # type: ignore[no-untyped-def]
    assert ask(text, language).outcome is Outcome.REFUSED


def test_a_follow_up_is_understood_from_the_turn_before(ask) -> None:  # type: ignore[no-untyped-def]
    history = [
        {"role": "citizen", "text": "How do I get a resident parking permit?"},
        {"role": "bot", "text": "With proof of your address."},
    ]
    alone, after = ask("And how much does it cost?"), ask("And how much does it cost?", history=history)
    assert after.passages[0].article == "parking/resident-permit"
    assert alone.passages[0].article != "parking/resident-permit"


def test_an_answer_says_where_it_comes_from(ask) -> None:  # type: ignore[no-untyped-def]
    answer = ask("When is my recycling collected?")
    first = answer.passages[0]
    assert first.url.startswith("https://")
    assert first.title
    assert 0 < len(first.quote) <= quotes.QUOTE_CHARACTERS
    assert [p.score for p in answer.passages] == sorted((p.score for p in answer.passages), reverse=True)
    assert answer.as_dict()["outcome"] in ("answered", "clarified")


def test_earlier_questions_are_the_citizens_last_ones() -> None:
    history = [{"role": "citizen", "text": str(n)} for n in range(5)] + [{"role": "bot", "text": "b"}]
    assert earlier_questions("now", history) == ["4", "3", "2"]
    assert earlier_questions("4", history) == ["3", "2", "1"]


def test_a_probability_grows_with_what_speaks_for_an_answer() -> None:
    weights = gate.model()["weights"]
    nothing = dict.fromkeys(weights, 0.0)
    assert 0 <= gate.probability(nothing) < gate.model()["clarify_from"]
    assert gate.probability({name: 10.0 * (weight > 0) for name, weight in weights.items()}) > 0.9


@pytest.mark.parametrize(("value", "outcome"), [(0.0, "refused"), (1.0, "answered")])
def test_the_gate_has_three_outcomes(value: float, outcome: str) -> None:
    assert gate.outcome(value) == outcome
    middle = (gate.model()["answer_from"] + gate.model()["clarify_from"]) / 2
    assert gate.outcome(middle) == "clarified"


def test_a_quote_is_plain_and_ends_with_a_sentence() -> None:
    text = (
        "## Prices\n**Adults** pay [€4](https://x.example/p).\n* Children: free\n"
        + "A sentence about it. " * 60
    )
    said = quotes.quote(text, "price?")
    assert said.startswith("Prices\nAdults pay €4.\n- Children: free\nA sentence")
    assert said.endswith("A sentence about it.")
    assert len(said) <= quotes.QUOTE_CHARACTERS


def test_a_quote_without_sentence_end_is_cut_at_a_word() -> None:
    said = quotes.quote("word " * 400, "?")
    assert said.endswith("word…")
    assert len(said) <= quotes.QUOTE_CHARACTERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bücher", {"bucher", "buche~"}),
        ("collection", {"collection", "colle~"}),
        ("tax", {"tax"}),
        ("可回收垃圾", {"可回", "回收", "收垃", "垃圾"}),
        ("Form APP-001", {"form", "app", "001"}),
        ("!!!", set()),
    ],
)
def test_words_become_tokens(text: str, expected: set[str]) -> None:
    assert set(tokens(text)) == expected


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ("recyling colected", "recycling collected"),
        ("When is my Recylcing collected?", "When is my recycling collected?"),
        ("the recycling is collected", "the recycling is collected"),
        ("What is the capital of Mongolia?", "What is the capital of Mongolia?"),
        ("bin", "bin"),
        ("collect it", "collect it"),
        ("Müll 3 👍 \0", "Müll 3 👍 \0"),
    ],
)
def test_a_slip_is_mended_and_nothing_else(written: str, mended: str) -> None:
    assert Spelling(["When is recycling collected? Collect your bins."]).mended(written) == mended


def test_a_passage_with_all_words_has_all_shares() -> None:
    index = LexicalIndex(["form app for appeals", "parking permit", "something else", "nothing of it"])
    whole, half, none = (
        index.shares("parking permit")[1],
        index.shares("parking zebra")[1],
        index.shares("xyzzy")[1],
    )
    assert whole > half > none == 0
    assert index.shares("").sum() == 0
