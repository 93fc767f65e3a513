"""Pages are Jinja2 templates in this folder; everything put into one is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

HERE = Path(__file__).parent
STATIC = HERE.parent / "static"


@lru_cache(maxsize=256)
def _tag(path: Path, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def static_url(name: str) -> str:
    """Gives the address of a file of ours: a new one for each version, so that browsers may keep it."""
    path = STATIC / name
    try:
        return f"/static/{name}?v={_tag(path, path.stat().st_mtime_ns)}"
    except FileNotFoundError:
        return f"/static/{name}"


def environment_of(*folders: Path) -> Environment:
    """Gives an environment for the templates in these folders, in which all pages work alike."""
    made = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static_url
    return made


environment = environment_of(HERE)


def render(
    template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Makes a page."""
    page = environment.get_template(template).render(**values)
    return HTMLResponse(page, status, dict(headers or {}))
