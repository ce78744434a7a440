"""The arguments of declarations: of the kind that they have to be, or refused where they are written, with what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from noria.core.errors import UserMistake

Kinds = type | tuple[type, ...]


class WrongArgument(UserMistake):
    """An argument of a declaration is of another kind than it has to be."""

    code = "NR-551"

    def __init__(self, call: str, argument: str, given: Any, fix: str) -> None:
        self.call, self.argument = call, argument
        super().__init__(what=f"{argument} is {described(given)}", where=call, fix=fix)


def require(call: str, argument: str, given: Any, kinds: Kinds, example: str) -> None:
    """Raise `WrongArgument` for what is of no such kind. example: what to write"""
    if not isinstance(given, kinds):
        raise WrongArgument(call, argument, given, f"write {example}")


def require_each(call: str, argument: str, given: Any, kinds: Kinds, example: str) -> None:
    """Raise `WrongArgument` for what is no list of such kinds. example: what to write"""
    if isinstance(given, str) or isinstance(given, kinds) or not isinstance(given, Iterable):  # noqa: SIM101 - kinds may be a tuple
        raise WrongArgument(call, argument, given, f"give a list: {example}")
    for each in given:
        if isinstance(each, kinds):
            continue
        name = getattr(each, "__name__", "")
        uncalled = f"; nr.{name} is called: nr.{name}()" if name and f"nr.{name}(" in example else ""
        raise WrongArgument(call, argument, each, f"write {example}{uncalled}")


def described(given: Any) -> str:
    """What something is, in a few words."""
    if given is None:
        return "nothing"
    if isinstance(given, str):
        return f"the text {given[:60]!r}"
    if isinstance(given, bool | int | float):
        return f"the number {given}"
    if isinstance(given, list | tuple | set | dict):
        return f"a {type(given).__name__}"
    kind, name = type(given).__name__, getattr(given, "name", None)
    if isinstance(given, type) or kind in ("function", "builtin_function_or_method"):
        return f"the {'class' if isinstance(given, type) else 'function'} {given.__name__}"
    return f"the {kind} {name!r}" if isinstance(name, str) else f"a {kind}"
