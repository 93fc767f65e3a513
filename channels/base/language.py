"""Reads what a device says of its owner's language."""

from __future__ import annotations

import re


def language_tag(tag: str | None) -> str | None:
    """The first language of a tag ("pt-BR") or an Accept-Language header, if it looks like one: "pt"."""
    found = re.match(r"\s*([A-Za-z]{2,3})(?![A-Za-z])", tag or "")
    return found.group(1).lower() if found else None
