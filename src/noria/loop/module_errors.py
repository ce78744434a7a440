"""What a project's module raised while it was imported: where it stands in the user's own lines, and what to write there."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from noria.core.errors import UserMistake, nearest

UNEXPECTED = re.compile(r"^(\w+?)(\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r"^(\w+?)(\.__init__)?\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)$")
PLAIN = "fix the module; `noria check` loads it without side effects"


class ProjectFailed(UserMistake):
    """The project's module raised while it was imported."""

    code = "NR-110"

    def __init__(self, path: Path, error: BaseException) -> None:
        self.path = path
        line = line_of(path, error)
        if isinstance(error, SyntaxError):
            file = path if error.filename is None else Path(error.filename)
            line = f"{file}, line {error.lineno}" + (f": {error.text.strip()}" if error.text else "")
        super().__init__(
            what=f"the project's module raised {type(error).__name__}: {_first_line(error)}",
            where=line or str(path),
            fix=_fix(path, error),
        )


class ImportsItself(UserMistake):
    """A module beside the project's own imports it, so that it would run twice and declare everything twice."""

    code = "NR-553"

    def __init__(self, path: Path, helper: str) -> None:
        self.path, self.helper = path, helper
        super().__init__(
            what=f"{path.name} and {helper} import each other",
            where=f"{helper} imports {path.stem}, which is the project's module",
            fix=f"move what both need from {path.name} into {helper} or a third file, and import it from there",
        )


def line_of(path: Path, error: BaseException) -> str:
    """The last line of a module on the way to an error; empty where there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _fix(path: Path, error: BaseException) -> str:
    """What to write, where the error says it."""
    words = _first_line(error)
    if isinstance(error, ImportError | AttributeError) and ("circular import" in words or "partially initialized" in words):
        return "let modules import each other one way only: move what both need into a third file"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _of_module(error.name.partition(".")[0])
    if isinstance(error, NameError) and error.name == "nr":
        return f"write `import noria as nr` at the top of {path.name}"
    if isinstance(error, NameError) and error.name:
        return f"correct the name, or define it above that line{nearest(error.name, _names(path, error))}"
    if isinstance(error, SyntaxError):
        return "correct that line, or the end of the one before it"
    return _of_arguments(words) or PLAIN


def _of_module(name: str) -> str:
    from importlib.metadata import packages_distributions

    return f"correct the name{nearest(name, packages_distributions())}, or install the package that has it, with pip"


def _names(path: Path, error: BaseException) -> list[str]:
    """The names that the module had when it failed."""
    found = error.__traceback__
    while found is not None:
        if found.tb_frame.f_code.co_filename == str(path):
            return [name for name in found.tb_frame.f_globals if not name.startswith("_")]
        found = found.tb_next
    return []


def _of_arguments(words: str) -> str:
    """What to write where a call of one of ours has an argument too many or too few; empty for other errors."""
    if found := UNEXPECTED.search(words):
        known = _parameters(found[1])
        return f"{found[3]} is no argument of nr.{found[1]}{nearest(found[3], known)}: it takes {', '.join(known)}" if known else ""
    if words.startswith("trainer() missing"):
        return "write @nr.trainer without brackets"
    if (found := MISSING.search(words)) and _parameters(found[1]):
        lacking = re.findall(r"'(\w+)'", found[3])
        return f"add {', '.join(f'{name}=…' for name in lacking)} to nr.{found[1]}(…)"
    return ""


def _parameters(name: str) -> list[str]:
    """The arguments of one of our nouns or functions; none for what is not ours."""
    nouns = sys.modules["noria"]  # which the module that failed has imported
    noun: Any = getattr(nouns, name) if name in nouns.__all__ else None
    return list(inspect.signature(noun).parameters) if callable(noun) else []
