"""Danger is read from a sentence vector, and only where it is likely enough to be acted on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bot import danger
from bot.evaluate import danger as measuring
from bot.evaluate.vectors import VectorStore
from bot.knowledge.importers import ImportFailed
from bot.settings import city_folder


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[VectorStore]:
    """Keep the vectors of both models for the module."""
    return measuring.stores_at(tmp_path_factory.mktemp("vectors") / "vectors.sqlite")


def heard(stores: list[VectorStore], *texts: str) -> list[danger.Danger | None]:
    """Read texts with time for both looks."""
    first, second = (store.encode(texts, [""] * len(texts)) for store in stores)
    return [measuring.heard(*row) for row in zip(texts, first, second, strict=True)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("my husband has stopped breathing", danger.Kind.EMERGENCY),
        ("I want to kill myself tonight", danger.Kind.SELF_HARM),
        ("ich will nicht mehr leben", danger.Kind.SELF_HARM),
        ("在我家里着火了", danger.Kind.EMERGENCY),
    ],
)
def test_danger_is_read_in_many_languages(stores: list[VectorStore], text: str, kind: danger.Kind) -> None:
    (found,) = heard(stores, text)
    assert found is not None
    assert found.kind is kind


@pytest.mark.parametrize(
    "text",
    [
        "When does the fire station open?",
        "I'm dying to know when the pool opens",
        "Wann ist Müllabfuhr?",
        "The street light outside number 4 has been dark for a week.",
        "You are useless, this is the third time that I ask!",
        "",
    ],
)
def test_what_only_sounds_like_danger_is_none(stores: list[VectorStore], text: str) -> None:
    assert heard(stores, text) == [None]


@pytest.mark.parametrize(
    "words",
    [
        "{street} 12",
        "It is on {street}, in front of number 12",
        "It's at the corner of {street} and Quay Road",
        "Está en {street} 12",
        "C'est au 12 {street}",
        "vor der {street} 12",
        "davanti al numero 12 di {street}",
        "przed numerem 12 na {street}",
        "em frente ao número 12 da {street}",
        "{street} 12 numaranın önünde",
        "في {street} رقم 12",
        "在{street}12号",
    ],
)
def test_an_address_is_no_danger(stores: list[VectorStore], words: str) -> None:
    districts = yaml.safe_load((city_folder() / "city.yml").read_text(encoding="utf-8"))["district_streets"]
    texts = [words.format(street=street) for streets in districts.values() for street in streets]
    assert len(texts) > 50
    assert [text for text, found in zip(texts, heard(stores, *texts), strict=True) if found] == []


def test_danger_is_heard_wherever_it_stands_in_a_message(stores: list[VectorStore]) -> None:
    ask = "Good morning, I wanted to ask when the paper bin is emptied in Mill Lane"
    found = heard(stores, f"{ask}. And my husband has just collapsed, he isn't breathing", ask)
    assert [one is not None for one in found] == [True, False]


def test_ordinary_turns_raise_no_alarm(stores: list[VectorStore]) -> None:
    lines = (Path(__file__).parents[2] / "fixtures" / "ordinary_plain.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in lines.splitlines()]
    assert [text for text, found in zip(texts, heard(stores, *texts), strict=True) if found] == []


@pytest.mark.parametrize("name", ["danger_heldout.jsonl", "danger_fresh.jsonl", "danger_plain.jsonl"])
def test_the_model_alone_hears_most_statements_and_seldom_alarms(
    stores: list[VectorStore], name: str
) -> None:
    lines = (Path(__file__).parents[2] / "fixtures" / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    pairs = list(zip(rows, heard(stores, *(row["text"] for row in rows)), strict=True))
    statements = [seen is not None for row, seen in pairs if row["kind"] != "none"]
    look_alikes = [seen is not None for row, seen in pairs if row["kind"] == "none"]
    assert sum(statements) / len(statements) > 0.9
    assert sum(look_alikes) / len(look_alikes) < 0.03


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "danger.jsonl"
    wrong.write_text('{"text": "help", "kind": "urgent"}\n', encoding="utf-8")
    with pytest.raises(ImportFailed, match="kind"):
        measuring.read_turns([wrong])


def test_what_phrases_and_model_hear_is_counted_apart_and_together(stores: list[VectorStore]) -> None:
    turns = [
        measuring.Turn("my husband has stopped breathing", "emergency", "en"),
        measuring.Turn("zzz zzz", "self_harm", "xx"),
        measuring.Turn("the password is dolphin", "none", "en"),
        measuring.Turn("When does the fire station open?", "none", "en"),
    ]
    found = measuring.measure(turns, lambda text: text in {"zzz zzz", "the password is dolphin"}, stores)
    assert found["statements"]["caught"] == 1.0
    assert found["look_alikes"]["alarmed"] == 0.5
    assert found["phrases_alone"]["statements"]["by_language"]["xx"] == {"n": 1, "caught": 1.0}
    assert found["model_alone"]["statements"] == {
        "n": 2,
        "caught": 0.5,
        "by_language": {"en": {"n": 1, "caught": 1.0}, "xx": {"n": 1, "caught": 0.0}},
    }
    assert found["false_alarms"] == ["the password is dolphin"]
