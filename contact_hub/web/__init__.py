"""What every page and every answer of the web process has in common, and the city's front page."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from contact_hub.city import City
from contact_hub.web import errors, pages
from contact_hub.web.bodies import BodyLimit
from contact_hub.web.security import SecurityHeaders, SharedWithSites, security_headers


def furnish(
    app: FastAPI, city: City, *, public_url: str, chat_origins: Sequence[str] = (), upload_mb: int = 20
) -> None:
    """Gives an app its security headers, size limits, error shape, static files and front page.

    Call it last: what is added later stands outside the limits. `chat_origins` are other sites whose
    pages carry the chat element.
    """
    errors.install(app)
    app.include_router(pages.router(city, public_url=public_url))
    # The last one added is the first to see a request.
    app.add_middleware(errors.NothingUnexpected)
    app.add_middleware(BodyLimit, larger={"/channels/web_chat/messages": (upload_mb + 1) * 1_000_000})
    app.add_middleware(SharedWithSites, origins=chat_origins)
    app.add_middleware(SecurityHeaders, headers=security_headers(public_url))
