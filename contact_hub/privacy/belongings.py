"""Where a person's data stand: every table there is, and what an erasure does with it.

A table that is missing here fails a test: nobody adds one without saying what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_MINE = "IN (SELECT id FROM touchpoint WHERE address_id = ANY(:addresses))"
_TALKS = "= ANY(:conversations)"
_HERE = "address_id = ANY(:addresses)"


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows that go with their person: their class in the answer, their table, and which they are.

    A condition may use `addresses`, `citizens`, `conversations`, `sessions` (ids) and `names` (the
    conversations' ids as text).
    """

    of: str
    table: str
    which: str


# In the order in which they can go: what refers before what it refers to.
REMOVALS: tuple[Removal, ...] = (
    Removal("events", "event", "citizen_id = ANY(:citizens)"),  # and with it its notices to webhooks
    Removal("conversations", "task", f"conversation_id {_TALKS}"),
    Removal("tickets", "ticket", f"conversation_id {_TALKS} OR touchpoint_id {_MINE}"),
    Removal("conversations", "assistant.turn", "conversation = ANY(:names)"),
    Removal("conversations", "assistant.tracker", "conversation = ANY(:names)"),
    Removal("messages", "answer", f"question_id {_MINE}"),
    Removal("flags", "review", f"conversation_id {_TALKS}"),
    Removal("flags", "flag", f"{_HERE} OR conversation_id {_TALKS}"),
    Removal("flags", "reading", f"{_HERE} OR conversation_id {_TALKS}"),
    Removal("ratings", "rating", f"{_HERE} OR conversation_id {_TALKS}"),
    Removal("ratings", "wait", f"{_HERE} OR conversation_id {_TALKS}"),
    Removal("conversations", "mention", f"conversation_id {_TALKS}"),
    Removal("conversations", "presence", f"conversation_id {_TALKS}"),
    Removal("messages", "held_reply", f"conversation_id {_TALKS}"),
    Removal("messages", "feed_entry", "session_id = ANY(:sessions)"),
    Removal("chat_sessions", "chat_ticket", "session_id = ANY(:sessions)"),
    Removal("chat_sessions", "chat_session", "id = ANY(:sessions)"),
    Removal("files", "attachment", _HERE),  # and with it its chunks
    Removal("deliveries", "delivery", f"{_HERE} OR conversation_id {_TALKS}"),
    Removal("consents", "consent", _HERE),
    Removal("exports", "data_export", _HERE),
    Removal("people", "link_code", _HERE),
    Removal("people", "link_tries", _HERE),
    # A browser's own ids carry its session, and nobody brings them again once that is gone.
    Removal("message_ids", "inbound", f"channel IN ('web_chat', 'console') AND touchpoint_id {_MINE}"),
    Removal("messages", "touchpoint", _HERE),  # and with it its search words
    Removal("conversations", "conversation", f"id {_TALKS}"),
    Removal("people", "suggestion", "first_id = ANY(:citizens) OR second_id = ANY(:citizens)"),
    Removal("people", "merge", "survivor_id = ANY(:citizens) OR absorbed_id = ANY(:citizens)"),
    Removal("people", "sealed_record", "citizen_id = ANY(:citizens)"),
    Removal("people", "legal_hold", "citizen_id = ANY(:citizens)"),
    Removal("people", "address", "id = ANY(:addresses)"),
    Removal("people", "citizen", "id = ANY(:citizens)"),
)

# What a provider may bring once more: it stays known for a while, and leads nowhere.
PROVIDERS_IDS = f"channel NOT IN ('web_chat', 'console') AND touchpoint_id {_MINE}"

# What an erasure changes instead of removing it; `erasure` says how.
CHANGED: Mapping[str, str] = {
    "report": "kept without its person under the city's rule, or removed with them",
    "inbound": "a provider may bring the same message again: its id stays, and leads nowhere",
    "audit": "who did what stays, without words",
    "suppression": "becomes a mark",
    "saved_search": "one that names the person goes",
    "draft_article": "one begun from their question loses its words, or goes where it was discarded",
}

# What goes by itself with a row above, by a foreign key.
FOLLOWS = frozenset({"attachment_chunk", "webhook_notice", "sealed_reader"})

# What holds nothing of residents.
NOBODYS: Mapping[str, str] = {
    "alembic_version": "the version of the tables",
    "article_version": "the city's articles",
    "audit_head": "where the audit begins and ends",
    "bot_switch": "when the bot was off",
    "channel_memory": "how far a channel has read",
    "channel_pause": "until when a provider asked to wait",
    "consent_text": "the words that were agreed to, everybody's",
    "erasure": "marks, sealed",
    "idempotent_answer": "answers to other systems, for a day",
    "invitation": "staff",
    "kept_count": "figures",
    "kept_silence": "marks",
    "knowledge_entry": "the city's articles",
    "knowledge_version": "the city's articles",
    "oidc_attempt": "staff signing in",
    "passage": "the city's articles",
    "recovery_code": "staff",
    "staff": "staff",
    "staff_session": "staff",
    "throttle": "staff signing in",
    "token": "other systems",
    "webhook": "other systems",
}
