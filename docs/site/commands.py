"""`docs/command-options.md`, from the command line itself: `python docs/site/commands.py` writes it anew, and a test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from noria.cli.app import app

PAGE = Path(__file__).parents[1] / "command-options.md"
HEAD = """# Command options

What `--help` says of every command. This page is made from the code (`make format` writes it anew); [commands](commands.md)
says what each is for, and how it ends. A variable (`env var`) gives an option where the command line does not.
"""


def page() -> str:
    """The page, as the code has it now."""
    runner, parts = CliRunner(env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}), [HEAD]
    for words in commands(typer.main.get_command(app)):
        shown = runner.invoke(app, [*words, "--help"], prog_name="noria").stdout.strip()
        parts.append(f"## {' '.join(['noria', *words])}\n\n```text\n{shown}\n```\n")
    return "\n".join(parts)


def commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that can be typed, in alphabetical order."""
    if not hasattr(command, "commands") or not words:
        yield words
    for name in sorted(getattr(command, "commands", ())):
        yield from commands(command.commands[name], *words, name)


if __name__ == "__main__":
    PAGE.write_text(page())
