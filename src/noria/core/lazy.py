"""Names of a package that are loaded when they are first used, so that importing it costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(module: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module (PEP 562). homes: the modules that have its names

    What is not among the names raises `AttributeError`, with the nearest of `__all__`.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        package = sys.modules[module]
        if name not in home_of:
            from noria.core.errors import nearest

            raise AttributeError(f"module {module!r} has no attribute {name!r}{nearest(name, package.__all__)}")
        value = getattr(importlib.import_module(home_of[name]), name)
        setattr(package, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *home_of})

    return get, names
