"""Replacing the key: what a former SECRET_KEY sealed, or nobody did, is sealed with the present one.

It can be stopped and started again at any time: each attachment is one transaction, and what is done
already is left alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import Database, sealer_of
from contact_hub.events.service import SECRETS
from contact_hub.privacy import ledger
from contact_hub.staff.second_factor import PURPOSE as TOTP
from contact_hub.timeline.service import FILES, place_of

Progress = Callable[[int, int], None]  # attachments done, and how many there are to do


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of sealed secrets, each sealed about the id of its row."""

    table: str
    column: str
    purpose: str


COLUMNS = (
    Sealed("staff", "totp_secret", TOTP),
    Sealed("webhook", "secret", SECRETS),
    Sealed("webhook", "former_secret", SECRETS),
)

# What is sealed begins with the key that did it; SQL counts bytes from 1.
_STALE_FILES = text("""
    SELECT id FROM attachment WHERE NOT sealed
    UNION
    SELECT attachment_id FROM attachment_chunk JOIN attachment ON attachment.id = attachment_id
    WHERE sealed AND substring(data FROM 1 FOR :length) <> :head
    ORDER BY 1
""")


async def seal_anew(
    database: Database, folder: Path, progress: Progress = lambda done, total: None
) -> dict[str, int]:
    """Seal everything with the present key and give how much of each there was; raises Unsealable."""
    found = {"attachments": await _files(database, progress)}
    async with database.begin() as session:
        for kind in COLUMNS:
            name = f"{kind.table}.{kind.column}"
            found[name] = await _column(session, kind)
        found["erasures"] = await ledger.seal_anew(session, folder)
    return found


async def _files(database: Database, progress: Progress) -> int:
    async with database.begin() as session:
        head = sealer_of(session).head
        files: Sequence[uuid.UUID] = (
            await session.scalars(_STALE_FILES, {"head": head, "length": len(head)})
        ).all()
    for number, file in enumerate(files, start=1):
        async with database.begin() as session:
            await _file(session, file)
        progress(number, len(files))
    return len(files)


async def _file(session: AsyncSession, file: uuid.UUID) -> None:
    sealer = sealer_of(session)
    sealed = await session.scalar(
        text("SELECT sealed FROM attachment WHERE id = :id FOR UPDATE"), {"id": file}
    )
    if sealed is None:
        return  # erased meanwhile
    chunks = await session.execute(
        text("SELECT position, data FROM attachment_chunk WHERE attachment_id = :id"), {"id": file}
    )
    for position, data in chunks.all():
        place = place_of(file, position)
        plain = sealer.unseal(FILES, data, place) if sealed else data
        await session.execute(
            text(
                "UPDATE attachment_chunk SET data = :data WHERE attachment_id = :id AND position = :position"
            ),
            {"data": sealer.seal(FILES, plain, place), "id": file, "position": position},
        )
    await session.execute(text("UPDATE attachment SET sealed = true WHERE id = :id"), {"id": file})


async def _column(session: AsyncSession, kind: Sealed) -> int:
    sealer = sealer_of(session)
    stale = await session.execute(
        text(
            f"SELECT id, {kind.column} AS sealed FROM {kind.table}"  # noqa: S608 - from the table above
            f" WHERE substring({kind.column} FROM 1 FOR :length) <> :head FOR UPDATE"
        ),
        {"head": sealer.head, "length": len(sealer.head)},
    )
    rows = stale.all()
    for row in rows:
        about = row.id.bytes
        anew = sealer.seal(kind.purpose, sealer.unseal(kind.purpose, row.sealed, about), about)
        await session.execute(
            text(f"UPDATE {kind.table} SET {kind.column} = :sealed WHERE id = :id"),  # noqa: S608 - as above
            {"sealed": anew, "id": row.id},
        )
    return len(rows)
