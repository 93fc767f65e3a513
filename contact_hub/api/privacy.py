"""On which terms a citizen's data may be used, and removing what a message should not hold."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.api.citizens import Words
from contact_hub.api.idempotency import CONFLICT, Key, once
from contact_hub.api.permission import MISSING, Permission
from contact_hub.audit import service as audit
from contact_hub.composition import Parts
from contact_hub.privacy import consent, holds, redaction
from contact_hub.privacy.consent import Decision, Purpose
from contact_hub.staff.access import Action, Viewer

Reason = Annotated[Words, Field(min_length=3, max_length=500)]


class TermOut(BaseModel):
    """One decision about one purpose, with the words it was about."""

    purpose: Purpose
    decision: Decision
    basis: str
    version: str
    language: str
    text: str
    text_sha256: str
    channel: str
    evidence: uuid.UUID
    by: str
    reason: str | None
    decided_at: datetime
    in_force: bool


class TermsOut(BaseModel):
    """What a citizen's data may be used for now, and every decision that led there, oldest first."""

    citizen: uuid.UUID
    allowed: dict[Purpose, bool]
    terms: list[TermOut]


class DecisionIn(BaseModel):
    """What a citizen told a member of staff."""

    purpose: Literal[Purpose.ALERTS, Purpose.IMPROVEMENT, Purpose.SURVEY]
    decision: Literal[Decision.GRANTED, Decision.WITHDRAWN]
    reason: Reason


class RedactIn(BaseModel):
    """What to remove: the whole message, with its attachments, or only these words of it."""

    parts: Annotated[list[Annotated[Words, Field(min_length=2, max_length=5000)]], Field(max_length=50)] = []
    reason: Reason


class RedactedOut(BaseModel):
    """In how many places words were replaced, and how many attachments are gone."""

    touchpoint: uuid.UUID
    places: int
    files: int


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens/{citizen}/consents` and `/touchpoints/{touchpoint}/redact`."""
    may_read = permission.needs(Action.READ, of_citizen="citizen")
    may_note = permission.needs(Action.NOTE, of_citizen="citizen")
    may_mend = permission.needs(Action.NOTE, of_citizen="touchpoint")

    @routes.get("/citizens/{citizen}/consents", responses=MISSING)
    async def consents(citizen: uuid.UUID, viewer: Viewer = may_read) -> TermsOut:
        """What a citizen agreed to, withdrew and was shown."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            await audit.record(session, viewer, "consents.read", citizen_id=citizen)
            return await _terms(session, citizen)

    @routes.post("/citizens/{citizen}/consents", response_model=TermsOut, responses=MISSING | CONFLICT)
    async def decide(
        citizen: uuid.UUID, told: DecisionIn, viewer: Viewer = may_note, key: Key = None
    ) -> Response:
        """Write down what a citizen said elsewhere; the reason says how."""

        async def work() -> TermsOut:
            await consent.by_staff(
                session, parts.city, citizen, told.purpose, told.decision, viewer, told.reason
            )
            return await _terms(session, citizen)

        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            return await once(session, viewer, key, f"consent {citizen}", told, work)

    @routes.post("/touchpoints/{touchpoint}/redact", response_model=RedactedOut, responses=MISSING | CONFLICT)
    async def redact(
        touchpoint: uuid.UUID, what: RedactIn, viewer: Viewer = may_mend, key: Key = None
    ) -> Response:
        """Remove a message or some of its words, with every copy. This cannot be undone."""

        async def work() -> RedactedOut:
            done = await redaction.redact(session, touchpoint, viewer, reason=what.reason, parts=what.parts)
            return RedactedOut(touchpoint=done.touchpoint_id, places=done.places, files=done.files)

        try:
            async with parts.database.begin() as session:
                # Not even a hash of the words is kept, so the key stands for the message alone.
                answer = await once(session, viewer, key, f"redact {touchpoint}", None, work)
        except holds.Held:
            raise HTTPException(409, "A legal hold keeps this record: nothing was removed.") from None
        except redaction.WordsMissing as error:
            raise HTTPException(409, str(error)) from None
        except redaction.NotThere:
            return await permission.refuse(viewer, str(touchpoint))
        parts.wakeups.tell("desk")
        return answer


async def _terms(session: AsyncSession, citizen_id: uuid.UUID) -> TermsOut:
    found = await consent.terms_of(session, citizen_id)
    return TermsOut(
        citizen=citizen_id,
        allowed={purpose: await consent.allowed(session, citizen_id, purpose) for purpose in Purpose},
        terms=[
            TermOut(
                purpose=t.purpose,
                decision=t.decision,
                basis=t.basis,
                version=t.version,
                language=t.language,
                text=t.text,
                text_sha256=t.text_sha256,
                channel=t.channel,
                evidence=t.evidence,
                by=t.by,
                reason=t.reason,
                decided_at=t.decided_at,
                in_force=t.in_force,
            )
            for t in found
        ],
    )
