"""The second factor: six digits that change every half minute, and codes on paper for when they are lost."""

from __future__ import annotations

import hashlib
import secrets
import time

import pyotp
import segno
from sqlalchemy import delete, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import now, sealer_of
from contact_hub.staff.models import RecoveryCode, Staff

RECOVERY_CODES = 10
_SECONDS = 30
_SLACK = (0, -1, 1)  # a clock may be half a minute off
PURPOSE = "totp"
_READABLE = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/i/l


async def begin(session: AsyncSession, staff: Staff) -> str:
    """A fresh secret for the person's authenticator; it holds once its first code was shown."""
    secret = pyotp.random_base32()
    staff.totp_secret = sealer_of(session).seal(PURPOSE, secret.encode(), staff.id.bytes)
    staff.totp_since = None
    staff.totp_step = None
    await session.flush()
    return secret


def secret_of(session: AsyncSession, staff: Staff) -> str | None:
    """The secret the person's authenticator holds; raises Unsealable under another SECRET_KEY."""
    if staff.totp_secret is None:
        return None
    return sealer_of(session).unseal(PURPOSE, staff.totp_secret, staff.id.bytes).decode()


def address_of(secret: str, name: str, city: str) -> str:
    """The otpauth address that an authenticator reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=f"Civicline {city}")


def picture_of(address: str) -> str:
    """The address as a QR code: an SVG without style or script, for the page itself."""
    return segno.make(address, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff")


async def confirm(session: AsyncSession, staff: Staff, code: str) -> list[str] | None:
    """Turn the second factor on with its first code; returns the recovery codes, None for a wrong code."""
    if staff.totp_since is not None or not await _take_digits(session, staff, code):
        return None
    staff.totp_since = now()
    await session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCode(staff_id=staff.id, code_hash=_hash(code)) for code in codes)
    await session.flush()
    return codes


async def check(session: AsyncSession, staff: Staff, code: str) -> bool:
    """Whether this is the person's code of now or one of their recovery codes; each is taken once."""
    if staff.totp_since is None:
        return False
    return await _take_digits(session, staff, code) or await _take_recovery_code(session, staff, code)


async def remove(session: AsyncSession, staff: Staff) -> None:
    """Turn the second factor off."""
    staff.totp_secret = staff.totp_since = staff.totp_step = None
    await session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    await session.flush()


async def _take_digits(session: AsyncSession, staff: Staff, code: str) -> bool:
    secret = secret_of(session, staff)
    digits = code.replace(" ", "")
    if secret is None or not (digits.isascii() and digits.isdigit()):
        return False
    step = int(time.time()) // _SECONDS
    totp = pyotp.TOTP(secret)
    matching = [step + off for off in _SLACK if secrets.compare_digest(totp.generate_otp(step + off), digits)]
    if not matching:
        return False
    # The row decides between two who show the same code at once, in whatever process.
    taken = await session.execute(
        update(Staff)
        .where(Staff.id == staff.id, or_(Staff.totp_step.is_(None), Staff.totp_step < matching[0]))
        .values(totp_step=matching[0])
        .returning(Staff.id)
        .execution_options(synchronize_session=False)
    )
    return taken.first() is not None


async def _take_recovery_code(session: AsyncSession, staff: Staff, code: str) -> bool:
    taken = await session.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.staff_id == staff.id, RecoveryCode.code_hash == _hash(code))
        .returning(RecoveryCode.staff_id)
    )
    return taken.first() is not None


def _recovery_code() -> str:
    letters = "".join(secrets.choice(_READABLE) for _ in range(12))  # 59 bits: no guess within any limit
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def _hash(code: str) -> bytes:
    plain = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "replace")).digest()
