"""Who may do what: one table of roles and actions, one of tokens' scopes, and nothing decided elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from contact_hub.staff.models import Role

UNASSIGNED = ""  # among a viewer's departments: also what no department has been given yet


@dataclass(frozen=True, slots=True)
class Viewer:
    """On whose behalf something is read or done: a member of staff, another system, or the hub itself.

    `reason` is why this person looks further than their open conversations; it ends in the audit.
    """

    kind: Literal["staff", "token", "system"]
    name: str
    id: uuid.UUID | None = None
    role: Role | None = None
    departments: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    reason: str | None = None


SYSTEM = Viewer("system", "Civicline")


class Action(StrEnum):
    """Something that is allowed or not, whatever page, route or command it is asked by."""

    FIND = "find a citizen by an address"
    READ = "read a citizen's record"
    SEARCH = "search the history"
    QUEUE = "see who waits for a person"
    ANSWER = "answer, take over and close conversations"
    NOTE = "write notes and mend a message"
    LINK = "link, merge and part citizens"
    ASSIGN = "give a conversation to a colleague or take it from one"
    REVIEW = "review flags"
    COUNT = "see figures"
    WRITE = "draft and publish articles"
    SWITCH = "turn the bot off and on"
    EXPORT = "export a citizen's record"
    ERASE = "erase a citizen's record"
    HOLD = "place legal holds"
    SEAL = "seal a record and name who may see it"
    AUDIT = "read and check the audit"
    STAFF = "look after staff accounts"
    TOKENS = "look after API tokens"
    EVENTS = "receive and replay events"


_AT_THE_DESK = frozenset(
    {Action.FIND, Action.READ, Action.SEARCH, Action.QUEUE, Action.ANSWER, Action.NOTE, Action.LINK}
)

# Role x action. Which citizens a role sees is said in `citizens.scope`.
ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.AGENT: _AT_THE_DESK,
    Role.SUPERVISOR: _AT_THE_DESK | {Action.ASSIGN, Action.REVIEW, Action.COUNT, Action.WRITE},
    Role.MANAGER: frozenset({Action.REVIEW, Action.COUNT, Action.WRITE, Action.SWITCH}),
    Role.RECORDS: frozenset(
        {Action.FIND, Action.EXPORT, Action.ERASE, Action.HOLD, Action.SEAL, Action.AUDIT}
    ),
    Role.ADMIN: frozenset({Action.STAFF, Action.TOKENS, Action.AUDIT, Action.EVENTS}),
}


class Scope(StrEnum):
    """What an API token may do."""

    CITIZENS_READ = "citizens:read"
    CITIZENS_LINK = "citizens:link"
    TIMELINE_READ = "timeline:read"
    SEARCH_READ = "search:read"
    QUEUE_READ = "queue:read"
    QUEUE_WRITE = "queue:write"
    FLAGS_READ = "flags:read"
    RATINGS_READ = "ratings:read"
    EXPORTS = "exports"
    ERASURES = "erasures"
    EVENTS_READ = "events:read"


GRANTS: Mapping[Scope, frozenset[Action]] = {
    Scope.CITIZENS_READ: frozenset({Action.FIND}),
    Scope.CITIZENS_LINK: frozenset({Action.FIND, Action.LINK}),
    Scope.TIMELINE_READ: frozenset({Action.FIND, Action.READ}),
    Scope.SEARCH_READ: frozenset({Action.SEARCH}),
    Scope.QUEUE_READ: frozenset({Action.QUEUE}),
    Scope.QUEUE_WRITE: frozenset({Action.ANSWER}),
    Scope.FLAGS_READ: frozenset({Action.REVIEW}),
    Scope.RATINGS_READ: frozenset({Action.COUNT}),
    Scope.EXPORTS: frozenset({Action.EXPORT}),
    Scope.ERASURES: frozenset({Action.ERASE}),
    Scope.EVENTS_READ: frozenset({Action.EVENTS}),
}


def allows(viewer: Viewer, action: Action) -> bool:
    """Whether this viewer may do this at all; which citizens they may do it to is `citizens.scope`'s."""
    if viewer.kind == "system":
        return True
    if viewer.kind == "staff":
        return viewer.role is not None and action in ALLOWED[viewer.role]
    return any(action in GRANTS[scope] for scope in Scope if scope in viewer.scopes)
