"""Keys: equal keys are equal in joins, labels, training and serving, whatever types they are stored in, and no others are."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import moments, scratch
from noria.core.clock import from_epoch
from noria.core.files import LocalFiles
from noria.data.ingest import facts, push
from noria.data.table import Snapshot, SnapshotRows
from noria.evaluation.binary import Binary
from noria.features.check import check_keys
from noria.features.label import Label
from noria.features.materialize import Materializer
from noria.features.offline import OfflineFeatures
from noria.features.online import OnlineFeatures, online_rows
from noria.features.outcomes import Outcomes
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

KIND = "keys"
START = datetime(2024, 1, 1, tzinfo=UTC)
BIG = 2**53


def _float32(*values: float) -> pa.Array:
    return pa.array(values, pa.float32())


def _naive(*values: datetime) -> pa.Array:
    return pa.array(values, pa.timestamp("us"))


# Entities of two rows of the spine, of two rows of the table, and how many facts training and serving find for each row of the spine.
PAIRS: dict[str, tuple[Any, Any, list[float]]] = {
    "whole numbers": ([7, 8], [7, 7], [2.0, 0.0]),
    "whole numbers in different widths": (pa.array([7, -1], pa.int8()), pa.array([7, -1], pa.int64()), [1.0, 1.0]),
    "floats in the table": ([123456789012, 1], [123456789012.0, 1.5], [1.0, 0.0]),
    "floats in the spine": ([7.0, 7.5], [7, 8], [1.0, 0.0]),
    "decimals in the spine": (pa.array([Decimal("1.00"), Decimal("1.50")]), [1, 2], [1.0, 0.0]),
    "decimals in the table": ([1, 2], pa.array([Decimal("1.00"), Decimal("2.50")]), [1.0, 0.0]),
    "decimals of two scales": (pa.array([Decimal("1.5"), Decimal("2.0")]), pa.array([Decimal("1.500"), Decimal("2.001")]), [1.0, 0.0]),
    "floats and decimals": ([0.1, 0.5], pa.array([Decimal("0.1"), Decimal("0.5")]), [1.0, 1.0]),
    "float32 beside float64": (_float32(0.5, 0.1), [0.5, 0.1], [1.0, 0.0]),
    "-0.0 and 0.0": ([-0.0, 1.0], [0.0, 2.0], [1.0, 0.0]),
    "-0.0 and the whole number 0": ([-0.0, 1.0], [0, 2], [1.0, 0.0]),
    "beyond 2^53": ([BIG + 1, BIG], [BIG + 1, BIG + 1], [2.0, 0.0]),
    "beyond 2^53, floats in the table": ([BIG + 1, BIG], [float(BIG), 1.0], [0.0, 1.0]),
    "beyond 2^63": (pa.array([2**64 - 1, 1], pa.uint64()), pa.array([2**64 - 1, 2], pa.uint64()), [1.0, 0.0]),
    "unsigned in the spine": (pa.array([5, 6], pa.uint8()), [5, -6], [1.0, 0.0]),
    "great floats": ([1e300, 1e22], [1e300, 1e21], [1.0, 0.0]),
    "infinity": ([math.inf, 1.0], [math.inf, -math.inf], any_of([1.0, 0.0], [0.0, 0.0])),
    "NaN is no entity": ([math.nan, 1.0], [math.nan, 1.0], [0.0, 1.0]),
    "null is no entity": ([None, 1], [None, 1], [0.0, 1.0]),
    "dates in the spine": ([date(2024, 1, 1), date(2024, 1, 2)], _naive(datetime(2024, 1, 1), datetime(2024, 1, 2, 1)), [1.0, 0.0]),
    "dates in the table": (_naive(datetime(2024, 1, 1), datetime(2024, 1, 2, 1)), [date(2024, 1, 1), date(2024, 1, 2)], [1.0, 0.0]),
    "zones": (
        pa.array([START, START], pa.timestamp("us", tz="Asia/Tokyo")),
        pa.array([START, None], pa.timestamp("ms", tz="UTC")),
        [1.0, 1.0],
    ),
    "texts": (["a", "A"], ["a", "a "], [1.0, 0.0]),
    "texts like numbers": (["7", "07"], ["7", "7.0"], [1.0, 0.0]),
    "empty texts": (["", "x"], ["", None], [1.0, 0.0]),
    "composed and decomposed letters": (["é", "e\u0301"], ["é", "é"], [2.0, 0.0]),
    "texts with a zero byte": (["a\0b", "a"], ["a\0b", "a\0"], [1.0, 0.0]),
    "long texts": (["x" * 600, "x" * 599], ["x" * 600, "x" * 600], [2.0, 0.0]),
    "long texts that begin alike": (["y" * 400 + "1", "y" * 400 + "2"], ["y" * 400 + "1", "y" * 400 + "3"], [1.0, 0.0]),
    "texts with slashes": (["a/b", "a"], ["a/b", "a/"], [1.0, 0.0]),
    "texts and categories": (pa.array(["a", "b"]).dictionary_encode(), ["a", "c"], [1.0, 0.0]),
    "truth values": ([True, False], [True, True], [2.0, 0.0]),
    "bytes": ([b"\x00", b"a"], [b"\x00", b"b"], [1.0, 0.0]),
}

# Entities of several columns: those of the spine's row, those of the table's rows, and how many match.
COMPOSITE: dict[str, tuple[tuple[Any, ...], list[tuple[Any, ...]], float]] = {
    "bars within the parts": (("x|y", "z"), [("x", "y|z"), ("x|y", "z")], 1.0),
    "bars at the ends": (("x|", "z"), [("x", "|z")], 0.0),
    "backslashes": (("x\\", "y"), [("x", "\\y"), ("x\\|", "y")], 0.0),
    "a backslash before a bar": (("x\\|y", "z"), [("x\\", "y|z")], 0.0),
    "empty parts": (("", "ab"), [("a", "b"), ("ab", "")], 0.0),
    "a null part": (("a", None), [("a", None)], 0.0),
    "parts the other way round": (("a", "b"), [("b", "a")], 0.0),
    "line ends": (("a\n", "b"), [("a", "\nb")], 0.0),
}

REFUSED: dict[str, tuple[Any, Any]] = {
    "texts and numbers": (["7"], [7]),
    "truth values and numbers": ([True], [1]),
    "texts and bytes": (["a"], [b"a"]),
    "texts and truth values": (["true"], [True]),
    "dates and texts": ([date(2024, 1, 1)], ["2024-01-01"]),
    "zoned and naive times": (pa.array([START], pa.timestamp("us", tz="UTC")), _naive(datetime(2024, 1, 1))),
    "dates and zoned times": ([date(2024, 1, 1)], pa.array([START], pa.timestamp("us", tz="UTC"))),
    "dates and numbers": ([date(1970, 1, 2)], [1]),
    "times of day and texts": (pa.array([time(1)]), ["01:00:00"]),
    "lists": ([[1]], [[1]]),
    "structs": ([{"a": 1}], [{"a": 1}]),
}


@cache
def _pairs() -> dict[str, tuple[list[float], list[float]]]:
    """The counts of every pair, in training and in serving, all of them features of one set."""
    orders = nr.Table("orders", nr.files("none"), key="order", event_time="at")
    events = nr.Table("events", nr.files("none"), key="event", event_time="at")
    views = [nr.FeatureView(f"v{i}", events, entity=f"e{i}", aggregate={f"n{i}": nr.count(window="1h")}) for i in range(len(PAIRS))]
    features = nr.FeatureSet("f", spine=orders, views=views)
    store, at = DeltaTables(scratch()), moments(32)
    push(orders, store, pa.table({"order": [0, 1], "at": at.take([30, 30]), **{f"e{i}": s for i, (s, _, _) in enumerate(PAIRS.values())}}))
    push(events, store, pa.table({"event": [0, 1], "at": at.slice(10, 2), **{f"e{i}": t for i, (_, t, _) in enumerate(PAIRS.values())}}))
    return dict(zip(PAIRS, zip(*_both(features, [orders, events], store), strict=True), strict=True))


def _both(features: nr.FeatureSet, tables: Sequence[nr.Table], store: DeltaTables) -> tuple[list[list[float]], list[list[float]]]:
    """The features as training and as serving have them, each `(features, rows)`."""
    rows = OfflineFeatures(features, [facts(t, store) for t in tables], scratch(), LocalFiles()).rows(START, START + timedelta(days=1))
    offline = [rows.column(name).to_pylist() for name in features.features]
    online = LmdbStore(scratch())
    moment = rows.column("_at").to_pylist()[-1]
    for view in features.views:
        Materializer(online, store).run(view, moment)
    served = online_rows(features, OnlineFeatures(online, features.views), facts(features.spine, store).rows, moment)
    online.close()
    return offline, served.block.T.tolist()


def _composite(of_spine: tuple[Any, ...], of_table: list[tuple[Any, ...]]) -> list[float]:
    """How many facts training and serving find."""
    names = [f"k{i}" for i in range(len(of_spine))]
    orders = nr.Table("orders", nr.files("none"), key="order", event_time="at")
    events = nr.Table("events", nr.files("none"), key="event", event_time="at")
    view = nr.FeatureView("v", events, entity=tuple(names), aggregate={"n": nr.count(window="1h")})
    store = DeltaTables(scratch())
    of_columns = zip(*of_table, strict=True)
    push(
        orders,
        store,
        pa.table(
            {"order": [0], "at": moments(31).slice(30), **{n: pa.array([v], pa.string()) for n, v in zip(names, of_spine, strict=True)}}
        ),
    )
    push(
        events,
        store,
        pa.table(
            {
                "event": list(range(len(of_table))),
                "at": moments(len(of_table)),
                **{n: pa.array(v, pa.string()) for n, v in zip(names, of_columns, strict=True)},
            }
        ),
    )
    [[trained]], [[served]] = _both(nr.FeatureSet("f", spine=orders, views=[view]), [orders, events], store)
    return [trained, served]


def _facts_of(name: str, keys: Mapping[str, Any], **more: Any) -> SnapshotRows:
    count = len(next(iter(keys.values())))
    table = nr.Table(name, nr.files("none"), key=tuple(keys), event_time="at")
    return SnapshotRows(table, Snapshot(name, 0, "", count), pa.table({**keys, **more, "at": moments(count)}))


def _label_of(of_spine: Any, of_label: Any) -> list[float]:
    """The labels of spine's facts, by keys of the columns' types; `check_keys` has no objection."""
    orders, returns = _facts_of("orders", {"id": of_spine}), _facts_of("returns", {"id": of_label}, returned=[1] * len(of_label))
    label = Label(returns.table, "returned")
    check_keys(nr.FeatureSet("f", spine=orders.table), label, {"orders": orders.rows, "returns": returns.rows}, Binary())
    spine = PointInTime([orders]).spine(orders.table, timedelta(0), START, START + timedelta(days=1))
    found = Outcomes(returns, label, orders).known_at(spine.column("_key").to_pylist(), START + timedelta(days=1)).tolist()
    return [0.0 if math.isnan(v) else v for v in found]


def _composite_labels() -> list[float]:
    two = {"shop": ["x|y", "x"], "order": ["z", "y|z"]}
    orders, returns = _facts_of("orders", two), _facts_of("returns", two, returned=[1, 0])
    spine = PointInTime([orders]).spine(orders.table, timedelta(0), START, START + timedelta(days=1))
    found = zip(
        spine.column("shop").to_pylist(),
        Outcomes(returns, Label(returns.table, "returned")).known_at(spine.column("_key").to_pylist(), from_epoch(2**52)).tolist(),
        strict=True,
    )
    return [label for _, label in sorted(found)]


def _lengths() -> Any:
    orders, returns = _facts_of("orders", {"shop": [1], "id": [1]}), _facts_of("returns", {"id": [1]}, returned=[1])
    return Label(returns.table, "returned").check(returns.rows.schema, orders.table, orders.rows.schema)


def _refused(of_spine: Any, of_table: Any) -> None:
    orders, events = _facts_of("orders", {"id": [1]}, customer=of_spine), _facts_of("events", {"id": [1]}, customer=of_table)
    view = nr.FeatureView("v", events.table, entity="customer", aggregate={"n": nr.count(window="1h")})
    features = nr.FeatureSet("f", spine=orders.table, views=[view])
    check_keys(features, Label(orders.table, "id"), {"orders": orders.rows, "events": events.rows}, Binary())


def inputs() -> Iterator[Input]:
    for name, (_, _, found) in PAIRS.items():
        right = any_of(*((a, a) for a in found.answers)) if hasattr(found, "answers") else (found, found)
        yield Input(KIND, f"training and serving: {name}", lambda name=name: _pairs()[name], right)
    for name, (of_spine, of_table, count) in COMPOSITE.items():
        yield Input(KIND, f"of two columns: {name}", lambda s=of_spine, t=of_table: _composite(s, t), [count, count])
    for name, (of_spine, of_table) in REFUSED.items():
        yield Input(KIND, f"not comparable: {name}", lambda s=of_spine, t=of_table: _refused(s, t), refused("NR-217"))
    yield Input(KIND, "labels of two columns with bars", _composite_labels, [0.0, 1.0])
    yield Input(KIND, "labels by 1.0 for 1", lambda: _label_of([1, 2], [1.0, 3.0]), [1.0, 0.0])
    yield Input(KIND, "labels by 1.00 for 1", lambda: _label_of([1, 2], pa.array([Decimal("1.00"), Decimal("3.00")])), [1.0, 0.0])
    yield Input(KIND, "labels by texts for numbers", lambda: _label_of([1], ["1"]), refused("NR-217"))
    yield Input(KIND, "labels by fewer columns", _lengths, refused("NR-219"))
