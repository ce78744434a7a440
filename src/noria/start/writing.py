"""Python text: literals, lists and comments as a person would lay them out in a module."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 110


def text(value: Any) -> str:
    """A value as Python; texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(k)}: {text(v)}" for k, v in value.items()) + "}"
    return repr(value)


def listing(values: Sequence[Any], indent: int = 0) -> str:
    """A list: on one line if it fits, else filled lines."""
    line = text(list(values))
    if len(line) + indent <= WIDTH:
        return line
    inner = " " * (indent + 4)
    filled = _filled([text(value) for value in values], inner)
    return f"[\n{filled}\n{' ' * indent}]"


def mapping(values: Mapping[str, Any], indent: int = 0) -> str:
    """A dict: on one line if it fits, else an entry a line."""
    line = text(values)
    if len(line) + indent <= WIDTH:
        return line
    inner = " " * (indent + 4)
    return "\n".join(["{", *(f"{inner}{text(k)}: {text(v)}," for k, v in values.items()), " " * indent + "}"])


def comment(words: str) -> str:
    """A comment of as many lines as it takes."""
    lines = textwrap.wrap(" ".join(words.split()), WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def heading(words: str) -> str:
    return f"# --- {words} {'-' * (WIDTH - 7 - len(words))}"


def _filled(items: Sequence[str], inner: str) -> str:
    lines, line = [], inner
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = inner
        line += f"{item}, "
    return "\n".join([*lines, line.rstrip()])
