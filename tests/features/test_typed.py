"""Features of every type: what was known at each moment, offline and online alike; sets of numbers stay one block of float32."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.core.clock import since_epoch
from noria.core.signature import Field, UnknownType
from noria.data.ingest import facts as ingested
from noria.data.ingest import push
from noria.data.rows import Rows as ValueRows
from noria.data.table import Snapshot, SnapshotRows
from noria.features.computed import computed, fields_of
from noria.features.feature_set import BadTransform, transformed
from noria.features.fields import NoFeatureType, NotANumber, as_rows
from noria.features.materialize import Materializer
from noria.features.online import DamagedRecord, Layout, OnlineFeatures, online_rows
from noria.features.point_in_time import PointInTime
from noria.features.skew import Served, measure_skew
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables
from typed_events import COLUMNS, FIELDS, SCHEMA, START, TABLE, VALUES, arrow, events, facts, moment, oracle, spine_of, spines, view

Rows = list[dict[str, Any]]
ONE = {name: values[0] for name, values in VALUES.items()}
NOTHING = dict.fromkeys(COLUMNS)


def event(name: str = "a", city: str | None = "ams", at: int = 0, known: int | None = None, **values: Any) -> dict[str, Any]:
    return {"id": name, "city": city, **ONE, "at": at, "known": at if known is None else known, "gone": False, **values}


def offline(rows: Rows, spine: Rows, asked: nr.FeatureView) -> Rows:
    features = nr.FeatureSet("f", spine=TABLE, views=[asked])
    engine = PointInTime([facts(rows)])
    return as_rows(engine.bind(asked).fields, computed(features, engine, spine_of(spine)), len(spine)).dicts()


# --- offline ------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(events, spines, st.sampled_from([None, "15m"]))
def test_every_value_of_every_type_is_what_was_known_at_its_time(rows: Rows, spine: Rows, freshness: str | None) -> None:
    for asked, found in zip(spine, offline(rows, spine, view(freshness)), strict=True):
        expected = oracle(rows, asked, freshness)
        if not any(r["city"] == asked["city"] for r in rows):
            expected["hours"] = None
        assert found == expected | ({"hours": found["hours"]} if found["hours"] is None else {})


def test_the_types_follow_from_the_tables_schema() -> None:
    features = nr.FeatureSet("f", spine=TABLE, views=[view()])
    assert fields_of(features, {"typed": SCHEMA}) == FIELDS


@pytest.mark.parametrize("column", COLUMNS)
def test_a_late_row_and_a_correction_count_from_when_they_were_known(column: str) -> None:
    asked = nr.FeatureView("v", TABLE, entity="city", latest=[column], ttl="5h", typed=True)
    old, new = VALUES[column][0], VALUES[column][1]
    rows = [
        event(at=0, **{column: old}),
        event(at=0, known=100, **{column: new}),  # a correction
        event("b", at=10, known=200, **{column: None}),  # a late row with nothing in it
    ]
    found = [row[column] for row in offline(rows, [{"city": "ams", "_at": at} for at in (0, 99, 100, 199, 200)], asked)]
    as_times = [None if v is None or column != "day" else datetime.combine(v, datetime.min.time(), UTC) for v in (old, new)]
    old, new = as_times if column == "day" else (old, new)
    assert found == [old, old, new, new, None]


def test_numbers_and_truth_values_alone_are_one_block_of_float32() -> None:
    asked = nr.FeatureView(
        "v", TABLE, entity="city", latest=["big", "flag", "value"], aggregate={"any": nr.maximum("flag", window="1h")}, ttl="1h"
    )
    features = nr.FeatureSet("f", spine=TABLE, views=[asked])
    assert fields_of(features, {"typed": SCHEMA}) == tuple(map(Field, ("any", "big", "flag", "value")))
    engine = PointInTime([facts([event(flag=False, big=3), event("b", "ber", flag=None, big=None, value=None)])])
    found = as_rows(
        fields_of(features, {"typed": SCHEMA}), computed(features, engine, spine_of([{"city": c, "_at": 1} for c in ("ams", "ber")])), 2
    )
    assert found.is_dense
    assert found.block.dtype == np.float32
    np.testing.assert_array_equal(found.block, np.array([[0, 3, 0, 0.1], [np.nan] * 4], np.float32))


def test_a_view_says_that_its_numbers_keep_their_types_and_is_another_one_then() -> None:
    views = [nr.FeatureView("v", TABLE, entity="city", latest=["big", "flag"], ttl="1h", typed=typed) for typed in (False, True)]
    plain, typed = (nr.FeatureSet("f", spine=TABLE, views=[each]) for each in views)
    assert fields_of(typed, {"typed": SCHEMA}) == (Field("big", "int64"), Field("flag", "bool"))
    assert plain.definition_hash() != typed.definition_hash()
    assert "typed" not in plain.views[0].definition()
    assert offline([event()], [{"city": "ams", "_at": 1}], views[1]) == [{"big": 2**53 + 1, "flag": True}]


def test_a_views_types_do_not_depend_on_what_else_a_set_reads() -> None:
    numbers = nr.FeatureView("numbers", TABLE, entity="city", latest=["big"], ttl="1h")
    texts = nr.FeatureView("texts", TABLE, entity="city", latest=["text"], ttl="1h")
    both = nr.FeatureSet("f", spine=TABLE, views=[numbers, texts])
    assert fields_of(both, {"typed": SCHEMA}) == (Field("big"), Field("text", "string"))
    engine = PointInTime([facts([event(big=None)])])
    [found] = as_rows(fields_of(both, {"typed": SCHEMA}), computed(both, engine, spine_of([{"city": "ams", "_at": 1}])), 1).dicts()
    assert found == {"big": None, "text": "Köln"}  # NaN of the block is null here


@pytest.mark.parametrize(
    ("expression", "kind"), [("{'a': 1}", "STRUCT"), ("[[1]]", r"INTEGER\[\]\[\]"), ("known - known", "INTERVAL"), ("known::TIME", "TIME")]
)
def test_what_no_feature_can_be_is_refused_with_its_name(expression: str, kind: str) -> None:
    asked = nr.FeatureView("v", TABLE, entity="city", latest={"odd": expression}, ttl="1h")
    with pytest.raises(NoFeatureType, match=f"'odd' is {kind}"):
        PointInTime([facts([])]).bind(asked)


@pytest.mark.parametrize(("aggregate", "column"), [(nr.mean, "text"), (nr.total, "seen"), (nr.minimum, "tags"), (nr.std, "raw")])
def test_what_an_aggregate_cannot_be_taken_of_is_refused(aggregate: Any, column: str) -> None:
    asked = nr.FeatureView("v", TABLE, entity="city", aggregate={"odd": aggregate(column, window="1h")})
    with pytest.raises(NotANumber, match="'odd' is"):
        PointInTime([facts([])]).bind(asked)


# --- request transforms -------------------------------------------------------------------------------------------------

TYPES = {"pair": "string", "late": "bool", "due": "timestamp", "parts": "string[any]", "place": "float64[2]", "code": "int64"}


def given_as(**values: Any) -> dict[str, list[Any]]:
    """What a transform of columns of these types, and one float32, gives of two rows that it answers with `values`."""

    @nr.request_transform("x", *TYPES, types=TYPES)
    def both(_: pa.Table) -> dict[str, Any]:
        usual = {"x": [1.0, None], "pair": ["a-b", None], "late": [True, None], "due": [START, None], "parts": [["a"], None]}
        return usual | {"place": [[1.0, 2.0], None], "code": [2**60, None]} | values

    rows = pa.table({"k": [1, 2]})
    return as_rows(both.fields, transformed([both], rows), 2).dicts()


FORMS: dict[str, list[Any]] = {
    "pair": [
        pa.array(["a-b", None]),
        np.array(["a-b", None], object),
        pa.array(["a-b", None]).dictionary_encode(),
        np.array(["a-b", np.nan], object),
    ],
    "late": [pa.array([True, None]), np.array([True, None], object), np.ma.masked_array([True, True], [False, True])],
    "due": [np.array([START.replace(tzinfo=None), "NaT"], "datetime64[s]"), pa.array([START, None], pa.timestamp("ns", tz="Asia/Tokyo"))],
    "parts": [pa.array([["a"], None], pa.large_list(pa.string()))],
    "place": [pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))],
    "code": [pa.array([2**60, None]), pa.array([2.0**60, None])],
    "x": [np.array([1.0, np.nan]), pa.array([True, None])],
}
EXPECTED = {"x": 1.0, "pair": "a-b", "late": True, "due": START, "parts": ["a"], "place": [1.0, 2.0], "code": 2**60}


@pytest.mark.parametrize(("name", "values"), [(name, form) for name, forms in FORMS.items() for form in forms])
def test_a_transform_gives_columns_of_its_declared_types_whatever_it_holds_them_in(name: str, values: Any) -> None:
    assert given_as(**{name: values}) == [EXPECTED, dict.fromkeys(EXPECTED)]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("pair", [1, 2], "int64 are not string"),
        ("late", [1, 0], "int64 are not bool"),
        ("code", ["1", "2"], "string are not int64"),
        ("code", [0.5, 1.0], "truncated"),
        ("due", [1, 2], "int64 are not timestamp"),
        ("parts", ["a", "b"], "string are not string"),
        ("place", [[1.0], [2.0, 3.0]], "place"),
        ("pair", ["a"], r"shape \(1,\) for 2 rows"),
        ("x", ["a", "b"], "not numbers"),
    ],
)
def test_a_transform_that_gives_another_type_is_refused_with_the_features_name(name: str, values: Any, words: str) -> None:
    with pytest.raises(BadTransform, match=words) as refused:
        given_as(**{name: values})
    assert name in refused.value.where


def test_types_are_declared_of_features_that_there_are_and_are_types_that_there_are() -> None:
    with pytest.raises(nr.NoriaError, match="did you mean 'pair'"):
        nr.request_transform("pair", types={"piar": "string"})
    with pytest.raises(UnknownType, match="text"):
        nr.request_transform("pair", types={"pair": "text"})


def test_a_set_of_numbers_keeps_its_definition() -> None:
    """The hash that such a set has had before features had types: bundles, training sets and stores are named by it."""

    @nr.request_transform("x")
    def given(rows: pa.Table) -> dict[str, Any]:
        return {"x": rows["k"]}

    asked = nr.FeatureView("v", TABLE, entity="city", aggregate={"n": nr.count(window="60m")}, latest=["value"], ttl="45m")
    features = nr.FeatureSet("f", spine=TABLE, views=[asked], request=[given])
    definition = features.definition()
    assert list(definition["request"]["given"]) == ["features", "code"]
    assert asked.definition() == {
        "name": "v",
        "table": "typed",
        "key": ("id",),
        "event_time": "at",
        "known_at": "known",
        "deleted": "gone",
        "entity": ("city",),
        "aggregate": {"n": "count(*) over 1h"},
        "latest": ["value"],
        "freshness": None,
        "ttl": "45m",
    }


# --- online -------------------------------------------------------------------------------------------------------------


def served(store: LmdbStore, asked: nr.FeatureView, city: str | None, at: int) -> dict[str, Any]:
    features = nr.FeatureSet("f", spine=TABLE, views=[asked])
    [found] = online_rows(features, OnlineFeatures(store, [asked]), spine_of([{"city": city, "_at": at}]), moment(at)).dicts()
    return found


@settings(max_examples=8, deadline=None)
@given(events, spines, st.sampled_from([None, "15m"]))
def test_the_store_gives_at_each_moment_what_the_join_gives(rows: Rows, spine: Rows, freshness: str | None) -> None:
    """The store is brought forward step by step, and opened anew for every step."""
    asked = view(freshness)
    with tempfile.TemporaryDirectory() as scratch:
        tables = DeltaTables(Path(scratch) / "t")
        push(TABLE, tables, arrow(rows))
        expected = offline(rows, spine, asked)
        for i in sorted(range(len(spine)), key=lambda i: spine[i]["_at"]):
            store = LmdbStore(Path(scratch) / "o")
            Materializer(store, tables).run(asked, moment(spine[i]["_at"]))
            assert served(store, asked, spine[i]["city"], spine[i]["_at"]) == expected[i]
            store.close()


@settings(max_examples=6, deadline=None)
@given(events, events)
def test_a_late_batch_marks_what_it_changes_and_that_is_recomputed(first: Rows, late: Rows) -> None:
    asked = view()
    with tempfile.TemporaryDirectory() as scratch:
        tables, store, fresh = DeltaTables(Path(scratch) / "t"), LmdbStore(Path(scratch) / "o"), LmdbStore(Path(scratch) / "f")
        push(TABLE, tables, arrow(first))
        Materializer(store, tables).run(asked, moment(320))
        push(TABLE, tables, arrow(late))
        Materializer(fresh, tables).run(asked, moment(320))
        future = range(320, 367, 5)
        expected = {city: [served(fresh, asked, city, at) for at in future] for city in ("ams", "ber")}
        differing = {city for city, values in expected.items() if [served(store, asked, city, at) for at in future] != values}
        marked = Materializer(store, tables).stale(asked)
        assert differing <= set(marked.column("city").to_pylist() if marked else [])
        Materializer(store, tables).run(asked, moment(320))
        assert Materializer(store, tables).stale(asked) is None
        assert {city: [served(store, asked, city, at) for at in future] for city in expected} == expected
        store.close()
        fresh.close()


def test_an_entity_without_facts_has_counts_of_none_and_nothing_else(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([event()]))
    Materializer(store, tables).run(view(), moment(10))
    for city in ("nowhere", None):
        assert {name: v for name, v in served(store, view(), city, 10).items() if v is not None} == {"n": 0, "kinds": 0}
    store.close()


@pytest.mark.parametrize("place", [0, 5, 13, 25, -1])
def test_a_typed_record_that_was_changed_is_never_served(tmp_path: Path, place: int) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([event()]))
    Materializer(store, tables).run(view(), moment(10))
    [(key, record)] = list(store.scan(Layout(view()).prefix))
    assert OnlineFeatures(store, [view()]).verify() == 1
    damaged = bytearray(record)
    damaged[place] ^= 1
    store.write([(key, bytes(damaged))])
    with pytest.raises(DamagedRecord, match="ams"):
        served(store, view(), "ams", 10)
    with pytest.raises(DamagedRecord, match="ams"):
        OnlineFeatures(store, [view()]).verify()
    store.close()


@pytest.mark.parametrize(
    ("first", "then"), [(pa.array([7]), pa.array(["seven"])), (pa.array([7]), pa.array([7.5])), (pa.array(["seven"]), pa.array([True]))]
)
def test_a_store_that_was_written_in_other_types_is_made_afresh_and_read_as_it_is_now(
    tmp_path: Path, first: pa.Array, then: pa.Array
) -> None:
    """A column of whole numbers is of fractions or texts now: under one definition, since that names columns and not their types."""
    table = nr.Table("codes", nr.files("none"), key="id", event_time="at")
    asked = nr.FeatureView("v", table, entity="city", latest=["code"], aggregate={"t": nr.first("id", window="1h")}, ttl="10d")
    features, store = nr.FeatureSet("f", spine=table, views=[asked]), LmdbStore(tmp_path / "o")
    reader = OnlineFeatures(store, [asked])  # a server's, that goes on
    for folder, code in (("a", first), ("b", then)):
        tables, at = DeltaTables(tmp_path / folder), pa.array([START], pa.timestamp("us", tz="UTC"))
        push(table, tables, pa.table({"id": ["e"], "city": ["ams"], "code": code, "at": at}))
        Materializer(store, tables).run(asked, START + timedelta(minutes=1))
        for online in (reader, OnlineFeatures(store, [asked])):
            [found] = online_rows(features, online, spine_of([{"city": "ams", "_at": 1}]), moment(1)).dicts()
            assert found == {"t": "e", "code": code[0].as_py()}
    store.close()


def test_the_newest_version_of_a_table_is_what_a_view_is_materialized_from(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([event()]))
    Materializer(store, tables).run(view(), moment(10))
    push(TABLE, tables, arrow([event(at=1, text="neu", tags=["z"])]))
    done = Materializer(store, tables).run(view(), moment(10))
    assert done.recomputed == 1
    found = served(store, view(), "ams", 10)
    assert (found["text"], found["tags"]) == ("neu", ["z"])
    assert ingested(TABLE, tables).rows.num_rows == 2
    store.close()


# --- skew ---------------------------------------------------------------------------------------------------------------


def skew_of(*served_rows: dict[str, Any]) -> dict[str, Any]:
    """The skew of what two facts of the spine were served, feature → how many differ and the first example."""
    spine = nr.Table("spine", nr.files("none"), key="id", event_time="at")
    orders = pa.table({"id": ["1", "2"], "city": ["ams", "ber"], "at": pa.array([moment(5)] * 2, pa.timestamp("us", tz="UTC"))})
    asked = SnapshotRows(spine, Snapshot("spine", 0, "", 2), orders)
    latest = nr.FeatureView("v", TABLE, entity="city", latest=list(COLUMNS), ttl="1h", aggregate={"mean": nr.mean("value", window="1h")})
    features = nr.FeatureSet("f", spine=spine, views=[latest])
    engine = PointInTime([asked, facts([event(), event("b", "ber", **NOTHING)])])
    fields = engine.bind(latest).fields
    values = ValueRows.of_values(fields, [[row.get(field.name) for field in fields] for row in served_rows])
    found = measure_skew(features, engine, Served(["1", "2"], np.full(2, since_epoch(moment(5))), values))
    return {f.feature: (f.differing, f.example and (f.example["served"], f.example["offline"])) for f in found.features}


RIGHT = {**ONE, "day": START.replace(month=2, day=29), "mean": 0.1}


def test_what_was_served_as_it_is_defined_differs_in_no_type() -> None:
    assert skew_of(RIGHT, {}) == dict.fromkeys(("mean", *COLUMNS), (0, None))


@pytest.mark.parametrize(
    ("name", "served_as", "shown"),
    [
        ("text", "Koeln", ("Koeln", "Köln")),
        ("text", None, (None, "Köln")),
        ("text", "", ("", "Köln")),
        ("flag", False, (False, True)),
        ("seen", START, ("2024-03-10T00:00:00Z", "2024-03-10T06:59:00Z")),
        ("big", 2**53, (2**53, 2**53 + 1)),
        ("tags", ["b", "a"], (["b", "a"], ["a", "b"])),
        ("tags", [], ([], ["a", "b"])),
        ("vector", [0.5, -1.5], ([0.5, -1.5], [0.5, -1.0])),
        ("value", 0.1 + 1e-7, (0.1 + 1e-7, 0.1)),
        ("raw", b"", ("", "AP8=")),
    ],
)
def test_a_value_that_differs_is_found_and_shown_in_every_type(name: str, served_as: Any, shown: tuple[Any, Any]) -> None:
    found = skew_of({**RIGHT, name: served_as}, {})
    assert found.pop(name) == (1, shown)
    assert set(found.values()) == {(0, None)}


def test_digits_in_which_engines_may_sum_otherwise_are_no_skew_and_null_is_no_number() -> None:
    assert skew_of({**RIGHT, "value": 0.1 * (1 + 1e-12)}, {})["value"] == (0, None)
    assert skew_of(RIGHT, {"value": 0.0, "text": ""}) == {
        **dict.fromkeys(("mean", *COLUMNS), (0, None)),
        "value": (1, (0.0, None)),
        "text": (1, ("", None)),
    }
