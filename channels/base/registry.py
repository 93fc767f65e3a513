"""Finds the channels by listing their folder: a new channel is one new file and nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import channels
from channels.base.contract import Channel


def names() -> list[str]:
    """The modules that each hold one channel, in alphabetical order."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(channels.__path__)
        if not module.ispkg and not module.name.startswith("_")
    )


def all_channels() -> dict[str, type[Channel]]:
    """Every channel there is, by name, set up or not."""
    return {name: _channel_in(name) for name in names()}


def load(settings: Any) -> dict[str, Channel]:
    """The channels whose variables are set, by name. Raises ValueError with one sentence for a wrong one."""
    found = {name: kind.from_settings(settings) for name, kind in all_channels().items()}
    return {name: channel for name, channel in found.items() if channel is not None}


def _channel_in(name: str) -> type[Channel]:
    module = importlib.import_module(f"channels.{name}")
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Channel) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
    ]
    if len(kinds) != 1 or kinds[0].name != name:
        raise TypeError(f"channels/{name}.py must hold exactly one Channel whose name is {name!r}.")
    return kinds[0]
