"""How large a request may be. Too large a one is told so, rather than left with a broken connection."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contact_hub.web.errors import refusal

USUAL = 2_000_000  # bytes
# A client that is still sending does not listen: read this much more before giving the answer.
PATIENCE = 100_000_000


class BodyLimit:
    """Refuses with 413 what is larger than its path allows; `larger` maps beginnings of paths to bytes."""

    def __init__(self, app: ASGIApp, usual: int = USUAL, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.usual = usual
        self.larger = dict(larger or {})

    def most(self, path: str) -> int:
        """Tells how many bytes a request to this path may have."""
        return next((most for start, most in self.larger.items() if path.startswith(start)), self.usual)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on if it is small enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.most(scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > most:
            if Headers(scope=scope).get("expect", "").lower() != "100-continue":
                await _drain(receive)
            await refusal(413, _reason(most), close=True)(scope, receive, send)
            return
        taken = 0

        async def receive_at_most() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > most:
                    await _drain(receive)
                    raise HTTPException(413, _reason(most), {"Connection": "close"})
            return message

        await self.app(scope, receive_at_most, send)


def _reason(most: int) -> str:
    size = f"{most / 1e6:.0f} MB" if most >= 1_000_000 else f"{most / 1000:.0f} kB"
    return f"The request is larger than {size}."


async def _drain(receive: Receive) -> None:
    left = PATIENCE
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        left -= len(message.get("body", b""))
