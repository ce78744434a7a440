"""Versioned tables: cheap small appends, versions that bundles refer to, several writers, and no flipped bit unnoticed."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from noria.core.errors import NoriaError
from noria.stores.tables import MANY_FILES, DamagedTable, DeltaTables


def rows(*numbers: int) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64()), "text": [f"value {n}" for n in numbers]})


def numbers(store: DeltaTables, version: int | None = None) -> list[int]:
    chosen = store.latest("t") if version is None else version
    assert chosen is not None
    return store.read("t", chosen).column("n").to_pylist()


def test_every_version_stays_readable_and_has_its_facts(tmp_path: Path) -> None:
    store = DeltaTables(tmp_path)
    versions = [store.append("t", rows(i), {"i": i}) for i in range(3)]
    assert versions == [0, 1, 2]
    assert [numbers(store, v) for v in versions] == [[0], [0, 1], [0, 1, 2]]
    assert [store.details("t", v)["i"] for v in versions] == [0, 1, 2]
    assert store.count("t") == 3


def test_a_table_is_read_as_of_a_time(tmp_path: Path) -> None:
    store = DeltaTables(tmp_path)
    before = datetime.now(UTC)  # noqa: TID251 - Delta stamps commits by the machine's clock
    store.append("t", rows(1), {})
    time.sleep(0.05)
    between = datetime.now(UTC)  # noqa: TID251
    time.sleep(0.05)
    store.append("t", rows(2), {})
    assert store.version_at("t", before - timedelta(seconds=1)) is None
    assert store.version_at("t", between) == 0
    assert store.version_at("t", between + timedelta(minutes=1)) == 1


def test_many_small_appends_are_compacted_and_keep_every_row_and_fact(tmp_path: Path) -> None:
    store = DeltaTables(tmp_path)
    for i in range(MANY_FILES + 20):
        store.append("t", rows(i), {"i": i})
    assert numbers(store) == list(range(MANY_FILES + 20))
    assert store.details("t") == {"i": MANY_FILES + 19}
    assert len(list((tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet"))) >= 1
    table = store._open("t")
    assert table is not None
    assert len(table.file_uris()) < 30


def test_retention_removes_what_no_kept_version_needs(tmp_path: Path) -> None:
    store = DeltaTables(tmp_path)
    for i in range(5):
        store.append("t", rows(i), {"i": i})
    store.compact("t")
    store.append("t", rows(5), {"i": 5})
    store.compact("t")
    assert store.retain("t", [2], timedelta(0)) > 0
    assert numbers(store, 2) == [0, 1, 2]
    assert numbers(store) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(DamagedTable, match="gone"):
        numbers(store, 4)


def test_several_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    code = """if True:
        import sys, pathlib, pyarrow as pa
        from noria.stores.tables import DeltaTables
        store, start = DeltaTables(pathlib.Path(sys.argv[1])), int(sys.argv[2])
        for i in range(start, start + 10):
            with store.writing("t"):
                store.append("t", pa.table({"n": pa.array([i], pa.int64()), "text": [f"value {i}"]}), {"i": i})"""
    DeltaTables(tmp_path).append("t", rows(-1), {})
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(100 * i)]) for i in range(3)]
    assert [w.wait() for w in writers] == [0, 0, 0]
    assert numbers(DeltaTables(tmp_path)) == [-1, *sorted(100 * w + i for w in range(3) for i in range(10))]


def test_no_flipped_bit_and_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    """Each damage is answered with an error or with the right rows, never with others (a seeded tenth of the promised 2,000)."""
    whole = DeltaTables(tmp_path / "whole")
    for i in range(6):
        whole.append("t", rows(*range(10 * i, 10 * i + 10)), {"i": i})
    whole.compact("t")
    expected = numbers(whole)
    rng, refused = random.Random(3), 0
    files = sorted(p for p in (tmp_path / "whole" / "t").rglob("*") if p.is_file())
    for round_ in range(220):
        folder = tmp_path / f"damaged{round_}"
        shutil.copytree(tmp_path / "whole", folder)
        victim = folder / rng.choice(files).relative_to(tmp_path / "whole")
        data = bytearray(victim.read_bytes())
        if round_ % 5 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        victim.write_bytes(data)
        try:
            assert numbers(DeltaTables(folder)) == expected, victim
        except NoriaError:
            refused += 1
        shutil.rmtree(folder)
    assert refused > 60


def test_without_sums_a_flipped_bit_is_served(tmp_path: Path) -> None:
    """The sabotage: what the test above guards against does happen when the sums are gone."""
    store = DeltaTables(tmp_path)
    store.append("t", rows(*range(1000)), {})
    [path] = (tmp_path / "t").glob("*.parquet")
    (tmp_path / "t" / "_sums.log").unlink()
    wrong = 0
    data = path.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 150)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        (tmp_path / "t" / "_sums.log").unlink(missing_ok=True)
        try:
            wrong += store.read("t", 0) != rows(*range(1000))
        except (NoriaError, Exception):  # noqa: BLE001 - any refusal is fine here, only silence is counted
            continue
    assert wrong > 0
