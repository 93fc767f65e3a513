"""Danger is read from a sentence vector, and only where it is likely enough to be acted on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot import danger
from bot.knowledge.embeddings import Embedder


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
    fixture = Path(__file__).parents[2] / "fixtures" / "danger.jsonl"
    rows = [json.loads(line) for line in fixture.read_text(encoding="utf-8").splitlines()]
    found = [danger.read(vector) for vector in embedder.encode([row["text"] for row in rows])]
    pairs = list(zip(rows, found, strict=True))
    statements = [seen is not None for row, seen in pairs if row["kind"] != "none"]
    look_alikes = [seen is not None for row, seen in pairs if row["kind"] == "none"]
    assert sum(statements) / len(statements) > 0.5
    assert sum(look_alikes) / len(look_alikes) < 0.02
