"""A context variable that has another value inside a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def scoped(variable: ContextVar[T], value: T) -> Iterator[T]:
    """Let the variable be `value` inside this block, and what it was before after it."""
    before = variable.get()
    variable.set(value)
    try:
        yield value
    finally:
        variable.set(before)  # not reset(token): the end may run in another context
