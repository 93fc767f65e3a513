"""Vectors of the city's own texts are computed once; residents' words never reach the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from bot.knowledge.embeddings import AsyncEmbedder, Embedder
from bot.knowledge.vault import Vault


def test_what_is_kept_comes_back_for_the_same_model_only(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vectors.sqlite", "one")
    vector = np.arange(4, dtype=np.float32)
    vault.put({("passage", "Bins are emptied on Monday.", "1"): vector})
    vault.close()
    again = Vault(tmp_path / "vectors.sqlite", "one")
    other = Vault(tmp_path / "vectors.sqlite", "two")
    key = ("passage", "Bins are emptied on Monday.", "1")
    assert np.array_equal(again.take([key])[key], vector)
    assert other.take([key]) == {}


def test_a_residents_words_are_not_kept_and_the_citys_are(tmp_path: Path) -> None:
    async def work() -> None:
        embedder = Embedder("use")
        vault = Vault(tmp_path / "vectors.sqlite", embedder.fingerprint)
        encoder = AsyncEmbedder(embedder, vault)
        asked = await encoder.encode(["my neighbour hit me"])
        written = await encoder.encode(["Recycling is collected on Monday."], ours=True)
        assert asked.shape == written.shape
        encoder.close()

    asyncio.run(work())
    kept = Vault(tmp_path / "vectors.sqlite", Embedder("use").fingerprint)
    (count,) = kept._database.execute("SELECT count(*) FROM kept").fetchone()
    assert count == 1
    fresh = Embedder("use", cache_texts=4)
    found = fresh.encode(["Recycling is collected on Monday."], vault=kept)
    assert np.allclose(found, Embedder("use").encode(["Recycling is collected on Monday."]))
