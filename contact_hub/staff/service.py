"""Staff accounts: invited by a one-time link, changed and disabled; every change is an audit entry."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import Database, new_id, now
from contact_hub.staff import passwords, second_factor, sessions
from contact_hub.staff.access import SYSTEM, Scope, Viewer
from contact_hub.staff.models import Invitation, Role, Staff
from contact_hub.staff.tokens import create_token

__all__ = ["Refused", "Scope", "create_token"]  # where everybody looks for them

INVITATION_HOURS = 24
SHORTEST_PASSWORD = passwords.SHORTEST


class Refused(ValueError):
    """What was asked cannot be done; the message says why in the reader's words."""


# Invitations -------------------------------------------------------------------------------------


async def first_admin_link(database: Database, site_url: str) -> str | None:
    """A one-time link that makes the first admin, or None when there is one already.

    Each call makes a new link and ends the earlier ones: who starts the line holds the only one.
    """
    async with database.begin() as session:
        if await session.scalar(select(func.count()).select_from(Staff).where(Staff.role == Role.ADMIN)):
            return None
        await session.execute(
            update(Invitation)
            .where(Invitation.role == Role.ADMIN, Invitation.staff_id.is_(None), Invitation.used_at.is_(None))
            .values(expires_at=now())
        )
        return _link(session, site_url, Invitation(role=Role.ADMIN, departments=[]))


async def add_staff(
    session: AsyncSession,
    name: str,
    role: Role,
    site_url: str,
    *,
    departments: Sequence[str] = (),
    languages: Sequence[str] = (),
    viewer: Viewer = SYSTEM,
) -> str:
    """Invite somebody; returns the one-time link on which they choose a password."""
    wanted, spoken = sorted(set(departments)), sorted(set(languages))
    invitation = Invitation(role=role, departments=wanted, languages=spoken, name=name)
    link = _link(session, site_url, invitation)
    await audit.record(
        session, viewer, "staff.invited", subject=name, role=role, departments=wanted, languages=spoken
    )
    return link


async def reset(session: AsyncSession, staff: Staff, site_url: str, *, viewer: Viewer = SYSTEM) -> str:
    """A one-time link on which somebody chooses a new password; the old one and the second factor end now."""
    staff.password_hash = None
    await second_factor.remove(session, staff)
    await sessions.end_all(session, staff.id)
    await _end_links(session, staff.id)
    link = _link(
        session,
        site_url,
        Invitation(role=staff.role, departments=staff.departments, name=staff.name, staff_id=staff.id),
    )
    await audit.record(session, viewer, "staff.reset", subject=staff.name)
    return link


async def _end_links(session: AsyncSession, staff_id: uuid.UUID) -> None:
    """Let no earlier link give this account a password any more."""
    await session.execute(
        update(Invitation)
        .where(Invitation.staff_id == staff_id, Invitation.used_at.is_(None), Invitation.expires_at > now())
        .values(expires_at=now())
        .execution_options(synchronize_session=False)
    )


def _link(session: AsyncSession, site_url: str, invitation: Invitation) -> str:
    code = secrets.token_urlsafe(24)
    invitation.code_hash = _hash(code)
    invitation.expires_at = now() + timedelta(hours=INVITATION_HOURS)
    session.add(invitation)
    return f"{site_url}/staff/welcome?code={code}"


async def accept_invitation(database: Database, code: str, name: str, password: str) -> Staff:
    """Make the member of staff an invitation was for, or give a known one their password; raises Refused."""
    name = proper_name(name)
    proper_password(password)
    async with database.begin() as session:
        await _unused(session, code)  # no hash is computed for a link that does not serve
    kept = await passwords.hashed(password)
    async with database.begin() as session:
        invitation = await _unused(session, code)
        staff = await _welcomed(session, invitation, name, kept)
        invitation.used_at = now()
        invitation.name = staff.name
        action = "staff.joined" if invitation.staff_id is None else "staff.password_chosen"
        await audit.record(session, viewer_of(staff), action, subject=staff.name, role=staff.role)
        return staff


async def invited_name(database: Database, code: str) -> str:
    """Whom an unused invitation names, empty where that is nobody; raises Refused where it does not serve."""
    async with database.begin() as session:
        return (await _unused(session, code)).name or ""


async def _unused(session: AsyncSession, code: str) -> Invitation:
    found = await session.scalar(
        select(Invitation)
        .where(
            Invitation.code_hash == _hash(code), Invitation.used_at.is_(None), Invitation.expires_at > now()
        )
        .with_for_update()
    )
    if found is None:
        raise Refused("This link was used already or has run out. Ask for a new one.")
    return found


async def _welcomed(session: AsyncSession, invitation: Invitation, name: str, kept: str) -> Staff:
    if invitation.staff_id is not None:
        known = await session.get_one(Staff, invitation.staff_id)
        if known.disabled_at is not None:
            raise Refused("This account is disabled.")
        known.password_hash = kept
        await sessions.end_all(session, known.id)
        await _end_links(session, known.id)
        return known
    return await make(
        session,
        name,
        Role(invitation.role),
        invitation.departments,
        languages=invitation.languages,
        password_hash=kept,
    )


async def make(
    session: AsyncSession,
    name: str,
    role: Role,
    departments: Sequence[str],
    *,
    languages: Sequence[str] = (),
    password_hash: str | None = None,
    oidc: tuple[str, str] | None = None,
) -> Staff:
    """A new account; raises Refused where the name is taken, also by one being made this moment."""
    made: Staff | None = await session.scalar(
        insert(Staff)
        .values(
            id=new_id(),
            name=name,
            role=role,
            departments=list(departments),
            languages=list(languages),
            password_hash=password_hash,
            oidc_issuer=oidc and oidc[0],
            oidc_subject=oidc and oidc[1],
            created_at=now(),
        )
        .on_conflict_do_nothing()
        .returning(Staff)
    )
    if made is None:
        raise Refused("There is somebody with this name already.")
    return made


# Accounts ----------------------------------------------------------------------------------------


async def everybody(session: AsyncSession) -> Sequence[Staff]:
    """All accounts by name, the disabled ones last."""
    return (
        await session.scalars(select(Staff).order_by(Staff.disabled_at.is_not(None), func.lower(Staff.name)))
    ).all()


async def named(session: AsyncSession, name: str) -> Staff | None:
    """The account with this name, however it is capitalised."""
    wanted = " ".join(name.replace("\x00", "").split())
    return await session.scalar(select(Staff).where(func.lower(Staff.name) == func.lower(wanted)))


async def locked(session: AsyncSession, staff_id: uuid.UUID) -> Staff | None:
    """An account under lock, for changing it."""
    return await session.scalar(
        select(Staff).where(Staff.id == staff_id).with_for_update().execution_options(populate_existing=True)
    )


async def disable(session: AsyncSession, staff: Staff, *, viewer: Viewer = SYSTEM) -> None:
    """Shut an account and sign it out everywhere; raises Refused for the last admin."""
    if staff.disabled_at is not None:
        raise Refused(f"{staff.name} is disabled already.")
    await _keep_an_admin(session, staff)
    staff.disabled_at = now()
    await sessions.end_all(session, staff.id)
    await audit.record(session, viewer, "staff.disabled", subject=staff.name)


async def enable(session: AsyncSession, staff: Staff, *, viewer: Viewer = SYSTEM) -> None:
    """Open a disabled account again."""
    if staff.disabled_at is None:
        raise Refused(f"{staff.name} is not disabled.")
    staff.disabled_at = None
    await audit.record(session, viewer, "staff.enabled", subject=staff.name)


async def change(
    session: AsyncSession,
    staff: Staff,
    *,
    role: Role | None = None,
    departments: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    viewer: Viewer = SYSTEM,
) -> None:
    """Give somebody another role, departments or languages, from their next click on; raises Refused."""
    if role is not None and role != staff.role:
        await _keep_an_admin(session, staff)
        staff.role = role
    if departments is not None:
        staff.departments = sorted(set(departments))
    if languages is not None:
        staff.languages = sorted(set(languages))
    await audit.record(
        session,
        viewer,
        "staff.changed",
        subject=staff.name,
        role=staff.role,
        departments=staff.departments,
        languages=staff.languages,
    )


async def change_password(database: Database, staff: Staff, old: str, new: str) -> Staff:
    """Replace a password and sign the person out everywhere; raises Refused."""
    proper_password(new)
    if not await passwords.matches(staff.password_hash, old):
        raise Refused("This is not your present password.")
    kept = await passwords.hashed(new)
    async with database.begin() as session:
        changed: Staff | None = await session.scalar(
            update(Staff)
            .where(Staff.id == staff.id, Staff.password_hash == staff.password_hash)
            .values(password_hash=kept)
            .returning(Staff)
        )
        if changed is None:
            raise Refused("The password was changed a moment ago from elsewhere.")
        await sessions.end_all(session, staff.id)
        await audit.record(session, viewer_of(staff), "staff.password_changed", subject=staff.name)
        return changed


async def _keep_an_admin(session: AsyncSession, staff: Staff) -> None:
    if staff.role != Role.ADMIN:
        return
    # Under lock, so that two admins who disable one another do not both succeed.
    others = await session.scalars(
        select(Staff.id)
        .where(Staff.role == Role.ADMIN, Staff.disabled_at.is_(None))
        .order_by(Staff.id)
        .with_for_update()
    )
    if not [other for other in others if other != staff.id]:
        raise Refused("This is the only admin: make another one first.")


def proper_name(name: str) -> str:
    """A name as colleagues see it; raises Refused."""
    name = " ".join(name.split())
    if not 2 <= len(name) <= 80 or not name.isprintable():
        raise Refused("Please give a name of 2 to 80 characters.")
    return name


def proper_password(password: str) -> None:
    """Raise Refused unless the password is long enough. Length is what counts; rules make people write."""
    if not passwords.SHORTEST <= len(password) <= passwords.LONGEST:
        raise Refused(f"Please choose a password of {passwords.SHORTEST} to {passwords.LONGEST} characters.")


def viewer_of(staff: Staff) -> Viewer:
    """A member of staff as what they do to their own account is written down."""
    return Viewer("staff", staff.name, staff.id, Role(staff.role), frozenset(staff.departments))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
