"""One published version of the knowledge, ready to be searched, and its file on this machine.

A snapshot never changes. A new version is built beside the old one, written into a folder of its
own, fsynced and renamed, and only then does the brain look at it: whatever moment the power goes,
the next start finds a whole version.

    $CIVICLINE_DATA/brain/knowledge-000012/{meta.json, passages.jsonl, index.faiss}
"""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bot.knowledge.embeddings import Vectors
from bot.knowledge.index import VectorIndex
from bot.knowledge.lexical import LexicalIndex

# Passages whose scores tell how high an unrelated passage scores for a question.
BACKGROUND = 512


class BrokenSnapshot(ValueError):
    """A published or cached version is damaged or does not fit; the message says why."""


@dataclass(frozen=True)
class Row:
    """One passage as the hub published it."""

    passage: int
    article: str
    version: int
    language: str
    title: str
    url: str
    kind: str
    ordinal: int
    text: str


@dataclass(frozen=True)
class Meta:
    """What a version says about itself."""

    version: int
    fingerprint: str
    dimensions: int
    published_at: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A version with its indexes."""

    meta: Meta
    rows: tuple[Row, ...]
    vectors: VectorIndex
    words: LexicalIndex
    background: Vectors
    built_at: float

    @cached_property
    def position(self) -> dict[int, int]:
        """Return where each passage stands in `rows`."""
        return {row.passage: at for at, row in enumerate(self.rows)}

    @cached_property
    def articles(self) -> dict[str, dict[str, list[int]]]:
        """Return the positions of each article's passages by language, in order."""
        found: dict[str, dict[str, list[int]]] = {}
        for at, row in enumerate(self.rows):
            found.setdefault(row.article, {}).setdefault(row.language, []).append(at)
        return found


def build(meta: Meta, rows: Sequence[Row], vectors: Vectors) -> Snapshot:
    """Return a searchable snapshot; raise BrokenSnapshot where the parts do not fit together."""
    if len(rows) != len(vectors):
        raise BrokenSnapshot(f"version {meta.version} has {len(rows)} passages but {len(vectors)} vectors")
    if not np.isfinite(vectors).all():
        raise BrokenSnapshot(f"version {meta.version} holds a vector that is no number")
    ids = np.fromiter((row.passage for row in rows), dtype=np.int64, count=len(rows))
    try:
        index = VectorIndex.build(ids, vectors)
    except ValueError as error:
        raise BrokenSnapshot(f"version {meta.version}: {error}") from error
    return _assemble(meta, tuple(rows), index)


def unpack(archive: bytes) -> tuple[Meta, list[Row], Vectors]:
    """Return the parts of a version as the hub publishes it (a zip file)."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as parts:
            meta = _meta(parts.read("meta.json"))
            rows = _rows(parts.read("passages.jsonl"))
            numbers = np.frombuffer(parts.read("vectors.f32"), dtype="<f4")
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise BrokenSnapshot(f"the published knowledge cannot be read: {error}") from error
    if numbers.size != len(rows) * meta.dimensions:
        raise BrokenSnapshot(
            f"version {meta.version} has {len(rows)} passages of {meta.dimensions} dimensions "
            f"but {numbers.size} numbers"
        )
    return meta, rows, numbers.reshape(len(rows), meta.dimensions).astype(np.float32)


class Cache:
    """The folder that keeps the newest version for the next start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, snapshot: Snapshot) -> None:
        """Store a snapshot so that either all of it or nothing of it is there afterwards."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        final = self._folder / f"knowledge-{snapshot.meta.version:09d}"
        building = self._folder / f".building-{os.getpid()}-{snapshot.meta.version}"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        lines = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in snapshot.rows)
        (building / "passages.jsonl").write_text(lines, encoding="utf-8")
        snapshot.vectors.write(building / "index.faiss")
        sums = {name: _sha256(building / name) for name in ("passages.jsonl", "index.faiss")}
        meta = asdict(snapshot.meta) | {"sha256": sums}
        (building / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        for path in building.iterdir():
            _fsync(path)
        _fsync(building)
        if final.exists():  # the same version again, after a damaged copy of it was refused
            shutil.rmtree(final)
        building.rename(final)
        _fsync(self._folder)
        for path in self._folder.iterdir():
            stale = path.name.startswith(".building-") or path.name.startswith("knowledge-")
            if stale and path != final:
                shutil.rmtree(path, ignore_errors=True)

    def load(self, fingerprint: str) -> tuple[Snapshot | None, str]:
        """Return the newest stored version that fits, and why a newer one was passed over."""
        reason = ""
        for folder in sorted(self._folder.glob("knowledge-*"), reverse=True):
            try:
                return self._read(folder, fingerprint), reason
            except (BrokenSnapshot, OSError, ValueError, KeyError, TypeError) as error:
                reason = reason or f"{folder.name}: {error}"
        return None, reason

    def _read(self, folder: Path, fingerprint: str) -> Snapshot:
        stored = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        meta = _meta(json.dumps(stored).encode())
        if meta.fingerprint != fingerprint:
            raise BrokenSnapshot(f"it was made with {meta.fingerprint}, the brain runs {fingerprint}")
        for name, expected in stored["sha256"].items():
            if _sha256(folder / name) != expected:
                raise BrokenSnapshot(f"{name} is damaged")
        rows = _rows((folder / "passages.jsonl").read_bytes())
        return _assemble(meta, tuple(rows), VectorIndex.read(folder / "index.faiss"))


def _assemble(meta: Meta, rows: tuple[Row, ...], index: VectorIndex) -> Snapshot:
    if len(index) != len(rows):
        raise BrokenSnapshot(f"{len(rows)} passages but {len(index)} indexed vectors")
    chosen = np.random.default_rng(0).permutation(len(rows))[:BACKGROUND]
    background = (
        np.stack([index.vector(rows[at].passage) for at in chosen])
        if len(rows)
        else np.empty((0, meta.dimensions), dtype=np.float32)
    )
    words = LexicalIndex([searchable(row) for row in rows])
    return Snapshot(meta, rows, index, words, background, time.time())


def searchable(row: Row) -> str:
    """Return the words under which a passage is found: its title counts for each of its passages."""
    return row.text if row.kind == "title" or not row.title else f"{row.title}\n{row.text}"


def _meta(raw: bytes) -> Meta:
    stored: dict[str, Any] = json.loads(raw)
    return Meta(
        version=int(stored["version"]),
        fingerprint=str(stored["fingerprint"]),
        dimensions=int(stored["dimensions"]),
        published_at=str(stored.get("published_at") or ""),
    )


def _rows(raw: bytes) -> list[Row]:
    names = tuple(Row.__dataclass_fields__)
    found = []
    for line in raw.decode("utf-8").split("\n"):
        if line.strip():
            stored = json.loads(line)
            found.append(Row(**{name: stored[name] for name in names}))
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
