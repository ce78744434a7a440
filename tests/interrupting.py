"""Every command, told to stop in the middle: run as `python interrupting.py PROJECT CALL`.

KeyboardInterrupt is raised where a command makes its n-th call of a function of Noria, or its first one where it makes fewer; with 0,
nothing is raised (and `demo` is left out). One process does it for all commands, because starting one takes a second. Prints one JSON
object: command → exit code and what was written to stderr.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

import typer

import noria
from noria.cli.app import app
from noria.cli.exits import ended
from noria.cli.main import command as run_command

SOURCE = str(Path(noria.__file__).parent)
OURS = (f"{SOURCE}/cli/exits.py", f"{SOURCE}/cli/main.py", f"{SOURCE}/core/interrupts.py")  # what is tried does not interrupt itself
GIVEN = {
    "table": "orders",
    "file": "data/orders.parquet",
    "files": "data/orders.parquet",
    "time": "placed_at",
    "span": "1h",
    "folder": "out",
}
MORE = {"watch": ["--once"], "serve": ["--port", "0"], "demo": ["made"]}


def commands() -> dict[str, Any]:
    tree = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    groups = {f"{name} {own}": one for name, group in tree.items() for own, one in getattr(group, "commands", {}).items()}
    return {name: one for name, one in tree.items() if not hasattr(one, "commands")} | groups


def line_of(name: str, command: Any) -> list[str]:
    """A command with all that it can't do without."""
    words = name.split()
    for parameter in command.params:
        if parameter.required:
            value = GIVEN.get(parameter.name, "x")
            words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words + MORE.get(name, [])


def interrupted(words: list[str], call: int) -> dict[str, Any]:
    made = 0

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal made
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(SOURCE) and file not in OURS and frame.f_code.co_name != "<module>":
            made += 1
            if made == call:
                sys.setprofile(None)
                raise KeyboardInterrupt

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        sys.setprofile(profile)
        try:
            code = ended(run_command, words)
        finally:
            sys.setprofile(None)
    return {"code": code, "stderr": err.getvalue(), "reached": made >= call}


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    found = {}
    for name, one in commands().items():
        if name == "demo" and sys.argv[2] == "0":
            continue
        found[name] = interrupted(line_of(name, one), int(sys.argv[2]))
        if not found[name]["reached"]:
            found[name] = interrupted(line_of(name, one), 1)
    print(json.dumps(found))
