"""Writing the audit. It never holds what a resident wrote: ids, names of actions, reasons of staff."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.chain import BEGINNING, Key, clean, plain
from contact_hub.audit.models import Entry, Head
from contact_hub.database import at_the_end, now, sealer_of

if TYPE_CHECKING:
    from contact_hub.staff.access import Viewer

_PENDING = "audit"
ONLY = 1  # the head's id


@dataclass(frozen=True, slots=True)
class _Noted:
    viewer: Viewer
    action: str
    citizen_id: uuid.UUID | None
    subject: str | None
    words: dict[str, Any]


async def record(
    session: AsyncSession,
    viewer: Viewer,
    action: str,
    *,
    citizen_id: uuid.UUID | None = None,
    subject: str | None = None,
    **details: Any,
) -> None:
    """Write down who did what to whom, in the caller's transaction: both are kept or neither is.

    The entry is tied to the chain as the last thing before the commit, so that the chain's end is
    locked for that moment only. `details` are names, numbers and reasons, never a resident's words.
    """
    sealer_of(session)  # better now than at the end
    if _PENDING not in session.info:
        session.info[_PENDING] = []
        at_the_end(session, _write)
    words = plain(details)
    if viewer.reason is not None:
        words.setdefault("reason", clean(viewer.reason))
    session.info[_PENDING].append(
        _Noted(viewer, action, citizen_id, None if subject is None else clean(subject), words)
    )


async def _write(session: AsyncSession) -> None:
    noted: list[_Noted] = session.info.pop(_PENDING, [])
    key = Key(sealer_of(session))
    head = await locked_head(session, key)
    for item in noted:
        entry = Entry(
            number=head.last + 1,
            at=now(),
            viewer_kind=item.viewer.kind,
            viewer_id=item.viewer.id,
            viewer_name=clean(item.viewer.name),
            action=item.action,
            citizen_id=item.citizen_id,
            subject=item.subject,
            words=item.words,
            words_digest=key.words(head.last + 1, item.words),
            key_mark=key.mark,
        )
        entry.mac = key.entry(entry, head.mac)
        session.add(entry)
        head.last, head.mac = entry.number, entry.mac
    seal(head, key)
    await session.flush()


def seal(head: Head, key: Key) -> None:
    """Sign where the chain begins and ends."""
    head.key_mark = key.mark
    head.seal = key.head(head.first, head.before_first, head.last, head.mac)


async def locked_head(session: AsyncSession, key: Key) -> Head:
    """The end of the chain, under lock until the commit; begun where there is none."""
    for _ in range(2):
        head = await session.scalar(
            select(Head).where(Head.id == ONLY).with_for_update().execution_options(populate_existing=True)
        )
        if head is not None:
            return head
        # Should somebody have removed the head, the chain goes on behind what is there, and the check
        # finds the break.
        last = int(await session.scalar(select(func.coalesce(func.max(Entry.number), 0))) or 0)
        begun = Head(id=ONLY, first=1, before_first=BEGINNING, last=last, mac=BEGINNING)
        seal(begun, key)
        await session.execute(
            upsert(Head)
            .values(
                id=ONLY,
                first=begun.first,
                before_first=begun.before_first,
                last=begun.last,
                mac=begun.mac,
                key_mark=begun.key_mark,
                seal=begun.seal,
            )
            .on_conflict_do_nothing()
        )
    raise RuntimeError("the head of the audit cannot be made")
