"""Danger is read from a sentence vector, and only where it is likely enough to be acted on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot import danger
from bot.evaluate import danger as measuring
from bot.evaluate.vectors import VectorStore
from bot.knowledge.embeddings import Embedder
from bot.knowledge.importers import ImportFailed


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(danger.MODEL)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("my husband has stopped breathing", danger.Kind.EMERGENCY),
        ("I want to kill myself tonight", danger.Kind.SELF_HARM),
        ("ich will nicht mehr leben", danger.Kind.SELF_HARM),
        ("在我家里着火了", danger.Kind.EMERGENCY),
    ],
)
def test_danger_is_read_in_many_languages(embedder: Embedder, text: str, kind: danger.Kind) -> None:
    found = danger.read(embedder.encode([text])[0])
    assert found is not None
    assert found.kind is kind


@pytest.mark.parametrize(
    "text",
    ["When does the fire station open?", "I'm dying to know when the pool opens", "Wann ist Müllabfuhr?", ""],
)
def test_what_only_sounds_like_danger_is_none(embedder: Embedder, text: str) -> None:
    assert danger.read(embedder.encode([text])[0]) is None


def test_the_model_alone_hears_most_statements_and_seldom_alarms(embedder: Embedder) -> None:
    fixture = Path(__file__).parents[2] / "fixtures" / "danger_heldout.jsonl"
    rows = [json.loads(line) for line in fixture.read_text(encoding="utf-8").splitlines()]
    found = [danger.read(vector) for vector in embedder.encode([row["text"] for row in rows])]
    pairs = list(zip(rows, found, strict=True))
    statements = [seen is not None for row, seen in pairs if row["kind"] != "none"]
    look_alikes = [seen is not None for row, seen in pairs if row["kind"] == "none"]
    assert sum(statements) / len(statements) > 0.5
    assert sum(look_alikes) / len(look_alikes) < 0.03


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "danger.jsonl"
    wrong.write_text('{"text": "help", "kind": "urgent"}\n', encoding="utf-8")
    with pytest.raises(ImportFailed, match="kind"):
        measuring.read_turns([wrong])


def test_what_phrases_and_model_hear_is_counted_apart_and_together(
    embedder: Embedder, tmp_path: Path
) -> None:
    turns = [
        measuring.Turn("my husband has stopped breathing", "emergency", "en"),
        measuring.Turn("zzz zzz", "self_harm", "xx"),
        measuring.Turn("the password is dolphin", "none", "en"),
        measuring.Turn("When does the fire station open?", "none", "en"),
    ]
    store = VectorStore(embedder, tmp_path / "vectors.sqlite")
    found = measuring.measure(turns, lambda text: text in {"zzz zzz", "the password is dolphin"}, store)
    store.close()
    assert found["statements"]["caught"] == 1.0
    assert found["look_alikes"]["alarmed"] == 0.5
    assert found["phrases_alone"]["statements"]["by_language"]["xx"] == {"n": 1, "caught": 1.0}
    assert found["model_alone"]["statements"] == {
        "n": 2,
        "caught": 0.5,
        "by_language": {"en": {"n": 1, "caught": 1.0}, "xx": {"n": 1, "caught": 0.0}},
    }
    assert found["false_alarms"] == ["the password is dolphin"]
