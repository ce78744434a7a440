"""Heartbeats: every stage that must not stand still says when it last went round and what it saw, where another process can read it."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from noria.core.errors import OutsideWorld
from noria.core.files import Files

FOLDER = "beats"
BOOT = Path("/proc/sys/kernel/random/boot_id")


class OtherHost(OutsideWorld):
    """Another machine is at work on the same folder."""

    code = "NR-413"

    def __init__(self, stage: str, host: str, at: datetime) -> None:
        super().__init__(
            what="another machine is using this project's folder",
            where=f"{stage} on {host} sent its last heartbeat at {at:%Y-%m-%d %H:%M:%S} UTC",
            fix="stop it there, or use a separate folder on this machine: machines can't share a catalog and log files",
        )


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a stage. period: within which the next one is due; saw: counts of what it dealt with; host: its machine"""

    stage: str
    at: datetime
    period: timedelta
    saw: Mapping[str, Any]
    host: str = ""

    def late(self, now: datetime) -> bool:
        """Whether the stage stands still: a period and a half have passed, so that it is told within two."""
        return now - self.at > 1.5 * self.period


@cache
def this_host() -> str:
    """The machine by its name and, where that can be known, its boot."""
    boot = BOOT.read_text().strip() if BOOT.is_file() else ""
    return f"{socket.gethostname()} {boot}".strip()


def _same(host: str) -> bool:
    """Whether a host is this one. Containers of one machine have names of their own, and share its boot and its locks; a machine that was
    started anew has another boot, and its name."""
    return not host or bool(set(host.split()) & set(this_host().split()))


def beat(root: Path, stage: str, at: datetime, period: timedelta, saw: Mapping[str, Any], files: Files) -> None:
    """Say that a stage lives."""
    folder = root / FOLDER
    files.make_folder(folder)
    told = {"stage": stage, "at": at.isoformat(), "period_seconds": period.total_seconds(), "saw": dict(saw), "host": this_host()}
    files.write(folder / f"{stage.replace('/', '.')}.json", json.dumps(told, sort_keys=True).encode())


def beats(root: Path, files: Files) -> list[Beat]:
    """The last beat of every stage that ever lived here. What can't be read is a beat of the year 1: it is late."""
    folder = root / FOLDER
    found = []
    for path in files.list(folder, "*.json") if folder.is_dir() else []:
        try:
            raw = json.loads(files.read(path))
            at, period = datetime.fromisoformat(raw["at"]), timedelta(seconds=raw["period_seconds"])
            found.append(Beat(raw["stage"], at, period, raw["saw"], raw.get("host", "")))
        except (ValueError, KeyError, TypeError):
            found.append(Beat(path.stem, datetime.fromisoformat("0001-01-02T00:00:00+00:00"), timedelta(0), {}))
    return sorted(found, key=lambda b: b.stage)


def require_this_host(root: Path, now: datetime, files: Files) -> None:
    """Raises `OtherHost` while a loop or a server of another machine lives in this folder."""
    for other in beats(root, files):
        if not _same(other.host) and not other.late(now):
            raise OtherHost(other.stage, other.host, other.at)


def forget(root: Path, stage: str, files: Files) -> None:
    """A stage was stopped for good: it is not expected any more."""
    files.remove(root / FOLDER / f"{stage.replace('/', '.')}.json")
