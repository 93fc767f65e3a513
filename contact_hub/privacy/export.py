"""A copy of everything the city keeps about one person: one ZIP, for machines and for people.

`data.json` follows `schema.json`, `index.html` reads well and prints well, `files/` holds the
attachments. Everything is read in one snapshot and written row by row, so that a citizen with a
hundred thousand touchpoints costs no more memory than one with ten; only an attachment is whole in
memory while it is copied.
"""

from __future__ import annotations

import json
import re
import uuid
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen, Suppression
from contact_hub.citizens.service import DESK
from contact_hub.city import City
from contact_hub.database import Database, now
from contact_hub.privacy import consent
from contact_hub.privacy.export_page import Page
from contact_hub.timeline import service as timeline

FORMAT = "civicline-citizen-export-1"
SCHEMA_PATH = "/schemas/citizen-export-1.json"
_ROWS = 500  # read at a time

# What of a touchpoint's payload is the hub's own machinery and says nothing about anybody.
_MACHINERY = frozenset({"media", "files", "client_id", "query", "understood", "say", "provider_answered"})

_TOUCHPOINTS = """
    SELECT t.id, t.recorded_at, a.channel, a.id, t.direction, t.actor, t.kind, t.text, t.language,
           t.in_reply_to, t.provider_time, t.payload,
           (SELECT json_agg(json_build_array(f.id, f.name)) FROM attachment f WHERE f.touchpoint_id = t.id)
    FROM address a JOIN touchpoint t ON t.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY t.id
"""
_ANSWERS = """
    SELECT n.question, n.question_id, n.touchpoint_id, n.language, n.outcome, n.probability,
           n.knowledge_version, n.helpful, n.created_at, n.passages
    FROM address a JOIN touchpoint t ON t.address_id = a.id JOIN answer n ON n.question_id = t.id
    WHERE a.citizen_id = :citizen ORDER BY n.id
"""
_REPORTS = """
    SELECT r.reference, r.category, r.place, r.district, r.description, r.department, r.state, r.photo_id,
           r.created_at, r.changed_at
    FROM address a JOIN report r ON r.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY r.number
"""
_FILES = """
    SELECT f.id, f.touchpoint_id, f.name, f.mime, f.size, f.sha256
    FROM address a JOIN attachment f ON f.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY f.id
"""
_FLAGS = """
    SELECT f.touchpoint_id, f.level, f.score, f.signals, f.handed_over, f.raised_at, f.dismissed_at,
           f.dismissed_why, (SELECT v.verdict FROM review v WHERE v.flag_id = f.id)
    FROM address a JOIN flag f ON f.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY f.id
"""
_READINGS = """
    SELECT r.touchpoint_id, r.score, r.read_at
    FROM address a JOIN reading r ON r.address_id = a.id WHERE a.citizen_id = :citizen
    ORDER BY r.touchpoint_id
"""
_RATINGS = """
    SELECT g.channel, g.department, g.language, g.state, g.closed_at, g.asked_at, g.score, g.rated_at,
           g.comment_id
    FROM address a JOIN rating g ON g.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY g.id
"""
_WAITS = """
    SELECT w.channel, w.department, w.language, w.reason, w.since, w.promised_at, w.ended_at, w.ended,
           w.first_word_at
    FROM address a JOIN wait w ON w.address_id = a.id WHERE a.citizen_id = :citizen ORDER BY w.id
"""
_MERGES = """
    SELECT m.id, m.made_at, m.method, CASE WHEN m.undone_at IS NULL THEN m.reason END, m.undone_at, NULL
    FROM merge m -- of one that was wrong the reasons may speak of somebody else
    WHERE m.survivor_id = ANY(:citizens) OR m.absorbed_id = ANY(:citizens) ORDER BY m.number
"""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a copy holds."""

    touchpoints: int
    files: int
    reports: int
    answers: int
    flags: int = 0
    readings: int = 0
    ratings: int = 0
    waits: int = 0


@cache
def schema() -> bytes:
    """The schema of `data.json`."""
    return (Path(__file__).parent / "export_schema.json").read_bytes()


async def write(
    database: Database, citizen_id: uuid.UUID, target: BinaryIO, *, city: City, site_url: str
) -> Summary:
    """Write the ZIP; raises LookupError for an unknown citizen. `target` need not be seekable."""
    async with database.begin() as session:
        # One moment for all of it, whatever is written meanwhile.
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        citizen = await session.get(Citizen, citizen_id)
        if citizen is None:
            raise LookupError("There is no such citizen.")
        copy = _Copy(session, citizen, city, site_url)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("schema.json", schema())
            summary = await copy.data(archive)
            await copy.page(archive)
            await copy.files(archive)
        return summary


@dataclass(frozen=True, slots=True)
class _Copy:
    """One copy in the making."""

    session: AsyncSession
    citizen: Citizen
    city: City
    site_url: str

    # For machines

    async def data(self, archive: zipfile.ZipFile) -> Summary:
        numbers: dict[str, int] = {}
        with archive.open("data.json", "w", force_zip64=True) as out:
            head: dict[str, Any] = {
                "format": FORMAT,
                "schema": self.site_url + SCHEMA_PATH,
                "city": self.city.name,
                "made_at": now(),
                "citizen": self._person(),
                "addresses": await self.addresses(),
                "terms": await self.terms(),
                "merges": [_merge(row) async for row in self._rows(_MERGES, citizens=await self._kin())],
            }
            out.write(b"{")
            for name, value in head.items():
                out.write(f"{_json(name)}: {_json(value)},\n".encode())
            lists = {
                "reports": (_REPORTS, _report),
                "answers": (_ANSWERS, _answer),
                "flags": (_FLAGS, _flag),
                "readings": (_READINGS, _reading),
                "ratings": (_RATINGS, _rating),
                "waits": (_WAITS, _wait),
                "files": (_FILES, _file),
                "touchpoints": (_TOUCHPOINTS, _touchpoint),
            }
            for place, (name, (query, shape)) in enumerate(lists.items()):
                numbers[name] = 0
                out.write(f"{_json(name)}: [".encode())
                async for row in self._rows(query, citizen=self.citizen.id):
                    out.write((b",\n" if numbers[name] else b"\n") + _json(shape(row)).encode())
                    numbers[name] += 1
                out.write(b"]" + (b",\n" if place < len(lists) - 1 else b"\n"))
            out.write(b"}\n")
        return Summary(**numbers)

    def _person(self) -> dict[str, Any]:
        found = self.citizen
        return {
            "id": found.id,
            "known_since": found.created_at,
            "name": found.name,
            "language": found.language,
        }

    async def addresses(self) -> list[dict[str, Any]]:
        """Where the citizen writes from; the inner address is the city's own affair."""
        rows = await self.session.execute(
            select(Address, Suppression.since)
            .outerjoin(
                Suppression,
                (Suppression.channel == Address.channel) & (Suppression.value == Address.value),
            )
            .where(Address.citizen_id == self.citizen.id, Address.channel != DESK)
            .order_by(Address.id)
        )
        return [
            {
                "id": address.id,
                "channel": address.channel,
                "value": address.value,
                "known_since": address.created_at,
                "proved_at": address.verified_at,
                "proof": address.proof,
                "last_heard_at": address.last_inbound_at,
                "reachable": address.reachable,
                "silent_since": silent_since,
            }
            for address, silent_since in rows
        ]

    async def terms(self) -> list[dict[str, Any]]:
        return [asdict(term) for term in await consent.terms_of(self.session, self.citizen.id)]

    async def _kin(self) -> list[uuid.UUID]:
        """Everybody the citizen was merged from, by their inner addresses."""
        values = await self.session.scalars(
            select(Address.value).where(Address.citizen_id == self.citizen.id, Address.channel == DESK)
        )
        return [self.citizen.id, *(uuid.UUID(value) for value in values)]

    # For people

    async def page(self, archive: zipfile.ZipFile) -> None:
        page = Page(self.city, self.city.speaks(self.citizen.language))
        with archive.open("index.html", "w", force_zip64=True) as out:

            def put(piece: str) -> None:
                out.write(piece.encode("utf-8", "replace"))

            put(page.head(self._person(), await self.addresses(), await self.terms()))
            put(page.begin("copy_reports"))
            async for row in self._rows(_REPORTS, citizen=self.citizen.id):
                put(page.report(_report(row)))
            put(page.end() + page.begin("copy_answers"))
            async for row in self._rows(_ANSWERS, citizen=self.citizen.id):
                put(page.answer(_answer(row)))
            put(page.end() + page.begin("copy_flags"))
            async for row in self._rows(_FLAGS, citizen=self.citizen.id):
                put(page.flag(_flag(row)))
            put(page.end() + page.begin("copy_ratings"))
            async for row in self._rows(_RATINGS, citizen=self.citizen.id):
                put(page.rating(_rating(row)))
            put(page.end() + page.begin("copy_waits"))
            async for row in self._rows(_WAITS, citizen=self.citizen.id):
                put(page.wait(_wait(row)))
            put(page.end() + page.begin("copy_merges"))
            async for row in self._rows(_MERGES, citizens=await self._kin()):
                put(page.merge(_merge(row)))
            put(page.end() + page.begin("copy_history"))
            async for row in self._rows(_TOUCHPOINTS, citizen=self.citizen.id):
                files = [(name, _path(identity, name)) for identity, name in row[12] or ()]
                put(page.touchpoint(_touchpoint(row), files))
            put(page.end() + page.foot())

    async def files(self, archive: zipfile.ZipFile) -> None:
        async for row in self._rows(_FILES, citizen=self.citizen.id):
            kept = await timeline.read_file(self.session, row[0])
            if kept is not None:
                archive.writestr(_file(row)["path"], kept[1])
                self.session.expunge(kept[0])

    async def _rows(self, query: str, **values: Any) -> AsyncIterator[Any]:
        """Rows as the server hands them out, some hundred at a time."""
        result = await self.session.stream(text(query), values, execution_options={"yield_per": _ROWS})
        async for row in result:
            yield row


def _touchpoint(row: Any) -> dict[str, Any]:
    names = ("id", "at", "channel", "address", "direction", "by", "kind", "text", "language")
    shown = dict(zip(names, row[:9], strict=True))
    return {**shown, "in_reply_to": row[9], "provider_time": row[10], "details": _details(row[11] or {})}


def _details(payload: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in payload.items() if key not in _MACHINERY}
    if "buttons" in shown:
        shown["buttons"] = [button.get("title") for button in shown["buttons"]]
    return shown


def _answer(row: Any) -> dict[str, Any]:
    names = ("question", "asked_in", "answered_by", "language", "outcome", "probability")
    shown = dict(zip(names, row[:6], strict=True))
    sources = [
        {key: passage.get(key) for key in ("article", "title", "version", "language")} for passage in row[9]
    ]
    return {**shown, "knowledge_version": row[6], "helpful": row[7], "at": row[8], "sources": sources}


def _report(row: Any) -> dict[str, Any]:
    names = ("reference", "category", "place", "district", "description", "department", "state", "photo")
    return {**dict(zip(names, row[:8], strict=True)), "made_at": row[8], "changed_at": row[9]}


def _flag(row: Any) -> dict[str, Any]:
    names = ("after", "level", "score", "signals", "handed_over", "raised_at", "dismissed_at")
    return {**dict(zip(names, row[:7], strict=True)), "dismissed_why": row[7], "verdict": row[8]}


def _reading(row: Any) -> dict[str, Any]:
    return dict(zip(("touchpoint", "score", "read_at"), row, strict=True))


def _rating(row: Any) -> dict[str, Any]:
    names = (
        "channel",
        "department",
        "language",
        "state",
        "closed_at",
        "asked_at",
        "score",
        "rated_at",
        "comment",
    )
    return dict(zip(names, row, strict=True))


def _wait(row: Any) -> dict[str, Any]:
    names = (
        "channel",
        "department",
        "language",
        "reason",
        "since",
        "promised_at",
        "ended_at",
        "ended",
        "first_word_at",
    )
    return dict(zip(names, row, strict=True))


def _merge(row: Any) -> dict[str, Any]:
    names = ("id", "made_at", "method", "reason", "undone_at", "undo_reason")
    return dict(zip(names, row, strict=True))


def _file(row: Any) -> dict[str, Any]:
    identity, touchpoint, name, mime, size, digest = row
    return {
        "id": identity,
        "touchpoint": touchpoint,
        "name": name,
        "type": mime,
        "bytes": size,
        "sha256": bytes(digest).hex(),
        "path": _path(identity, name),
    }


def _path(identity: object, name: str) -> str:
    """Where a file lies; a name out of a message must not lead out of the folder it is unpacked into."""
    safe = re.sub(r"[^\w.\-]", "_", name)[-80:].lstrip(".") or "file"
    return f"files/{identity}/{safe}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
