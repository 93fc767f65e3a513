"""Another system of the city that receives webhooks, and checks them by rules of its own.

    with receiver.running() as fake:
        fake.url                  # where to post
        fake.secrets = ["whsec_..."]
        fake.answers = [500, 429] # what it answers next; then 204
        fake.received             # what it took, each with its headers and event

The signature is checked as https://www.standardwebhooks.com says, by code that shares nothing with the hub's.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes import server

TOLERANCE_SECONDS = 300


@dataclass
class Receiver:
    """What it is to answer, and what it took."""

    url: str = ""
    secrets: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def received(self) -> list[dict[str, Any]]:
        """The events it took, in order."""
        return [one["event"] for one in self.requests if one["status"] < 300]

    @property
    def kinds(self) -> list[str]:
        """What happened, as the types of what it took."""
        return [event["type"].split(".")[-2] for event in self.received]

    async def take(self, request: Request) -> Response:
        """Answer one POST."""
        body = await request.body()
        status = self.answers.pop(0) if self.answers else 204
        if status < 300 and not any(verified(secret, dict(request.headers), body) for secret in self.secrets):
            status = 401
        self.requests.append(
            {
                "status": status,
                "headers": dict(request.headers),
                "body": body,
                "event": json.loads(body),
                "at": time.monotonic(),
            }
        )
        self.arrived.set()
        await asyncio.sleep(self.slow)
        return Response(status_code=status, headers=self.headers)


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is this secret's, and fresh."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.split("_", 1)[1])
    content = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return any(
        hmac.compare_digest(expected, one.removeprefix("v1,"))
        for one in headers["webhook-signature"].split(" ")
        if one.startswith("v1,")
    )


@contextmanager
def running() -> Iterator[Receiver]:
    """Serve in a thread until the block ends."""
    fake = Receiver()
    app = Starlette(routes=[Route("/hook", fake.take, methods=["POST"])])
    with server.running(app) as url:
        fake.url = f"{url}/hook"
        yield fake
