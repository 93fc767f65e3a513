"""Who asks: a browser that is signed in, or another system with its token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from channels.base.widget.limits import networks, visitor_ip
from contact_hub.database import Database
from contact_hub.staff import sessions, tokens
from contact_hub.staff.access import UNASSIGNED, Viewer
from contact_hub.staff.models import Role, Staff
from contact_hub.staff.sessions import Browser, SignedIn
from contact_hub.staff.throttle import network_of

LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie of ours. With https its name begins with `__Host-`: no other site or path can set it.

    Browsers refuse that name without https, so a line on plain http (a developer's own machine) has
    another.
    """

    name: str
    secure: bool

    @classmethod
    def called(cls, name: str, site_url: str) -> Cookie:
        """The cookie for a site with this address."""
        secure = site_url.startswith("https://")
        return cls(f"__Host-{name}" if secure else f"civicline_{name}", secure)

    def of(self, request: Request) -> str:
        """What the browser holds, empty where it holds nothing."""
        return request.cookies.get(self.name, "")

    def give(self, response: Response, value: str, seconds: int) -> None:
        """Let the browser hold a value. Lax, so that a link in a colleague's mail finds them signed in."""
        response.set_cookie(
            self.name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def take(self, response: Response) -> None:
        """Let the browser forget it."""
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")


class Guard:
    """Tells who a request comes from; it decides nothing."""

    def __init__(
        self,
        database: Database,
        *,
        site_url: str,
        trusted_proxies: Sequence[str] = (),
        front_department: str = "",
        second_factor_for: Collection[str] = (),
    ) -> None:
        self._database = database
        self._trusted = networks(trusted_proxies)
        self._front = front_department
        self._second_factor_for = frozenset(second_factor_for)
        self.cookie = Cookie.called("staff", site_url)

    async def viewer(self, request: Request) -> Viewer | None:
        """The viewer behind a request. One that shows a token is judged by the token alone."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            found = await self.signed_in(request)
            return None if found is None else self.viewer_of(found, reason_of(request))
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return None
        async with self._database.begin() as session:
            return await tokens.viewer_of(session, secret.strip())

    async def signed_in(
        self, request: Request, *, second_step: bool = False, quietly: bool = False
    ) -> SignedIn | None:
        """The person whose browser this is; with `second_step` one whose code is still due.

        What a page asks by itself, with nobody there perhaps, is asked `quietly`: it keeps no session awake.
        Somebody who must set up a second factor first is nobody here: nothing else opens before.
        """
        found = await self.arrived(request, second_step=second_step, quietly=quietly)
        return None if found is None or self.must_set_up(found.staff) else found

    async def arrived(
        self, request: Request, *, second_step: bool = False, quietly: bool = False
    ) -> SignedIn | None:
        """The same, also where a second factor must still be set up: for signing out and setting it up."""
        secret = self.cookie.of(request)
        if not secret:
            return None
        async with self._database.begin() as session:
            return await sessions.find(session, secret, second_step=second_step, quietly=quietly)

    def must_set_up(self, staff: Staff) -> bool:
        """Whether this person's role asks for a second factor that they do not have yet.

        Whoever signs in at the city's identity provider has no password here, and proves themselves there.
        """
        wanted = staff.role in self._second_factor_for and staff.password_hash is not None
        return wanted and staff.totp_since is None

    def viewer_of(self, found: SignedIn, reason: str | None = None) -> Viewer:
        """A member of staff as the rest of the hub knows them.

        What no department has been given yet is looked after by the city's first department.
        """
        staff = found.staff
        departments = frozenset(str(key) for key in staff.departments)
        if self._front in departments:
            departments |= {UNASSIGNED}
        return Viewer("staff", staff.name, staff.id, Role(staff.role), departments, reason=reason)

    def browser(self, request: Request) -> Browser:
        """From where a request comes."""
        peer = request.client.host if request.client else ""
        forwarded = request.headers.get("x-forwarded-for", "")
        network = network_of(visitor_ip(peer, forwarded, self._trusted))
        return Browser(network, request.headers.get("user-agent", "").replace("\x00", ""))


def reason_of(request: Request) -> str | None:
    """Why somebody looks further than their open conversations, as `X-Reason` says it."""
    words = " ".join(request.headers.get("x-reason", "").replace("\x00", "").split())
    return words[:LONGEST_REASON] or None
