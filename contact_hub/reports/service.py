"""Writing down what residents report, once, under a number they can read out on the phone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address
from contact_hub.database import new_id, now
from contact_hub.reports.models import Report, ReportState

_OPEN = (ReportState.RECEIVED, ReportState.IN_PROGRESS)


async def write_down(
    session: AsyncSession,
    *,
    touchpoint_id: uuid.UUID,
    address_id: uuid.UUID,
    conversation_id: uuid.UUID,
    category: str,
    place: str,
    description: str,
    photo_id: uuid.UUID | None,
    department: str | None,
    district: str | None = None,
) -> Report:
    """The report that a message completed; asking again for the same message returns the same report."""
    known = await session.scalar(select(Report).where(Report.touchpoint_id == touchpoint_id))
    if known is not None:
        return known
    number = await session.scalar(text("SELECT nextval('report_number')"))
    report = Report(
        id=new_id(),
        number=number,
        reference=reference(int(number or 0), now()),
        address_id=address_id,
        conversation_id=conversation_id,
        touchpoint_id=touchpoint_id,
        category=category,
        place=place,
        description=description,
        photo_id=photo_id,
        department=department,
        district=district,
        state=ReportState.RECEIVED,
        created_at=now(),
        changed_at=now(),
    )
    session.add(report)
    await session.flush()
    return report


async def of_citizen(session: AsyncSession, citizen_id: uuid.UUID, limit: int = 10) -> list[Report]:
    """A citizen's reports over all their addresses, newest first."""
    rows = await session.scalars(
        select(Report)
        .join(Address, Address.id == Report.address_id)
        .where(Address.citizen_id == citizen_id)
        .order_by(Report.created_at.desc())
        .limit(limit)
    )
    return list(rows)


async def of_address(session: AsyncSession, address_id: uuid.UUID, limit: int = 10) -> list[Report]:
    """The reports made at one address, newest first."""
    rows = await session.scalars(
        select(Report).where(Report.address_id == address_id).order_by(Report.created_at.desc()).limit(limit)
    )
    return list(rows)


def reference(number: int, at: datetime) -> str:
    """A number such as R26-00042-9: year, running number, and a Luhn digit against slips of the tongue."""
    digits = f"{at.astimezone(UTC):%y}{number:05d}"
    return f"R{digits[:2]}-{digits[2:]}-{luhn_digit(digits)}"


def luhn_digit(digits: str) -> int:
    """The check digit of a row of digits (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return (10 - total % 10) % 10
