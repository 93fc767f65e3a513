"""The `<city-chat>` element: its source and build beside this file, and what the server needs to serve it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).parent / "dist" / "city-chat.js"


@dataclass(frozen=True, slots=True)
class Script:
    """The built element: its bytes and the tag by which browsers ask whether it changed."""

    body: bytes
    etag: str


def built_script(path: Path = BUILT) -> Script | None:
    """Reads the built element, or gives None where `npm run build` has not run yet."""
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    return Script(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
