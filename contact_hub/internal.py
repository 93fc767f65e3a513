"""What only our own processes may ask: the brain fetches the published knowledge here."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from contact_hub.composition import Parts
from contact_hub.knowledge import service as knowledge


def router(parts: Parts) -> APIRouter:
    """Routes behind the internal secret."""
    routes = APIRouter(prefix="/internal", include_in_schema=False)
    kept: dict[int, bytes] = {}  # the newest snapshot: every brain asks for the same one

    @routes.get("/knowledge")
    async def published(
        after: Annotated[int, Query(ge=0)] = 0, x_internal_secret: Annotated[str, Header()] = ""
    ) -> Response:
        secret = parts.settings.internal_secret
        known = secret.get_secret_value().encode() if secret else b""
        if not known or not hmac.compare_digest(x_internal_secret.encode("utf-8", "replace"), known):
            return JSONResponse({"error": "Not for you."}, 403)
        async with parts.database.begin() as session:
            latest = await knowledge.latest_version(session)
            if latest is None or latest.number <= after:
                return Response(status_code=204)
            packed = kept.get(latest.number)
            if packed is None:
                packed = await knowledge.snapshot(session, latest)
                kept.clear()
                kept[latest.number] = packed
        return Response(packed, media_type="application/zip")

    return routes
