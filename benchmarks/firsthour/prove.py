"""Collects the proofs of every module in this folder that has one."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from benchmarks.figure import Proof


def prove() -> Proof:
    """The figures of all modules, in the order of their names."""
    for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda found: found.name):
        if module.name != "prove":
            own = importlib.import_module(f"{__package__}.{module.name}")
            if hasattr(own, "prove"):
                yield from own.prove()
