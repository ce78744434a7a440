"""Paths as modules write them: beside the module, wherever the command was typed."""

from __future__ import annotations

import sys
from pathlib import Path


def beside_caller(path: str | Path, above: int) -> Path:
    """A relative path from where the calling module stands; from the current folder where there is no such file, or no module.

    above: how many calls lie between the module and who asks here
    """
    module = sys._getframe(above + 1).f_globals.get("__file__")
    beside = Path(module or "").parent / path
    return beside if module and not Path(path).is_absolute() and beside.exists() else Path(path)
