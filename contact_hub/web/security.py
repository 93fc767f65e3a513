"""Headers that every answer carries, so that no page of ours does more than it was written to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a site that carries the chat element needs to reach from its own pages.
SHARED_PATHS = ("/channels/web_chat/", "/city-chat.js")
YEAR = 31_536_000


def content_policy(public_url: str, **changes: str) -> str:
    """Gives the Content-Security-Policy of our pages: nothing but our own files, and no inline anything.

    `changes` replaces single directives, named with underscores.
    """
    site = urlsplit(public_url)
    socket = f"{'wss' if site.scheme == 'https' else 'ws'}://{site.netloc}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "font-src": "'self'",
        "connect-src": f"'self' {socket}",  # browsers of before 2022 do not count sockets among 'self'
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    policy.update({name.replace("_", "-"): value for name, value in changes.items()})
    return "; ".join(f"{name} {value}" for name, value in policy.items() if value)


def security_headers(public_url: str) -> Mapping[str, str]:
    """Gives the headers of every answer; a route that sets one of them itself keeps its own."""
    headers = {
        "Content-Security-Policy": content_policy(public_url),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    if public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = f"max-age={YEAR}"
    return headers


class SecurityHeaders:
    """Adds the headers to every answer, errors included."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if "access-control-allow-origin" in headers:
                    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class SharedWithSites:
    """Lets the pages of the city's other sites talk to the web chat, and to nothing else of ours."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self.shared = CORSMiddleware(
            app,
            allow_origins=[origin.rstrip("/") for origin in origins],
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("Retry-After",),
            max_age=7200,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        shared = scope["type"] == "http" and scope["path"].startswith(SHARED_PATHS)
        await (self.shared if shared else self.app)(scope, receive, send)
