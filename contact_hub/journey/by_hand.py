"""What a person does with a conversation: every act, by the name that pages, routes and commands use.

Each `..._within` works in the caller's transaction, writes its own entry of the audit, raises CannotDo
with a reason in the agent's words, and returns the topics to wake once that transaction is committed.
"""

from __future__ import annotations

from contact_hub.handoff import service as handoff
from contact_hub.journey.hands.grip import CannotDo, NotTheirs
from contact_hub.journey.hands.held import TakenBack, undo_within, waiting_to_leave
from contact_hub.journey.hands.taking import (
    assign_within,
    claim_within,
    give_back_within,
    resolve_within,
    snooze_within,
    transfer_within,
)
from contact_hub.journey.hands.words import LONGEST_REPLY, note_within, present_within, reply_within
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups
from contact_hub.staff.access import Viewer

__all__ = [
    "LONGEST_REPLY",
    "CannotDo",
    "NotTheirs",
    "TakenBack",
    "assign_within",
    "claim_within",
    "close",
    "give_back_within",
    "note_within",
    "present_within",
    "reply",
    "reply_within",
    "resolve_within",
    "snooze_within",
    "transfer_within",
    "undo_within",
    "waiting_to_leave",
]


async def reply(writer: Writer, wakeups: Wakeups, which: str, viewer: Viewer, words: str) -> None:
    """Answer a resident in a transaction of its own; `which` is the conversation's id or its end."""
    async with writer.database.begin() as session:
        found = await handoff.find_open(session, which)
        if found is None:
            raise NotTheirs("There is no open conversation with this id, or more than one ends so.")
        topics = await reply_within(session, writer, found.id, viewer, words)
    wakeups.tell(*topics)


async def close(
    writer: Writer, wakeups: Wakeups, which: str, viewer: Viewer, resolution: str | None = None
) -> None:
    """Close a conversation in a transaction of its own; `which` is its id or the end of it."""
    async with writer.database.begin() as session:
        found = await handoff.find_open(session, which)
        if found is None:
            raise NotTheirs("There is no open conversation with this id, or more than one ends so.")
        topics = await resolve_within(session, writer, found.id, viewer, resolution)
    wakeups.tell(*topics)
