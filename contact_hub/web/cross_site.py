"""No other site lets a signed-in browser change anything here.

Browsers say where a request comes from in `Sec-Fetch-Site` (all since 2023) and in `Origin`; no page
can forge either. A request that changes something and says neither, or says another site, is refused.
SameSite on the cookie is the second lock.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contact_hub.web.errors import refusal

log = structlog.get_logger(__name__)

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
# Proved in another way: a provider's signature, a resident's own token, our processes' secret.
ELSEWHERE = ("/channels/", "/internal/")


class SameSiteOnly:
    """Refuses with 403 what would change something at another site's wish."""

    def __init__(self, app: ASGIApp, site_url: str) -> None:
        self.app = app
        self.host = _host(site_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on where it is our own page's, or carries what no browser sends by itself."""
        if scope["type"] != "http" or self._may(scope):
            await self.app(scope, receive, send)
            return
        log.warning("cross_site.refused", path=scope["path"])
        await refusal(403, "This request did not come from a page of ours.")(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if scope["method"] in HARMLESS or scope["path"].startswith(ELSEWHERE):
            return True
        if "authorization" in headers:
            return True  # then the cookie is not looked at
        if scope["path"].startswith("/api/") and "cookie" not in headers:
            return True  # nobody is signed in, and the API says so
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        host = _host(headers.get("origin", ""))
        return bool(host) and host in {self.host, headers.get("host", "").lower()}


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
