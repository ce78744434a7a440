"""The command tree keeps its manners: help on every command, JSON on every read, a NORIA_ twin for every option."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from noria.cli.app import app

TREE = typer.main.get_command(app).commands  # type: ignore[attr-defined]
GROUPS = {f"{name} {own}": command for name, group in TREE.items() for own, command in getattr(group, "commands", {}).items()}
COMMANDS = {name: command for name, command in TREE.items() if not hasattr(command, "commands")} | GROUPS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_and_speaks_json(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    options = {flag for p in command.params for flag in p.opts}
    assert "--json" in options
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None) or parameter.param_type_name == "argument", f"{name} {parameter.name} has no help"
            assert str(parameter.envvar).startswith("NORIA_"), f"{name} {parameter.name} has no NORIA_ twin"


def test_noria_alone_shows_the_status_and_the_next_command(shop: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "noria"], cwd=shop, capture_output=True, text=True, check=True)
    assert "never ingested" in done.stdout
    assert "next: noria ingest" in done.stdout
    assert "unknown" in done.stdout


def test_a_project_goes_from_files_to_a_champion_step_by_step(shop: Path) -> None:
    def noria(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "noria", *arguments], cwd=shop, capture_output=True, text=True, check=True)
        return done.stdout

    assert "3 tables can be read" in noria("check")
    first = json.loads(noria("ingest", "--json"))
    assert all(i["balance"]["holds"] and i["balance"]["rows_out"]["repeated"] == 0 for i in first)
    again = json.loads(noria("ingest", "--json"))
    assert all(i["balance"]["rows_out"]["stored"] == 0 for i in again)
    assert [i["snapshot"] for i in first] == [i["snapshot"] for i in again]
    assert [a["action"] for a in json.loads(noria("train", "--json"))] == ["train", "promote"]
    status = json.loads(noria("status", "--json"))
    assert status["endpoints"][0]["champion"]
    assert status["next"] == "noria serve returns"
    assert [a["action"] for a in json.loads(noria("loop", "--json"))] == []
