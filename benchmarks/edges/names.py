"""Names: a column, a feature or an entity may be called whatever the engine calls its own; nothing collides, or it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, moments, scratch
from noria.core.clock import from_epoch
from noria.core.files import LocalFiles
from noria.data.table import Snapshot, SnapshotRows
from noria.features.compile import AT
from noria.features.offline import OfflineFeatures
from noria.features.point_in_time import PointInTime

KIND = "names"
START = from_epoch(1_704_067_200_000_000)

INTERNAL = (
    "_event",
    "_enter",
    "_superseded",
    "_bucket",
    "_rank",
    "_t",
    "_known",
    "_row",
    "_order",
    "_query",
    "_spine",
    "_place",
    "_value",
    "_reason",
    "_raw",
    "_ingested_at",
    "one",
    "c0",
    "n0",
    "s0",
    "p0",
    "f0",
    "k0",
    "e0",
    "l0",
    "x0",
    "x",
    "m",
    "q",
    "s",
    "t",
    "v",
    "w",
    "key",
    "label",
    "known",
    "facts",
    "versions",
    "queries",
    "spine",
    "rows",
    "staged",
    "reason",
    "place",
    "row",
    "entity",
    "part",
    "index",
    "epoch_us",
    "superseded",
)
ODD = (
    "a b",
    " a",
    "a ",
    "a.b",
    "a|b",
    "a/b",
    "a,b",
    "a:b",
    "a;b",
    "a%b",
    "a?b",
    "a$1",
    "a{b}",
    "a(b)",
    "[a]",
    'a"b',
    "a'b",
    "a\\b",
    "a\nb",
    "a\tb",
    "ü",
    "日本",
    "🙂",
    "Ünïcode",
    "1a",
    "1",
    "-",
    "--",
    "/*",
    "*",
    "?",
    "select",
    "order",
    "group",
    "from",
    "where",
    "null",
    "true",
    "user",
    "current_date",
    "timestamp",
    "interval",
    "end",
    "over",
    "__index_level_0__",
    "Unnamed: 0",
    "x" * 200,
)
NAMES = (*INTERNAL, *ODD)


def _facts(name: str, columns: Mapping[str, Any]) -> SnapshotRows:
    count = len(next(iter(columns.values())))
    table = nr.Table(name, nr.files("none"), key="id", event_time="at")
    return SnapshotRows(table, Snapshot(name, 0, "", count), pa.table({"id": list(range(count)), "at": moments(count), **columns}))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@cache
def _columns() -> dict[str, list[float]]:
    """Sum, maximum and latest of a column of each name; the i-th holds i and i + 1."""
    facts = _facts("events", {name: [i, i + 1] for i, name in enumerate(NAMES)})
    aggregate = {f"sum{i}": nr.total(_quoted(name), window="1h") for i, name in enumerate(NAMES)}
    aggregate |= {f"max{i}": nr.maximum(_quoted(name), window="1h") for i, name in enumerate(NAMES)}
    latest = {f"last{i}": _quoted(name) for i, name in enumerate(NAMES)}
    view = nr.FeatureView("v", facts.table, entity=(), aggregate=aggregate, latest=latest, ttl="1d")
    [row] = PointInTime([facts]).join(pa.table({AT: moments(3).slice(2)}), [view]).to_pylist()
    return {name: [float(row[f"{kind}{i}"]) for kind in ("sum", "max", "last")] for i, name in enumerate(NAMES)}


@cache
def _entities() -> dict[str, list[float]]:
    """How many facts there are of an entity that is named so: two of the first, none of the second."""
    facts = _facts("events", {name: [7, 7] for name in NAMES})
    views = [nr.FeatureView(f"v{i}", facts.table, entity=name, aggregate={f"n{i}": nr.count(window="1h")}) for i, name in enumerate(NAMES)]
    spine = pa.table({AT: moments(4).slice(2), **{name: [7, 8] for name in NAMES}})
    found = PointInTime([facts]).join(spine, views)
    return {name: [float(n) for n in found.column(f"n{i}").to_pylist()] for i, name in enumerate(NAMES)}


@cache
def _features() -> dict[str, list[float]]:
    """Features of such names, of a spine that has columns of the same names, the i-th of which holds -i; joined, and as a set."""
    spine, events = _facts("orders", {name: [-i, -i] for i, name in enumerate(NAMES)}), _facts("events", {"value": [1.0, 2.0]})
    aggregate = {name: nr.total(f"value + {i}", window="1h") for i, name in enumerate(NAMES)}
    view = nr.FeatureView("v", events.table, entity=(), aggregate=aggregate)
    features = nr.FeatureSet("f", spine=spine.table, views=[view])
    rows = OfflineFeatures(features, [spine, events], scratch(), LocalFiles()).rows(START, START + timedelta(days=1))
    return {name: rows.column(name).to_pylist() for name in NAMES}


@cache
def _read_back() -> dict[str, list[Any]]:
    """Columns of such names from Parquet, twice; those that no column may have are left out."""
    trial = Trial()
    for day in range(2):
        trial.write(
            f"d{day}.parquet", pa.table({"id": [day], "at": moments(1), **{name: [f"{i}.{day}"] for i, name in enumerate(NAMES)}})
        ).ingest()
    return trial.columns(NAMES, [0, 1])


def _held(name: str) -> Any:
    """The text of a column of such a name in quarantine."""
    text = '"' + name.replace('"', '""') + '"'
    trial = Trial(types={name: "BIGINT"}).write("a.csv", f"id,at,{text}\nr0,{Z},1\nr1,{Z},word\n")
    trial.ingest()
    return [row[name] for row in trial.rows()] + ["word" in row.values() for row in trial.held()]


def _stored(**columns: Any) -> list[str]:
    trial = Trial()
    trial.push(pa.table({"id": [1], "at": moments(1), **columns}))
    return list(trial.rows()[0])


def _set_of(feature: str, spine: Mapping[str, Any] | None = None) -> Any:
    facts, events = _facts("orders", dict(spine or {"other": [1, 1]})), _facts("events", {"value": [1.0, 2.0]})
    view = nr.FeatureView("v", events.table, entity=(), aggregate={feature: nr.count(window="1h")})
    features = nr.FeatureSet("f", spine=facts.table, views=[view])
    rows = OfflineFeatures(features, [facts, events], scratch(), LocalFiles()).rows(START, START + timedelta(days=1))
    return rows.column(feature).to_pylist()


def inputs() -> Iterator[Input]:
    for i, name in enumerate(NAMES):
        shown = name if len(name) < 30 else f"{name[:9]}…"
        yield Input(KIND, f"a column {shown!r}", lambda n=name: _columns()[n], [2.0 * i + 1, i + 1.0, i + 1.0])
        yield Input(KIND, f"an entity {shown!r}", lambda n=name: _entities()[n], [2.0, 0.0])
        yield Input(KIND, f"a feature {shown!r}", lambda n=name: _features()[n], [i + 1.0, 2.0 * i + 3])
    for i, name in enumerate(NAMES):
        shown = name if len(name) < 30 else f"{name[:9]}…"
        right = any_of([f"{i}.0", f"{i}.1"])
        yield Input(KIND, f"ingested {shown!r}", lambda n=name: _read_back()[n], right)
    for name in ("_reason", "_place", "_raw", "_REASON", "_reason_", "a b", "select", "ü"):
        yield Input(KIND, f"in quarantine {name!r}", lambda n=name: _held(n), [1, True])
    for name in ("__noria_event", "__NORIA_x", "__noria_"):
        yield Input(KIND, f"reserved {name!r}", lambda n=name: _stored(**{n: [1]}), refused("NR-226"))
    yield Input(KIND, "names that differ in case", lambda: _stored(a=[1], A=[2]), refused("NR-226", "NR-202"))
    yield Input(
        KIND,
        "names that differ in the case of ü",
        lambda: _stored(ü=[1], Ü=[2]),
        any_of(["id", "at", "ü", "Ü"], refused("NR-226", "NR-202")),
    )
    yield Input(KIND, "a column without a name", lambda: _stored(**{"": [1]}), refused("NR-202", "NR-226"))
    for name in ("_at", "_key"):
        yield Input(KIND, f"a feature {name!r}", lambda n=name: _set_of(n), refused("NR-001", "NR-210", "NR-216"))
        yield Input(KIND, f"a spine's column {name!r}", lambda n=name: _set_of("n", {n: [5, 6]}), refused("NR-216"))
    for name in ("", " ", "a/b", "..", "x" * 200, "__noria_t", "t__quarantine"):
        yield Input(
            KIND, f"a table {name[:20]!r}", lambda n=name: nr.Table(n, nr.files("none"), key="id", event_time="at"), refused("NR-216")
        )
    for name in ("", "a/b", "state", "__noria_v"):
        view = {"entity": (), "aggregate": {"n": nr.count(window="1h")}}
        yield Input(
            KIND,
            f"a view {name!r}",
            lambda n=name, v=view: nr.FeatureView(n, _facts("events", {"a": [1]}).table, **v),
            refused("NR-216", "NR-210"),
        )
