"""Runs the proofs of the areas named on the command line; exit status 1 when any figure falls short."""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path

from benchmarks.figure import Figure

AREAS = sorted(p.parent.name for p in Path(__file__).parent.glob("*/prove.py"))


def main(asked: list[str]) -> int:
    unknown = [area for area in asked if area not in AREAS]
    if unknown:
        print(f"unknown area {unknown[0]!r}; there are {', '.join(AREAS)}", file=sys.stderr)
        return 2
    print(f"# {platform.machine()}, Python {platform.python_version()}", flush=True)
    short = 0
    for area in asked or AREAS:
        for figure in importlib.import_module(f"benchmarks.{area}.prove").prove():
            print(figure, flush=True)
            short += isinstance(figure, Figure) and not figure.holds
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
