"""The entry of the command line. The commands are in `noria.cli.app`, imported where Ctrl-C is already heard."""

from __future__ import annotations

import sys

from noria.cli.exits import ended


def run() -> None:
    """Run the command line, and end the process with the command's exit code."""
    sys.exit(ended(command, sys.argv[1:]))


def command(arguments: list[str]) -> None:
    """Run one command. Raises whatever ends it otherwise than well."""
    import os

    from noria.cli.app import app

    if "_NORIA_COMPLETE" in os.environ:  # a shell asks what could be typed next
        app()
    from typer.main import get_command

    group = get_command(app)  # not `app()`: it has ideas of its own about how a command ends
    with group.make_context("noria", arguments) as context:
        group.invoke(context)
