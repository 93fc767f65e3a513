"""Stands in for Keras in the same way as the TensorFlow beside it."""

from __future__ import annotations

from typing import Any

import tensorflow

IS_STANDIN = True


def __getattr__(name: str) -> Any:
    return getattr(tensorflow, name)
