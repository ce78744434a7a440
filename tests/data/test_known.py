"""When rows became known: found out per file, once, and the same as from all rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import noria as nr
from noria.core.clock import microseconds, since_epoch
from noria.data.known import KnownRows
from noria.data.stored import StoredRows
from noria.data.table import Snapshot
from noria.stores.tables import DeltaTables

START = since_epoch(datetime(2024, 3, 1, tzinfo=UTC))
HOUR = microseconds(timedelta(hours=1))
TICK, OFFSET = timedelta(hours=6), timedelta(hours=5)
TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="at", known_at="known")


class Events:
    """A table of events that is written in several versions, and all that was written."""

    def __init__(self, folder: Path) -> None:
        self.store, self._rng = DeltaTables(folder), np.random.default_rng(3)
        self.at = self.known = np.empty(0, np.int64)

    def append(self, rows: int) -> None:
        at = START + self._rng.integers(0, 200 * HOUR, rows)
        known = at + self._rng.integers(0, 30 * HOUR, rows)  # in no order
        self.at, self.known = np.append(self.at, at), np.append(self.known, known)
        times = {"at": at, "known": known}
        columns = {name: pa.array(us).cast(pa.timestamp("us", tz="UTC")) for name, us in times.items()}
        self.store.append("events", pa.table({"id": np.arange(rows), **columns}), {})

    @property
    def stored(self) -> StoredRows:
        version = self.store.latest("events")
        assert version is not None
        return StoredRows(TABLE, Snapshot("events", version, "", len(self.at)), self.store)

    def counted(self, start: int, end: int) -> list[int]:
        borders = microseconds(OFFSET) + microseconds(TICK) * np.arange(start, end + 1)
        return np.diff(np.sort(self.known).searchsorted(borders)).tolist()

    def ages(self, moments: NDArray[np.int64]) -> list[int]:
        never = np.iinfo(np.int64).max
        return [int(us - self.at[self.known <= us].max()) if (self.known <= us).any() else never for us in moments]


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path)


def test_counts_and_ages_are_those_of_all_rows_whatever_files_they_lie_in(events: Events) -> None:
    known = KnownRows(TICK, OFFSET)
    for rows in (300, 1, 0, 50):
        events.append(rows)
        known.bring_to(events.stored)
        assert (known.first, known.last) == (events.known.min(), events.known.max())
        first, last = (int(us - microseconds(OFFSET)) // microseconds(TICK) for us in (known.first, known.last))
        assert known.counts(first - 2, last + 2) == events.counted(first - 2, last + 2)
        for start in (-10, 40, 120, 250):
            moments = START + start * HOUR + np.arange(0, 24 * HOUR, HOUR // 2 + 1)
            assert known.ages(events.stored, moments).tolist() == events.ages(moments)


def test_a_new_version_costs_its_new_files(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    scan_file = DeltaTables.scan_file
    monkeypatch.setattr(DeltaTables, "scan_file", lambda self, *given: read.append(given[2]) or scan_file(self, *given))
    known = KnownRows(TICK, OFFSET)
    for rows in (300, 20):
        events.append(rows)
        known.bring_to(events.stored)
    assert len(read) == len(set(read)) == 2
    events.store.compact("events")
    known.bring_to(events.stored)
    assert len(read) == 3
    assert known.last == events.known.max()


def test_of_no_rows_nothing_is_known(events: Events) -> None:
    events.append(0)
    known = KnownRows(TICK, OFFSET)
    known.bring_to(events.stored)
    assert known.first is None
    assert known.last is None
    assert known.ages(events.stored, np.array([START])).tolist() == [np.iinfo(np.int64).max]
