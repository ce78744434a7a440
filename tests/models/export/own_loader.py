"""A loader of a project: what `nr.PythonModel` takes into a bundle, with the module beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import own_weights


def load(folder: Path) -> Any:
    """Adds up its columns, weighted."""
    weights = json.loads((folder / "weights.json").read_text())
    return lambda columns: own_weights.weighted(columns, weights)


def broken(folder: Path) -> Any:
    raise OSError(f"no weights in {folder.name}")
