"""Reads secrets out of settings without caring how they are wrapped."""

from __future__ import annotations

from typing import Any


def reveal(value: Any) -> str | None:
    """The words inside a SecretStr or a plain string; None for a value that is missing or blank."""
    if value is None:
        return None
    unwrap = getattr(value, "get_secret_value", None)
    text = str(unwrap() if unwrap else value).strip()
    return text or None
