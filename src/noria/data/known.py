"""When the rows of a table became known: how many in each window, and how old the newest was at a moment.

It is found out per data file, of which two columns are read once: a file never changes, so a new version costs what its files are new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import microseconds
from noria.data.stored import StoredRows
from noria.data.table import microseconds_of

if TYPE_CHECKING:
    import pyarrow as pa

Times = NDArray[np.int64]  # microseconds since 1970-01-01 UTC
NEVER = -(2**63)  # before all times


@dataclass
class FileTimes:
    """Of a data file: when its first and its last row became known, its newest event, and its rows by the number of the window."""

    first: int = 2**63 - 1
    last: int = NEVER
    newest: int = NEVER
    counts: Counter[int] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        numbers = sorted(self.counts)
        return {
            "first": self.first,
            "last": self.last,
            "newest": self.newest,
            "windows": numbers,
            "rows": [self.counts[n] for n in numbers],
        }

    @staticmethod
    def of(told: Mapping[str, Any]) -> FileTimes:
        """What `to_dict` gave."""
        counts = Counter(dict(zip(told["windows"], told["rows"], strict=True)))
        return FileTimes(told["first"], told["last"], told["newest"], counts)


@dataclass
class KnownRows:
    """The known times of a table's rows, in windows of `tick` that begin at multiples of it after `offset`, numbered from 1970."""

    tick: timedelta
    offset: timedelta
    files: dict[str, FileTimes] = field(default_factory=dict)

    def bring_to(self, rows: StoredRows) -> dict[str, FileTimes]:
        """Know of this version's rows what is not known yet; returns what was read. Raises `DamagedTable`."""
        fresh = {path: self._read(rows, path) for path in rows.files if path not in self.files}
        known = self.files | fresh
        self.files = {path: known[path] for path in rows.files}
        return fresh

    @property
    def first(self) -> int | None:
        """When the first row became known, in microseconds since 1970-01-01 UTC; None where there is no row."""
        return min((f.first for f in self._filled), default=None)

    @property
    def last(self) -> int | None:
        """When the last row became known."""
        return max((f.last for f in self._filled), default=None)

    def counts(self, start: int, end: int) -> list[int]:
        """How many rows became known in each of the windows of these numbers, the last left out."""
        found: Counter[int] = Counter()
        if start < end:
            for each in self._filled:
                found.update(each.counts)
        return [found[number] for number in range(start, end)]

    def ages(self, rows: StoredRows, at_us: Times) -> Times:
        """How old the newest row was that was known at these moments, in microseconds; where there was none, more than any.

        rows: the version that was last brought to; of it, only files with rows that became known in between are read
        """
        ages = np.full(len(at_us), np.iinfo(np.int64).max)
        if not len(at_us):
            return ages
        first, last = int(at_us.min()), int(at_us.max())
        before = max((f.newest for f in self._filled if f.last <= first), default=NEVER)
        known, event = _times(rows, (path for path, f in self.files.items() if f.last > first and f.first <= last), last)
        order = np.argsort(known, kind="stable")
        newest = np.maximum.accumulate(np.append(before, event[order]))
        found = newest[known[order].searchsorted(at_us, side="right")]
        some = found != NEVER
        ages[some] = at_us[some] - found[some]
        return ages

    @property
    def _filled(self) -> list[FileTimes]:
        return [f for f in self.files.values() if f.last != NEVER]

    def _read(self, rows: StoredRows, path: str) -> FileTimes:
        found, tick, offset = FileTimes(), microseconds(self.tick), microseconds(self.offset)
        for known, event in _batches(rows, path):
            found.first, found.last = min(found.first, int(known.min())), max(found.last, int(known.max()))
            found.newest = max(found.newest, int(event.max()))
            numbers, counts = np.unique((known - offset) // tick, return_counts=True)
            found.counts.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        return found


def _times(rows: StoredRows, files: Iterable[str], until: int) -> tuple[Times, Times]:
    """The known times and the event times of the rows in some files that became known by then."""
    found = [(known[known <= until], event[known <= until]) for path in files for known, event in _batches(rows, path)]
    known, event = (np.concatenate([np.empty(0, np.int64), *(batch[i] for batch in found)]) for i in (0, 1))
    return known, event


def _batches(rows: StoredRows, path: str) -> Iterator[tuple[Times, Times]]:
    """The known times and the event times of the rows in a file, some at a time."""
    columns = [rows.table.known, rows.table.event_time]
    for batch in rows.scan_file(path, columns):
        if batch.num_rows:
            known, event = (microseconds_of(_chunked(batch.column(name))) for name in columns)
            yield known, event


def _chunked(column: pa.Array) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([column])
