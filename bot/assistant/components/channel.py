"""The input channel that only the hub speaks to: one turn in, its messages out.

POST /webhooks/civicline/turn    one touchpoint
                                 -> {"touchpoint", "repeated", "intent", "form", "asking", "messages"}
POST /webhooks/civicline/parse   {"texts": [...]}
                                 -> {"intents": [{"name", "confidence", "fallback", "ranking"}]}
POST /webhooks/civicline/forget  {"conversations": [...]} -> 204
GET  /webhooks/civicline/        {"ready", "fingerprint", "model"}
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from functools import wraps
from typing import Any, Awaitable, Callable, Dict, List, Literal, Optional, Text

import psycopg2
from pydantic import BaseModel, Extra, Field, ValidationError, constr
from rasa.core.channels.channel import InputChannel, UserMessage
from sanic import Blueprint, response
from sanic.request import Request
from sanic.response import HTTPResponse

from components.brain import brain
from components.trackers import Conflict
from components.turns import FALLBACK_INTENT, GivenUp, Turn, TurnFailed, Turns

logger = logging.getLogger(__name__)

LONGEST_TEXT = 20_000
Name = constr(min_length=1, max_length=100)
Handler = Callable[[Request], Awaitable[HTTPResponse]]


class _Strict(BaseModel):
    class Config:
        extra = Extra.ignore


class Choice(_Strict):
    """A button the resident pressed, as the hub has stored it."""

    intent: Name  # type: ignore[valid-type]
    entities: Dict[Text, Any] = Field(default_factory=dict)


class Said(_Strict):
    """An earlier line of the conversation."""

    role: Literal["citizen", "bot"]
    text: constr(max_length=LONGEST_TEXT)  # type: ignore[valid-type]


class Medium(_Strict):
    """A file that came with the touchpoint."""

    attachment: Name  # type: ignore[valid-type]
    kind: Name  # type: ignore[valid-type]


class TurnIn(_Strict):
    """The body of a turn."""

    conversation: Name  # type: ignore[valid-type]
    touchpoint: Name  # type: ignore[valid-type]
    text: constr(max_length=LONGEST_TEXT) = ""  # type: ignore[valid-type]
    choice: Optional[Choice] = None
    language: constr(max_length=16) = "en"  # type: ignore[valid-type]
    history: List[Said] = Field(default_factory=list, max_items=50)
    media: List[Medium] = Field(default_factory=list, max_items=50)
    given_up: List[Name] = Field(default_factory=list, max_items=100)  # type: ignore[valid-type]
    after: Optional[Name] = None  # type: ignore[valid-type]
    facts: Dict[Text, Any] = Field(default_factory=dict)


class TextsIn(_Strict):
    """The body of a question about intents."""

    texts: List[constr(max_length=LONGEST_TEXT)] = Field(max_items=512)  # type: ignore[valid-type]


class ForgetIn(_Strict):
    """The body of an order to forget."""

    conversations: List[Name] = Field(max_items=1000)  # type: ignore[valid-type]


class CiviclineInput(InputChannel):
    """Rasa's side of the contract with the hub."""

    @classmethod
    def name(cls) -> Text:
        """Return the part of the URL that stands for this channel."""
        return "civicline"

    @classmethod
    def from_credentials(cls, credentials: Optional[Dict[Text, Any]]) -> CiviclineInput:
        """Return the channel with the secret that credentials.yml takes from the environment."""
        return cls(str((credentials or {}).get("secret") or ""))

    def __init__(self, secret: Text) -> None:
        """Keep the secret that every call must carry."""
        self._secret = secret.encode()

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        """Return the routes; Rasa's own message handler is not used, it would run a repeated turn again."""
        routes = Blueprint("civicline")
        routes.add_route(_ready, "/", methods=["GET"], name="ready")
        for path, handler in (("/turn", _turn), ("/parse", _parse), ("/forget", _forget)):
            routes.add_route(self._guarded(handler), path, methods=["POST"], name=path[1:])
        return routes

    def _guarded(self, handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: Request) -> HTTPResponse:
            given = request.headers.get("x-internal-secret", "").encode()
            if not self._secret or not hmac.compare_digest(given, self._secret):
                return _error(403, "the internal secret is missing or wrong")
            try:
                return await handler(request)
            except ValidationError as error:
                said = "; ".join(
                    f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()[:5]
                )
                return _error(422, said)
            except ValueError:
                return _error(422, "the body is no JSON")

        return guarded


async def _ready(request: Request) -> HTTPResponse:
    turns: Turns = request.app.ctx.turns
    trained_with, seen = brain().expected, brain().seen
    ready = seen is None or seen == trained_with
    body = {"ready": ready, "fingerprint": trained_with, "model": turns.model_filename}
    if not ready:
        body["error"] = f"The brain embeds with {seen} but the intents were trained with {trained_with}."
    return response.json(body, 200 if ready else 503)


async def _turn(request: Request) -> HTTPResponse:
    said = TurnIn.parse_raw(request.body)
    turns: Turns = request.app.ctx.turns
    if said.choice is not None and said.choice.intent not in turns.domain.intents:
        return _error(422, "choice.intent: no such intent")
    turn = Turn(**said.dict())
    started = time.perf_counter()
    # Shielded: a turn whose caller has hung up is finished and kept, so that the
    # conversation is never left half-way; the hub's next word on it undoes it.
    status, body = await asyncio.shield(asyncio.ensure_future(_settled(turns, turn)))
    logger.info(
        "turn",
        extra={
            "touchpoint": turn.touchpoint,
            "conversation": turn.conversation,
            "status": status,
            "intent": body.get("intent", {}).get("name"),
            "repeated": body.get("repeated"),
            "ms": round((time.perf_counter() - started) * 1000, 1),
        },
    )
    return response.json(body, status, ensure_ascii=False)


async def _settled(turns: Turns, turn: Turn) -> Any:
    try:
        return 200, await turns.take(turn)
    except GivenUp as error:
        return 409, {"error": str(error)}
    except Conflict as error:
        return 502, {"error": str(error)}
    except TurnFailed as error:
        logger.warning("turn_failed: %s", error)
        return 502, {"error": str(error)}
    except psycopg2.Error as error:
        logger.error("database: %s", type(error).__name__)
        return 502, {"error": "The conversations' database does not answer."}
    except Exception as error:
        logger.exception("turn_failed")
        return 502, {"error": f"The turn failed: {type(error).__name__}."}


async def _parse(request: Request) -> HTTPResponse:
    turns: Turns = request.app.ctx.turns
    intents = []
    for text in TextsIn.parse_raw(request.body).texts:
        parsed = await turns.understand(text)
        ranking = [guess for guess in parsed["intent_ranking"] if guess["name"] != FALLBACK_INTENT]
        best = ranking[0] if ranking else parsed["intent"]
        intents.append(
            {
                "name": best["name"],
                "confidence": best["confidence"],
                "fallback": parsed["intent"]["name"] == FALLBACK_INTENT,
                "ranking": ranking,
            }
        )
    return response.json({"intents": intents})


async def _forget(request: Request) -> HTTPResponse:
    await request.app.ctx.turns.trackers.forget(ForgetIn.parse_raw(request.body).conversations)
    return response.empty()


def _error(status: int, said: Text) -> HTTPResponse:
    return response.json({"error": said}, status)
