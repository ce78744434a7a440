"""Parts of tables: what is asked of a table has the same answer from the rows that are read for it as from all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
import typed_events
from events import START, TABLE, events, facts, moment, view
from noria.core.clock import from_epoch, since_epoch
from noria.core.files import LocalFiles
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.data.stored import StoredRows
from noria.data.table import Snapshot, SnapshotRows
from noria.features.fields import table_rows
from noria.features.keys import key_texts
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes
from noria.features.part import Need, part, part_of_keys
from noria.features.skew import Served, measure_skew, spine_of
from noria.stores.tables import DeltaTables

FRESH = st.sampled_from([None, "10m"])


@contextmanager
def stored(rows: list[dict[str, Any]], folder: Path, given: SnapshotRows | None = None) -> Iterator[StoredRows]:
    """Events in a store, in two files."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        store, given = DeltaTables(Path(scratch)), given or facts(rows)
        for some in (given.rows.slice(0, len(rows) // 2), given.rows.slice(len(rows) // 2)):
            version = store.append(given.table.name, some, {})
        yield StoredRows(given.table, replace(given.snapshot, version=version), store)


def feature_set(freshness: str | None) -> nr.FeatureSet:
    unlimited = nr.FeatureView("ever", TABLE, entity="line", aggregate={"ever": nr.count(window="unlimited")})
    return nr.FeatureSet("f", spine=TABLE, views=[view(freshness), unlimited])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@given(rows=typed_events.events, freshness=FRESH.filter(lambda f: f != "10m"), start=st.integers(0, 250), length=st.integers(1, 120))
@settings(max_examples=8, deadline=None)
def test_features_of_every_type_are_those_from_all_rows(
    folder: Path, rows: list[dict[str, Any]], freshness: str | None, start: int, length: int
) -> None:
    features = nr.FeatureSet("f", spine=typed_events.TABLE, views=[typed_events.view(freshness)])
    with stored(rows, folder, typed_events.facts(rows)) as there:
        offline, whole = (OfflineFeatures(features, [rows], folder, LocalFiles()) for rows in (there, there.whole))
        some, all_rows = (o._compute(moment(start), moment(start + length)) for o in (offline, whole))
        assert offline.fields == whole.fields
        assert table_rows(offline.fields, some).dicts() == table_rows(whole.fields, all_rows).dicts()


@given(rows=events, freshness=FRESH, start=st.integers(0, 250), length=st.integers(1, 120))
@settings(max_examples=8, deadline=None)
def test_features_of_a_stretch_are_those_from_all_rows(
    folder: Path, rows: list[dict[str, Any]], freshness: str | None, start: int, length: int
) -> None:
    with stored(rows, folder) as there:
        offline = OfflineFeatures(feature_set(freshness), [there], folder, LocalFiles())
        whole = OfflineFeatures(feature_set(freshness), [there.whole], folder, LocalFiles())
        some, all_rows = (o._compute(moment(start), moment(start + length)) for o in (offline, whole))
        assert some.equals(all_rows) or some.to_pandas().equals(all_rows.to_pandas())  # where NaN equals NaN


@given(rows=events, freshness=FRESH, asked=st.lists(st.integers(0, 300), min_size=1, max_size=6))
@settings(max_examples=8, deadline=None)
def test_skew_is_that_from_all_rows(folder: Path, rows: list[dict[str, Any]], freshness: str | None, asked: list[int]) -> None:
    with stored(rows, folder) as there:
        features, names = feature_set(freshness), ["a|1", "a|2", "b|1", "c|2", None]
        at = np.array([since_epoch(moment(minute)) for minute in asked], np.int64)
        zeros = Rows.dense(tuple(map(Field, features.features)), np.zeros((len(at), len(features.features)), np.float32))
        served = Served([names[i % len(names)] for i in range(len(at))], at, zeros)
        found = []
        for known in (there, there.whole):
            engine = OfflineFeatures(features, [known], folder, LocalFiles()).engine_at(served.keys, served.at)
            _, place = spine_of(features, engine, served.keys, served.at)
            found.append((place.tolist(), repr(measure_skew(features, engine, served).to_dict())))
        assert found[0] == found[1]


@given(rows=events, known=st.integers(0, 400))
@settings(max_examples=8, deadline=None)
def test_outcomes_are_those_from_all_rows(folder: Path, rows: list[dict[str, Any]], known: int) -> None:
    label = nr.Label(TABLE, "whole", positive=1)
    keys = ["a|1", "b|2", None, "c|1", "no such key", "a|1"]
    with stored(rows, folder) as there:
        some, whole = (Outcomes(each, label) for each in (there, there.whole))
        for _ in range(2):
            np.testing.assert_array_equal(some.known_at(keys, moment(known)), whole.known_at(keys, moment(known)))
            np.testing.assert_array_equal(some.known_since(keys), whole.known_since(keys))


def test_only_the_rows_of_the_keys_are_read(folder: Path) -> None:
    event = {"city": "ams", "line": 1, "value": 1.0, "whole": 1, "at": 5, "known": 6, "gone": False}
    rows = [{**event, "id": name, "part": number} for name in "abc" for number in (1, 2)]
    with stored(rows, folder) as there:
        found = part_of_keys(there, ["a|1", "c|2"], TABLE.keys)
        assert key_texts(found.rows, TABLE.keys).to_pylist() == ["a|1", "c|2"]
        assert part_of_keys(there.whole, ["a|1"], TABLE.keys).rows.num_rows == len(rows)


def test_the_first_prediction_is_found_without_all_columns(folder: Path) -> None:
    event = {"city": "ams", "line": 1, "value": 1.0, "whole": 1, "known": 6, "gone": False, "part": 1}
    with stored([{**event, "id": name, "at": minute} for name, minute in (("a", 50), ("b", 9))], folder) as there:
        offline = OfflineFeatures(feature_set(None), [there], folder, LocalFiles())
        assert offline.first() == START + timedelta(minutes=9)
        assert offline.rows(START, from_epoch(since_epoch(START) + 1)).num_rows == 0
        assert isinstance(there.columns(["at", "id"]), pa.Table)


@pytest.mark.parametrize("type_", [pa.int64(), pa.int16(), pa.string(), pa.float64(), pa.decimal128(28, 2)])
@pytest.mark.parametrize("wanted", [["3", "11"], ["-2"], ["3.5"], ["x"], [], ["99999999999999999999", "7"]])
def test_a_key_of_one_column_is_found_whatever_its_type(folder: Path, type_: pa.DataType, wanted: list[str]) -> None:
    numbers = [3, -2, 7, 11, 200, None]
    at = pa.array([START] * len(numbers), pa.timestamp("us", tz="UTC"))
    table = nr.Table("numbers", nr.files("none.parquet"), key="id", event_time="at")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        store = DeltaTables(Path(scratch))
        rows = pa.table({"id": pa.array(numbers, pa.int64()).cast(type_), "at": at})
        there = StoredRows(table, Snapshot("numbers", store.append("numbers", rows, {}), "", len(numbers)), store)
        texts = key_texts(there.whole.rows, ["id"]).to_pylist()
        found = part_of_keys(there, wanted, ["id"])
        assert key_texts(found.rows, ["id"]).to_pylist() == [text for text in texts if text in wanted]
        needed = part(there, Need(since_epoch(START), keys=pa.array(wanted, pa.string())))
        assert key_texts(needed.rows, ["id"]).to_pylist() == [text for text in texts if text in wanted or text is None]
