"""A resident's copy of their data: whole, true to its schema, readable, and only ever in the right hands."""

from __future__ import annotations

import io
import json
import re
import tempfile
import tracemalloc
import zipfile
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest

from channels.base.contract import Upload
from contact_hub.citizens import service as citizens
from contact_hub.privacy import export
from contact_hub.timeline import service as timeline
from tests.hub.line import Line, Resident, Script, found, says, turn

SITE = "https://line.larkhaven.example"
# What browsers have run in the past, as a resident may write it.
XSS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</p><svg/onload=alert(1)>",
    "</title><script src=//evil.example></script>",
    '"><iframe srcdoc="<script>alert(1)</script>">',
    '<a href="javascript:alert(1)">x</a>',
    "<!--><script>alert(1)</script>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e<style>*{display:none}</style>",
    "{{7*7}} ${7*7} <math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
)


class Seen(HTMLParser):
    """The page's elements, attributes and text, as a browser finds them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(archive: zipfile.ZipFile) -> tuple[str, Seen]:
    page, seen = archive.read("index.html").decode(), Seen()
    seen.feed(page)
    return page, seen


async def copy_of(line: Line, resident: Resident) -> zipfile.ZipFile:
    target = io.BytesIO()
    citizen = (await resident.place()).citizen_id
    await export.write(line.database, citizen, target, city=line.city, site_url=SITE)
    return zipfile.ZipFile(target)


def data_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The data, after its schema has been held against it."""
    found: dict[str, Any] = json.loads(archive.read("data.json"))
    checker = jsonschema.Draft202012Validator(
        json.loads(archive.read("schema.json")), format_checker=jsonschema.FormatChecker()
    )
    checker.check_schema(checker.schema)
    checker.validate(found)
    return found


async def test_a_copy_holds_everything_and_follows_its_schema(talking: Line, script: Script) -> None:
    resident = await talking.visitor("de")
    script.on_turn = lambda asked: turn({"answer": found()})
    await resident.says("Wann kommt die Müllabfuhr?")
    await resident.presses((await resident.buttons())[0]["id"])
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": "Mill Lane", "description": "A deep one", "photo": None}}
    )
    await resident.says("Da ist ein Loch")
    script.on_turn = lambda asked: says("greet")
    upload = Upload("../../loch <b>.png", "image/png", b"\x89PNG and more")
    await talking.inbox.accept(resident.inbound(words="Ein Foto"), (upload,))
    await talking.work()
    place = await resident.place()
    async with talking.database.begin() as session:
        desk = await citizens.desk_address(session, place.citizen_id)
        await timeline.record(
            session, address_id=desk, direction="inner", actor="agent", kind="note", words="Called back"
        )
    archive = await copy_of(talking, resident)
    data = data_of(archive)

    assert archive.testzip() is None
    assert data["schema"] == f"{SITE}/schemas/citizen-export-1.json"
    assert data["citizen"]["id"] == str(place.citizen_id)
    assert [address["value"] for address in data["addresses"]] == [resident.address]
    history = await resident.touchpoints()
    assert [t["id"] for t in data["touchpoints"] if t["kind"] != "note"] == [str(t.id) for t in history]
    assert [t["text"] for t in data["touchpoints"] if t["kind"] == "note"] == ["Called back"]
    assert {(t["channel"], t["at"][:4]) for t in data["touchpoints"]} >= {
        ("web_chat", str(history[0].recorded_at.year))
    }
    assert data["reports"][0]["place"] == "Mill Lane"
    assert data["answers"][0]["question"] == "Wann kommt die Müllabfuhr?"
    assert data["answers"][0]["helpful"] is True
    assert data["answers"][0]["sources"][0]["article"] == "waste/article-1"
    (file,) = data["files"]
    assert archive.read(file["path"]) == b"\x89PNG and more"
    assert re.fullmatch(r"files/[0-9a-f-]{36}/[\w.\-]+", file["path"])
    page, seen = page_of(archive)
    assert 'lang="de" dir="ltr"' in page
    assert "Called back" in "".join(seen.text)
    assert ("href", file["path"]) in seen.attributes


@pytest.mark.parametrize("words", XSS)
async def test_what_a_resident_wrote_stays_text(talking: Line, words: str) -> None:
    resident = await talking.visitor()
    await resident.says(words)
    await talking.sql("UPDATE citizen SET name = :w", w=words)
    archive = await copy_of(talking, resident)
    data_of(archive)
    page, seen = page_of(archive)
    allowed = "html meta title style h1 h2 p dl dt dd ol li div time bdi a".split()
    assert seen.tags <= set(allowed)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [
        value
        for name, value in seen.attributes
        if name in {"href", "src"} and not str(value).startswith("files/")
    ]
    assert page.count("<style>") == 1
    assert "default-src 'none'" in page
    assert words in "".join(seen.text)


async def test_the_page_reads_from_the_right_where_its_language_does(talking: Line) -> None:
    resident = await talking.visitor("ar")
    await resident.says("مرحبا")
    page, seen = page_of(await copy_of(talking, resident))
    assert 'lang="ar" dir="rtl"' in page
    assert talking.city.say("copy_history", "ar") in "".join(seen.text)


async def test_a_copy_of_a_long_life_needs_no_more_memory_than_one_of_a_short(talking: Line) -> None:
    async def peak(touchpoints: int) -> int:
        resident = await talking.visitor()
        await resident.says("Hello")
        address = (await resident.place()).id
        await talking.sql(
            "INSERT INTO touchpoint (id, address_id, direction, actor, kind, text, payload, recorded_at)"
            " SELECT uuidv7(), :a, 'in', 'citizen', 'text', repeat('word ', 20), '{}', now()"
            " FROM generate_series(1, :n)",
            a=address,
            n=touchpoints,
        )
        with tempfile.TemporaryFile() as nowhere:
            tracemalloc.start()
            done = await export.write(
                talking.database,
                (await resident.place()).citizen_id,
                nowhere,
                city=talking.city,
                site_url=SITE,
            )
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert done.touchpoints > touchpoints
        return most

    await peak(1000)
    short, long = await peak(2000), await peak(20_000)
    assert long < short * 1.5 + 1_000_000
