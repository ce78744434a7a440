"""Quotas: how many requests a key may make on a day (UTC), over all workers and restarts.

Workers count, the supervisor adds up every second and tells them which keys are through for today; so a key may go over by what it
asks in that second. The sums are written every few seconds and when the server stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from noria.core.clock import Clock
from noria.core.errors import OutsideWorld
from noria.core.files import Files
from noria.serving.access.keys import Key

FILE = "spent.json"
WRITE_SECONDS = 5.0


class Spent(msgspec.Struct):
    """What keys have spent on a day, by name."""

    day: str
    requests: dict[str, int]


class UnreadableQuotas(OutsideWorld):
    """The file of spent requests can't be read."""

    code = "NR-543"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(what="today's quota usage can't be read", where=f"{path}: {reason}", fix="delete it: today's usage restarts at 0")


class Quotas:
    """The sums of one server. `folder` is where they are kept (None: nowhere, in a server without a project)."""

    def __init__(self, folder: Path | None, clock: Clock, files: Files) -> None:
        self._path, self._clock, self._files = None if folder is None else folder / FILE, clock, files
        self._seen: dict[str, Counter[str]] = {}  # what each writer has said last, of today
        self._before = self._read()
        self._written = clock.now()

    def heard(self, writer: str, spent: Mapping[str, Any]) -> None:
        """What a worker has counted: its day, and requests by key since it began that day."""
        if spent["day"] == self._today():
            self._seen[writer] = Counter(spent["requests"])

    def exhausted(self, keys: Iterable[Key]) -> list[str]:
        """The keys that are through for today."""
        total = self.total()
        return sorted(key.name for key in keys if key.quota and total[key.name] >= key.quota)

    def total(self) -> Counter[str]:
        """What was spent today, by key."""
        if self._before.day != self._today():
            self._before, self._seen = Spent(self._today(), {}), {}
        return sum(self._seen.values(), Counter(self._before.requests))

    def keep(self, *, now: bool = False) -> None:
        """Write the sums, if it is time."""
        moment = self._clock.now()
        if self._path is None or not (now or (moment - self._written).total_seconds() >= WRITE_SECONDS):
            return
        total = self.total()
        if total:
            self._files.write(self._path, msgspec.json.encode(Spent(self._today(), dict(total))))
        self._written = moment

    def _today(self) -> str:
        return f"{self._clock.now():%Y-%m-%d}"

    def _read(self) -> Spent:
        if self._path is None or not self._files.exists(self._path):
            return Spent(self._today(), {})
        try:
            return msgspec.json.decode(self._files.read(self._path), type=Spent)
        except (msgspec.DecodeError, OSError) as error:
            raise UnreadableQuotas(self._path, str(error)) from error
