"""What several pages share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs.pages import write_shop
from noria.cli.exits import ended
from noria.cli.main import command


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop with a champion; copy it, since it can stand anywhere."""
    folder = tmp_path_factory.mktemp("trained") / "shop"
    folder.mkdir()
    write_shop(folder)
    for name in ("ingest", "train"):
        assert ended(command, [name, "--project", os.fspath(folder)]) == 0
    return folder
