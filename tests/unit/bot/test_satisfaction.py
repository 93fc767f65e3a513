"""Who is unhappy is caught, who calmly reports or asks is not, in ten languages nobody trained on here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot import satisfaction
from bot.evaluate import satisfaction as measuring
from bot.evaluate.vectors import VectorStore
from bot.knowledge.embeddings import Embedder
from bot.knowledge.importers.problems import ImportFailed
from bot.language import SUPPORTED

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def encoder() -> Embedder:
    """Loads the one model that satisfaction needs."""
    return Embedder(satisfaction.MODEL)


@pytest.fixture(scope="module")
def store(encoder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> VectorStore:
    """Keeps vectors for the module."""
    return VectorStore(encoder, tmp_path_factory.mktemp("vectors") / "vectors.sqlite")


def feeling(encoder: Embedder, text: str, *history: tuple[str, str]) -> satisfaction.Feeling:
    """Read a turn after (role, text) pairs."""
    before = [{"role": role, "text": words} for role, words in history]
    return satisfaction.feeling(text, before, encoder.encode(satisfaction.words(text, before)))


def test_the_plainly_unhappy_are_caught_in_every_language(store: VectorStore) -> None:
    found = measuring.measure(measuring.read_dialogues([FIXTURES / "satisfaction.jsonl"]), store)
    assert found["dissatisfied"] >= 200
    assert found["recall"] >= 0.7
    assert found["calm_flagged_rate"] <= 0.03
    assert set(found["by_language"]) == set(SUPPORTED)
    assert min(figures["recall"] for figures in found["by_language"].values()) >= 0.35


def test_turns_that_nothing_was_chosen_by_are_told_apart(store: VectorStore) -> None:
    found = measuring.measure(measuring.read_dialogues([FIXTURES / "satisfaction_fresh.jsonl"]), store)
    assert (found["turns"], found["dissatisfied"]) == (240, 120)
    assert found["recall"] >= 0.7
    assert found["calm_flagged_rate"] <= 0.03
    assert set(found["by_language"]) == set(SUPPORTED)
    assert min(figures["recall"] for figures in found["by_language"].values()) >= 0.4


def test_turns_by_another_hand_are_told_apart(store: VectorStore) -> None:
    found = measuring.measure(measuring.read_dialogues([FIXTURES / "satisfaction_final.jsonl"]), store)
    assert (found["turns"], found["dissatisfied"]) == (376, 188)
    assert found["recall"] >= 0.75
    assert found["calm_flagged_rate"] <= 0.01
    assert min(figures["recall"] for figures in found["by_language"].values()) >= 0.6


def test_ordinary_questions_and_calm_reports_are_left_alone(store: VectorStore) -> None:
    files = [
        FIXTURES / name for name in ("satisfaction.jsonl", "utterances.jsonl", "knowledge_queries.jsonl")
    ]
    found = measuring.measure(measuring.read_dialogues(files), store)
    assert found["turns"] - found["dissatisfied"] >= 500
    assert found["calm_flagged_rate"] <= 0.03


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for nothing",
        "thanks for nothing!",
        "I already told you",
        "Danke für gar nichts",
        "这个机器人一点用都没有",
    ],
)
def test_sarcasm_and_weariness_are_unhappy(encoder: Embedder, text: str) -> None:
    assert feeling(encoder, text).unhappy >= satisfaction.UNHAPPY_FROM


@pytest.mark.parametrize(
    ("unhappy", "calm"),
    [
        (
            "Thanks for nothing, wonderful service as always",
            "Thanks for everything, wonderful service as always",
        ),
        ("Good morning. Thanks for nothing", "Good morning. Thanks for the form"),
        ("Danke für gar nichts, toller Service wie immer", "Danke für alles, toller Service wie immer"),
        ("Gracias por nada, todo estupendo", "Gracias por todo, todo estupendo"),
    ],
)
def test_a_set_phrase_counts_wherever_it_stands_in_a_turn(encoder: Embedder, unhappy: str, calm: str) -> None:
    assert feeling(encoder, unhappy).unhappy >= satisfaction.UNHAPPY_FROM
    assert feeling(encoder, calm).unhappy < satisfaction.UNHAPPY_FROM


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Thanks for nothing", []),
        ("Oh. Thanks for nothing, well then!", ["Thanks for nothing"]),
        ("太好了，又是一个没用的链接", ["又是一个没用的链接"]),
        ("شكرا على لا شيء، عمل ممتاز كالعادة", ["شكرا على لا شيء", "عمل ممتاز كالعادة"]),
        ("one two three. " * 9, ["one two three"] * satisfaction.MOST_CLAUSES),
    ],
)
def test_clauses_that_mean_something_are_looked_at(text: str, clauses: list[str]) -> None:
    assert satisfaction.clauses(text) == clauses
    assert satisfaction.words(text, [{"role": "bot", "text": "Hello"}]) == ["Hello", *clauses, text]


@pytest.mark.parametrize(
    "text",
    [
        "The lamp in my street is broken",
        "La farola de mi calle está rota",
        "Thanks a lot!",
        "Muchas gracias",
        "Obrigado por tudo",
    ],
)
def test_a_broken_lamp_is_no_unhappiness(encoder: Embedder, text: str) -> None:
    assert feeling(encoder, text).unhappy < satisfaction.UNHAPPY_FROM


def test_the_same_words_weigh_more_after_a_wrong_answer(encoder: Embedder) -> None:
    """An earlier rejection is remembered."""
    text = "No, that is not what I wanted"
    first = feeling(encoder, text)
    again = feeling(
        encoder,
        text,
        ("citizen", "No, not that one either"),
        ("bot", "Sorry, I could not find anything about that."),
    )
    assert again.unhappy > first.unhappy


def test_asking_again_in_other_words_is_noticed(encoder: Embedder) -> None:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (FIXTURES / "repeats.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {row["lang"] for row in rows} == set(SUPPORTED)
    again = [feeling(encoder, row["again"], ("citizen", row["first"])).repeats for row in rows]
    assert sum(found is not None for found in again) >= 0.5 * len(rows)
    other = [
        feeling(encoder, row["again"], ("citizen", elsewhere["first"])).repeats
        for row in rows
        for elsewhere in rows
        if row["lang"] == elsewhere["lang"] and row is not elsewhere
    ]
    assert sum(found is not None for found in other) <= 0.01 * len(other)
    near = [feeling(encoder, row["other"], ("citizen", row["first"])).repeats for row in rows]
    assert sum(found is not None for found in near) <= 0.25 * len(near)


def test_a_repeated_turn_is_named_by_its_place_in_the_whole_history(encoder: Embedder) -> None:
    filler = [("bot", "Which one do you mean?")] * 8
    question = ("citizen", "When is the library open on Saturday?")
    found = feeling(encoder, "When is the library open on Saturdays?", *filler, question, *filler)
    assert found.repeats is not None
    assert found.repeats.turn == 8
    assert feeling(encoder, question[1], question, *filler, *filler).repeats is None


@pytest.mark.parametrize("text", ["yes", "no", "ok", "是", "Mill Lane 4"])
def test_a_short_turn_never_repeats(encoder: Embedder, text: str) -> None:
    assert feeling(encoder, text, ("citizen", text)).repeats is None


def test_figures_know_what_they_cannot_tell() -> None:
    calm = measuring.figures([(False, 0.1), (False, 0.9)])
    assert (calm["auc"], calm["recall"], calm["calm_flagged_rate"]) == (None, None, 0.5)
    told = measuring.figures([(False, 0.1), (True, 0.9), (True, 0.2), (False, 0.7)])
    assert (told["auc"], told["precision"], told["recall"], told["f1"]) == (0.75, 0.5, 0.5, 0.5)
    assert told["flagged_rate"] == 0.5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"turns": 3}', 'each of "turns" needs'),
        ('{"turns": [{"role": "citizen", "text": "x"}]}', 'lacks "dissatisfied"'),
        ('{"words": "x"}', "are missing"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ImportFailed) as failed:
        measuring.read_dialogues([path])
    assert said in str(failed.value.problems[0])
