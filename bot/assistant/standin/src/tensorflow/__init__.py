"""Stands in for TensorFlow: lets Rasa import its neural parts, and refuses to run them.

Rasa 3.6 imports every component it ships when it starts, the neural ones too,
and uses TensorFlow's classes as base classes and in annotations. Our pipeline is
classical, so a name that can be inherited from is all those imports need. Using
one for real is a mistake in `config.yml`, and says so.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

IS_STANDIN = True
__version__ = "0.0.0"

_ROOTS = ("tensorflow", "keras")


class _AbsentType(type):
    """Gives an absent class any attribute, each of them absent as well."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _absent(f"{cls.__qualname__}.{name}")


class Absent(metaclass=_AbsentType):
    """A class of TensorFlow that is not here: may be inherited from, not used."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse(type(self).__qualname__)


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"{name} needs TensorFlow, which this assistant does without: use a classical one in config.yml."
    )


def _absent(name: str) -> type[Absent]:
    return _AbsentType(name, (Absent,), {"__module__": "tensorflow", "__qualname__": name})


def function(*args: Any, **kwargs: Any) -> Any:
    """Leaves the decorated function as it is, like `tf.function` without a graph."""
    return args[0] if args and callable(args[0]) else (lambda decorated: decorated)


class _AbsentModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _absent(f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every submodule of TensorFlow and Keras as an empty one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in _ROOTS and "." in fullname:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module is empty."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _absent(f"tensorflow.{name}")


if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.append(_Finder())
