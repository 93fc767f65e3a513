"""Which language a visitor's browser would like, out of those we have."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(header: str, available: Sequence[str], default: str) -> str:
    """Picks from an Accept-Language header: the highest quality first, the browser's order among equals."""
    wishes: list[tuple[float, str]] = []
    for part in header[:1000].split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if tag and quality > 0:
            wishes.append((quality, tag.partition("-")[0].lower()))
    for _, language in sorted(wishes, key=lambda wish: -wish[0]):
        if language in available:
            return language
    return default
