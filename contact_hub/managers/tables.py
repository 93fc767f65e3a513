"""Figures as tables: what pages show, charts are drawn from, and exports hold is one and the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Kind = Literal["text", "count", "share", "minutes", "score"]


class Hidden(Enum):
    """A figure that is not told."""

    FEW = "hidden"  # of so few, or it would tell another that is of so few


FEW = Hidden.FEW


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell that is of another kind than its column."""

    value: float | Hidden | None
    kind: Kind


Cell = str | int | float | Hidden | Figure | None


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column and what its cells are: shares are from 0 to 1, durations in minutes."""

    name: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of figures; with `chart` its columns of that kind are also drawn, by its first column."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    about: str = ""
    chart: Literal["line", "bar"] | None = None
    drawn: Sequence[int] = ()  # the columns that are drawn
    period: str = ""  # where it is of another time than the page


def shown(cell: Cell, kind: Kind) -> str:
    """A cell in words."""
    if isinstance(cell, Figure):
        return shown(cell.value, cell.kind)
    if isinstance(cell, Hidden):
        return cell.value
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if kind == "share":
        return f"{cell * 100:.1f} %"
    if kind == "minutes":
        return duration(cell)
    if kind == "score":
        return f"{cell:.2f}"
    return f"{cell:,.0f}".replace(",", "\u202f")  # a narrow space, as all of the city's readers know it


def plain(cell: Cell) -> str | int | float | None:
    """A cell as other programs take it: shares from 0 to 1, durations in minutes."""
    if isinstance(cell, Figure):
        return plain(cell.value)
    if isinstance(cell, Hidden):
        return cell.value
    return round(cell, 6) if isinstance(cell, float) else cell


def duration(minutes: float) -> str:
    """A time in the two units that matter."""
    seconds = round(minutes * 60)
    if seconds < 60:
        return f"{seconds} s"
    whole = round(minutes)
    if whole < 60:
        return f"{whole} min"
    if whole < 24 * 60:
        return f"{whole // 60} h {whole % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
