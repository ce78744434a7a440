"""All checks, in the order in which a person would look."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from noria.core.clock import Clock
from noria.core.errors import NoriaError
from noria.core.settings import ServingSettings, Settings, load_settings
from noria.start.doctor import folders, machine
from noria.start.doctor.check import Check, ran
from noria.start.doctor.extras import Extra, extras, shared_libraries
from noria.start.doctor.ports import loopback, ports
from noria.start.doctor.redaction import Private, redacted
from noria.stores.workspace import Workspace


@dataclass(frozen=True)
class Examined:
    """What was found. variables: the names of the environment's settings for Noria, never their values"""

    folder: Path
    checks: tuple[Check, ...]
    extras: tuple[Extra, ...]
    variables: tuple[str, ...]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.outcome == "failed"]

    def to_dict(self) -> dict[str, Any]:
        counts = {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in ("passed", "failed", "unknown")}
        return {
            "checks": [check.to_dict() for check in self.checks],
            "extras": [extra.to_dict() for extra in self.extras],
            "environment": list(self.variables),
            "counts": counts,
        }

    def report(self) -> str:
        """A block to paste into an issue: nothing in it says who, where, or anything secret."""
        private = Private.here(self.folder)
        lines = [f"{check.outcome:<8}{check.about}: {check.seen}" for check in self.checks]
        there = [extra.name for extra in self.extras if extra.installed]
        lines += [f"extras: {', '.join(there) or 'none'}", f"variables: {', '.join(self.variables) or 'none'}"]
        return "```text\n" + "\n".join(redacted(line, private) for line in lines) + "\n```"


def examine(folder: Path, clock: Clock) -> Examined:
    """Check everything. What can't be checked is unknown; nothing is changed, and no network is asked."""
    settings = _settings(folder)
    workspace = None if settings is None else Workspace.of(folder, settings)
    root = folder / ".noria" if workspace is None else workspace.root
    serving = settings.serving if settings is not None else ServingSettings()
    steps: dict[str, Callable[[], Iterator[Check]]] = {
        "Python": machine.python,
        "libraries": machine.libraries,
        "libgomp": shared_libraries,
        "engine": machine.engine,
        "clock": partial(machine.clock, clock),
        "open files": machine.limits,
        "memory": machine.memory,
        "project": partial(folders.project, folder),
        "project folder": partial(folders.permissions, folder, root),
        "file locks": partial(folders.locks, root),
        "disk": partial(folders.disk, root),
        "tables": partial(_stores, workspace),
        "other machines": partial(folders.others, root, clock),
        "loopback": loopback,
        "port": partial(ports, serving, root),
    }
    found = [check for about, checks in steps.items() for check in ran(about, checks)]
    return Examined(folder, tuple(found), tuple(extras()), tuple(sorted(name for name in os.environ if name.startswith("NORIA_"))))


def _settings(folder: Path) -> Settings | None:
    """The project's settings; None where there are none that can be read, which the check of the project says."""
    try:
        return load_settings(folder)
    except (NoriaError, OSError):
        return None


def _stores(workspace: Workspace | None) -> Iterator[Check]:
    if workspace is not None:
        yield from folders.stores(workspace)
