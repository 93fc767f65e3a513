"""Sealing a record and opening it again, for records officers."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from contact_hub.api.citizens import Words
from contact_hub.api.permission import MISSING, Permission
from contact_hub.api.rights import Reason
from contact_hub.citizens.sealed import seal, unseal
from contact_hub.composition import Parts
from contact_hub.staff.access import Action, Viewer
from contact_hub.staff.service import named


class SealIn(BaseModel):
    """Who may see the record from now on, by the names of their accounts, and why it is sealed."""

    readers: Annotated[list[Annotated[Words, Field(max_length=80)]], Field(min_length=1, max_length=50)]
    reason: Reason


class UnsealIn(BaseModel):
    """Why the record is opened again."""

    reason: Reason


class SealOut(BaseModel):
    """The seal that was put on a record."""

    id: uuid.UUID
    citizen: uuid.UUID
    readers: list[str]


def add(routes: APIRouter, parts: Parts, permission: Permission) -> None:
    """`/citizens/{citizen}/seal` and `/unseal`."""
    may_seal = permission.needs(Action.SEAL, of_citizen="citizen")

    @routes.post("/citizens/{citizen}/seal", status_code=201, responses=MISSING)
    async def seal_record(citizen: uuid.UUID, wanted: SealIn, viewer: Viewer = may_seal) -> SealOut:
        """Seal a record: from now on only the people named see it, also whoever seals it."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            readers = []
            for name in wanted.readers:
                person = await named(session, name)
                if person is None or person.disabled_at is not None:
                    raise HTTPException(422, f"There is nobody called {name}.")
                readers.append(person)
            identity = await seal(
                session, citizen, [person.id for person in readers], wanted.reason, viewer=viewer
            )
        return SealOut(id=identity, citizen=citizen, readers=[person.name for person in readers])

    @routes.post("/citizens/{citizen}/unseal", responses=MISSING)
    async def unseal_record(
        citizen: uuid.UUID, wanted: UnsealIn, viewer: Viewer = may_seal
    ) -> dict[str, bool]:
        """Take every seal off a record. Only a records officer named on it can; else `civicline sealed`."""
        async with parts.database.begin() as session:
            await permission.citizen(session, viewer, citizen)
            return {"unsealed": await unseal(session, citizen, wanted.reason, viewer=viewer)}
