"""One published version of the knowledge, ready to be searched, and its file on this machine.

A snapshot never changes. A new version is built beside the old one, written into a folder of its
own, fsynced and renamed, and only then does the brain look at it: whatever moment the power goes,
the next start finds a whole version.

    $CIVICLINE_DATA/brain/knowledge-000000012/{meta.json, passages.jsonl, index-en.faiss, ...}

Each language has an index of its own. Which models read a text depends on its language, so a
question's cosines with English passages and with Spanish ones are not on one scale; how far a
passage stands out from its own language's passages is.
"""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bot.knowledge.embeddings import Vector, Vectors
from bot.knowledge.index import VectorIndex
from bot.knowledge.lexical import LexicalIndex
from bot.knowledge.spelling import LANGUAGE as ENGLISH
from bot.knowledge.spelling import Spelling

# Passages whose cosines tell how near an unrelated passage of a language is to a question.
BACKGROUND = 512
# A language with fewer passages shares an index with the other small ones.
SMALLEST_GROUP = 40
REST = "rest"


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
class Group:
    """The passages of one language: their index, and some of their vectors."""

    index: VectorIndex
    background: Vectors


@dataclass(frozen=True)
class Snapshot:
    """A version with its indexes."""

    meta: Meta
    rows: tuple[Row, ...]
    groups: dict[str, Group]
    words: LexicalIndex
    spelling: Spelling
    built_at: float

    def group(self, row: Row) -> str:
        """Return the name of the group that holds a passage."""
        return row.language if row.language in self.groups else REST

    def mended(self, text: str, language: str) -> str:
        """Return a question as the articles of its language would spell it."""
        return self.spelling.mended(text) if language == ENGLISH else text

    def vector(self, at: int) -> Vector:
        """Return the vector of the passage at a position."""
        row = self.rows[at]
        return self.groups[self.group(row)].index.vector(row.passage)

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
    repeated, counts = np.unique(ids, return_counts=True)
    if len(repeated) < len(ids):
        raise BrokenSnapshot(
            f"version {meta.version}: passage {repeated[counts > 1][0]} stands {counts.max()} times"
        )
    sizes = Counter(row.language for row in rows)
    names = [row.language if sizes[row.language] >= SMALLEST_GROUP else REST for row in rows]
    indexes = {}
    for name in sorted(set(names)):
        chosen = [at for at, one in enumerate(names) if one == name]
        indexes[name] = VectorIndex.build(ids[chosen], vectors[chosen])
    return _assemble(meta, tuple(rows), indexes)


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
        for name, group in snapshot.groups.items():
            group.index.write(building / f"index-{name}.faiss")
        sums = {path.name: _sha256(path) for path in building.iterdir()}
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
        indexes = {
            path.stem.removeprefix("index-"): VectorIndex.read(path)
            for path in sorted(folder.glob("index-*.faiss"))
        }
        return _assemble(meta, tuple(rows), indexes)


def _assemble(meta: Meta, rows: tuple[Row, ...], indexes: dict[str, VectorIndex]) -> Snapshot:
    if sum(map(len, indexes.values())) != len(rows):
        raise BrokenSnapshot(f"{len(rows)} passages but {sum(map(len, indexes.values()))} indexed vectors")
    members: dict[str, list[int]] = {name: [] for name in indexes}
    for row in rows:
        members[row.language if row.language in indexes else REST].append(row.passage)
    groups = {}
    for name, index in indexes.items():
        order = np.random.default_rng(0).permutation(len(members[name]))[:BACKGROUND]
        groups[name] = Group(index, np.stack([index.vector(members[name][at]) for at in order]))
    words = LexicalIndex([searchable(row) for row in rows])
    spelling = Spelling(row.text for row in rows if row.language == ENGLISH)
    return Snapshot(meta, rows, groups, words, spelling, time.time())


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
