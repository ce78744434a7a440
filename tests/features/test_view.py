"""Declarations: names, windows and their edges, and what of them makes a definition another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.clock import BadDuration
from noria.core.errors import NoriaError, UserMistake
from noria.core.files import LocalFiles
from noria.core.ids import digest
from noria.core.names import BadName
from noria.core.signature import Field
from noria.data.ingest import facts, push
from noria.data.rows import Rows
from noria.data.table import Snapshot, SnapshotRows
from noria.evaluation.binary import Binary
from noria.features.check import check_keys
from noria.features.feature_set import FeatureSet
from noria.features.label import Label
from noria.features.materialize import Materializer
from noria.features.offline import OfflineFeatures
from noria.features.online import OnlineFeatures, online_rows
from noria.features.point_in_time import PointInTime
from noria.features.skew import Served, measure_skew
from noria.features.view import BadView
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened")


def at(*minutes: float) -> pa.Array:
    return pa.array([START + timedelta(minutes=m) for m in minutes], UTC_US)


def rows(*minutes: float) -> pa.Table:
    values = [float(i) for i in range(1, len(minutes) + 1)]
    return pa.table({"id": [f"e{i}" for i in range(len(minutes))], "city": ["x"] * len(minutes), "happened": at(*minutes), "value": values})


def joined(table: pa.Table, moment: pa.Array, **view: Any) -> list[dict[str, Any]]:
    known = SnapshotRows(TABLE, Snapshot("events", 0, "", table.num_rows), table)
    spine = pa.table({"city": ["x"] * len(moment), "_at": moment})
    return PointInTime([known]).join(spine, [nr.FeatureView("v", TABLE, **({"entity": "city"} | view))]).to_pylist()


def every(window: str) -> dict[str, nr.Aggregate]:
    return {"n": nr.count(window=window), "total": nr.total("value", window=window), "low": nr.minimum("value", window=window)}


# --- windows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["0s", "0.0001ms", "0d0h", "500000d"])
def test_a_window_that_holds_nothing_or_too_much_is_refused_when_it_is_declared(window: str) -> None:
    with pytest.raises(UserMistake, match="window of mean"):
        nr.mean("value", window=window)
    with pytest.raises(UserMistake, match="ttl of feature view 'v'"):
        nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl=window)
    with pytest.raises(UserMistake, match="freshness of feature view 'v'"):
        nr.FeatureView("v", TABLE, entity="city", aggregate=every("1h"), freshness=window)


@pytest.mark.parametrize("window", ["-1h", "", "1", "h", "1 fortnight", "9" * 400 + "w", "99999999999w", "1e3s", "٣h", "nan"])
def test_what_is_no_duration_is_refused_when_it_is_declared(window: str) -> None:
    for declare in (
        lambda: nr.count(window=window),
        lambda: nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl=window),
        lambda: nr.FeatureView("v", TABLE, entity="city", aggregate=every("1h"), freshness=window),
        lambda: nr.FeatureSet("f", TABLE, lead=window),
    ):
        with pytest.raises(BadDuration):
            declare()


def test_a_window_is_open_at_its_far_edge_and_closed_at_its_near_one() -> None:
    view = {"aggregate": every("10m"), "latest": {"last": "value"}, "ttl": "10m"}
    assert joined(rows(0, 10), at(10), **view) == [{"n": 1, "total": 2.0, "low": 2.0, "last": 2.0}]
    assert joined(rows(0), at(10), **view) == [{"n": 0, "total": None, "low": None, "last": None}]


def test_closed_both_counts_the_far_edge_and_nothing_beyond() -> None:
    view = {"aggregate": every("10m"), "latest": {"last": "value"}, "ttl": "10m", "closed": "both"}
    assert joined(rows(0, 10), at(10), **view) == [{"n": 2, "total": 3.0, "low": 1.0, "last": 2.0}]
    edge = at(10)[0].as_py()
    just_after = pa.array([edge, edge + timedelta(microseconds=1)], UTC_US)
    assert [row["last"] for row in joined(rows(0), just_after, **view)] == [1.0, None]
    assert [row["n"] for row in joined(rows(0), just_after, **view)] == [1, 0]


def test_an_unlimited_window_reaches_from_1900_to_2200() -> None:
    moments = [datetime(1900, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    table = rows(0, 1, 2).set_column(2, "happened", pa.array(moments, UTC_US))
    view = {"aggregate": every("unlimited"), "latest": {"last": "value"}, "ttl": "unlimited"}
    asked = pa.array([datetime(2200, 1, 1, tzinfo=UTC), moments[2] - timedelta(seconds=1), moments[1], moments[0]], UTC_US)
    assert joined(table, asked, **view) == [
        {"n": 3, "total": 6.0, "low": 1.0, "last": 3.0},
        {"n": 2, "total": 3.0, "low": 1.0, "last": 2.0},
        {"n": 2, "total": 3.0, "low": 1.0, "last": 2.0},
        {"n": 1, "total": 1.0, "low": 1.0, "last": 1.0},
    ]


def test_windows_work_before_1970_as_after() -> None:
    moments = [datetime(1969, 12, 31, 23, minute, tzinfo=UTC) for minute in (50, 58)]
    table = rows(0, 1).set_column(2, "happened", pa.array(moments, UTC_US))
    view = {"aggregate": every("10m"), "latest": {"last": "value"}, "ttl": "10m", "freshness": "1m"}
    asked = pa.array([datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)], UTC_US)
    assert joined(table, asked, **view) == [
        {"n": 1, "total": 2.0, "low": 2.0, "last": 2.0},
        {"n": 2, "total": 3.0, "low": 1.0, "last": 2.0},
    ]


# --- definitions --------------------------------------------------------------------------------------------------------


def hash_of(**more: Any) -> str:
    return digest(nr.FeatureView("v", TABLE, entity="city", **more).definition())


def test_definitions_that_differ_have_different_hashes() -> None:
    windows = ["1us", "1ms", "1500us", "500ms", "1s", "1.5s", "1500.001ms", "1001ms", "60m", "1h1us", "unlimited", "146096d"]
    hashes = {window: hash_of(aggregate={"n": nr.count(window=window)}) for window in windows}
    assert len(set(hashes.values())) == len(windows)
    shares = [0.5, 0.5000001, 0.50000000000001, 0.95, 0.9500000000001]
    assert len({hash_of(aggregate={"q": nr.quantile("value", s, window="1h")}) for s in shares}) == len(shares)
    assert hash_of(aggregate={"n": nr.count(window="1h")}) != hash_of(aggregate={"n": nr.count(window="1h")}, closed="both")


def test_equal_definitions_have_equal_hashes_and_ordinary_ones_the_words_they_always_had() -> None:
    assert hash_of(aggregate={"n": nr.count(window="90m")}) == hash_of(aggregate={"n": nr.count(window="1h30m")})
    assert nr.quantile("value", 0.95, window="36h").describe() == "quantile(value, 0.95) over 1d12h"
    assert nr.count(window="28d").describe() == "count(*) over 28d"
    assert "closed" not in nr.FeatureView("v", TABLE, entity="city", aggregate=every("1h")).definition()


# --- names --------------------------------------------------------------------------------------------------------------

BAD = [
    "", " ", "a/b", "../x", "..", ".", "/etc", "a\\b", "a\nb", "a\0b", "a:b", "a*", "a'b", 'a"b', "-a", "a-", " a", "a ", "a.", "é🛫",
    "x" * 101, "__noria_x", "__NORIA_x",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_nothing_can_be_kept_under_is_refused_when_it_is_declared(name: str) -> None:
    for declare in (
        lambda: nr.Table(name, nr.files("x"), key="id", event_time="at"),
        lambda: nr.FeatureView(name, TABLE, entity="city", aggregate=every("1h")),
        lambda: nr.FeatureSet(name, TABLE),
    ):
        with pytest.raises(BadName):
            declare()


@pytest.mark.parametrize("name", ["a", "orders", "weather 2024", "by-city.v2", "Zürich", "出発", "_x", "1", "x" * 100])
def test_an_ordinary_name_in_any_alphabet_is_taken(name: str) -> None:
    table = nr.Table(name, nr.files("x"), key="id", event_time="at")
    nr.FeatureSet(name, TABLE, [nr.FeatureView(name, table, entity="city", aggregate=every("1h"))])


def test_names_that_would_be_taken_for_another_thing_are_refused() -> None:
    with pytest.raises(BadName, match="quarantine"):
        nr.Table("x__quarantine", nr.files("x"), key="id", event_time="at")
    with pytest.raises(BadView, match="state"):
        nr.FeatureView("state", TABLE, entity="city", aggregate=every("1h"))
    one, other = (nr.FeatureView("v", TABLE, entity="city", aggregate={n: nr.count(window="1h")}) for n in "ab")
    with pytest.raises(UserMistake, match="view 'v' is declared twice"):
        FeatureSet("f", TABLE, [one, other])
    capital = nr.FeatureView("w", TABLE, entity="city", aggregate={"A": nr.count(window="1h")})
    with pytest.raises(UserMistake, match="differ only in case"):
        FeatureSet("f", TABLE, [one, capital])


@pytest.mark.parametrize("name", ["_at", "_key"])
def test_a_feature_may_not_be_named_as_predictions_times_and_keys_are(name: str) -> None:
    view = nr.FeatureView("v", TABLE, entity="city", aggregate={name: nr.count(window="1h")})
    with pytest.raises(UserMistake, match=name):
        FeatureSet("f", TABLE, [view])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"latest": ["value", "value"], "ttl": "1h"}, "value is declared twice"),
        ({"latest": "value", "ttl": "1h"}, "is a single string"),
        ({"aggregate": {"n": "count(*)"}}, "not an aggregate"),
        ({"aggregate": {"n": nr.count(window="1h")}, "closed": "left"}, "closed"),
        ({"aggregate": {"n": nr.count(window="1h")}, "entity": ("city", "city")}, "twice"),
    ],
)
def test_a_view_that_means_nothing_is_refused_when_it_is_declared(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(BadView, match=said):
        nr.FeatureView("v", TABLE, **({"entity": "city"} | declared))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UserMistake, match="not a quantile"):
        nr.quantile("value", share, window="1h")


# --- views without an entity --------------------------------------------------------------------------------------------


class Shop:
    """Two orders at minutes 30 and 31; events of several cities before them."""

    def __init__(self, folder: Path, view: nr.FeatureView, request: tuple[Any, ...] = (), **orders: Any) -> None:
        self.orders = nr.Table("orders", nr.files("x"), key="order", event_time="at")
        self.view = view
        self.features = nr.FeatureSet("f", spine=self.orders, views=[view], request=request)
        self.tables, self.online = DeltaTables(folder / "t"), LmdbStore(folder / "o")
        push(self.orders, self.tables, pa.table({"order": ["o1", "o2"], "at": at(30, 31), **orders}))
        self.cache = folder / "c"

    def offline(self) -> pa.Table:
        known = [facts(self.orders, self.tables), facts(self.view.table, self.tables)]
        return OfflineFeatures(self.features, known, self.cache, LocalFiles()).rows(START, START + timedelta(days=7))

    def served(self, minute: float) -> np.ndarray:
        moment = START + timedelta(minutes=minute)
        Materializer(self.online, self.tables).run(self.view, moment)
        online, spine = OnlineFeatures(self.online, [self.view]), facts(self.orders, self.tables).rows
        return online_rows(self.features, online, spine, moment).block


@pytest.mark.parametrize("freshness", [None, "1m"])
def test_a_view_without_an_entity_gives_values_of_the_whole_table_offline_and_online(tmp_path: Path, freshness: str | None) -> None:
    view = nr.FeatureView("v", TABLE, entity=(), aggregate=every("1h"), latest={"newest": "value"}, ttl="1h", freshness=freshness)
    shop = Shop(tmp_path, view)
    cities = pa.array(["x", "y", None])
    push(TABLE, shop.tables, rows(1, 2, 3).set_column(1, "city", cities))
    push(TABLE, shop.tables, pa.table({"id": ["later"], "city": ["z"], "happened": at(30.5), "value": [10.0]}))
    found = shop.offline().select(list(shop.features.features)).to_pylist()
    assert found == [
        {"n": 3.0, "total": 6.0, "low": 1.0, "newest": 3.0},
        {"n": 4.0, "total": 16.0, "low": 1.0, "newest": 10.0},
    ]
    assert shop.served(30).tolist() == [[3.0, 6.0, 1.0, 3.0]] * 2
    assert shop.served(31).tolist() == [[4.0, 16.0, 1.0, 10.0]] * 2
    assert OnlineFeatures(shop.online, [view]).verify() == 1
    served = Served(
        ["o2"],
        np.array([int((START + timedelta(minutes=31)).timestamp() * 1e6)]),
        Rows.dense(tuple(map(Field, shop.features.features)), shop.served(31)[1:]),
    )
    engine = PointInTime([facts(t, shop.tables) for t in shop.features.tables])
    assert measure_skew(shop.features, engine, served).worst is None
    shop.online.close()


def test_late_rows_change_a_view_without_an_entity(tmp_path: Path) -> None:
    view = nr.FeatureView("v", TABLE, entity=(), aggregate=every("1h"), latest={"newest": "value"}, ttl="1h")
    shop = Shop(tmp_path, view)
    push(TABLE, shop.tables, rows(1, 2))
    shop.served(31)
    push(TABLE, shop.tables, pa.table({"id": ["late"], "city": ["z"], "happened": at(3), "value": [7.0]}))
    done = Materializer(shop.online, shop.tables).run(view, START + timedelta(minutes=31))
    assert (done.changed, done.recomputed) == (0, 1)
    assert shop.served(31).tolist() == [[3.0, 10.0, 1.0, 7.0]] * 2
    shop.online.close()


def test_a_view_without_an_entity_knows_nothing_of_an_empty_table() -> None:
    [found] = joined(rows(), at(1), entity=(), aggregate=every("1h"), latest=["value"], ttl="1h")
    assert found == {"n": 0, "total": None, "low": None, "value": None}


@pytest.mark.parametrize("entity", ["city", ()])
def test_closed_both_and_unlimited_are_the_same_online_as_offline(tmp_path: Path, entity: Any) -> None:
    for i, (window, closed, expected) in enumerate((("1h", "both", 1.0), ("1h", "right", 0.0), ("unlimited", "right", 1.0))):
        view = nr.FeatureView(
            "v", TABLE, entity=entity, aggregate={"n": nr.count(window=window)}, latest=["value"], ttl=window, closed=closed
        )
        shop = Shop(tmp_path / str(i), view, city=["x", "x"])
        push(TABLE, shop.tables, rows(-29))
        found = [[row["n"], row["value"]] for row in shop.offline().to_pylist()]
        assert found[1] == [expected, 1.0 if expected else None]
        served = shop.served(31)[1]
        assert np.array_equal(served, np.array([expected, 1.0 if expected else np.nan]), equal_nan=True)
        assert np.array_equal(shop.served(31.5)[1], served if window == "unlimited" else np.array([0.0, np.nan]), equal_nan=True)
        shop.online.close()


# --- features and columns of the spine ----------------------------------------------------------------------------------


def test_a_feature_may_be_named_as_a_column_of_the_spine(tmp_path: Path) -> None:
    @nr.request_transform("distance")
    def distance(spine: pa.Table) -> dict[str, np.ndarray]:
        return {"distance": spine["distance"].to_numpy() * 2}

    view = nr.FeatureView("v", TABLE, entity="city", aggregate={"city": nr.count(window="1h")})
    shop = Shop(tmp_path, view, (distance,), city=["x", "y"], distance=[1.5, 2.5])
    push(TABLE, shop.tables, rows(1, 2))
    assert [[row["city"], row["distance"]] for row in shop.offline().to_pylist()] == [[2.0, 3.0], [0.0, 5.0]]
    assert shop.served(31).tolist() == [[2.0, 3.0], [0.0, 5.0]]
    shop.online.close()


def test_a_spine_with_a_column_of_ours_is_refused_by_check() -> None:
    orders = nr.Table("orders", nr.files("x"), key="order", event_time="at")
    schema = pa.table({"order": ["o"], "at": at(1), "_Key": [1], "paid": [1]})
    with pytest.raises(NoriaError, match="_Key"):
        check_keys(nr.FeatureSet("f", spine=orders), Label(orders, "paid"), {"orders": schema}, Binary())
