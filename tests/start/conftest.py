"""Commands as a user types them, in this process: exit code, standard output and standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noria.cli.exits import ended
from noria.cli.main import command

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def noria(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str) -> tuple[int, str, str]:
        code = ended(command, list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


@pytest.fixture
def proposed(noria: Type) -> Callable[..., dict[str, Any]]:
    """What `noria init --json` says, by what is proposed."""

    def told(*arguments: str) -> dict[str, Any]:
        code, out, err = noria("init", *arguments, "--json")
        assert code == 0, out + err
        found = json.loads(out)
        return {**{one["what"]: one["choice"] for one in found["proposals"]}, **found}

    return told
