"""Tables as files: CSV, spreadsheet and JSON, in which nothing that somebody wrote becomes a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import xlsxwriter

from contact_hub.managers.tables import Figure, Table, plain

# What spreadsheets take for the beginning of a formula, in their narrow and their wide form, and what
# some of them skip before they look (OWASP, CSV injection).
_FORMULA = re.compile(r"^[\s\x00-\x20\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n\x00]")
MIMES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


def harmless(words: str) -> str:
    """Text that no spreadsheet takes for a formula: one that would be begins with an apostrophe."""
    words = words.replace("\x00", "")
    return f"'{words}" if _FORMULA.match(words) else words


def as_csv(table: Table, period: str) -> bytes:
    """RFC 4180 with a byte order mark, so that spreadsheets read it as UTF-8; numbers are plain numbers."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([harmless(column.name) for column in table.columns])
    for row in table.rows:
        cells = [plain(cell) for cell in row]
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
        bold, share = book.add_format({"bold": True}), book.add_format({"num_format": "0.0%"})
        other = book.add_format({"num_format": "0.##"})
        sheet.write_string(0, 0, f"{table.title}, {period}", bold)
        for at, column in enumerate(table.columns):
            sheet.write_string(1, at, column.name, bold)
        for line, row in enumerate(table.rows, start=2):
            for at, cell in enumerate(row):
                value = plain(cell)
                kind = cell.kind if isinstance(cell, Figure) else table.columns[at].kind
                if isinstance(value, str):
                    sheet.write_string(line, at, value.replace("\x00", ""))
                elif value is not None:
                    sheet.write_number(line, at, value, share if kind == "share" else other)
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
