"""Articles become passages that lose nothing and stay small."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.knowledge.articles import PASSAGE_LIMIT, Article, Kind, body_pieces, split, word_count

WORDS = st.text(st.characters(categories=["L", "N"], exclude_characters="\r"), min_size=1, max_size=14)
SENTENCES = st.lists(WORDS, min_size=1, max_size=40).map(lambda words: " ".join(words) + ".")
TEXTS = st.lists(SENTENCES, max_size=12).flatmap(
    lambda parts: st.lists(
        st.sampled_from([" ", "\n", "\n\n"]), min_size=len(parts), max_size=len(parts)
    ).map(lambda joins: "".join(part + join for part, join in zip(parts, joins, strict=True)))
)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_splitting_loses_no_word(text: str) -> None:
    pieces = " ".join(piece for _, piece in body_pieces(text))
    assert re.sub(r"\s", "", pieces) == re.sub(r"\s", "", text)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_no_passage_is_longer_than_the_limit(text: str) -> None:
    assert all(word_count(piece) <= PASSAGE_LIMIT for _, piece in body_pieces(text))


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_no_passage_is_empty(text: str) -> None:
    assert all(piece.strip() for _, piece in body_pieces(text))


def test_a_sentence_without_end_is_cut() -> None:
    assert max(word_count(piece) for _, piece in body_pieces("word " * 1000)) <= PASSAGE_LIMIT


def test_a_word_without_end_is_cut() -> None:
    assert len(list(body_pieces("x" * 20_000))) > 8


def test_chinese_is_cut_though_it_has_no_spaces() -> None:
    pieces = [piece for _, piece in body_pieces("垃圾分类收集的时间是每周一。" * 100)]
    assert len(pieces) > 3
    assert all(piece.endswith("。") for piece in pieces)


def test_title_questions_and_body_become_passages_in_order() -> None:
    article = Article(
        "a/b", "en", "A title", "Intro.\n\n## Opening hours\nMonday to Friday.", questions=("Open?",)
    )
    passages = split(article)
    assert [passage.kind for passage in passages] == [Kind.TITLE, Kind.QUESTION, Kind.BODY, Kind.BODY]
    assert [passage.ordinal for passage in passages] == [0, 1, 2, 3]


def test_a_body_passage_is_embedded_with_its_title_and_heading() -> None:
    passages = split(Article("a/b", "en", "Library", "Intro.\n\n## Opening hours\nMonday to Friday."))
    assert passages[-1].text == "Monday to Friday."
    assert passages[-1].embedded == "Library. Opening hours\nMonday to Friday."


def test_an_article_without_title_has_only_its_body() -> None:
    assert [passage.kind for passage in split(Article("f0", "de", "", "Ein Satz."))] == [Kind.BODY]
