"""A small server beside a process that has none of its own: whether it is well, and its figures."""

from __future__ import annotations

import asyncio
import threading

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PATIENCE = 2.0  # seconds in which a loop that is well gets round to answering


def serve(host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
    """Serves `/healthz` and `/metrics` in a thread; health means that the process's own loop turns."""

    def healthz(request: Request) -> Response:
        turned = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
        try:
            turned.result(PATIENCE)
        except (TimeoutError, RuntimeError):
            return JSONResponse({"status": "its loop does not turn"}, 503)
        return JSONResponse({"status": "ok"})

    def figures(request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", figures)])
    config = uvicorn.Config(
        app, host=host, port=port, loop="asyncio", lifespan="off", log_config=None, access_log=False
    )
    threading.Thread(target=uvicorn.Server(config).run, name="beside", daemon=True).start()
