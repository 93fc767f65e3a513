"""The web process: webhooks, web chat, pages, API. It never loads a model and never asks one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request, Response

from channels.base.contract import Channel, WebhookRequest
from channels.base.errors import NotAuthentic
from channels.web_chat import WebChatOptions
from channels.web_chat import router as web_chat_router
from contact_hub import api, internal
from contact_hub.composition import Parts
from contact_hub.desk import pages as desk_pages
from contact_hub.journey import my_data
from contact_hub.managers import pages as managers_pages
from contact_hub.operations import health, metrics
from contact_hub.staff import oidc
from contact_hub.staff import pages as staff_pages
from contact_hub.web import errors
from contact_hub.web import pages as web_pages
from contact_hub.web.bodies import BodyLimit
from contact_hub.web.cross_site import SameSiteOnly
from contact_hub.web.errors import NothingUnexpected, refusal
from contact_hub.web.security import SecurityHeaders, SharedWithSites, security_headers

log = structlog.get_logger()

WEBHOOK_BYTES = 1024 * 1024  # providers send references to media, never the media


def create_app(parts: Parts) -> FastAPI:
    """The ASGI application of the web process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await parts.wakeups.start()
        yield
        await parts.close()

    app = FastAPI(
        title="Civicline",
        description="One line between a city and each of its residents.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,  # our own page shows the reference, from our own files
        redoc_url=None,
    )
    limits = parts.city.settings.get("limits", {})
    options = WebChatOptions(
        public_url=parts.settings.site_url,
        origins=_listed(parts.settings.chat_origins),
        trusted_proxies=_listed(parts.settings.trusted_proxies),
        responses=lambda language: parts.city.responses.get(language, {}),
        most_characters=int(limits.get("message_length", {}).get("web_chat", 2000)),
        most_mb=int(limits.get("upload_mb", 20)),
        most_files=int(limits.get("uploads_per_message", 5)),
    )
    chat_refusals = errors.described(400, 401, 404, 413, 415, 422, 429, 503)
    app.include_router(web_chat_router(parts.chats, options, pace=parts.pace), responses=chat_refusals)
    app.include_router(api.router(parts))
    app.include_router(api.webhooks.schemas(parts.settings.site_url))
    app.include_router(my_data.router(parts.writer, parts.wakeups))
    app.include_router(internal.router(parts))
    app.include_router(health.router(parts.database, parts.neighbours.alive))
    app.include_router(
        staff_pages.router(
            parts.database,
            parts.guard,
            parts.city,
            site_url=parts.settings.site_url,
            provider=oidc.Provider.of(parts.settings),
        )
    )
    app.include_router(
        desk_pages.router(
            parts.database,
            parts.guard,
            parts.city,
            parts.writer,
            parts.wakeups,
            parts.neighbours,
            parts.board,
        )
    )
    app.include_router(managers_pages.router(parts.database, parts.guard, parts.city, parts.neighbours))
    app.include_router(web_pages.router(parts.city, public_url=parts.settings.site_url))
    _add_webhooks(app, parts)
    errors.install(app)
    uploads = (options.most_mb + 1) * 1_000_000
    app.add_middleware(
        BodyLimit, usual=WEBHOOK_BYTES, larger={"/channels/web_chat/messages": uploads, "/desk/c/": uploads}
    )
    app.add_middleware(SameSiteOnly, site_url=parts.settings.site_url)
    app.add_middleware(SharedWithSites, origins=options.origins)
    app.add_middleware(NothingUnexpected)
    app.add_middleware(SecurityHeaders, headers=security_headers(parts.settings.site_url))
    return app


def _listed(setting: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (setting or "").split(",") if item.strip())


def _add_webhooks(app: FastAPI, parts: Parts) -> None:
    @app.post("/channels/{name}/{endpoint}", include_in_schema=False)
    async def webhook(name: str, endpoint: str, request: Request) -> Response:
        """Prove, parse, store, answer: no model, no bot and no network call in here."""
        channel = parts.channels.get(name)
        if channel is None or endpoint not in channel.endpoints:
            return refusal(404, "There is no such channel here.")
        body = await request.body()
        try:
            received = channel.receive(_webhook_request(channel, endpoint, request, body))
        except NotAuthentic:
            metrics.refused_webhooks.labels(name).inc()
            log.warning("webhook.refused", channel=name)
            return refusal(403, "The request could not be proved to come from the provider.")
        fresh = await parts.inbox.receive(received)
        metrics.received.labels(name).inc(fresh)
        return Response(received.body, media_type=received.content_type)


def _webhook_request(channel: Channel, endpoint: str, request: Request, body: bytes) -> WebhookRequest:
    return WebhookRequest(
        endpoint=endpoint,
        method=request.method,
        url=str(request.url),
        query=request.url.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
    )
