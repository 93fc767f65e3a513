"""One JSON object per line, never with a message's text."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import structlog

_FIELDS = ("touchpoint", "conversation", "status", "intent", "repeated", "ms")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(
            {name: getattr(record, name) for name in _FIELDS if getattr(record, name, None) is not None}
        )
        if record.exc_info:
            # Frames only: the message of an exception may repeat what a resident wrote.
            frames, kind = [], record.exc_info[0]
            trace = record.exc_info[2]
            while trace is not None:
                frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
                trace = trace.tb_next
            line["error"] = kind.__name__ if kind else ""
            line["frames"] = " > ".join(frames[-6:])
        return json.dumps(line, ensure_ascii=False)


def configure() -> None:
    """Send every log line of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("components", "server", "train"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in ("sanic.root", "sanic.error", "sanic.access"):
        logging.getLogger(name).handlers = []
    # Rasa's debug events carry message texts; below warning they are never rendered.
    structlog.configure(
        processors=[structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    warnings.filterwarnings("ignore")
