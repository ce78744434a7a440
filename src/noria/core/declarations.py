"""What a project's module declares, whether a variable holds it or not: collected while the module is loaded, and only then.

The nouns stay plain values. One that is made in a test, or while the loop runs, is declared nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

PROJECT_MODULE = "noria_project_"  # before the name of a project's own module, so that it hides no other of that name

_collected: ContextVar[list[Any] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting() -> Iterator[list[Any]]:
    """Every noun that is declared within, in order. A project that is loaded within has a list of its own."""
    found: list[Any] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def declare(noun: object) -> None:
    """Say that a noun was declared; it is whole, and was accepted."""
    found = _collected.get()
    if found is not None:
        found.append(noun)
