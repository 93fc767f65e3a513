"""Removing words from a history that is otherwise only added to: this is the one place that changes it.

What is removed is kept nowhere: not in the copies made of a message, not in the audit, not as a hash.
The touchpoint stays with its time and its author, so that the history does not lie about what happened.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    cast,
    column,
    delete,
    func,
    literal,
    select,
    table,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, REGCONFIG
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Citizen, Conversation
from contact_hub.citizens.scope import visible
from contact_hub.knowledge import drafts
from contact_hub.knowledge.models import Answer
from contact_hub.outbox.models import Delivery
from contact_hub.privacy import holds
from contact_hub.privacy.masking import Kind, find
from contact_hub.privacy.scrubbing import REMOVED, Scrubber, Swap, quotes
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import StoredFile, Touchpoint
from contact_hub.timeline.words import configuration, searchable

# What of a payload says nothing of anybody's words, and must outlive them: links, and where buttons lead.
_KEPT = frozenset({"client_id", "button", "say", "answer", "understood", "own"})
_SHORTEST_PART = 2
_DISTINCT = 12  # characters of a message that is no common word: whoever repeats it quotes it
_DISTINCT_PART = 6  # of words that an agent picked: shorter ones stay where another message holds them
# Reports are a room above this one; their table is known here, as Rasa's are, by name.
_REPORT = table("report", *map(column, ("id", "conversation_id", "place", "description", "photo_id")))
# The same of what staff have in hand or wrote about a conversation: table, what tells its rows apart, and
# the columns that may repeat what was said in it.
_WRITTEN_ABOUT: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
    ("flag", ("id",), ("signals", "dismissed_why")),
    ("review", ("id",), ("why",)),
    ("held_reply", ("id",), ("text",)),
    ("presence", ("conversation_id", "staff_id"), ("draft",)),
    ("ticket", ("id",), ("reason",)),
)


class NotThere(LookupError):
    """There is no such touchpoint for this viewer."""


class WordsMissing(NotThere):
    """The message does not hold these words."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """What was done: in how many places words were replaced, and how many attachments are gone."""

    touchpoint_id: uuid.UUID
    places: int
    files: int


async def redact(
    session: AsyncSession,
    touchpoint_id: uuid.UUID,
    viewer: Viewer,
    *,
    reason: str,
    parts: Sequence[str] = (),
    kinds: frozenset[Kind] = frozenset(),
    by: str = "agent",
) -> Redacted:
    """Remove a message, some of its words (`parts`), or the numbers of some kinds, with every copy.

    A whole message loses its attachments as well. Raises NotThere, and Held while a legal hold lasts.
    """
    found = await _find(session, touchpoint_id, viewer)
    if found is None:
        raise NotThere("There is no such message.")
    touchpoint, citizen_id = found
    if standing := await holds.of_citizen(session, citizen_id):
        raise holds.Held(standing)
    words = touchpoint.text or ""
    missing = [part for part in parts if len(part) < _SHORTEST_PART or part not in words]
    if missing:
        raise WordsMissing("The message does not hold these words.")
    if kinds:
        swaps = [(words[one.start : one.end], f"[{one.kind}]") for one in find(words, kinds)]
    else:
        swaps = [(part, REMOVED) for part in (parts or ([words] if words else []))]
    whole = not parts and not kinds
    if not (swaps or whole):
        return Redacted(touchpoint_id, 0, 0)
    # A whole message may be a common word: then only what was made of it can be a copy.
    common = whole and len(words.strip()) < _DISTINCT
    where = await _reach(session, touchpoint, citizen_id, swaps, common=common)
    files = await _remove_files(session, touchpoint_id) if whole else 0
    places = await _scrub_touchpoints(session, where, whole=whole)
    places += await _scrub_copies(session, where, whole=whole)
    places += await _scrub_trackers(session, where)
    # A citizen's own wish is no access of staff, and stands on the timeline.
    if by != "citizen":
        await audit.record(
            session,
            viewer,
            "redact",
            citizen_id=citizen_id,
            subject=str(touchpoint_id),
            reason=reason,
            whole=whole,
            parts=len(parts),
            files=files,
        )
    await timeline.record(
        session,
        address_id=touchpoint.address_id,
        conversation_id=touchpoint.conversation_id,
        direction="inner",
        actor=by,
        kind="redaction",
        payload={
            "touchpoint": str(touchpoint_id),
            "by": viewer.name,
            "reason": reason,
            "whole": whole,
            "files": files,
        },
        in_reply_to=touchpoint_id,
    )
    return Redacted(touchpoint_id, places, files)


async def _find(
    session: AsyncSession, touchpoint_id: uuid.UUID, viewer: Viewer
) -> tuple[Touchpoint, uuid.UUID] | None:
    """The touchpoint and whose it is, where the viewer may see that citizen."""
    row = (
        await session.execute(
            select(Touchpoint, Citizen.id)
            .join(Address, Address.id == Touchpoint.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Touchpoint.id == touchpoint_id, visible(viewer))
        )
    ).first()
    return None if row is None else (row[0], row[1])


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a redaction goes: what is redacted, where its citizen's words stand, and what goes there."""

    redacted: Touchpoint
    common: bool  # a word like "yes": whoever repeats it quotes nobody
    addresses: Sequence[uuid.UUID]  # the citizen's inner file among them
    talks: Sequence[uuid.UUID]
    here: Scrubber  # in its own conversation
    elsewhere: Scrubber

    def at(self, talk: uuid.UUID | None) -> Scrubber:
        """What scrubs a conversation."""
        return self.here if talk == self.redacted.conversation_id else self.elsewhere


async def _reach(
    session: AsyncSession, redacted: Touchpoint, citizen_id: uuid.UUID, swaps: list[Swap], *, common: bool
) -> _Reach:
    """Find where a message may be repeated, every one of these conversations under lock."""
    addresses = list(await session.scalars(select(Address.id).where(Address.citizen_id == citizen_id)))
    theirs = select(Conversation.id).where(Conversation.address_id.in_(addresses))
    talks = list(await session.scalars(theirs)) if not common else [redacted.conversation_id]
    known = [talk for talk in talks if talk is not None]
    if known:
        await citizens.lock_conversation(session, *known)
    quoted = list(quotes(redacted.text or "", swaps))
    distinct = [swap for swap in swaps if len(swap[0]) >= _DISTINCT_PART]
    return _Reach(
        redacted, common, addresses, known, Scrubber([*swaps, *quoted]), Scrubber([*quoted, *distinct])
    )


# Replacing ---------------------------------------------------------------------------------------


async def _scrub_touchpoints(session: AsyncSession, where: _Reach, *, whole: bool) -> int:
    """The message itself, its revisions, and what of its citizen's history repeats it."""
    redacted = where.redacted
    revisions = Touchpoint.id == redacted.id
    if redacted.message_id is not None:
        same = Touchpoint.address_id == redacted.address_id
        revisions |= same & (Touchpoint.message_id == redacted.message_id)
    around = revisions | (Touchpoint.in_reply_to == redacted.id)
    if redacted.conversation_id is not None:
        made_of_it = Touchpoint.kind.in_(("report", "flag"))
        around |= (Touchpoint.conversation_id == redacted.conversation_id) & made_of_it
    found = await session.execute(
        select(Touchpoint, revisions).where(
            Touchpoint.address_id.in_(where.addresses), around if where.common else true()
        )
    )
    places, gone = 0, set[uuid.UUID]()
    for touchpoint, revision in found:
        scrub = where.here if touchpoint.in_reply_to == redacted.id else where.at(touchpoint.conversation_id)
        words, payload = touchpoint.text, touchpoint.payload
        if whole and revision:
            gone.add(touchpoint.id)
            words = None if words is None else REMOVED
            payload = {key: value for key, value in payload.items() if key in _KEPT}
        else:
            words = None if words is None else scrub(words)
            payload = scrub.walk(payload)
        if touchpoint.id == redacted.id:
            payload = {**payload, "redacted": True}
        if (words, payload) != (touchpoint.text, touchpoint.payload):
            places += 1
            await _rewrite(session, touchpoint, words, payload)
    return places + await _scrub_questions(session, where, gone)


async def _rewrite(
    session: AsyncSession, touchpoint: Touchpoint, words: str | None, payload: dict[str, Any]
) -> None:
    """Change what a touchpoint says, and what search knows of it."""
    kept = searchable(words, payload)
    found_by = None if kept is None else func.to_tsvector(_config(touchpoint.language), kept)
    await session.execute(
        update(Touchpoint)
        .where(Touchpoint.id == touchpoint.id)
        .values(text=words, payload=payload, words=found_by)
        .execution_options(synchronize_session=False)
    )


def _config(language: str | None) -> ColumnElement[Any]:
    return cast(configuration(language), REGCONFIG)


async def _scrub_questions(session: AsyncSession, where: _Reach, gone: set[uuid.UUID]) -> int:
    """The copies of questions that stand with their answers, and the articles begun from them."""
    own = {where.redacted.id, *gone}
    rows = await session.execute(
        select(Answer, Touchpoint.conversation_id)
        .join(Touchpoint, Touchpoint.id == Answer.question_id)
        .where(
            Touchpoint.address_id.in_(where.addresses),
            Answer.question_id.in_(own) if where.common else true(),
        )
    )
    repeated = []
    for answer, talk in rows.all():
        left = REMOVED if answer.question_id in gone else where.at(talk)(answer.question)
        if left != answer.question or answer.question_id in own:
            answer.question = left
            repeated.append(str(answer.id))
    return sum(
        drafts.reword(draft, where.here(draft.title), where.here(draft.text))
        for draft in await drafts.about(session, repeated)
    )


async def _scrub_copies(session: AsyncSession, where: _Reach, *, whole: bool) -> int:
    """What else repeats a conversation: what it left open, reports, and messages on their way."""
    places = 0
    for talk in await session.scalars(select(Conversation).where(Conversation.id.in_(where.talks))):
        scrub = where.at(talk.id)
        left_open = scrub.walk(talk.unfinished)
        places += left_open != talk.unfinished
        talk.unfinished = left_open
        talk.reason = None if talk.reason is None else scrub(talk.reason)
    reports = await session.execute(select(_REPORT).where(_REPORT.c.conversation_id.in_(where.talks)))
    for report in reports.all():
        scrub = where.at(report.conversation_id)
        left = {"place": scrub(report.place), "description": scrub(report.description)}
        if left != {"place": report.place, "description": report.description}:
            places += 1
            await session.execute(update(_REPORT).where(_REPORT.c.id == report.id).values(**left))
    places += await _scrub_written(session, where)
    for delivery in await session.scalars(select(Delivery).where(Delivery.conversation_id.in_(where.talks))):
        gone = whole and delivery.touchpoint_id == where.redacted.id
        words = REMOVED if gone else where.at(delivery.conversation_id)(delivery.text)
        places += words != delivery.text
        delivery.text = words
    return places


async def _scrub_written(session: AsyncSession, where: _Reach) -> int:
    """What staff have in hand or wrote about the conversations, and why these were flagged."""
    places = 0
    for name, keys, columns in _WRITTEN_ABOUT:
        rows = table(name, *map(column, {"conversation_id", *keys, *columns}))
        found = await session.execute(select(rows).where(rows.c.conversation_id.in_(where.talks)))
        for row in found.mappings().all():
            left = {one: where.at(row["conversation_id"]).walk(row[one]) for one in columns}
            if all(left[one] == row[one] for one in columns):
                continue
            places += 1
            values = {
                one: literal(value, JSONB) if isinstance(value, list) else value
                for one, value in left.items()
            }
            which = and_(*(rows.c[key] == row[key] for key in keys))
            await session.execute(update(rows).where(which).values(**values))
    return places


async def _remove_files(session: AsyncSession, touchpoint_id: uuid.UUID) -> int:
    gone = list(await session.scalars(select(StoredFile.id).where(StoredFile.touchpoint_id == touchpoint_id)))
    if gone:
        await session.execute(update(_REPORT).where(_REPORT.c.photo_id.in_(gone)).values(photo_id=None))
        await session.execute(delete(StoredFile).where(StoredFile.id.in_(gone)))
    return len(gone)


# The assistant's own memory ----------------------------------------------------------------------


async def _scrub_trackers(session: AsyncSession, where: _Reach) -> int:
    """What Rasa remembers of the conversations; it writes these tables itself, where it has ever run."""
    if not await session.scalar(text("SELECT to_regclass('assistant.tracker') IS NOT NULL")):
        return 0
    return sum([await _scrub_tracker(session, talk, where) for talk in where.talks])


async def _scrub_tracker(session: AsyncSession, talk: uuid.UUID, where: _Reach) -> int:
    """One conversation's memory.

    The raised revision makes a turn that is under way begin again, instead of writing the words back.
    """
    scrub, which = where.at(talk), {"conversation": str(talk)}
    places = 0
    trackers = await session.execute(
        text("SELECT events FROM assistant.tracker WHERE conversation = :conversation FOR UPDATE"), which
    )
    for (events,) in trackers:
        left = _scrub_json(events, scrub)
        places += left != events
        if left == events and talk != where.redacted.conversation_id:
            continue
        await session.execute(
            text(
                "UPDATE assistant.tracker SET events = :left, revision = revision + 1"
                " WHERE conversation = :conversation"
            ),
            {**which, "left": left},
        )
    turns = await session.execute(
        text(
            "SELECT touchpoint, outcome FROM assistant.turn"
            " WHERE conversation = :conversation AND outcome IS NOT NULL"
        ),
        which,
    )
    for touchpoint, outcome in turns.all():
        left = _scrub_json(outcome, scrub)
        if left != outcome:
            places += 1
            await session.execute(
                text(
                    "UPDATE assistant.turn SET outcome = :left"
                    " WHERE conversation = :conversation AND touchpoint = :touchpoint"
                ),
                {**which, "touchpoint": touchpoint, "left": left},
            )
    return places


def _scrub_json(written: str, scrub: Scrubber) -> str:
    return json.dumps(scrub.walk(json.loads(written)), ensure_ascii=False, separators=(",", ":"))
