"""The brain process: HTTP in front of embeddings, search, language and actions.

Every call but /healthz needs the internal secret. Nothing here writes a text to a log.
"""

import asyncio
import base64
import contextlib
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot import actions, language, metrics, reading
from bot.knowledge.articles import Article, split
from bot.knowledge.embeddings import AsyncEmbedder, Embedder, Role, Vectors
from bot.knowledge.follower import Follower
from bot.knowledge.grouping import LANGUAGE, grouped
from bot.knowledge.search import NotReady, Search
from bot.knowledge.snapshots import Cache
from bot.knowledge.vault import Vault
from bot.settings import BrainSettings, SettingsError, from_environment

log = structlog.get_logger(__name__)

LARGEST_BODY = 32 * 1024 * 1024
LONGEST_QUESTION = 20_000
LONGEST_ARTICLE = 2_000_000

Question = Annotated[str, Field(max_length=LONGEST_QUESTION)]


class EmbedIn(BaseModel):
    """Texts whose vectors are asked for."""

    texts: list[Question] = Field(max_length=512)
    ours: bool = False  # the city wrote them: their vectors may be kept on disk


class Turn(BaseModel):
    """An earlier turn of the conversation."""

    role: str = Field(max_length=16)
    text: Question


class ReadIn(BaseModel):
    """A turn to be read, and what was said before it, oldest first."""

    text: Question
    hint: str | None = Field(default=None, max_length=16)
    history: list[Turn] = Field(default_factory=list, max_length=50)


class GroupIn(BaseModel):
    """Questions that are to be grouped by meaning."""

    texts: list[Question] = Field(max_length=500)


class SearchIn(BaseModel):
    """A question and what was said before it."""

    text: Question
    language: str | None = Field(default=None, max_length=16)
    history: list[Turn] = Field(default_factory=list, max_length=50)
    k: int = Field(default=5, ge=1, le=20)


class ArticleIn(BaseModel):
    """An article that is to be split and embedded."""

    article: str = Field(min_length=1, max_length=500)
    language: str = Field(min_length=2, max_length=16)
    title: str = Field(max_length=1000)
    text: str = Field(max_length=LONGEST_ARTICLE)
    url: str = Field(default="", max_length=2000)
    questions: list[Annotated[str, Field(max_length=500)]] = Field(default_factory=list, max_length=100)


class PassagesIn(BaseModel):
    """Articles that are to be split and embedded."""

    articles: list[ArticleIn] = Field(max_length=200)


class Brain:
    """What the routes share: filled in while the models load."""

    def __init__(self, settings: BrainSettings) -> None:
        self.settings = settings
        self.embedder: AsyncEmbedder | None = None
        self.reader: reading.Reader | None = None
        self.search: Search | None = None
        self.follower: Follower | None = None
        self.actions: Any = None
        self.failure = ""

    async def load(self) -> None:
        """Load the models and the stored knowledge, then follow the hub until cancelled."""
        try:
            embedder = await asyncio.to_thread(Embedder, self.settings.embedding_model)
        except Exception as error:
            self.failure = f"EMBEDDING_MODEL {self.settings.embedding_model!r} cannot be loaded: {error}"
            log.exception("the models cannot be loaded")
            return
        folder = self.settings.embedding_cache or self.settings.data / "brain"
        vault = await asyncio.to_thread(Vault, folder / "vectors.sqlite", embedder.fingerprint)
        self.embedder = AsyncEmbedder(embedder, vault)
        self.reader = await asyncio.to_thread(reading.Reader)
        search = Search(self.embedder)
        self.follower = Follower(
            search,
            Cache(self.settings.data / "brain"),
            embedder.fingerprint,
            self.settings.hub_url,
            self.settings.secret,
            self.settings.poll_seconds,
        )
        await self.follower.start_from_cache()
        await asyncio.to_thread(language.read, "warm up the detector")
        actions.configure(search=search.answer, embed=self.embedder.encode)
        self.actions = actions.executor()
        self.search = search
        log.info("brain ready", fingerprint=embedder.fingerprint)
        # Beside the follower: the first report must not wait for a thousand words to be embedded.
        warming = actions.warm(self.settings.data / "brain", embedder.fingerprint)
        await asyncio.gather(warming, self.follower.run())

    def close(self) -> None:
        """Let go of the threads."""
        if self.search:
            self.search.close()
        if self.reader:
            self.reader.close()
        if self.embedder:
            self.embedder.close()

    def ready_embedder(self) -> AsyncEmbedder:
        """Return the embedder, or answer 503 while it loads."""
        if self.embedder is None:
            raise HTTPException(503, self.failure or "the models are still loading")
        return self.embedder

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return a status code and what /healthz tells."""
        snapshot = self.search.snapshot if self.search else None
        body: dict[str, Any] = {
            "ready": snapshot is not None,
            "fingerprint": self.embedder.fingerprint if self.embedder else None,
            "kb_version": snapshot.meta.version if snapshot else None,
            "passages": len(snapshot.rows) if snapshot else 0,
            "index_age_s": round(time.time() - snapshot.built_at, 1) if snapshot else None,
            "pid": os.getpid(),
        }
        problem = self.failure or (self.follower.refused if self.follower else "")
        if problem:
            body["problem"] = problem
        return (200 if self.search else 503), body


def create_app(settings: BrainSettings) -> FastAPI:
    """Return the brain's ASGI application."""
    brain = Brain(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(brain.load())
        try:
            yield
        finally:
            loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loading
            brain.close()

    app = FastAPI(title="Civicline brain", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.brain = brain
    app.add_middleware(Guard, secret=settings.secret)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _refused)
    _routes(app, brain)
    return app


def _vector_routes(app: FastAPI, brain: Brain) -> None:
    @app.post("/embed")
    async def embed(asked: EmbedIn) -> dict[str, Any]:
        embedder = brain.ready_embedder()
        vectors = await embedder.encode(asked.texts, Role.QUERY, ours=asked.ours)
        return {
            "fingerprint": embedder.fingerprint,
            "dimensions": embedder.dimensions,
            "vectors": _base64(vectors),
        }

    @app.post("/group")
    async def group(asked: GroupIn) -> dict[str, Any]:
        vectors = await brain.ready_embedder().encode(asked.texts, Role.QUERY, [LANGUAGE] * len(asked.texts))
        return {"groups": await asyncio.to_thread(grouped, vectors)}

    @app.post("/passages")
    async def passages(asked: PassagesIn) -> dict[str, Any]:
        embedder = brain.ready_embedder()
        return {
            "fingerprint": embedder.fingerprint,
            "dimensions": embedder.dimensions,
            "articles": [await _embedded(embedder, article) for article in asked.articles],
        }


def _routes(app: FastAPI, brain: Brain) -> None:
    _vector_routes(app, brain)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        status, body = brain.health()
        return JSONResponse(body, status)

    @app.get("/metrics")
    async def metrics_page() -> Response:
        metrics.knowledge(brain.health()[1])
        return Response(metrics.page(), media_type=metrics.CONTENT_TYPE)

    @app.post("/read")
    async def read(asked: ReadIn) -> dict[str, Any]:
        history = [turn.model_dump() for turn in asked.history]
        return await reading.read(brain.reader, asked.text, asked.hint, history)

    @app.post("/search")
    async def search(asked: SearchIn) -> dict[str, Any]:
        brain.ready_embedder()
        if brain.search is None:
            raise HTTPException(503, "the models are still loading")
        spoken = asked.language or language.read(asked.text).language
        try:
            answer = await brain.search.answer(
                asked.text, spoken, [turn.model_dump() for turn in asked.history], asked.k
            )
        except NotReady as error:
            raise HTTPException(503, str(error)) from error
        metrics.ANSWERS.labels(str(answer.outcome)).inc()
        return answer.as_dict()

    @app.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:
        if brain.actions is None:
            raise HTTPException(503, "the actions are not loaded")
        try:
            call = await request.json()
        except ValueError as error:
            raise HTTPException(422, "the action call is no JSON") from error
        return await _run_action(brain.actions, call)


async def _embedded(embedder: AsyncEmbedder, asked: ArticleIn) -> dict[str, Any]:
    article = Article(
        asked.article, asked.language, asked.title, asked.text, asked.url, tuple(asked.questions)
    )
    found = await asyncio.to_thread(split, article)
    languages = [asked.language] * len(found)
    pieces = [passage.embedded for passage in found]
    vectors = await embedder.encode(pieces, Role.PASSAGE, languages, ours=True)
    return {
        "article": asked.article,
        "language": asked.language,
        "passages": [
            {
                "ordinal": passage.ordinal,
                "kind": str(passage.kind),
                "text": passage.text,
                "vector": _base64(vector),
            }
            for passage, vector in zip(found, vectors, strict=True)
        ],
    }


async def _run_action(executor: Any, call: Any) -> JSONResponse:
    """Answer as rasa-sdk's own server does, so that Rasa understands refusals and failures."""
    from rasa_sdk.interfaces import ActionExecutionRejection, ActionNotFoundException

    name = call.get("next_action") if isinstance(call, dict) else None
    try:
        result = await executor.run(call)
    except ActionExecutionRejection as error:
        return JSONResponse({"error": str(error), "action_name": error.action_name}, 400)
    except ActionNotFoundException as error:
        return JSONResponse({"error": str(error), "action_name": error.action_name}, 404)
    except Exception as error:
        log.exception("an action failed", action=name)
        return JSONResponse({"error": f"{type(error).__name__} in {name}", "action_name": name}, 500)
    return JSONResponse(result.model_dump() if result is not None else None)


def _base64(vectors: Vectors | Any) -> str:
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii")


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a body without repeating any of it."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    said = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'][1:]) or 'body'}: {problem['msg']}"
        for problem in problems[:5]
    )
    return JSONResponse({"error": said or "the body cannot be read"}, 422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


class Guard:
    """Checks the secret and the size of each call, and times it."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or answer 403 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-internal-secret", b"")
        if scope["path"] != "/healthz" and not hmac.compare_digest(given, self._secret):
            await JSONResponse({"error": "the internal secret is missing or wrong"}, 403)(
                scope, receive, send
            )
            return
        too_large = JSONResponse(
            {"error": f"a call may hold {LARGEST_BODY // 1024 // 1024} MB"}, 413, {"connection": "close"}
        )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > LARGEST_BODY:
            await too_large(scope, receive, send)
            return
        started, status, read = time.perf_counter(), 500, 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            status = 413
            await too_large(scope, receive, send)
        finally:
            metrics.CALLS.labels(metrics.route(scope), str(status)).observe(time.perf_counter() - started)


class _TooLarge(Exception):
    """More arrived than a call may hold."""


def main() -> None:
    """Run the brain until it is told to stop."""
    import uvicorn

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
