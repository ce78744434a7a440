"""Sealing: each segment of a past day once, whatever is killed; removed only when it is sealed and old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from noria.core.files import LocalFiles
from noria.core.ids import PredictionIds
from noria.core.signature import Signature
from noria.serving.log.predictions import Predictions
from noria.serving.log.seal import read_sealed, seal, table_of
from noria.serving.log.segments import DamagedLog, PredictionLog
from noria.stores.tables import DeltaTables

DAY = datetime(2024, 5, 1, 10, tzinfo=UTC)
FILES = LocalFiles()
FEATURES = {"one": ["a", "b"], "two": ["b", "c", "d"]}
SIGNATURES = {bundle: Signature.of_numbers(names) for bundle, names in FEATURES.items()}


def rows(day: int, bundle: str, count: int = 5) -> Predictions:
    at = int((DAY + timedelta(days=day)).timestamp() * 1e6)
    received = np.arange(at, at + count, dtype=np.int64)
    width = len(FEATURES[bundle])
    features = np.arange(count * width, dtype=np.float32).reshape(count, width)
    features[0, 0] = np.nan
    ids = PredictionIds(f"w{day}{bundle}").take((received // 1000).tolist())
    keys: list[str | None] = [None, *(f"k{i}" for i in range(1, count))]
    return Predictions.of_block(
        ids,
        keys,
        ["champion"] * count,
        [bundle] * count,
        received,
        np.full(count, 9, np.int32),
        features,
        np.linspace(0, 1, count),
        FEATURES[bundle],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days of log, of two bundles with different features."""
    log = PredictionLog(tmp_path / "log", "w", FILES)
    for day, bundle in ((0, "one"), (0, "two"), (1, "one"), (2, "two")):
        log.append(rows(day, bundle))
    log.close()
    return tmp_path / "log"


def sealed(folder: Path, day: float, keep: timedelta | None = None) -> tuple[int, int, int]:
    done = seal("e", folder, DeltaTables(folder.parent / "tables"), SIGNATURES.__getitem__, FILES, DAY + timedelta(days=day), keep)
    assert done.balance.holds
    return done.balance.rows_in, done.segments, done.removed


def test_past_days_are_sealed_once_and_today_is_not(folder: Path) -> None:
    assert sealed(folder, 2) == (15, 2, 0)
    assert sealed(folder, 2) == (0, 0, 0)
    assert sealed(folder, 3) == (5, 1, 0)
    table = DeltaTables(folder.parent / "tables").read_or_none(table_of("e"))
    assert table is not None
    assert table.num_rows == 20
    assert len(set(table.column("_id").to_pylist())) == 20
    [row] = [r for r in table.to_pylist() if r["_id"] == rows(1, "one").ids[1]]
    assert (row["a"], row["b"], row["c"], row["_key"], row["_variant"], row["_latency_us"]) == (2.0, 3.0, None, "k1", "champion", 9)
    assert row["_received_at"] == DAY + timedelta(days=1, microseconds=1)


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after it"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_at_a_commit_seals_nothing_twice(folder: Path, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool) -> None:
    append, left = DeltaTables.append, [nth]

    def killed(self: DeltaTables, name: str, rows: pa.Table, facts: Mapping[str, Any]) -> int:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        version = append(self, name, rows, facts)
        if left[0] == 0:
            raise Killed
        return version

    monkeypatch.setattr(DeltaTables, "append", killed)
    with pytest.raises(Killed):
        sealed(folder, 3)
    monkeypatch.setattr(DeltaTables, "append", append)
    sealed(folder, 3)
    table = DeltaTables(folder.parent / "tables").read_or_none(table_of("e"))
    assert table is not None
    assert table.num_rows == len(set(table.column("_id").to_pylist())) == 20


def test_old_segments_are_removed_only_when_sealed_and_unchanged(folder: Path) -> None:
    assert sealed(folder, 3, timedelta(days=1)) == (20, 3, 2)
    [left] = folder.glob("*/*.seg")
    assert left.name.startswith("2024-05-03")
    left.write_bytes(left.read_bytes() + b"more")
    assert sealed(folder, 9, timedelta(days=1)) == (0, 0, 0)
    assert left.exists()


def test_a_sealed_prediction_is_found_again_as_it_was(folder: Path) -> None:
    sealed(folder, 3, timedelta(days=0))
    for made in (rows(0, "two"), rows(1, "one")):
        at = datetime.fromtimestamp(made.received_us[0] // 1000 / 1e3, UTC)
        tables = DeltaTables(folder.parent / "tables")
        found = read_sealed("e", tables, SIGNATURES.__getitem__, at, at + timedelta(milliseconds=1), made.ids[0])
        assert found is not None
        assert (found.ids, found.keys, found.bundle, found.received_us.tolist()) == (
            made.ids[:1],
            made.keys[:1],
            made.bundle[:1],
            made.received_us[:1].tolist(),
        )
        np.testing.assert_array_equal(found.numbers, made.numbers[:1])
    assert read_sealed("e", DeltaTables(folder.parent / "tables"), SIGNATURES.__getitem__, DAY, DAY, "nothing") is None


def test_a_damaged_segment_stops_the_sealing_and_stays(folder: Path) -> None:
    first = sorted(folder.glob("*/*.seg"))[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 3] ^= 1
    first.write_bytes(bytes(data))
    with pytest.raises(DamagedLog):
        sealed(folder, 3, timedelta(days=0))
    assert first.exists()
