"""Sealing a record and opening it again, for records officers."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select

from contact_hub.audit import service as audit
from contact_hub.citizens import identity, scope
from contact_hub.citizens.models import Citizen
from contact_hub.citizens.sealed import SealedReader, SealedRecord, seal, unseal
from contact_hub.citizens.service import DESK, find_address
from contact_hub.city import City
from contact_hub.desk import lines
from contact_hub.desk.look import page
from contact_hub.desk.room import Room, Seat
from contact_hub.desk.talk_words import CHANNELS
from contact_hub.staff.access import Action
from contact_hub.staff.models import Role, Staff

NOBODY = "There is no such record, or it is sealed and you are not named on it."
SHORTEST_REASON, LONGEST_REASON = 3, 500  # as over the API


def add(routes: APIRouter, room: Room) -> None:
    """`/desk/seals` and below."""

    @routes.get("/seals")
    async def find(request: Request, channel: str = "", address: str = "") -> Response:
        """The record behind an address."""
        seat = await room.seat(request, Action.SEAL)
        wrong = ""
        if address.strip():
            async with room.database.begin() as session:
                place = await find_address(session, channel, address.strip())
                known = place and await scope.find(session, seat.viewer, place.citizen_id)
            if known:
                return RedirectResponse(f"/desk/seals/{known.id}", 303)
            wrong = NOBODY
        channels = [(key, name) for key, name in CHANNELS.items() if key in {"sms", "telegram"}]
        return page(
            "seals.html", seat, here="seals", wrong=wrong, channels=channels, channel=channel, address=address
        )

    @routes.get("/seals/{citizen}")
    async def one(request: Request, citizen: uuid.UUID, done: str = "") -> Response:
        seat = await room.seat(request, Action.SEAL)
        return await _record(room, seat, citizen, done=done)

    _forms(routes, room)


def _forms(routes: APIRouter, room: Room) -> None:
    @routes.post("/seals/{citizen}")
    async def put_on(
        request: Request,
        citizen: uuid.UUID,
        readers: Annotated[list[uuid.UUID] | None, Form()] = None,
        why: Annotated[str, Form()] = "",
    ) -> Response:
        """From now on only the people named see the record, whoever sealed it included."""
        seat = await room.seat(request, Action.SEAL)
        async with room.database.begin() as session:
            known = await scope.find(session, seat.viewer, citizen)
            named = await session.scalars(
                select(Staff.id).where(Staff.id.in_(readers or []), Staff.disabled_at.is_(None))
            )
            chosen, reason = list(named), _reason(why)
            if known is not None and chosen and reason:
                await seal(session, citizen, chosen, reason, viewer=seat.viewer)
        if known is None:
            return await _refused(room, seat, citizen)
        if not chosen or not reason:
            wrong = "Tick at least one person who may see it." if not chosen else _WHY
            return await _record(room, seat, citizen, wrong=wrong, why=why, ticked=readers or [])
        if seat.me.staff.id not in chosen:
            return RedirectResponse("/desk/seals", 303)  # it is shut for whoever sealed it as well
        return RedirectResponse(f"/desk/seals/{citizen}?done=sealed", 303)

    @routes.post("/seals/{citizen}/open")
    async def take_off(request: Request, citizen: uuid.UUID, why: Annotated[str, Form()] = "") -> Response:
        """Take every seal off."""
        seat = await room.seat(request, Action.SEAL)
        reason = _reason(why)
        async with room.database.begin() as session:
            known = await scope.find(session, seat.viewer, citizen)
            if known is not None and reason:
                await unseal(session, citizen, reason, viewer=seat.viewer)
        if known is None:
            return await _refused(room, seat, citizen)
        if not reason:
            return await _record(room, seat, citizen, wrong=_WHY, why=why)
        return RedirectResponse(f"/desk/seals/{citizen}?done=opened", 303)


_WHY = f"Say why in {SHORTEST_REASON} to {LONGEST_REASON} characters: it stays in the record."
_DONE = {"sealed": "The record is sealed.", "opened": "The record is open again."}


def _reason(why: str) -> str:
    words = " ".join(why.replace("\x00", "").split())
    return words if SHORTEST_REASON <= len(words) <= LONGEST_REASON else ""


async def _record(
    room: Room,
    seat: Seat,
    citizen: uuid.UUID,
    *,
    wrong: str = "",
    why: str = "",
    done: str = "",
    ticked: list[uuid.UUID] | None = None,
) -> Response:
    """What seals a record has, and the forms; nothing that was ever said stands here."""
    async with room.database.begin() as session:
        known = await scope.find(session, seat.viewer, citizen)
        if known is not None:
            places = [p for p in await identity.addresses_of(session, citizen) if p.channel != DESK]
            rows = await session.execute(
                select(SealedRecord, Staff.name)
                .join(SealedReader, SealedReader.sealed_record_id == SealedRecord.id)
                .join(Staff, Staff.id == SealedReader.staff_id)
                .where(SealedRecord.citizen_id == citizen)
                .order_by(SealedRecord.sealed_at, Staff.name)
            )
            seals = rows.all()
            people = await session.scalars(
                select(Staff)
                .where(
                    Staff.disabled_at.is_(None),
                    Staff.role.in_((Role.AGENT, Role.SUPERVISOR, Role.RECORDS)),
                )
                .order_by(Staff.name)
            )
            staff = people.all()
    if known is None:
        return await _refused(room, seat, citizen)
    first = places[0] if places else None
    return page(
        "seal.html",
        seat,
        here="seals",
        status=422 if wrong else 200,
        wrong=wrong,
        done=_DONE.get(done, ""),
        citizen=citizen,
        name=_called(known, first.channel if first else "", first.value if first else ""),
        seals=_seals(room.city, [(row[0], row[1]) for row in seals]),
        people=[(person.id, person.name, person.role) for person in staff],
        ticked=ticked or [],
        why=why,
        longest=LONGEST_REASON,
        shortest=SHORTEST_REASON,
    )


def _called(citizen: Citizen, channel: str, value: str) -> str:
    return lines.called(citizen.id, citizen.name, channel, value)


def _seals(city: City, rows: list[tuple[SealedRecord, str]]) -> list[tuple[str, str, str, list[str]]]:
    """Each seal: since when, by whom, why, and who may see the record."""
    by_seal: dict[uuid.UUID, tuple[str, str, str, list[str]]] = {}
    for record, name in rows:
        about = (city.day(record.sealed_at, "en"), record.sealed_by, record.reason, list[str]())
        by_seal.setdefault(record.id, about)[3].append(name)
    return list(by_seal.values())


async def _refused(room: Room, seat: Seat, citizen: uuid.UUID) -> Response:
    async with room.database.begin() as session:
        await audit.record(session, seat.viewer, "citizen.refused", subject=str(citizen))
    raise HTTPException(404, NOBODY)
