"""Writes buttons and sources into the text, for channels that can only show words.

The words around a choice ("Reply with a number") belong to the city's responses, so what is added
here is free of language: `1 = Yes`. The hub resolves the number a resident sends back.
"""

from __future__ import annotations

from collections.abc import Sequence

from channels.base.contract import Button, Source


def as_text(text: str, buttons: Sequence[Button] = (), sources: Sequence[Source] = ()) -> str:
    """The text, then each source on a line, then each choice with its number."""
    lines = [text.strip()] if text.strip() else []
    lines += [source_line(source) for source in sources]
    lines += choices(buttons)
    return "\n".join(lines)


def source_line(source: Source) -> str:
    """A source as one line: `Title: https://...`; a title that ends in a mark of its own gets no colon."""
    title = " ".join(source.title.split())
    if not title:
        return source.url
    colon = "" if title[-1] in "?!.:…" else ":"
    return f"{title}{colon} {source.url}"


def choices(buttons: Sequence[Button]) -> list[str]:
    """The buttons as numbered lines, in the order in which the hub counts them from 1."""
    return [f"{number} = {' '.join(button.title.split())}" for number, button in enumerate(buttons, start=1)]
