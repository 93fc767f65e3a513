"""A version of the knowledge is stored whole, swapped whole, and refused when it does not fit."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.knowledge.articles import Article
from bot.knowledge.embeddings import AsyncEmbedder, Embedder, Vectors
from bot.knowledge.search import Search, look_up
from bot.knowledge.snapshots import BrokenSnapshot, Cache, Meta, Row, Snapshot, build, unpack


def rows(count: int, version: int = 1) -> list[Row]:
    return [
        Row(at + 1, f"t/a{at}", version, "en", f"Title {at}", "", "body", 0, f"text number {at}")
        for at in range(count)
    ]


def some_vectors(count: int, dimensions: int = 8) -> Vectors:
    made = np.random.default_rng(1).normal(size=(count, dimensions)).astype(np.float32)
    unit: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def archive(meta: Meta, passages: Sequence[Row], vectors: Vectors) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as parts:
        parts.writestr("meta.json", json.dumps(asdict(meta)))
        parts.writestr("passages.jsonl", "".join(json.dumps(asdict(row)) + "\n" for row in passages))
        parts.writestr("vectors.f32", vectors.astype("<f4").tobytes())
    return out.getvalue()


def test_what_the_hub_publishes_can_be_unpacked() -> None:
    meta, vectors = Meta(3, "f", 8, "2026-01-01"), some_vectors(4)
    assert unpack(archive(meta, rows(4), vectors))[:2] == (meta, rows(4))


@pytest.mark.parametrize("damage", [lambda raw: raw[:-40], lambda raw: b"", lambda raw: b"PK" + raw])
def test_a_damaged_archive_is_refused(damage: Callable[[bytes], bytes]) -> None:
    whole = archive(Meta(3, "f", 8), rows(4), some_vectors(4))
    with pytest.raises(BrokenSnapshot):
        unpack(damage(whole)[: len(whole) - 1])


def test_missing_vectors_are_refused() -> None:
    with pytest.raises(BrokenSnapshot, match="4 passages of 8 dimensions but 24 numbers"):
        unpack(archive(Meta(3, "f", 8), rows(4), some_vectors(3)))


def test_a_passage_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(BrokenSnapshot, match="stands 2 times"):
        build(Meta(1, "f", 8), [*rows(2), rows(1)[0]], some_vectors(3))


def test_a_vector_that_is_no_number_is_refused() -> None:
    vectors = some_vectors(2)
    vectors[1, 3] = np.nan
    with pytest.raises(BrokenSnapshot, match="no number"):
        build(Meta(1, "f", 8), rows(2), vectors)


def test_an_empty_version_is_a_version() -> None:
    assert build(Meta(1, "f", 8), [], np.empty((0, 8), dtype=np.float32)).rows == ()


def test_the_newest_version_is_loaded_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for version in (1, 2):
        cache.save(build(Meta(version, "f", 8), rows(3, version), some_vectors(3)))
    loaded, reason = cache.load("f")
    assert loaded is not None
    assert (loaded.meta.version, loaded.rows, reason) == (2, tuple(rows(3, 2)), "")
    assert [path.name for path in tmp_path.iterdir()] == ["knowledge-000000002"]


def test_a_version_of_other_models_is_passed_over(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save(build(Meta(1, "old", 8), rows(3), some_vectors(3)))
    loaded, reason = cache.load("new")
    assert loaded is None
    assert reason == "knowledge-000000001: it was made with old, the brain runs new"


@pytest.mark.parametrize("name", ["index-rest.faiss", "passages.jsonl", "meta.json"])
def test_a_damaged_file_is_noticed(tmp_path: Path, name: str) -> None:
    cache = Cache(tmp_path)
    cache.save(build(Meta(1, "f", 8), rows(3), some_vectors(3)))
    path = tmp_path / "knowledge-000000001" / name
    path.write_bytes(path.read_bytes()[:-3])
    loaded, reason = cache.load("f")
    assert loaded is None
    assert reason


def test_a_half_written_version_is_never_seen(tmp_path: Path) -> None:
    (tmp_path / ".building-77-9").mkdir()
    (tmp_path / ".building-77-9" / "meta.json").write_text("{}")
    cache = Cache(tmp_path)
    assert cache.load("f") == (None, "")
    cache.save(build(Meta(1, "f", 8), rows(1), some_vectors(1)))
    assert [path.name for path in tmp_path.iterdir()] == ["knowledge-000000001"]


def test_questions_go_on_while_versions_change(
    embedder: Embedder, make_snapshot: Callable[[Sequence[Article]], Snapshot]
) -> None:
    """Four threads ask while versions are swapped: each answer comes whole from one version."""
    versions = []
    for number in (1, 2):
        made = make_snapshot(
            [
                Article(f"v{number}/bins", "en", f"Bins {number}", f"The bin comes on day {number}."),
                Article(f"v{number}/park", "en", f"Park {number}", f"The park closes at {number} o'clock."),
            ]
        )
        versions.append(Snapshot(Meta(number, *list(asdict(made.meta).values())[1:]), *_rest(made)))
    question = embedder.encode(["When does the bin come?"])
    search = Search(AsyncEmbedder(embedder), versions[0])
    stop, wrong, asked = threading.Event(), list[str](), [0]

    def ask() -> None:
        while not stop.is_set():
            snapshot = search.snapshot
            assert snapshot is not None
            answer = look_up(snapshot, "When does the bin come?", question, [], "en", 5)
            asked[0] += 1
            if {p.article.split("/")[0] for p in answer.passages} != {f"v{answer.kb_version}"}:
                wrong.append(str(answer))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        search.swap(versions[turn % 2])
    answer = asyncio.run(search.answer("When does the bin come?", "en"))
    stop.set()
    for thread in threads:
        thread.join()
    search.close()
    assert not wrong
    assert asked[0] > 4
    assert answer.passages[0].article == "v2/bins"


def _rest(snapshot: Snapshot) -> tuple[Any, ...]:
    return (snapshot.rows, snapshot.groups, snapshot.words, snapshot.spelling, snapshot.built_at)
