"""What people write in a conversation: replies to the resident, notes to one another, drafts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Upload
from channels.base.errors import Malformed
from channels.base.widget import uploads
from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.citizens.scope import theirs, visible
from contact_hub.database import new_id, now
from contact_hub.handoff import service as handoff
from contact_hub.handoff.models import Mention, Presence
from contact_hub.journey.hands import colleagues, held
from contact_hub.journey.hands.grip import (
    CannotDo,
    Grip,
    NotTheirs,
    grasp,
    may_be_written_to,
    tell,
    write_down,
)
from contact_hub.journey.hands.taking import take
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import Reply
from contact_hub.staff.access import Action, Viewer
from contact_hub.timeline import service as timeline

LONGEST_REPLY = 5000
_SEEN_EVERY = timedelta(seconds=20)  # a holder who types is written down at most this often


async def reply_within(
    session: AsyncSession,
    writer: Writer,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    words: str,
    files: Sequence[Upload] = (),
    hold: float = 0.0,
    held_id: uuid.UUID | None = None,
) -> tuple[str, ...]:
    """Answer a resident; the first word takes the conversation.

    With `hold` seconds the words wait that long for `undo_within(held_id)` and then leave by
    themselves. Raises CannotDo.
    """
    words = _clean(words, "reply", empty=bool(files))
    grip = await grasp(session, conversation_id, viewer, Action.ANSWER)
    talk = grip.conversation
    if talk.state == ConversationState.AGENT and not grip.mine:
        raise CannotDo(f"{talk.holder} is already answering this conversation.")
    if not await may_be_written_to(session, writer, grip.address):
        raise CannotDo("The resident asked for silence, so nothing can be sent until they write again.")
    sent = _checked(writer, grip, files)
    await take(session, writer, grip)
    talk.snoozed_until = None
    touchpoint_id = new_id()
    kept = [
        await timeline.keep_file(
            session,
            touchpoint_id=touchpoint_id,
            address_id=grip.address.id,
            name=file.name,
            mime=file.mime,
            data=file.data,
        )
        for file in sent
    ]
    if hold > 0:
        await held.keep(session, grip, words, touchpoint_id, kept, hold, held_id)
    else:
        reply = Reply(words, "agent", touchpoint_id=touchpoint_id, files=kept, by=viewer.name)
        await tell(session, writer, grip, reply)
        await handoff.answered(session, talk)
    await session.execute(
        update(Presence)
        .where(Presence.conversation_id == talk.id, Presence.staff_id == viewer.id)
        .values(draft=None, typed_at=None)
    )
    await write_down(session, grip, "answered", files=len(kept))
    return grip.said


def _checked(writer: Writer, grip: Grip, files: Sequence[Upload]) -> list[Upload]:
    """The files as they may leave; raises CannotDo."""
    if not files:
        return []
    channel = writer.channels.get(grip.address.channel)
    if channel is None or not (channel.sends_files or channel.sends_itself):
        raise CannotDo("Files cannot be sent to where this resident writes from.")
    limits = writer.city.settings.get("limits", {})
    most, size = int(limits.get("uploads_per_message", 5)), int(limits.get("upload_mb", 20))
    if len(files) > most:
        raise CannotDo(f"At most {most} files go with one reply.")
    for file in files:
        if len(file.data) > size * 1_000_000:
            raise CannotDo(f"{uploads.safe_name(file.name)} is larger than {size} MB.")
    try:
        return [uploads.upload(file.name, file.mime, file.data) for file in files]
    except Malformed as wrong:
        raise CannotDo(str(wrong)) from None


async def note_within(
    session: AsyncSession, writer: Writer, conversation_id: uuid.UUID, viewer: Viewer, words: str
) -> tuple[str, ...]:
    """Write something that only colleagues read; who is named with an @ is told. Raises CannotDo."""
    words = _clean(words, "note")
    grip = await grasp(session, conversation_id, viewer, Action.NOTE, closed=True)
    people = colleagues.mentioned(words, await colleagues.at_the_desk(session))
    for person in people:
        if not await colleagues.answers(session, writer.city, grip.conversation, person):
            raise CannotDo(f"{person.name} cannot see this conversation, so @{person.name} reaches nobody.")
    note = await timeline.record(
        session,
        address_id=grip.address.id,
        conversation_id=conversation_id,
        direction="inner",
        actor="agent",
        kind="note",
        words=words,
        payload={"by": viewer.name, "mentions": [person.name for person in people]},
    )
    for person in people:
        session.add(
            Mention(
                id=new_id(),
                staff_id=person.id,
                conversation_id=conversation_id,
                touchpoint_id=note,
                by=viewer.name,
                made_at=now(),
            )
        )
    await write_down(session, grip, "noted", mentions=[person.name for person in people])
    return grip.news


async def present_within(
    session: AsyncSession,
    writer: Writer,
    conversation_id: uuid.UUID,
    viewer: Viewer,
    *,
    draft: str | None = None,
    typing: bool = False,
) -> tuple[str, ...]:
    """Write down that somebody has a conversation open, and with `typing` what they have so far.

    Nothing is locked for it. Returns whom to wake: nobody, where colleagues see no difference.
    """
    if viewer.kind != "staff" or viewer.id is None:
        return ()
    talk = await session.scalar(
        select(Conversation)
        .join(Address, Address.id == Conversation.address_id)
        .join(Citizen, Citizen.id == Address.citizen_id)
        .where(Conversation.id == conversation_id, theirs(viewer), visible(viewer))
    )
    if talk is None:
        raise NotTheirs("There is no open conversation with this id that is yours to answer.")
    moment, kept = now(), (draft or "").replace("\x00", "")[:LONGEST_REPLY] or None
    before = await session.get(Presence, (conversation_id, viewer.id))
    changed = before is None or moment - before.seen_at > timedelta(minutes=1)
    values = {"seen_at": moment}
    if typing:
        changed = changed or before is None or (before.draft is None) != (kept is None)
        values |= {"typed_at": moment, "draft": kept}  # type: ignore[dict-item]
    await session.execute(
        insert(Presence)
        .values(conversation_id=conversation_id, staff_id=viewer.id, **values)
        .on_conflict_do_update(index_elements=["conversation_id", "staff_id"], set_=values)
    )
    if kept is not None:  # a draft may come behind the reply that it became
        await session.execute(
            update(Presence)
            .where(Presence.conversation_id == conversation_id, Presence.staff_id == viewer.id)
            .where(held.sent_lately(conversation_id, viewer.name, kept.strip()))
            .values(draft=None, typed_at=None)
        )
    if typing and talk.holder == viewer.name:
        await session.execute(
            update(Conversation)
            .where(
                Conversation.id == conversation_id,
                Conversation.holder == viewer.name,
                func.coalesce(Conversation.holder_seen_at, Conversation.opened_at) < moment - _SEEN_EVERY,
            )
            .values(holder_seen_at=moment)
            .execution_options(synchronize_session=False)
        )
    return (f"talk:{conversation_id}",) if changed else ()


def _clean(words: str, what: str, *, empty: bool = False) -> str:
    words = words.replace("\x00", "").strip()
    if not words and not empty:
        raise CannotDo(f"There is nothing to send: the {what} is empty.")
    if len(words) > LONGEST_REPLY:
        raise CannotDo(f"The {what} is longer than {LONGEST_REPLY} characters.")
    return words
