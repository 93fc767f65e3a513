"""Writing the audit. It never holds what a resident wrote: ids, names of actions, reasons of staff."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.chain import BEGINNING, Key, clean, plain
from contact_hub.audit.models import Entry, Head
from contact_hub.database import at_the_end, now, sealer_of

if TYPE_CHECKING:
    from contact_hub.staff.access import Viewer

_PENDING = "audit"
ONLY = 1  # the head's id
WORDS_TAKEN = "audit.words_taken"
SHORTENED = "audit.shortened"
_MAY_CHANGE = text("SET LOCAL civicline.audit_is_shortened = 'yes'")
_AGAIN = text("SET LOCAL civicline.audit_is_shortened = 'no'")


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


async def record_once_in(
    session: AsyncSession,
    viewer: Viewer,
    action: str,
    span: timedelta,
    *,
    like: Collection[str] = (),
    citizen_id: uuid.UUID | None = None,
    subject: str | None = None,
) -> None:
    """Write down what somebody goes on doing, unless an entry so young says so, with the same reason.

    An action of `like` says so as well.
    """
    reason = None if viewer.reason is None else clean(viewer.reason)
    lately = await session.scalar(
        select(Entry.number)
        .where(
            Entry.at > now() - span,
            Entry.viewer_id == viewer.id,
            Entry.action.in_([action, *like]),
            Entry.citizen_id.is_not_distinct_from(citizen_id),
            Entry.subject.is_not_distinct_from(subject),
            Entry.words["reason"].astext.is_not_distinct_from(reason),
        )
        .limit(1)
    )
    if lately is None:
        await record(session, viewer, action, citizen_id=citizen_id, subject=subject)


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


async def entries(
    session: AsyncSession,
    *,
    citizen_id: uuid.UUID | None = None,
    viewer_name: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Sequence[Entry]:
    """The newest entries, of one citizen's record or of one person where that is asked."""
    query = select(Entry).order_by(Entry.number.desc()).limit(limit)
    if citizen_id is not None:
        query = query.where(Entry.citizen_id == citizen_id)
    if viewer_name is not None:
        query = query.where(Entry.viewer_name == viewer_name)
    if before is not None:
        query = query.where(Entry.number < before)
    return (await session.scalars(query)).all()


async def take_words(session: AsyncSession, viewer: Viewer, citizen_id: uuid.UUID) -> int:
    """Remove the words of an erased citizen's entries, which may name them; says so in the chain.

    Who did what and when stays, and still proves itself. Returns how many entries that were.
    """
    await session.execute(_MAY_CHANGE)
    blank = await session.execute(
        update(Entry)
        .where(Entry.citizen_id == citizen_id, Entry.words.is_not(None))
        .values(words=None)
        .returning(Entry.number)
        .execution_options(synchronize_session=False)
    )
    count = len(blank.all())
    await session.execute(_AGAIN)
    await record(session, viewer, WORDS_TAKEN, citizen_id=citizen_id, entries=count)
    return count


async def shorten(session: AsyncSession, viewer: Viewer, before: datetime) -> int:
    """Remove the entries from before a moment, from the beginning on; the head remembers where it begins.

    Returns how many entries that were.
    """
    key = Key(sealer_of(session))
    head = await locked_head(session, key)
    kept = await session.scalar(select(func.min(Entry.number)).where(Entry.at >= before))
    last_gone = head.last if kept is None else kept - 1
    if last_gone < head.first:
        return 0
    mac = await session.scalar(select(Entry.mac).where(Entry.number == last_gone))
    if mac is None:
        raise LookupError(f"entry {last_gone} of the audit is missing: run `civicline audit verify`")
    await session.execute(_MAY_CHANGE)
    await session.execute(delete(Entry).where(Entry.number <= last_gone))
    await session.execute(_AGAIN)
    count = last_gone - head.first + 1
    head.first, head.before_first = last_gone + 1, mac
    seal(head, key)
    await session.flush()
    await record(session, viewer, SHORTENED, entries=count, before=before.isoformat())
    return count
