"""The one door behind every proof of who somebody is: a password, a link, the city's own accounts."""

from __future__ import annotations

from urllib.parse import quote

from fastapi.responses import Response

from contact_hub.audit import service as audit
from contact_hub.database import Database
from contact_hub.staff import passwords, service, sessions
from contact_hub.staff.guard import Guard
from contact_hub.staff.look import go, sign_in_first
from contact_hub.staff.models import Staff
from contact_hub.staff.sessions import Browser


async def enter(
    database: Database, guard: Guard, staff: Staff, browser: Browser, onto: str, *, password: str | None
) -> Response:
    """Begin the session of somebody who is who they say; with a password the second factor comes first."""
    code_due = password is not None and staff.totp_since is not None
    stale = password is not None and staff.password_hash and passwords.outdated(staff.password_hash)
    fresh = await passwords.hashed(password) if stale and password is not None else None
    async with database.begin() as session:
        current = await service.locked(session, staff.id)
        # It may have been disabled or changed while its password was being checked.
        if current is None or current.disabled_at is not None or current.password_hash != staff.password_hash:
            raise sign_in_first(onto)
        if fresh is not None:
            current.password_hash = fresh
        secret = await sessions.begin(session, current, browser, second_step=code_due)
        if not code_due:
            viewer = service.viewer_of(current)
            await audit.record(session, viewer, "staff.signed_in", network=browser.network)
    if guard.must_set_up(staff):
        onto = "/staff/totp"
    answer = go(f"/staff/login/code?next={quote(onto)}" if code_due else onto)
    longest = sessions.SECOND_STEP if code_due else sessions.LONGEST
    guard.cookie.give(answer, secret, int(longest.total_seconds()))
    return answer
