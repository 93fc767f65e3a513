"""Removing words from a history that is otherwise only added to: this is the one place that changes it.

What is removed is kept nowhere: not in the copies made of a message, not in the audit, not as a hash.
The touchpoint stays with its time and its author, so that the history does not lie about what happened.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
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
    or_,
    select,
    table,
    text,
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
from contact_hub.privacy.masking import SENSITIVE, Kind, find, mask
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import StoredFile, Touchpoint
from contact_hub.timeline.words import configuration, searchable

REMOVED = "[removed]"
# What of a payload says nothing of anybody's words, and must outlive them: links, and where buttons lead.
_KEPT = frozenset({"client_id", "button", "say", "answer", "understood", "own"})
_SHORTEST_PART = 2
_DISTINCT = 12  # characters of a message that is no common word: whoever repeats it quotes it
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

    A whole message loses its attachments as well. Raises NotThere.
    """
    found = await _find(session, touchpoint_id, viewer)
    if found is None:
        raise NotThere("There is no such message.")
    touchpoint, citizen_id = found
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
    scrub = _scrubber(swaps)
    files = await _remove_files(session, touchpoint_id) if whole else 0
    places = await _scrub_touchpoints(session, touchpoint, scrub, whole=whole)
    places += await _scrub_copies(session, touchpoint, scrub, whole=whole)
    places += await _scrub_trackers(session, touchpoint, scrub)
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
    """The touchpoint and whose it is, its conversation under lock, where the viewer may see that citizen."""
    row = (
        await session.execute(
            select(Touchpoint, Citizen.id)
            .join(Address, Address.id == Touchpoint.address_id)
            .join(Citizen, Citizen.id == Address.citizen_id)
            .where(Touchpoint.id == touchpoint_id, visible(viewer))
        )
    ).first()
    if row is None:
        return None
    if row[0].conversation_id is not None:
        await citizens.lock_conversation(session, row[0].conversation_id)
    return row[0], row[1]


# Replacing ---------------------------------------------------------------------------------------

Scrub = Callable[[str], str]


def _scrubber(swaps: Sequence[tuple[str, str]]) -> Scrub:
    """Replaces each of some words, standing by themselves, however they were masked or cut meanwhile."""
    known = dict(swaps)
    for words, instead in swaps:
        # The assistant and the lists of questions got the message with its numbers masked.
        known.setdefault(mask(words, SENSITIVE).text, instead)
        known.setdefault(mask(words).text, instead)
    known = {words: instead for words, instead in known.items() if words.strip() and words != instead}
    if not known:
        return lambda value: value
    longest_first = sorted(known, key=len, reverse=True)
    pattern = re.compile("|".join(_bordered(words) for words in longest_first))
    return lambda value: pattern.sub(lambda match: known[match[0]], value)


def _bordered(words: str) -> str:
    """The words, but not inside a longer word; scripts without spaces have no such border."""
    before = r"(?<![A-Za-z0-9])" if words[0].isascii() and words[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if words[-1].isascii() and words[-1].isalnum() else ""
    return f"{before}{re.escape(words)}{after}"


def _walk(value: Any, scrub: Scrub) -> Any:
    """The same JSON with its words replaced; names of fields are ours and stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _walk(inner, scrub) for key, inner in value.items()}
    return [_walk(inner, scrub) for inner in value] if isinstance(value, list) else value


async def _scrub_touchpoints(
    session: AsyncSession, redacted: Touchpoint, scrub: Scrub, *, whole: bool
) -> int:
    """The message itself, its revisions, and what in its conversation repeats it."""
    around = [Touchpoint.id == redacted.id, Touchpoint.in_reply_to == redacted.id]
    if redacted.message_id is not None:
        around.append(Touchpoint.message_id == redacted.message_id)
    if redacted.conversation_id is not None:
        inside = Touchpoint.conversation_id == redacted.conversation_id
        # A whole message may be a common word: then only what was made of it can be a copy.
        common = whole and len((redacted.text or "").strip()) < _DISTINCT
        around.append(inside & Touchpoint.kind.in_(("report", "flag")) if common else inside)
    # A note about a conversation may stand in the citizen's inner file.
    owner = select(Address.citizen_id).where(Address.id == redacted.address_id).scalar_subquery()
    file = select(Address.id).where(Address.citizen_id == owner, Address.channel == citizens.DESK)
    found = await session.scalars(
        select(Touchpoint).where(
            or_(Touchpoint.address_id == redacted.address_id, Touchpoint.address_id.in_(file)), or_(*around)
        )
    )
    places = 0
    for touchpoint in found:
        words, payload = touchpoint.text, touchpoint.payload
        revision = redacted.message_id is not None and touchpoint.message_id == redacted.message_id
        gone = whole and (touchpoint.id == redacted.id or revision)
        if gone:
            words = None if words is None else REMOVED
            payload = {key: value for key, value in payload.items() if key in _KEPT}
        else:
            words = None if words is None else scrub(words)
            payload = _walk(payload, scrub)
        if touchpoint.id == redacted.id:
            payload = {**payload, "redacted": True}
        if (words, payload) != (touchpoint.text, touchpoint.payload):
            places += 1
            await _rewrite(session, touchpoint, words, payload)
            await _scrub_question(session, touchpoint.id, REMOVED if gone else None, scrub)
    return places


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


async def _scrub_question(
    session: AsyncSession, touchpoint_id: uuid.UUID, instead: str | None, scrub: Scrub
) -> None:
    """The copy of a question that stands with its answer."""
    for answer in await session.scalars(select(Answer).where(Answer.question_id == touchpoint_id)):
        answer.question = scrub(answer.question) if instead is None else instead


async def _scrub_copies(session: AsyncSession, redacted: Touchpoint, scrub: Scrub, *, whole: bool) -> int:
    """What else repeats a conversation: what it left open, reports, and messages on their way."""
    if redacted.conversation_id is None:
        return 0
    conversation = await session.get_one(Conversation, redacted.conversation_id)
    left_open = _walk(conversation.unfinished, scrub)
    places = int(left_open != conversation.unfinished)
    conversation.unfinished = left_open
    conversation.reason = None if conversation.reason is None else scrub(conversation.reason)
    reports = await session.execute(
        select(_REPORT).where(_REPORT.c.conversation_id == redacted.conversation_id)
    )
    for report in reports.all():
        left = {"place": scrub(report.place), "description": scrub(report.description)}
        if left != {"place": report.place, "description": report.description}:
            places += 1
            await session.execute(update(_REPORT).where(_REPORT.c.id == report.id).values(**left))
    places += await _scrub_written(session, redacted.conversation_id, scrub)
    places += await _scrub_drafts(session, redacted.id, scrub)
    for delivery in await session.scalars(
        select(Delivery).where(Delivery.conversation_id == redacted.conversation_id)
    ):
        gone = whole and delivery.touchpoint_id == redacted.id
        words = REMOVED if gone else scrub(delivery.text)
        places += words != delivery.text
        delivery.text = words
    return places


async def _scrub_written(session: AsyncSession, conversation_id: uuid.UUID, scrub: Scrub) -> int:
    """What staff have in hand or wrote about the conversation, and why it was flagged."""
    places = 0
    for name, keys, columns in _WRITTEN_ABOUT:
        rows = table(name, *map(column, {"conversation_id", *keys, *columns}))
        wanted = [rows.c[one] for one in (*keys, *columns)]
        found = await session.execute(select(*wanted).where(rows.c.conversation_id == conversation_id))
        for row in found.mappings().all():
            left = {one: _walk(row[one], scrub) for one in columns}
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


async def _scrub_drafts(session: AsyncSession, touchpoint_id: uuid.UUID, scrub: Scrub) -> int:
    """Articles begun from this question, as long as they are the city's draft and not yet its word."""
    answers = await session.scalars(select(Answer.id).where(Answer.question_id == touchpoint_id))
    return sum(
        drafts.reword(draft, scrub(draft.title), scrub(draft.text))
        for draft in await drafts.about(session, [str(answer) for answer in answers])
    )


async def _remove_files(session: AsyncSession, touchpoint_id: uuid.UUID) -> int:
    gone = list(await session.scalars(select(StoredFile.id).where(StoredFile.touchpoint_id == touchpoint_id)))
    if gone:
        await session.execute(update(_REPORT).where(_REPORT.c.photo_id.in_(gone)).values(photo_id=None))
        await session.execute(delete(StoredFile).where(StoredFile.id.in_(gone)))
    return len(gone)


# The assistant's own memory ----------------------------------------------------------------------


async def _scrub_trackers(session: AsyncSession, redacted: Touchpoint, scrub: Scrub) -> int:
    """What Rasa remembers of the conversation; it writes these tables itself, where it has ever run.

    The raised revision makes a turn that is under way begin again, instead of writing the words back.
    """
    if redacted.conversation_id is None:
        return 0
    if not await session.scalar(text("SELECT to_regclass('assistant.tracker') IS NOT NULL")):
        return 0
    which = {"conversation": str(redacted.conversation_id)}
    places = 0
    trackers = await session.execute(
        text("SELECT events FROM assistant.tracker WHERE conversation = :conversation FOR UPDATE"), which
    )
    for (events,) in trackers:
        left = _scrub_json(events, scrub)
        places += left != events
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


def _scrub_json(written: str, scrub: Scrub) -> str:
    return json.dumps(_walk(json.loads(written), scrub), ensure_ascii=False, separators=(",", ":"))
