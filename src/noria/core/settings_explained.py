"""Where each setting comes from: the default, `noria.toml`, or a variable of the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from noria.core.errors import UserMistake, nearest
from noria.core.settings import FILE_NAME, Settings, load_settings


class UnknownSetting(UserMistake):
    """There is no such setting."""

    code = "NR-107"

    def __init__(self, key: str, known: list[str]) -> None:
        super().__init__(
            what=f"there is no setting {key!r}{nearest(key, known)}",
            where="noria config explain",
            fix="`noria config list` shows all of them",
        )


def explained(folder: Path, environ: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """Every setting: its value, where it comes from, its default, its type, and the variable that would change it. Raises `BadSettings`."""
    settings = load_settings(folder, environ)
    written = tomllib.loads((folder / FILE_NAME).read_text())
    found = []
    for section in msgspec.structs.fields(Settings):
        values = getattr(settings, section.name)
        for field in msgspec.structs.fields(section.type):
            variable = f"NORIA_{section.name}_{field.name}".upper()
            given = [
                *([f"the variable {variable}"] if variable in environ else []),
                *([str(folder / FILE_NAME)] if field.name in written.get(section.name, {}) else []),
            ]
            found.append(
                {
                    "key": f"{section.name}.{field.name}",
                    "value": msgspec.to_builtins(getattr(values, field.name)),
                    "from": given[0] if given else "the default",
                    "overridden": given[1:],
                    "default": None if field.required else msgspec.to_builtins(_default(field)),
                    "type": _words(field.type),
                    "variable": variable,
                }
            )
    return found


def explained_one(folder: Path, key: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The same of one setting, such as `serving.port`. Raises `UnknownSetting`."""
    found = {each["key"]: each for each in explained(folder, environ)}
    if key not in found:
        raise UnknownSetting(key, list(found))
    return found[key]


def _default(field: Any) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _words(kind: Any) -> str:
    """A type as people write it."""
    if isinstance(kind, type):
        return kind.__name__
    return str(kind).replace("typing.", "").replace("NoneType", "None")
