"""Imports aiogram in a third of the time.

At import aiogram completes each of its 440 pydantic models, the large ones again and again inside one
another: 4 of the 6 seconds that a process with a bot would take to start. A model can complete itself
when it is first used, if only it finds the names of the others; this module lets it.
"""

from __future__ import annotations

import sys
from typing import Any

import pydantic

_PACKAGE = "aiogram"


def load_aiogram() -> None:
    """Import aiogram with its models left to complete themselves; nothing when it is there already."""
    if _PACKAGE in sys.modules:
        return
    original = pydantic.BaseModel.__dict__["model_rebuild"]

    def later(cls: type[pydantic.BaseModel], *given: Any, **named: Any) -> bool | None:
        if cls.__module__.startswith(f"{_PACKAGE}."):
            return None
        complete: bool | None = original.__func__(cls, *given, **named)
        return complete

    pydantic.BaseModel.model_rebuild = classmethod(later)  # type: ignore[assignment, method-assign]
    try:
        import aiogram.methods
        import aiogram.types
    finally:
        pydantic.BaseModel.model_rebuild = original  # type: ignore[method-assign]

    from aiogram.client.default import Default

    names: dict[str, Any] = {name: getattr(aiogram.types, name) for name in aiogram.types.__all__}
    names["Default"] = Default
    for package in (aiogram.types, aiogram.methods):
        for name in package.__all__:
            home = vars(sys.modules[getattr(package, name).__module__])
            for known, model in names.items():
                home.setdefault(known, model)
