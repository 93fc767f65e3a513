"""The erasure ledger: who is to stay erased, without saying who that was.

An entry holds the marks (keyed hashes) of the erased addresses and citizens, each address with the
time from which it may be somebody else's, and nothing else about them; it is sealed besides. It
stands in the table `erasure` and, one line each, in `CIVICLINE_DATA/erasures.log`, which no restore
touches: a backup from before the erasure brings the person back, and the replay of these entries
removes them again. Nothing is ever taken out of either.

A line is base64 of `Sealer.seal("erasure ledger", ...)` about the constant `entry`; inside stands
`{"id": uuid, "at": time, "key": hex, "citizens": [hex], "addresses": {hex: time}}` as JSON. The key of
the marks travels with them, so that they can be compared when SECRET_KEY has been replaced.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import sealer_of
from contact_hub.privacy.records import Erasure
from contact_hub.sealing import Sealer, Unsealable

FILE = "erasures.log"
_PURPOSE = "erasure ledger"
_ABOUT = b"entry"


class LedgerBroken(RuntimeError):
    """A line of the ledger cannot be read; the message names it. Nothing was replayed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One erasure: when it was, and the marks of whom it removed."""

    id: uuid.UUID
    at: datetime
    key: bytes
    citizens: frozenset[bytes]
    addresses: Mapping[bytes, datetime]


async def write(session: AsyncSession, folder: Path, entry: Entry) -> None:
    """Put an entry into the file, then into the table.

    The file comes first and is on disk before the erasure commits: an entry too many is replayed
    onto nobody, one too few brings a person back.
    """
    sealed = _seal(sealer_of(session), entry)
    _append(folder, [sealed])
    await session.execute(insert(Erasure).values(id=entry.id, erased_at=entry.at, entry=sealed))


async def read(session: AsyncSession, folder: Path) -> list[Entry]:
    """Every entry of file and table, oldest first, both brought up to date; raises LedgerBroken."""
    sealer = sealer_of(session)
    filed = {entry.id: (entry, sealed) for entry, sealed in _lines(sealer, folder / FILE)}
    tabled: dict[uuid.UUID, tuple[Entry, bytes]] = {}
    for row in await session.scalars(select(Erasure)):
        tabled[row.id] = _unseal(sealer, row.entry, f"entry {row.id} of the table erasure"), row.entry
    for entry, sealed in filed.values():
        if entry.id not in tabled:
            await session.execute(insert(Erasure).values(id=entry.id, erased_at=entry.at, entry=sealed))
    missing = [sealed for identity, (_, sealed) in tabled.items() if identity not in filed]
    if missing:
        _append(folder, missing)
    known = {**tabled, **filed}
    return sorted((entry for entry, _ in known.values()), key=lambda entry: (entry.at, entry.id))


async def keep_outside(session: AsyncSession, folder: Path, others: Sequence[Path]) -> None:
    """Write into `folder` what other files and this database's table know, before the table is replaced."""
    sealer = sealer_of(session)
    known = {entry.id for entry, _ in _lines(sealer, folder / FILE)}
    for path in others:
        new = {entry.id: sealed for entry, sealed in _lines(sealer, path) if entry.id not in known}
        if new:
            _append(folder, list(new.values()))
        known |= new.keys()
    if await session.scalar(select(func.to_regclass("erasure"))) is not None:
        await read(session, folder)


async def seal_anew(session: AsyncSession, folder: Path) -> int:
    """Seal every entry of table and file with the present key; gives how many there are."""
    sealer = sealer_of(session)
    entries = await read(session, folder)
    for entry in entries:
        await session.execute(
            update(Erasure).where(Erasure.id == entry.id).values(entry=_seal(sealer, entry))
        )
    if entries:
        _replace(folder, [_seal(sealer, entry) for entry in entries])
    return len(entries)


def _lines(sealer: Sealer, path: Path) -> list[tuple[Entry, bytes]]:
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), start=1):
        where = f"line {number} of {path}"
        try:
            sealed = base64.b64decode(line, validate=True)
        except binascii.Error:
            raise LedgerBroken(f"{where} is damaged.") from None
        found.append((_unseal(sealer, sealed, where), sealed))
    return found


def _append(folder: Path, entries: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(folder / FILE, os.O_APPEND, entries)
    _sync(folder)


def _replace(folder: Path, entries: list[bytes]) -> None:
    aside = folder / f".{FILE}.{os.getpid()}"
    _write(aside, os.O_TRUNC, entries)
    aside.replace(folder / FILE)
    _sync(folder)


def _write(path: Path, how: int, entries: list[bytes]) -> None:
    lines = b"".join(base64.b64encode(sealed) + b"\n" for sealed in entries)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    try:
        os.write(descriptor, lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)  # the file's name as well, where it is new
    finally:
        os.close(place)


def _seal(sealer: Sealer, entry: Entry) -> bytes:
    plain = {
        "id": str(entry.id),
        "at": entry.at.isoformat(),
        "key": entry.key.hex(),
        "citizens": sorted(mark.hex() for mark in entry.citizens),
        "addresses": {mark.hex(): until.isoformat() for mark, until in sorted(entry.addresses.items())},
    }
    return sealer.seal(_PURPOSE, json.dumps(plain).encode(), _ABOUT)


def _unseal(sealer: Sealer, sealed: bytes, where: str) -> Entry:
    try:
        plain = json.loads(sealer.unseal(_PURPOSE, sealed, _ABOUT))
    except Unsealable as error:
        raise LedgerBroken(f"{where} cannot be opened: {error}") from None
    return Entry(
        uuid.UUID(plain["id"]),
        datetime.fromisoformat(plain["at"]),
        bytes.fromhex(plain["key"]),
        frozenset(bytes.fromhex(mark) for mark in plain["citizens"]),
        {bytes.fromhex(mark): datetime.fromisoformat(until) for mark, until in plain["addresses"].items()},
    )
