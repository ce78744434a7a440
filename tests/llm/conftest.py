"""Commands of the tests of applications, typed for the project in the test's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noria.cli.exits import ended
from noria.cli.main import command

Run = Callable[..., Any]


@pytest.fixture
def noria(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command for the project in the test's folder; gives what it prints with --json. One that fails fails the test."""

    def typed(*arguments: str) -> Any:
        capsys.readouterr()
        code = ended(command, [*arguments, "--project", str(tmp_path), "--json"])
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        return json.loads(said.out)

    return typed
