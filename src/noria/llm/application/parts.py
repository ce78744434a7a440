"""Parts of an application as plain data, by which a server makes them again: their class, and the arguments it is made with.

Only classes of Noria are made of what a bundle says. A part that uses a secret, or asks a server on another machine, is made where the
bundle is trusted: the secret, the questions and the texts would be sent to whatever server the bundle names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from noria.core.errors import UserMistake
from noria.llm.generation.definitions import BUDGET

CLASS = "is"
HOMES = ("noria.llm.", "noria.integrations.")
SECRETS = ("key_env", "headers_env")  # the arguments by which parts name the environment variables of secrets


class NotAPart(UserMistake):
    """A part of an application can't be made again in another process."""

    code = "NR-870"

    def __init__(self, part: Any, why: str) -> None:
        self.part = type(part).__name__
        super().__init__(
            what=f"{self.part} can't be a part of an application: {why}",
            where="llm.Application(…)",
            fix="give a part of noria.llm or noria.integrations, made from plain values",
        )


class LostPart(UserMistake):
    """A part that a bundle was built with can't be made here, or is another one by now."""

    code = "NR-871"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            what=f"the application's {name} can't be opened: {why}",
            where="its bundle names it, and does not hold it",
            fix="install or copy the same model to the same place, or build the application again",
        )


def written(part: Any) -> Any:
    """A part, or a value, as plain data. Raises `NotAPart`."""
    if part is None or isinstance(part, str | int | float | bool):
        return part
    if isinstance(part, Path):
        return str(part)
    if isinstance(part, list | tuple):
        return [written(each) for each in part]
    if isinstance(part, Mapping):
        return {str(name): written(value) for name, value in part.items()}
    kind = type(part)
    if not f"{kind.__module__}.".startswith(HOMES):
        raise NotAPart(part, f"it is a class of {kind.__module__}, which a bundle can't make")
    return {CLASS: f"{kind.__module__}:{kind.__qualname__}", **{name: written(value) for name, value in _arguments(part).items()}}


def _arguments(part: Any) -> Mapping[str, Any]:
    own = getattr(part, "arguments", None)
    if callable(own):
        found: Mapping[str, Any] = own()
        return found
    if is_dataclass(part):
        return {field.name: getattr(part, field.name) for field in fields(part) if field.init}
    raise NotAPart(part, "it is no dataclass, and has no method `arguments`")


def made(given: Any) -> Any:
    """What `written` gave, as it was. Raises `LostPart`."""
    if isinstance(given, list):
        return tuple(made(each) for each in given)
    if not isinstance(given, Mapping):
        return given
    if CLASS not in given:
        return {name: made(value) for name, value in given.items()}
    module, _, name = str(given[CLASS]).partition(":")
    if not module.startswith(HOMES):
        raise LostPart(str(given[CLASS]), "it is no class of Noria")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LostPart(str(given[CLASS]), str(error)) from error
    return kind(**{name: made(value) for name, value in given.items() if name != CLASS})


def needs_trust(given: Any) -> bool:
    """Whether a written part, or one that it is made of, tells another machine something, or uses a secret."""
    return uses_secrets(given) or _asks_elsewhere(given)


def uses_secrets(given: Any) -> bool:
    """Whether a written part names a secret, or a folder to write to as a budget does, or one that it is made of does."""
    if isinstance(given, list):
        return any(map(uses_secrets, given))
    if not isinstance(given, Mapping):
        return False
    return given.get("generator") == BUDGET or any(given.get(name) for name in SECRETS) or any(map(uses_secrets, given.values()))


def _asks_elsewhere(given: Any) -> bool:
    if isinstance(given, list):
        return any(map(_asks_elsewhere, given))
    if not isinstance(given, Mapping):
        return False
    address = given.get("base_url")
    return (isinstance(address, str) and not _is_here(address)) or any(map(_asks_elsewhere, given.values()))


def _is_here(url: str) -> bool:
    """Whether an address is this machine's own, by its number or as `localhost`: another name could lead anywhere."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
