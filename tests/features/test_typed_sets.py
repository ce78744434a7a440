"""Training sets of every type: what a trainer gets, what names them, and that sets of numbers are named as they always were."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import events as numeric
import noria as nr
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.data.table import Snapshot, SnapshotRows
from noria.evaluation.binary import Binary
from noria.features.offline import OfflineFeatures
from noria.features.online import Layout
from noria.features.outcomes import Outcomes
from noria.features.sealed import LostDefinition, opened
from noria.features.training_set import BadWeights, NotOneBlock, TrainingSet, build_training_set, content_hash
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.request import rows_of
from noria.training.sealing import _sample
from typed_events import FIELDS, START, VALUES, facts, moment, view

SPINE = nr.Table("spine", nr.files("none"), key="id", event_time="at")
COUNT = 40


@nr.request_transform("hour", "pair", types={"pair": "string"})
def asked_with(rows: pa.Table) -> dict[str, Any]:
    return {"hour": np.arange(rows.num_rows) * 0.5, "pair": [f"{city}!" for city in rows["city"].to_pylist()]}


def spine() -> SnapshotRows:
    rows = {
        "id": [f"{i}" for i in range(COUNT)],
        "city": ["ams", "ber"] * (COUNT // 2),
        "line": pa.array([1] * COUNT, pa.int32()),
        "at": pa.array([moment(i * 7) for i in range(COUNT)], pa.timestamp("us", tz="UTC")),
        "y": [i % 2 for i in range(COUNT)],
    }
    return SnapshotRows(SPINE, Snapshot("spine", 0, "", COUNT), pa.table(rows))


def trained_on(offline: OfflineFeatures, days: int = 3) -> TrainingSet:
    label, told = nr.Label(SPINE, "y"), spine()
    return build_training_set(
        offline, label, Outcomes(told, label, told), Binary(), start=offline.first(), as_of=START + timedelta(days=days)
    )


def typed(folder: Path) -> OfflineFeatures:
    rows = [
        {"id": f"e{i}", "city": ["ams", "ber"][i % 2], "at": i * 5, "known": i * 5 + i % 3, "gone": False}
        | {name: values[i % len(values)] for name, values in VALUES.items()}
        for i in range(60)
    ]
    features = nr.FeatureSet("f", spine=SPINE, views=[view("15m")], request=[asked_with])
    return OfflineFeatures(features, [spine(), facts(rows)], folder, LocalFiles())


def test_a_trainer_gets_each_column_in_its_own_type(tmp_path: Path) -> None:
    made = trained_on(typed(tmp_path))
    assert made.fields == (*FIELDS, Field("hour"), Field("pair", "string"))
    data = made.dataset()
    assert (len(data), data.names) == (COUNT, made.names)
    assert data.columns["pair"].to_pylist()[:2] == ["ams!", "ber!"]
    assert data.columns["tags"].type == pa.list_(pa.string())
    assert data.to_arrow().schema.names == list(made.names)
    assert data.columns["hour"].type == pa.float32()
    some = made.dataset(np.arange(COUNT) < 3)
    assert some.columns["pair"].to_pylist() == ["ams!", "ber!", "ams!"]
    assert some.labels.tolist() == [0, 1, 0]


def test_a_column_says_how_much_rows_count(tmp_path: Path) -> None:
    made = trained_on(typed(tmp_path))
    keep = np.arange(COUNT) > 1
    weights = made.dataset(weights="n").weights
    assert weights is not None
    assert weights.tolist() == made.rows.column("n").to_pylist()
    assert made.dataset(keep, weights="n").weights.tolist() == weights[keep].tolist()
    assert made.dataset().weights is None
    for column, why in (("m", "neither the spine"), ("text", "of type string")):
        with pytest.raises(BadWeights, match=why):
            made.dataset(weights=column)


def test_a_frame_keeps_texts_and_times(tmp_path: Path) -> None:
    frame = trained_on(typed(tmp_path)).dataset().to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["pair"][0] == "ams!"
    assert str(frame["seen"].dtype) == "datetime64[us, UTC]"
    assert frame["n"].dtype == np.int64


def test_one_matrix_of_numbers_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotOneBlock, match=r"kinds: int64.*train\.to_pandas"):
        _ = trained_on(typed(tmp_path)).dataset().features


def test_the_sealed_sample_is_read_back_as_the_rows_that_it_is_of(tmp_path: Path) -> None:
    made = trained_on(typed(tmp_path))
    sample = json.loads(json.dumps(msgspec.to_builtins(_sample(made.features, Rows.dense((SCORE,), np.zeros((COUNT, 1)))))))
    rows = [dict(zip(made.names, row, strict=True)) for row in sample["inputs"]]
    asked = Decoder(Signature(made.fields, (SCORE,))).plain(msgspec.json.encode({"rows": rows}))
    assert rows_of([asked], made.fields).dicts() == made.features.part(0, len(rows)).dicts()


def test_a_typed_set_is_computed_once_and_found_again_by_its_content(tmp_path: Path) -> None:
    first = trained_on(typed(tmp_path))
    kept = sorted(path.name for path in tmp_path.iterdir())
    again = trained_on(typed(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert again.id == first.id == trained_on(typed(tmp_path / "elsewhere")).id
    assert again.features.dicts() == first.features.dicts()


def test_weeks_of_a_table_whose_types_have_changed_are_not_mixed_up(tmp_path: Path) -> None:
    """The definition and the digest of what is known are equal: only the column's type is another."""
    table = nr.Table("codes", nr.files("none"), key="id", event_time="at")
    asked = nr.FeatureView("v", table, entity="city", latest=["code"], ttl="10d", typed=True)
    features = nr.FeatureSet("f", spine=SPINE, views=[asked])
    for codes in (pa.array([7]), pa.array(["seven"])):
        rows = pa.table({"id": ["e"], "city": ["ams"], "code": codes, "at": pa.array([START], pa.timestamp("us", tz="UTC"))})
        offline = OfflineFeatures(features, [spine(), SnapshotRows(table, Snapshot("codes", 0, "", 1), rows)], tmp_path, LocalFiles())
        assert offline.rows(START, START + timedelta(days=1)).column("code").to_pylist()[0] == codes[0].as_py()


COLUMNS = {
    "string": [["a", "b"], ["ab", ""], ["a", None], [None, "a"], ["a", ""], ["b", "a"]],
    "string[any]": [[["a", "b"], []], [["ab"], []], [["a"], ["b"]], [["a", "b"], None], [["a", None], ["b"]], [[None, "a"], ["b"]]],
    "bool": [[True, False], [True, None], [False, True], [None, True]],
    "timestamp": [[START, None], [None, START], [START, START]],
    "int64": [[0, None], [0, 0], [None, 0], [2**53, 2**53 + 1], [2**53, 2**53]],
    "float64": [[0.0, None], [0.0, 0.0], [0.1, 0.2]],
    "float32[2]": [[[1, 2], [3, 4]], [[1, 2], None], [[1, 2], [0, 0]]],
    "bytes": [[b"a", b""], [b"", b"a"], [b"a", None]],
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_other_values_have_another_hash_and_equal_ones_the_same_however_they_lie_in_memory(kind: str) -> None:
    field = Field.written("x", kind)
    made = [Rows.of_values((field,), [(value,) for value in values]) for values in COLUMNS[kind]]
    assert len({content_hash(rows) for rows in made}) == len(made)
    for rows in made:
        longer = Rows.of_values((field,), [*rows.values() * 3])
        assert content_hash(longer.part(2, 4)) == content_hash(longer.take([4, 5])) == content_hash(rows)
    assert content_hash(Rows.of_values((field,), [])) != content_hash(Rows.of_values((Field("y", field.type, field.shape),), []))


def test_a_set_of_numbers_is_named_as_before_there_were_types(tmp_path: Path) -> None:
    """The names of records in the store, of cached weeks and of a training set, from when every feature was a float32."""
    rows = [
        {"id": f"e{i}", "part": 1, "city": ["ams", "ber"][i % 2], "line": 1, "value": i / 7 if i % 5 else None, "whole": i % 4}
        | {"at": i * 5, "known": i * 5 + i % 3, "gone": i % 11 == 0}
        for i in range(60)
    ]
    features = nr.FeatureSet("f", spine=SPINE, views=[numeric.view("15m")])
    offline = OfflineFeatures(features, [spine(), numeric.facts(rows)], tmp_path, LocalFiles())
    made = trained_on(offline)
    assert Layout(features.views[0]).prefix == b"v/c4d44365/"
    assert made.id == "e87bc340e9230e5349d9ee80e7d012f8624283182df74b24b734c268a7a4d061"
    assert [path.name for path in tmp_path.iterdir()] == ["4776791b47368fb6048d2418c6b0086b17cc89c413c9af4b285d0c581bf39117.arrow"]
    assert made.dataset().features.dtype == np.float32
    assert {column.type for column in made.dataset().columns.values()} == {pa.float32()}


def test_typed_definitions_come_back_as_they_were_sealed() -> None:
    asked = nr.FeatureView("v", SPINE, entity="city", latest=["line"], ttl="1h", typed=True)
    features = nr.FeatureSet("f", spine=SPINE, views=[asked], request=[asked_with])
    sealed = features.definition()
    sealed["views"][0]["entity"], sealed["views"][0]["key"] = ["city"], ["id"]
    found = opened(sealed, features.features, spine=SPINE, lead="0s", transforms=[asked_with])
    assert found.views[0].typed
    assert found.definition_hash() == features.definition_hash()
    untyped = nr.request_transform("hour", "pair")(asked_with.compute)
    with pytest.raises(LostDefinition, match="has changed since"):
        opened(sealed, features.features, spine=SPINE, lead="0s", transforms=[untyped])


def test_doubles_alone_are_one_matrix_too(tmp_path: Path) -> None:
    table = nr.Table("sums", nr.files("none"), key="id", event_time="at")
    asked = nr.FeatureView("v", table, entity="city", latest=["sum"], ttl="10d", typed=True)
    rows = pa.table({"id": ["e"], "city": ["ams"], "sum": [0.1], "at": pa.array([START], pa.timestamp("us", tz="UTC"))})
    tables = [spine(), SnapshotRows(table, Snapshot("sums", 0, "", 1), rows)]
    offline = OfflineFeatures(nr.FeatureSet("f", spine=SPINE, views=[asked]), tables, tmp_path, LocalFiles())
    features = trained_on(offline).dataset().features
    assert features.dtype == np.float64
    assert features[:2].tolist() == [[0.1], [pytest.approx(np.nan, nan_ok=True)]]


def test_a_frame_without_pandas_says_what_to_install() -> None:
    """In a process of its own, to which pandas is not installed."""
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
sys.meta_path.insert(0, Absent())
import numpy as np
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.features.training_set import Dataset
data = Dataset(Rows.of_values((Field("t", "string"),), [("a",)]), np.zeros(1))
print(data.to_arrow().to_pydict())
data.to_pandas()
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.stdout == "{'t': ['a']}\n"
    assert 'pip install "noria[pandas]"' in done.stderr
