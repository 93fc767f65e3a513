"""Showing why something was found: a piece of its text, with the words that were looked for marked.

What is marked is told apart by structure and never by signs inside the text, so that nothing a resident
writes can be taken for a mark, or for HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.timeline.models import Touchpoint
from contact_hub.timeline.words import Word, configuration, normal, shown, tokens

LONGEST = 240  # characters of an excerpt
_LOOKED_THROUGH = 4000  # characters of one text
_BEFORE = 60  # characters shown before the first mark


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a text, and whether it is what was looked for."""

    text: str
    marked: bool


_FITTING = text("""
    SELECT c, w FROM unnest(CAST(:configurations AS text[]), CAST(:words AS text[])) AS given (c, w)
    WHERE to_tsvector(CAST(c AS regconfig), w) @@ CAST(:wanted AS tsquery)
""")


async def excerpts(
    session: AsyncSession, touchpoints: Sequence[Touchpoint], wanted: str
) -> list[list[Piece]]:
    """An excerpt of each; `wanted` is a query that fits any single word worth marking."""
    texts = [normal(shown(t.text, t.payload))[:_LOOKED_THROUGH] for t in touchpoints]
    words = [list(tokens(said)) for said in texts]
    asked = sorted(
        {
            (configuration(t.language), word.token)
            for t, said in zip(touchpoints, words, strict=True)
            for word in said
        }
    )
    fitting: set[tuple[str, str]] = set()
    if asked and wanted:
        rows = await session.execute(
            _FITTING,
            {"configurations": [c for c, _ in asked], "words": [w for _, w in asked], "wanted": wanted},
        )
        fitting = {(row[0], row[1]) for row in rows}
    return [
        excerpt(said, [word for word in found if (configuration(t.language), word.token) in fitting])
        for t, said, found in zip(touchpoints, texts, words, strict=True)
    ]


def excerpt(said: str, marks: Sequence[Word]) -> list[Piece]:
    """A piece of a text around its first mark, cut between words."""
    start = max(0, marks[0].start - _BEFORE) if marks else 0
    if start:
        start = said.find(" ", start, marks[0].start) + 1 or start
    end = min(len(said), start + LONGEST)
    if end < len(said):
        end = max(said.rfind(" ", start + 1, end), start + LONGEST // 2) if " " in said[start:end] else end
    pieces = list(_pieces(said, marks, start, end))
    if start:
        pieces.insert(0, Piece("…", False))
    return [*pieces, Piece("…", False)] if end < len(said) else pieces


def _pieces(said: str, marks: Sequence[Word], start: int, end: int) -> Iterator[Piece]:
    at = start
    for first, last in _joined(marks):
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        if first > at:
            yield Piece(said[at:first], False)
        yield Piece(said[first:last], True)
        at = last
    if at < end:
        yield Piece(said[at:end], False)


def _joined(marks: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """The places to mark, those that overlap as one."""
    first = last = -1
    for mark in sorted(marks, key=lambda word: (word.start, word.end)):
        if mark.start > last:
            if last > first:
                yield first, last
            first, last = mark.start, mark.end
        else:
            last = max(last, mark.end)
    if last > first:
        yield first, last
