"""Reads settings without caring how they are wrapped, or who holds them."""

from __future__ import annotations

from typing import Any


def reveal(value: Any) -> str | None:
    """The words inside a SecretStr or a plain string; None for a value that is missing or blank."""
    if value is None:
        return None
    unwrap = getattr(value, "get_secret_value", None)
    text = str(unwrap() if unwrap else value).strip()
    return text or None


def public_url(settings: Any) -> str:
    """The address providers and residents use; on a laptop without PUBLIC_URL the hub's own."""
    found = getattr(settings, "public_url", None) or getattr(settings, "site_url", None)
    return str(found or "").rstrip("/")
