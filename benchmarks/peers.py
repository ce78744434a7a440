"""Peers in environments of their own: made on demand, kept, and reported (not counted) where they can't be installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "build" / "peers"


def peer_python(name: str, requirements: Sequence[str]) -> Path | None:
    """The interpreter of an environment with these requirements; None if they can't be installed here."""
    home = FOLDER / name
    python = home / "bin" / "python"
    ready = home / ".ready"
    if ready.exists() and ready.read_text() == "\n".join(requirements):
        return python
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    if subprocess.run(install, capture_output=True, timeout=900, check=False).returncode != 0:
        return None
    ready.write_text("\n".join(requirements))
    return python
