"""The prediction log: torn tails, damage, failing disks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import FailingFiles
from noria.core.clock import since_epoch
from noria.core.files import LocalFiles
from noria.core.ids import PredictionIds
from noria.core.signature import Signature
from noria.serving.log.log_filter import LogFilter, UnknownField
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import DamagedLog, LogFailed, PredictionLog, read_log

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
FILES = LocalFiles()


def batch(number: int, rows: int = 4, width: int = 3, bundle: list[str] | None = None, names: Sequence[str] = ()) -> Predictions:
    at = since_epoch(START) + number * 1_000_000
    received = np.arange(at, at + rows, dtype=np.int64)
    return Predictions.of_block(
        ids=PredictionIds("w", number * 1000).take((received // 1000).tolist()),
        keys=[f"k{number}-{i}" if i else None for i in range(rows)],
        variant=["champion"] * rows,
        bundle=bundle or ["b"] * rows,
        received_us=received,
        latency_us=np.full(rows, 7, np.int32),
        features=np.full((rows, width), number, np.float32),
        prediction=np.linspace(0, 1, rows),
        names=names,
    )


def read(folder: Path) -> Predictions | None:
    return read_log(folder, START - timedelta(hours=1), START + timedelta(hours=1), FILES)


def write(folder: Path, numbers: range) -> Path:
    log = PredictionLog(folder, "w", FILES)
    for n in numbers:
        log.append(batch(n))
    log.sync()
    log.close()
    return next(folder.glob("w/*.seg"))


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    found = read(tmp_path)
    assert found is not None
    expected = [batch(n) for n in range(5)]
    assert found.ids == [i for b in expected for i in b.ids]
    assert found.keys == [k for b in expected for k in b.keys]
    assert np.array_equal(found.numbers, np.concatenate([b.numbers for b in expected]))
    assert np.array_equal(found.prediction, np.concatenate([b.prediction for b in expected]))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_torn_tail_is_dropped_and_writing_goes_on(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("torn")
    path = write(folder, range(3))
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    before = read(folder)
    kept = 0 if before is None else len(before)
    assert kept in (0, 4, 8, 12)
    log = PredictionLog(folder, "w", FILES)
    log.append(batch(9))
    log.sync()
    log.close()
    after = read(folder)
    assert after is not None
    assert len(after) == kept + 4
    assert after.ids[:kept] == [i for n in range(3) for i in batch(n).ids][:kept]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_never_served(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    path = write(folder, range(3))
    damaged = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(damaged))
    good = [i for n in range(3) for i in batch(n).ids]
    try:
        found = read(folder)
    except DamagedLog:
        return
    # only the mark at the end may go unread without a complaint: a torn tail looks just like it
    assert found is not None
    assert found.ids == good


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_failing_disk_is_never_silent(tmp_path: Path, nth: int) -> None:
    files = FailingFiles(nth)
    acknowledged: list[str] = []
    try:
        log = PredictionLog(tmp_path, "w", files)
        for n in range(4):
            log.append(batch(n))
            log.sync()
            acknowledged += batch(n).ids
    except (LogFailed, OSError):
        assert files.failed
        if "log" in locals():
            with pytest.raises(LogFailed):
                log.append(batch(9))
            with pytest.raises(LogFailed):
                log.sync()
    else:
        assert not files.failed
    found = read(tmp_path)
    assert acknowledged == ([] if found is None else found.ids[: len(acknowledged)])


def test_models_of_other_columns_share_a_segment_and_each_is_read_back_in_its_own(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "w", FILES)
    wide = batch(1, width=5, bundle=["wide"] * 4)
    for rows in (batch(0), wide, batch(2)):
        log.append(rows)
    log.sync()
    log.close()
    log = PredictionLog(tmp_path, "w", FILES)
    log.append(batch(3, width=5, bundle=["wide"] * 4))  # after a restart, by the schemas that are there
    log.close()
    assert len(list(tmp_path.glob("w/*.seg"))) == 1
    found = read(tmp_path)
    assert found is not None
    assert found.of("b").numbers.shape == (8, 3)
    assert found.of("wide").numbers.tolist() == [*[[1.0] * 5] * 4, *[[3.0] * 5] * 4]
    assert found.prediction.tolist() == [*np.linspace(0, 1, 4)] * 4


def kept_ids(kept: LogFilter, rows: Predictions) -> set[str]:
    found = kept(rows)
    return set() if found is None else set(found.ids)


def test_a_share_of_the_rows_is_kept_the_same_ones_whenever_they_are_asked_about() -> None:
    """By a hash of time and place: of 40,000 rows a quarter, within four standard errors; a larger share holds the smaller one."""
    rows = [batch(n, rows=40) for n in range(1000)]
    kept: dict[float, list[set[str]]] = {}
    for share in (0.25, 0.5):
        of = LogFilter(share=share)
        kept[share] = [kept_ids(of, b) for b in rows]
        assert [kept_ids(of, b) for b in rows] == kept[share]
    assert sum(map(len, kept[0.25])) == pytest.approx(10_000, abs=4 * np.sqrt(40_000 * 0.25 * 0.75))
    assert sum(map(len, kept[0.5])) == pytest.approx(20_000, abs=4 * np.sqrt(40_000 * 0.25))
    assert all(few <= more for few, more in zip(kept[0.25], kept[0.5], strict=True))
    assert max(map(len, kept[0.25])) < 40


def test_rows_that_belong_together_are_kept_together_or_not_at_all() -> None:
    """Requests of 1 to 9 rows: the share is of requests, and an answer's rows are those of its shadow's."""
    kept = LogFilter(share=0.3)
    sizes = [1, 4, 9, 2, 6, 3, 7, 8]
    ends = np.cumsum(sizes)
    requests = whole = 0
    for n in range(1000):
        rows = batch(n, rows=int(ends[-1]))
        found = kept(rows, sizes)
        ids = set() if found is None else set(found.ids)
        shares = [len(ids & set(rows.ids[end - size : end])) / size for size, end in zip(sizes, ends, strict=True)]
        assert set(shares) <= {0.0, 1.0}
        requests, whole = requests + len(sizes), whole + shares.count(1.0)
    assert whole == pytest.approx(0.3 * requests, abs=4 * np.sqrt(requests * 0.3 * 0.7))


def test_rows_are_chosen_by_splitmix64() -> None:
    """Beside the same finaliser in Python's whole numbers."""

    def hashed(received_us: int, place: int) -> int:
        mixed = (received_us + place * 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return mixed >> 32

    rows = batch(3, rows=500)
    of = [row for place, row in enumerate(rows.ids) if hashed(int(rows.received_us[place]), place) < int(0.37 * 2**32)]
    assert kept_ids(LogFilter(share=0.37), rows) == set(of)


def test_all_or_nothing_is_kept_by_a_share_of_one_or_none() -> None:
    assert LogFilter()(batch(1)) is not None
    assert LogFilter(share=0.0)(batch(1)) is None
    whole = batch(2)
    assert LogFilter(share=1.0)(whole) is whole


def test_what_is_redacted_is_unknown_and_the_rest_stays_as_it_was() -> None:
    rows = batch(3, names=("a", "b", "c"))
    found = LogFilter(redact=["b"])(rows)
    assert found is not None
    assert np.isnan(found.numbers[:, 1]).all()
    assert found.numbers[:, [0, 2]].tolist() == rows.numbers[:, [0, 2]].tolist()
    assert (found.keys, found.ids) == (rows.keys, rows.ids)
    assert not np.isnan(rows.numbers).any(), "what is answered with is not touched"
    other = LogFilter(redact=["key", "d"])(rows)
    assert other is not None
    assert (other.keys, other.numbers.tolist()) == ([None] * 4, rows.numbers.tolist())


def test_a_field_that_no_model_has_is_refused_by_name() -> None:
    LogFilter(redact=["a", "key"]).require(["a", "b"])
    with pytest.raises(UnknownField, match=r"no field 'pric' .*did you mean 'price'.*: price, key"):
        LogFilter(redact=["key", "pric"]).require(["price", "price"])


def test_a_stretch_of_the_log_holds_its_first_microsecond_and_not_its_last(tmp_path: Path) -> None:
    """Batch 1 has rows at 1,000,000 to 1,000,003 µs after the start."""
    write(tmp_path, range(3))
    second = START + timedelta(seconds=1)
    for first, last, expected in ((0, 4, 4), (1, 4, 3), (0, 3, 3), (1, 2, 1), (2, 2, 0), (4, 9, 0)):
        found = read_log(tmp_path, second + first * timedelta(microseconds=1), second + last * timedelta(microseconds=1), FILES)
        assert (0 if found is None else len(found)) == expected
        if found is not None:
            assert found.ids == batch(1).ids[first:last]


def test_logs_of_several_writers_are_one_in_order_of_time_and_midnight_divides_none_of_it(tmp_path: Path) -> None:
    late = int(timedelta(hours=11, minutes=59, seconds=58) / timedelta(seconds=1))
    for writer, numbers in (("a", range(late, late + 6, 2)), ("b", range(late + 1, late + 6, 2))):
        log = PredictionLog(tmp_path, writer, FILES)
        for n in numbers:
            log.append(batch(n))
        log.sync()
        log.close()
    found = read_log(tmp_path, START, START + timedelta(hours=13), FILES)
    assert found is not None
    assert found.received_us.tolist() == [at for n in range(late, late + 6) for at in batch(n).received_us.tolist()]
    assert {path.name[:10] for path in tmp_path.glob("*/*.seg")} == {"2024-01-01", "2024-01-02"}


def test_rows_are_picked_by_bundle_and_variant_with_all_that_is_known_of_them() -> None:
    rows = replace(batch(5, bundle=["x", "y", "x", "y"]), variant=["champion", "champion", "shadow", "shadow"])
    for picked, places in ((rows.of("y"), [1, 3]), (rows.by("shadow"), [2, 3]), (rows.of("z"), [])):
        assert (picked.ids, picked.keys) == ([rows.ids[i] for i in places], [rows.keys[i] for i in places])
        assert (picked.bundle, picked.variant) == ([rows.bundle[i] for i in places], [rows.variant[i] for i in places])
        assert picked.received_us.tolist() == rows.received_us[places].tolist()
        assert picked.latency_us.tolist() == rows.latency_us[places].tolist()
        assert picked.prediction.tolist() == rows.prediction[places].tolist()
        assert sum(len(values.inputs) for values in picked.values.values()) == len(places)


def test_a_log_that_kept_no_names_gives_a_bundle_the_first_columns() -> None:
    narrow = Signature.of_numbers(["a", "b"])
    found = batch(5).inputs(narrow)
    assert found.names == ("a", "b")
    assert found.block.tolist() == batch(5).numbers[:, :2].tolist()
