"""The proofs of an area whose modules have one each."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.figure import Proof


def collected(area: str) -> Proof:
    """The figures of all modules of `benchmarks.AREA` with a function `prove`, in the order of their names."""
    package = importlib.import_module(f"benchmarks.{area}")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if module.name != "prove":
            own = importlib.import_module(f"{package.__name__}.{module.name}")
            if hasattr(own, "prove"):
                yield from own.prove()
