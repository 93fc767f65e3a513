"""Takes out of a provider's words what no database or JSON can hold, so that nothing authentic is refused."""

from __future__ import annotations

from typing import Any


def clean(value: Any) -> Any:
    """The same value without NUL characters, and with U+FFFD for halves of surrogate pairs, at any depth."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, dict):
        return {_clean_text(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def _clean_text(text: str) -> str:
    text = text.replace("\0", "")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
