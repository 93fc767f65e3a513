"""Structured logs with one id from webhook to delivery, and never a message's text or a number.

Whoever begins to work on something binds its ids (`structlog.contextvars.bind_contextvars(
touchpoint=...)`), and every line until the end of that work carries them. What must not be
written down is taken out here, once, however careless the line that logs it.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from contact_hub.settings import Settings

# What residents say and where they can be reached stays out of the logs under these names.
PRIVATE = frozenset(
    {
        "text", "texts", "body", "words", "message", "messages", "question", "quote", "caption", "transcript",
        "description", "place", "payload", "first_name", "last_name", "username", "email", "phone",
        "phone_number", "address", "to", "sender", "recipient", "chat", "chat_id", "user_id", "latitude",
        "longitude", "secret", "password", "authorization",
    }
)  # fmt: skip
# These hold ids of our own, in which a run of digits is no telephone number.
IDS = frozenset(
    {
        "touchpoint", "inbound", "conversation", "citizen", "task", "token", "delivery", "attachment",
        "article", "report", "ticket", "request",
    }
)  # fmt: skip
_TOKEN = re.compile(r"\d{6,}:[\w-]{20,}|\bcvl_[\w-]{20,}|\bBearer\s+\S+", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.:/-])\+?\(?\d(?:[\s().-]{0,2}\d){7,15}(?![\w:])")
_ID = re.compile(r"\w@\w|[A-Za-z]\d|\d[A-Za-z]")
_QUIET = (
    "uvicorn",
    "uvicorn.error",
    "httpx",
    "httpcore",
    "aiogram",
    "twilio",
    "sqlalchemy",
    "asyncio",
    "multipart",
)
_DEEPEST = 12  # frames of a traceback that are kept


def configure(settings: Settings, stream: TextIO = sys.stderr) -> None:
    """Sends this process's log lines, and those of its libraries, to `stream`."""
    on_a_terminal = stream.isatty()
    render: Processor = (
        structlog.dev.ConsoleRenderer()
        if on_a_terminal
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        without_exception_words,
        without_private_words,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:  # their info lines name URLs, and a URL may hold a bot's token
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True


def without_private_words(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Leaves out private fields and masks numbers and tokens in what remains."""
    return {name: _masked(name, value) for name, value in event.items() if name not in PRIVATE}


def without_exception_words(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replaces an exception by its type and the places it went through.

    Its message is left out: a database's names the row, a parser's quotes what a resident wrote.
    """
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event.setdefault("error", type(error).__name__)
        event["frames"] = _frames(error.__traceback__)
        causes = []
        while error.__cause__ is not None or (
            error.__context__ is not None and not error.__suppress_context__
        ):
            error = error.__cause__ or error.__context__
            assert error is not None
            causes.append(type(error).__name__)
        if causes:
            event["causes"] = causes
    event.pop("exception", None)
    event.pop("stack_info", None)
    return event


def _frames(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in traceback.extract_tb(trace)[-_DEEPEST:]
    ]


def _without_ids(value: str) -> str:
    """Masks what a bare run of digits does not show: e-mail addresses, accounts, lettered ids."""
    if not _ID.search(value):
        return value
    from contact_hub.privacy.masking import mask  # it knows many countries, and takes its time to load

    return mask(value).text


def _masked(name: str, value: Any) -> Any:
    if name in IDS or name.startswith("_"):  # structlog keeps the foreign record in `_record`
        return value
    if isinstance(value, str):
        return _without_ids(_NUMBER.sub("[number]", _TOKEN.sub("[token]", value)))
    if isinstance(value, dict):
        return {key: _masked(str(key), inner) for key, inner in value.items() if key not in PRIVATE}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", inner) for inner in value]
    return value if isinstance(value, int | float | bool | None) else _masked("", str(value))
