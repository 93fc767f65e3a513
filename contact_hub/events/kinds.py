"""What other systems can be told: every kind of event with the shape of its data.

The data holds ids and kinds. These models are the published schemas (`/schemas/events/...`), so a field
that is renamed or taken away here breaks other systems: that needs a new version of the kind instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

VERSION = "v1"
# A name of our own choosing under a domain that belongs to nobody, as CloudEvents wants it reversed.
TYPE_PREFIX = "example.civicline"


class Kind(StrEnum):
    """What a webhook can ask for."""

    TOUCHPOINT = "touchpoint"
    FLAG = "flag"
    HANDOFF = "handoff"
    RATING = "rating"
    REPORT = "report"
    MERGE = "merge"
    CONSENT = "consent"
    ERASURE = "erasure"
    TEST = "test"  # sent on demand, never asked for


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _OfTouchpoint(_Data):
    touchpoint: uuid.UUID = Field(description="the touchpoint's id, as the timeline shows it")
    conversation: uuid.UUID | None
    channel: str = Field(description="where it happened: web_chat, sms, telegram, console or desk")
    recorded_at: datetime


class TouchpointData(_OfTouchpoint):
    """Something happened on a citizen's timeline."""

    kind: str = Field(description="text, photo, button, rating, handoff, report, consent, merge and so on")
    direction: str = Field(description="in, out or inner")
    actor: str = Field(description="citizen, bot, agent or system")
    language: str | None
    in_reply_to: uuid.UUID | None
    text: str | None = Field(
        default=None,
        description="only for webhooks made with text: the words as they stand now, redacted or gone as they"
        " may be by then",
    )


class FlagData(_OfTouchpoint):
    """A conversation was flagged: its resident seems unhappy or in danger."""

    score: float | None = None
    level: str | None = Field(default=None, description="uneasy, unhappy or danger")


class HandoffData(_OfTouchpoint):
    """A conversation changed hands."""

    from_: str = Field(alias="from", description="bot, waiting, agent or closed")
    to: str = Field(description="bot, waiting, agent or closed")
    reason: str


class RatingData(_OfTouchpoint):
    """A resident said whether an answer helped, or how satisfied they are."""

    answer: uuid.UUID | None = None
    helpful: bool | None = None
    score: int | None = None


class ReportData(_OfTouchpoint):
    """A resident reported a problem; what and where exactly is for whoever may read the timeline."""

    reference: str
    category: str


class ConsentData(_OfTouchpoint):
    """A resident gave or withdrew consent to a purpose."""

    purpose: str
    decision: str
    basis: str
    version: str = Field(description="of the text they were shown")


class MergeData(_Data):
    """Two records became one, or were parted again; `subject` is the survivor."""

    merge: uuid.UUID
    done: str = Field(description="merged or undone")
    survivor: uuid.UUID
    absorbed: uuid.UUID


class ErasureData(_Data):
    """A person was erased: whatever the receiver keeps under earlier events' subject should go as well."""

    erasure: uuid.UUID


class TestData(_Data):
    """Somebody tries whether this webhook arrives."""

    webhook: uuid.UUID


SHAPES: Mapping[Kind, type[_Data]] = {
    Kind.TOUCHPOINT: TouchpointData,
    Kind.FLAG: FlagData,
    Kind.HANDOFF: HandoffData,
    Kind.RATING: RatingData,
    Kind.REPORT: ReportData,
    Kind.MERGE: MergeData,
    Kind.CONSENT: ConsentData,
    Kind.ERASURE: ErasureData,
    Kind.TEST: TestData,
}

# Touchpoints of these kinds are told twice: as a touchpoint, and as what they are.
_TOLD_AS: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "flag": (Kind.FLAG, ("score", "level")),
    "handoff": (Kind.HANDOFF, ("from", "to", "reason")),
    "rating": (Kind.RATING, ("answer", "helpful", "score")),
    "report": (Kind.REPORT, ("reference", "category")),
    "consent": (Kind.CONSENT, ("purpose", "decision", "basis", "version")),
}


def told_as(kind: str, payload: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]] | None:
    """The event that a touchpoint of this kind is as well, with what may be told of its payload."""
    found = _TOLD_AS.get(kind)
    if found is None:
        return None
    event, fields = found
    return event, {field: payload[field] for field in fields if field in payload}


def type_of(kind: str) -> str:
    """The CloudEvents type, such as `example.civicline.touchpoint.v1`."""
    return f"{TYPE_PREFIX}.{kind}.{VERSION}"


def schema_name(kind: str) -> str:
    """The file name of a kind's published schema."""
    return f"{kind}.{VERSION}.json"


def schema_of(kind: Kind, url: str) -> dict[str, Any]:
    """The JSON schema of a kind's data, as it is published at `url`."""
    schema = SHAPES[kind].model_json_schema(by_alias=True)
    schema.pop("additionalProperties", None)  # a field more is no new version, so receivers let it pass
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": url, **schema, "title": type_of(kind)}
