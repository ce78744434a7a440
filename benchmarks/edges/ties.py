"""Ties: of versions of one fact that became known at one moment, the one that was ingested last counts; however often it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input
from benchmarks.edges.trial import Trial, Z, moments, scratch
from noria.core.clock import from_epoch
from noria.data.ingest import facts
from noria.features.compile import AT
from noria.features.label import Label
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures
from noria.features.outcomes import Outcomes
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore

KIND = "ties"
LATER = from_epoch(1_704_067_200_000_000 + 3_600_000_000)

Version = tuple[str, float, bool]  # id, value, deleted


def _rows(*versions: Version) -> pa.Table:
    count = len(versions)
    keys, values, gone = zip(*versions, strict=True)
    same = moments(1).take([0] * count)
    return pa.table({"id": list(keys), "v": list(values), "gone": list(gone), "at": same, "city": ["ams"] * count})


def _trial(*batches: list[Version]) -> Trial:
    trial = Trial(deleted="gone")
    for versions in batches:
        trial.push(_rows(*versions))
    return trial


def _view(trial: Trial) -> nr.FeatureView:
    aggregate = {"n": nr.count(window="1d"), "total": nr.total("v", window="1d")}
    return nr.FeatureView("v", trial.table, entity="city", aggregate=aggregate, latest=["v"], ttl="1d")


def _trained(*batches: list[Version]) -> list[Any]:
    """Count, sum and latest value of the city's facts."""
    trial = _trial(*batches)
    [row] = (
        PointInTime([facts(trial.table, trial.store)])
        .join(pa.table({AT: moments(2).slice(1), "city": ["ams"]}), [_view(trial)])
        .to_pylist()
    )
    return [float(row["n"]), row["total"], row["v"]]


def _served(*batches: list[Version], between: bool = True) -> list[Any]:
    """The same from the online store, materialized after each batch."""
    trial, online = Trial(deleted="gone"), LmdbStore(scratch())
    for versions in batches:
        trial.push(_rows(*versions))
        if between:
            Materializer(online, trial.store).run(_view(trial), LATER)
    Materializer(online, trial.store).run(_view(trial), LATER)
    found = OnlineFeatures(online, [_view(trial)]).lookup(pa.table({"city": ["ams"]}), LATER)
    online.close()
    return [None if value[0] != value[0] else float(value[0]) for value in found.values()]


def _label(*batches: list[Version]) -> float:
    trial = _trial(*batches)
    found = Outcomes(facts(trial.table, trial.store), Label(trial.table, "v", positive=9)).known_at(["a"], LATER)
    return float(found[0])


def _in_files(*values: str) -> Any:
    """Corrections on lines of files, one a day."""
    trial = Trial()
    for day, lines in enumerate(values):
        trial.write(f"d{day}.csv", "id,v,at,city\n" + "".join(f"a,{v},{Z},ams\n" for v in lines.split())).ingest()
    [row] = (
        PointInTime([facts(trial.table, trial.store)])
        .join(pa.table({AT: moments(2).slice(1), "city": ["ams"]}), [_view(trial)])
        .to_pylist()
    )
    return row["v"]


def _compacted() -> Any:
    trial = _trial([("a", 9.0, False)], [("a", 1.0, False)])
    with trial.store.writing("events"):
        trial.store.compact("events")
    [row] = (
        PointInTime([facts(trial.table, trial.store)])
        .join(pa.table({AT: moments(2).slice(1), "city": ["ams"]}), [_view(trial)])
        .to_pylist()
    )
    return row["v"]


BATCHES: dict[str, tuple[list[list[Version]], list[Any]]] = {
    "a correction with a lesser value": ([[("a", 9.0, False)], [("a", 1.0, False)]], [1.0, 1.0, 1.0]),
    "a correction with a greater value": ([[("a", 1.0, False)], [("a", 9.0, False)]], [1.0, 9.0, 9.0]),
    "three versions": ([[("a", 5.0, False)], [("a", 9.0, False)], [("a", 2.0, False)]], [1.0, 2.0, 2.0]),
    "two in one batch": ([[("a", 9.0, False), ("a", 1.0, False)]], [1.0, 1.0, 1.0]),
    "two in one batch, the other way round": ([[("a", 1.0, False), ("a", 9.0, False)]], [1.0, 9.0, 9.0]),
    "a retraction": ([[("a", 9.0, False)], [("a", 9.0, True)]], [0.0, None, None]),
    "a retraction that is withdrawn": ([[("a", 9.0, True)], [("a", 9.0, False)]], [1.0, 9.0, 9.0]),
    "the same row again": ([[("a", 9.0, False)], [("a", 9.0, False)]], [1.0, 9.0, 9.0]),
    "two facts at one moment": ([[("b", 9.0, False)], [("a", 1.0, False)]], [2.0, 10.0, 9.0]),
    "two facts at one moment, the other way round": ([[("a", 1.0, False)], [("b", 9.0, False)]], [2.0, 10.0, 9.0]),
    "a correction beside another fact": ([[("a", 9.0, False), ("b", 2.0, False)], [("a", 1.0, False)]], [2.0, 3.0, 2.0]),
}


def inputs() -> Iterator[Input]:
    for i, (name, (batches, right)) in enumerate(BATCHES.items()):
        yield Input(KIND, f"in training: {name}", lambda b=batches: _trained(*b), right, slow=i % 2 > 0)
        yield Input(KIND, f"in serving: {name}", lambda b=batches: _served(*b), right, slow=i % 3 > 0)
    yield Input(
        KIND, "in serving, materialized once", lambda: _served([("a", 9.0, False)], [("a", 1.0, False)], between=False), [1.0, 1.0, 1.0]
    )
    yield Input(KIND, "of a label", lambda: _label([("a", 9.0, False)], [("a", 1.0, False)]), 0.0)
    yield Input(KIND, "of a label, the other way round", lambda: _label([("a", 1.0, False)], [("a", 9.0, False)]), 1.0)
    yield Input(KIND, "on lines of one file", lambda: _in_files("9 5 1"), 1)
    yield Input(KIND, "on lines of two files", lambda: _in_files("5 9", "1"), 1)
    yield Input(KIND, "on two files, the greater last", lambda: _in_files("1 5", "9"), 9)
    yield Input(KIND, "after compaction", _compacted, 1.0)
