"""Heartbeats: every stage that must not stand still says when it last went round and what it saw, where another process can read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from noria.core.files import Files

FOLDER = "beats"


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a stage. period: within which the next one is due; saw: counts of what it dealt with"""

    stage: str
    at: datetime
    period: timedelta
    saw: Mapping[str, Any]

    def late(self, now: datetime) -> bool:
        """Whether the stage stands still: a period and a half have passed, so that it is told within two."""
        return now - self.at > 1.5 * self.period


def beat(root: Path, stage: str, at: datetime, period: timedelta, saw: Mapping[str, Any], files: Files) -> None:
    """Say that a stage lives."""
    folder = root / FOLDER
    files.make_folder(folder)
    told = {"stage": stage, "at": at.isoformat(), "period_seconds": period.total_seconds(), "saw": dict(saw)}
    files.write(folder / f"{stage.replace('/', '.')}.json", json.dumps(told, sort_keys=True).encode())


def beats(root: Path, files: Files) -> list[Beat]:
    """The last beat of every stage that ever lived here. What can't be read is a beat of the year 1: it is late."""
    folder = root / FOLDER
    found = []
    for path in files.list(folder, "*.json") if folder.is_dir() else []:
        try:
            raw = json.loads(files.read(path))
            found.append(Beat(raw["stage"], datetime.fromisoformat(raw["at"]), timedelta(seconds=raw["period_seconds"]), raw["saw"]))
        except (ValueError, KeyError, TypeError):
            found.append(Beat(path.stem, datetime.fromisoformat("0001-01-02T00:00:00+00:00"), timedelta(0), {}))
    return sorted(found, key=lambda b: b.stage)


def forget(root: Path, stage: str, files: Files) -> None:
    """A stage was stopped for good: it is not expected any more."""
    files.remove(root / FOLDER / f"{stage.replace('/', '.')}.json")
