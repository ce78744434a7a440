"""Models: what is declared, the sealed bundle that crosses from training to serving, its runtime and its registry.

In:  a fitted model, its signature, profile and lineage
Out: Bundles (immutable, content-addressed, verified at load) and ModelVersions in the registry
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.models.bundle import Bundle
    from noria.models.model import Model
    from noria.models.python_model import PythonModel

__all__ = ["Bundle", "Model", "PythonModel"]

HOMES = {"Bundle": "bundle", "Model": "model", "PythonModel": "python_model"}


def __getattr__(name: str) -> Any:
    """What stands in `__all__`, imported when it is asked for: a server needs no declarations, which import half of the package."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
