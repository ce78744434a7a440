"""Adapters by name: an outside system's module is imported when it is first used, and says which extra it needs."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from noria.core.errors import MissingExtra

ADAPTERS = "noria.integrations"


def adapters(ending: str) -> list[str]:
    """The names of adapters whose modules end so, without that ending. None of them is imported."""
    places = importlib.import_module(ADAPTERS).__path__
    return sorted(module.name.removesuffix(ending) for module in pkgutil.iter_modules(places) if module.name.endswith(ending))


def adapter(module: str, *, extra: str, needed_for: str) -> ModuleType:
    """The module `noria.integrations.<module>`. Raises `MissingExtra` when a library that it needs is not installed."""
    try:
        return importlib.import_module(f"{ADAPTERS}.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("noria"):
            raise
        raise MissingExtra(library=error.name, extra=extra, needed_for=needed_for) from error
