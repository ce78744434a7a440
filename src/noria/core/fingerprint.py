"""The fingerprint of code: what a function would do, as a hash that also follows the functions it calls.

A cache that hashes only the function itself returns old results when a helper two calls away has changed (a fault
reproduced in another pipeline tool); so every function of the same project that is reached by name is hashed with it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from noria.core.ids import digest


def fingerprint(function: Callable[..., Any]) -> str:
    """SHA-256 (hex) over the syntax of `function`, its project's functions it reaches, and constants it names.

    Comments and layout do not count. Functions of installed packages do not count either: versions stand in the lock.
    """
    parts: dict[str, str] = {}
    _collect(inspect.unwrap(function), parts)
    return digest(parts)


def _collect(function: Any, parts: dict[str, str]) -> None:
    name = f"{function.__module__}.{function.__qualname__}"
    if name in parts:
        return
    parts[name] = _syntax(function)
    for used in _names(function.__code__):
        value = function.__globals__.get(used)
        if isinstance(value, FunctionType) and _in_same_project(value, function):
            _collect(inspect.unwrap(value), parts)
        elif isinstance(value, int | float | str | bool | tuple | list | dict | frozenset):
            parts[f"{function.__module__}.{used}"] = repr(value)
        elif isinstance(value, ModuleType):
            parts[f"module {used}"] = value.__name__


def _syntax(function: Any) -> str:
    try:
        return ast.dump(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, SyntaxError):  # made by exec or in a shell without source: its bytecode says what it does
        return repr((function.__code__.co_code.hex(), function.__code__.co_consts))


def _names(code: Any) -> list[str]:
    """Every global name that the code, or code nested in it, mentions."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            names.extend(_names(constant))
    return sorted(set(names))


def _in_same_project(value: FunctionType, function: Any) -> bool:
    return value.__module__.split(".")[0] == function.__module__.split(".")[0] or "site-packages" not in (value.__code__.co_filename)
