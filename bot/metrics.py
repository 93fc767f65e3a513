"""What the brain counts, for Prometheus."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

CALLS = Histogram(
    "civicline_brain_call_seconds",
    "Time of one call to the brain.",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
ANSWERS = Counter("civicline_brain_answers", "Questions searched, by outcome.", ["outcome"])
VERSION = Gauge("civicline_brain_kb_version", "Version of the knowledge that is being served.")
PASSAGES = Gauge("civicline_brain_passages", "Passages in the index.")
AGE = Gauge("civicline_brain_index_age_seconds", "Seconds since the index was built or loaded.")

_ROUTES = {"/read", "/embed", "/search", "/passages", "/webhook", "/healthz", "/metrics"}


def route(scope: Scope) -> str:
    """Return the label of a call; unknown paths share one, so that nobody can add labels."""
    path = scope["path"]
    return path if path in _ROUTES else "other"


def knowledge(health: dict[str, Any]) -> None:
    """Bring the gauges up to date with what /healthz tells."""
    VERSION.set(health["kb_version"] or 0)
    PASSAGES.set(health["passages"])
    AGE.set(health["index_age_s"] or 0)


def page() -> bytes:
    """Return the page that Prometheus reads."""
    return generate_latest()


__all__ = ["AGE", "ANSWERS", "CALLS", "CONTENT_TYPE", "PASSAGES", "VERSION", "knowledge", "page", "route"]
