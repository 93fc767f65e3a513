"""How the rows of each class of records are told to be too old: tables, times and whom a hold keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FREE = "NOT (t.address_id = ANY(:held))"


@dataclass(frozen=True, slots=True)
class Old:
    """How to find the rows of a class that are too old.

    Conditions name the table `t`, and may use `before` (a time), `low` (the
    smallest id of that time) and `held` (addresses that a hold keeps).
    """

    table: str
    old: str
    free: str = "true"
    measures: tuple[str, ...] = ()


_TALK_FREE = (
    "NOT EXISTS (SELECT FROM conversation c WHERE c.id = t.conversation_id AND c.address_id = ANY(:held))"
)
_CITIZENS_FREE = "NOT EXISTS (SELECT FROM address a WHERE a.citizen_id = t.citizen_id AND a.id = ANY(:held))"

# Everything but messages and people, which take more than one statement.
CLASSES: Mapping[str, tuple[Old, ...]] = {
    "files": (Old("attachment", "t.created_at < :before", FREE),),
    "deliveries": (
        Old(
            "delivery",
            "t.created_at < :before AND t.state NOT IN ('queued', 'sending', 'uncertain')",
            FREE,
        ),
    ),
    "tickets": (
        Old(
            "ticket",
            "t.closed_at < :before",
            _TALK_FREE,
        ),
    ),
    "flags": (
        Old("review", "t.drawn_at < :before", _TALK_FREE),
        Old("flag", "t.raised_at < :before", FREE, ("flag",)),  # and what was thought of it
        Old("reading", "t.read_at < :before", FREE),
    ),
    "ratings": (
        Old("rating", "t.closed_at < :before", FREE, ("rating",)),
        Old("wait", "t.ended_at < :before", FREE, ("wait",)),
    ),
    "reports": (
        Old(
            "report",
            "t.created_at < :before AND t.state IN ('done', 'rejected')",
            "(t.address_id IS NULL OR NOT (t.address_id = ANY(:held)))",
            ("report",),
        ),
    ),
    "message_ids": (
        Old(
            "inbound",
            "t.received_at < :before AND t.outcome IS NOT NULL",
            "NOT EXISTS (SELECT FROM touchpoint p WHERE p.id = t.touchpoint_id"
            " AND p.address_id = ANY(:held))",
            ("inbound",),
        ),
    ),
    "events": (Old("event", "t.created_at < :before", _CITIZENS_FREE),),
    "exports": (Old("data_export", "t.asked_at < :before", FREE),),
}
ALIASES = {
    "report": "r",
    "inbound": "i",
    "flag": "f",
    "rating": "g",
    "wait": "w",
}  # of the measures' own queries
