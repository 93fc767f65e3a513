"""Runs a fake provider as a real HTTP server, in a thread of a test or as a process of its own."""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send


class Journal:
    """Everything a provider accepted, in order; kept in a file when other processes outlive this one."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.entries: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self.entries = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]

    def add(self, **entry: Any) -> dict[str, Any]:
        entry = {"number": len(self.entries) + 1, "at": time.time(), **entry}
        self.entries.append(entry)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return entry

    def clear(self) -> None:
        self.entries.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class CutOff(Response):
    """Breaks the connection off in the middle of the answer: the caller cannot know what happened."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"1000")],
            }
        )
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


@contextmanager
def running(app: Starlette, port: int = 0) -> Iterator[str]:
    """Serve in a thread until the block ends; gives the base URL."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("The fake server did not start.")
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


def serve(app: Starlette, port: int) -> None:
    """Serve in this process until it is stopped."""
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def arguments(description: str, add: Callable[[argparse.ArgumentParser], None]) -> argparse.Namespace:
    """The command line every fake shares: --port and --log, and its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, help="a JSON-lines file that keeps everything accepted")
    add(parser)
    return parser.parse_args()


async def act(fake: object, request: Request) -> Response:
    """Run a public method of a fake, named in the request: {"do": "says", "chat": 1, "text": "Hi"}."""
    given = await json_of(request)
    action = getattr(fake, str(given.pop("do", "_")), None)
    if not callable(action) or action.__name__.startswith("_"):
        return JSONResponse({"error": "no such action"}, status_code=404)
    try:
        return JSONResponse({"result": action(**given)})
    except TypeError as error:
        return JSONResponse({"error": str(error)}, status_code=422)


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a control request, {} for none."""
    body = await request.body()
    found = json.loads(body) if body else {}
    return found if isinstance(found, dict) else {}
