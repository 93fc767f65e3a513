"""The API for the city's other systems and for staff: no data without leave to see it."""

from __future__ import annotations

from fastapi import APIRouter

from contact_hub.api import (
    citizens,
    conversations,
    flags,
    merges,
    privacy,
    rights,
    seals,
    search,
    timelines,
    webhooks,
)
from contact_hub.api.permission import REFUSALS, Permission
from contact_hub.api.timelines import out
from contact_hub.composition import Parts

__all__ = ["out", "router"]


def router(parts: Parts) -> APIRouter:
    """Routes under /api/v1."""
    routes = APIRouter(prefix="/api/v1", tags=["integrations"], responses=REFUSALS)
    permission = Permission(parts.guard, parts.database)
    for part in (
        *(citizens, merges, timelines, search, privacy, rights, seals),
        *(conversations, flags, webhooks),
    ):
        part.add(routes, parts, permission)
    return routes
