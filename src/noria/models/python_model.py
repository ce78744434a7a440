"""A model with a loader of its own: how anything that Python can run becomes a bundle without being pickled."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from noria.core.declarations import PROJECT_MODULE
from noria.core.errors import UserMistake


class BadPythonModel(UserMistake):
    """An `nr.PythonModel` that no other process could load."""

    code = "NR-335"

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(what="the trainer returned an nr.PythonModel that can't be sealed", where=reason, fix=fix)


@dataclass(frozen=True)
class PythonModel:
    """A model that a function of the project loads, such as `nr.PythonModel(load, files={"weights.bin": data})`.

    load: called in the model's own process with the folder of the files. It returns an object with `predict(columns)`, or a function: from
        name → array to an array, or to name → array where there are several outputs. It is best in a module of its own, since the bundle
        takes that module with it, and those beside it that it imports
    files: name → content, or the path of a file
    """

    load: Callable[[Path], Any]
    files: Mapping[str, bytes | Path] = field(default_factory=dict)

    def contents(self) -> dict[str, bytes]:
        """The files, read. Raises `BadPythonModel`."""
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise BadPythonModel(f"its file {name!r} would lie outside of the bundle", "give names without `..`")
        try:
            return {name: data if isinstance(data, bytes) else Path(data).read_bytes() for name, data in self.files.items()}
        except OSError as error:
            raise BadPythonModel(f"its file can't be read: {error}", "write the file before the trainer returns") from error

    def source(self) -> tuple[str, dict[str, bytes]]:
        """The loader as `module:function`, and the project's modules that it needs: path → text. Raises `BadPythonModel`."""
        name = getattr(self.load, "__qualname__", "")
        if not inspect.isfunction(self.load) or "<" in name:
            raise BadPythonModel(f"its loader is {self.load!r}", "give a function of a module, no lambda and none within a function")
        found = inspect.getsourcefile(self.load)
        if found is None or not Path(found).is_file():
            raise BadPythonModel(f"the source of {name} is in no file", "write the loader into a module of the project")
        file = Path(found).resolve()
        module, root = _place(self.load.__module__, file)
        return f"{module}:{name}", with_imported(file, root)


def _place(module: str, file: Path) -> tuple[str, Path]:
    """A module's name as it is imported from its folder, and that folder."""
    parts = module.removeprefix(PROJECT_MODULE).split(".")
    own = file.parent.name if file.name == "__init__.py" else file.stem
    depth = len(parts) if file.name == "__init__.py" else len(parts) - 1
    if parts[-1] != own or depth >= len(file.parents):
        return file.stem, file.parent
    return ".".join(parts), file.parents[depth]


def with_imported(file: Path, root: Path) -> dict[str, bytes]:
    """A module's file and those under its root that it imports, and that they import: path under the root → text."""
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        each = waiting.pop()
        path = each.relative_to(root).as_posix()
        if path in found:
            continue
        found[path] = each.read_bytes()
        package = list(each.relative_to(root).parent.parts)
        for name in _imported(ast.parse(found[path]), package):
            waiting += _files(root, name)
    return found


def _imported(tree: ast.Module, package: list[str]) -> list[str]:
    """The dotted names that a module may import; of `from a import b`, both `a` and `a.b`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)]
    return names


def _files(root: Path, name: str) -> list[Path]:
    """The files of a module and of the packages that it is in, where they are under a root."""
    parts = [part for part in name.split(".") if part]
    places = [root.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    files = [path for place in places for path in (place.with_suffix(".py"), place / "__init__.py")]
    return [path for path in files if path.is_file()]
