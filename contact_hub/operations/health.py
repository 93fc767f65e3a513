"""Whether this process lives, whether the whole line is ready, and the figures of both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from contact_hub.database import Database
from contact_hub.operations import metrics, migrate

log = structlog.get_logger()


def router(database: Database, neighbours: Callable[[], Awaitable[dict[str, bool]]]) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @routes.get("/readyz", responses={503: {}})
    async def readyz() -> JSONResponse:
        """Everything a resident's question needs is there: 200, else 503 with what is missing."""
        found: dict[str, object] = {"database": False, "migrations": False}
        try:
            async with database.begin() as session:
                at = await session.scalar(text("SELECT version_num FROM alembic_version"))
                found["database"] = True
                found["migrations"] = at == migrate.newest()
                found["index_age_s"] = await session.scalar(
                    text("SELECT extract(epoch FROM now() - max(published_at))::float FROM knowledge_version")
                )
        except Exception:
            found["database"] = False
        found |= await neighbours()
        ready = all(found.get(name) for name in ("database", "migrations", "brain", "rasa"))
        return JSONResponse({"ready": ready, **found}, 200 if ready else 503)

    @routes.get("/metrics", response_class=Response)
    async def figures() -> Response:
        """Prometheus figures: this process's own and those read from the tables."""
        try:
            await metrics.read_tables(database)
        except Exception as error:  # the process's own figures are wanted most when something is away
            log.warning("metrics.tables_not_read", error=type(error).__name__)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes
