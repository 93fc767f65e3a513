"""The `<city-chat>` element: its source and build beside this file, and what the server needs to serve it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

BUILT = Path(__file__).parent / "dist" / "city-chat.js"


@dataclass(frozen=True, slots=True)
class Script:
    """The built element: its bytes, the same compressed, and the tag by which browsers ask for changes."""

    body: bytes
    compressed: bytes
    etag: str


def built_script(path: Path = BUILT) -> Script | None:
    """Gives the built element, read again when it changed, or None where `npm run build` has not run yet."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=2)
def _read(path: Path, changed_ns: int) -> Script:
    body = path.read_bytes()
    return Script(body, gzip.compress(body, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:32]}"')
