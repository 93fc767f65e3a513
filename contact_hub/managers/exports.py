"""Tables as files: CSV, spreadsheet and JSON, in which nothing that somebody wrote becomes a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xlsxwriter

from contact_hub.managers.tables import Cell, Figure, Kind, Table, plain

# What spreadsheets take for the beginning of a formula, in their narrow and their wide form, and what
# some of them skip before they look (OWASP, CSV injection).
_FORMULA = re.compile(r"^[\s\x00-\x20\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n\x00]")
MIMES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
_NUMBERS: Mapping[Kind, str] = {
    "text": "General",
    "count": "#,##0",
    "share": "0.0%",
    "minutes": "0.00",
    "score": "0.00",
}


def harmless(words: str) -> str:
    """Text that no spreadsheet takes for a formula: one that would be begins with an apostrophe."""
    words = words.replace("\x00", "")
    return f"'{words}" if _FORMULA.match(words) else words


def _heads(table: Table) -> list[str]:
    """The names of the columns, with the unit that a number alone does not tell."""
    return [
        f"{column.name}, minutes" if column.kind == "minutes" else column.name for column in table.columns
    ]


def _name(row: Sequence[Cell]) -> str | int | float | None:
    """The first cell of a row, with the unit where one of its figures has its own."""
    lasts = any(isinstance(cell, Figure) and cell.kind == "minutes" for cell in row)
    return f"{plain(row[0])}, minutes" if lasts else plain(row[0])


def as_csv(table: Table, period: str) -> bytes:
    """RFC 4180 with a byte order mark, so that spreadsheets read it as UTF-8; numbers are plain numbers."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([harmless(head) for head in _heads(table)])
    for row in table.rows:
        cells = [_name(row), *map(plain, row[1:])]
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def as_xlsx(table: Table, period: str) -> bytes:
    """A spreadsheet whose text cells are text, whatever they hold."""
    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet(re.sub(r"[\[\]:*?/\\']", " ", table.title)[:31])
        bold = book.add_format({"bold": True})
        numbers = {kind: book.add_format({"num_format": words}) for kind, words in _NUMBERS.items()}
        sheet.write_string(0, 0, f"{table.title}, {period}", bold)
        for at, head in enumerate(_heads(table)):
            sheet.write_string(1, at, head, bold)
        for line, row in enumerate(table.rows, start=2):
            for at, cell in enumerate(row):
                value = plain(cell) if at else _name(row)
                kind = cell.kind if isinstance(cell, Figure) else table.columns[at].kind
                if isinstance(value, str):
                    sheet.write_string(line, at, value.replace("\x00", ""))
                elif value is not None:
                    sheet.write_number(line, at, value, numbers[kind])
        sheet.freeze_panes(2, 1)
        sheet.autofit()
    return out.getvalue()


def as_json(table: Table, period: str) -> bytes:
    """The same as data, with what each column is; a hidden figure is the word `hidden`."""
    said: dict[str, Any] = {
        "title": table.title,
        "about": table.about,
        "period": period,
        "columns": [{"name": column.name, "kind": column.kind} for column in table.columns],
        "rows": [[plain(cell) for cell in row] for row in table.rows],
    }
    return json.dumps(said, ensure_ascii=False, indent=2).encode()


FORMATS: Mapping[str, Callable[[Table, str], bytes]] = {"csv": as_csv, "xlsx": as_xlsx, "json": as_json}
