"""Runtimes: what runs a bundle's model, by the name that its manifest has for it.

In:  a bundle's folder, its signature, and how it may run (`RuntimeOptions`)
Out: a `Runtime`, which answers rows with rows

A runtime is one module with a function `open_model(folder, signature, options)`: here, or `<name>_runtime` among the adapters. Nothing else
is edited to add one, and none is imported before a bundle asks for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from noria.core.errors import UserMistake, nearest
from noria.core.plugins import adapter, adapters
from noria.core.signature import Signature
from noria.models.bundle import MODEL_FOLDER, Bundle, DamagedBundle
from noria.models.runtimes.port import RuntimeOptions

if TYPE_CHECKING:
    from noria.models.runtimes.port import Runtime

ENDING = "_runtime"


class UnknownRuntime(UserMistake):
    """A bundle names a runtime that there is not."""

    code = "NR-330"

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(
            what=f"there is no runtime {name!r}{nearest(name, known)}",
            where="the manifest of the bundle; known: " + ", ".join(known),
            fix="open it with the version of Noria that it was made with, or a newer one",
        )


def open_runtime(bundle: Bundle, options: RuntimeOptions | None = None) -> Runtime:
    """A bundle's model, ready to answer.

    Raises `UnknownRuntime`; `DamagedBundle` where its model's folder has files that were not sealed, which might be imported; and what its
    runtime raises about a model that it can't run.
    """
    there = [path for path in bundle.file(MODEL_FOLDER).rglob("*") if path.is_symlink() or not path.is_dir()]
    for name in sorted({path.relative_to(bundle.path).as_posix() for path in there} - bundle.manifest.files.keys()):
        raise DamagedBundle(bundle.path, f"{name} was not sealed with it")
    return open_files(bundle.manifest.runtime, bundle.path, bundle.signature, options or RuntimeOptions())


def open_files(runtime: str, folder: Path, signature: Signature, options: RuntimeOptions) -> Runtime:
    """A model whose files lie in a folder as in a bundle. Raises as `open_runtime` does."""
    if runtime in _own_modules() and hasattr(own := _own(runtime), "open_model"):
        module = own
    elif runtime in adapters(ENDING):
        module = adapter(f"{runtime}{ENDING}", extra=runtime, needed_for=f"the runtime {runtime!r}")
    else:
        known = [name for name in _own_modules() if hasattr(_own(name), "open_model")]
        raise UnknownRuntime(runtime, sorted([*known, *adapters(ENDING)]))
    found: Runtime = module.open_model(folder, signature, options)
    return found


@cache
def _own_modules() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def _own(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
