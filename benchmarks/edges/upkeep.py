"""Upkeep: after compaction, retention and quarantine's replay, what is stored and served is what it was, and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input
from benchmarks.edges.trial import Trial, Z, moments, scratch
from noria.core.clock import from_epoch
from noria.data.ingest import facts, replay_quarantine
from noria.features.compile import AT
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore

KIND = "upkeep"
START = 1_704_067_200_000_000
MINUTE = 60_000_000


def _row(minute: int, value: float = 1.0, known: int | None = None) -> pa.Table:
    at = pa.array([START + minute * MINUTE]).cast(pa.timestamp("us", tz="UTC"))
    known_at = pa.array([START + (minute if known is None else known) * MINUTE]).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({"id": [f"v{minute}"], "city": ["ams"], "value": [value], "at": at, "known": known_at})


class _Shop:
    """A table, a view of it, and an online store."""

    def __init__(self) -> None:
        self.trial = Trial(known_at="known")
        aggregate = {"n": nr.count(window="1h"), "total": nr.total("value", window="1h")}
        self.view = nr.FeatureView("v", self.trial.table, entity="city", aggregate=aggregate)
        self.online = LmdbStore(scratch())

    def compact(self) -> None:
        with self.trial.store.writing("events"):
            self.trial.store.compact("events")
            self.trial.store.retain("events", [], timedelta(0))

    def materialize(self, minute: int) -> None:
        Materializer(self.online, self.trial.store).run(self.view, from_epoch(START + minute * MINUTE))

    def both(self, minute: int) -> tuple[list[float], list[float]]:
        """What training and serving have at a minute."""
        spine = pa.table({"city": ["ams"], AT: pa.array([START + minute * MINUTE]).cast(pa.timestamp("us", tz="UTC"))})
        [trained] = PointInTime([facts(self.trial.table, self.trial.store)]).join(spine, [self.view]).to_pylist()
        served = OnlineFeatures(self.online, [self.view]).lookup(spine, from_epoch(START + minute * MINUTE))
        return [float(v) for v in trained.values()], [float(v[0]) for v in served.values()]


def _story(*steps: Callable[[_Shop], Any], at: int = 30) -> tuple[list[float], list[float]]:
    shop = _Shop()
    with closing(shop.online):
        for step in steps:
            step(shop)
        shop.materialize(at)
        return shop.both(at)


def _push(minute: int, value: float = 1.0, known: int | None = None) -> Callable[[_Shop], Any]:
    return lambda shop: shop.trial.push(_row(minute, value, known))


def _materialize(minute: int) -> Callable[[_Shop], Any]:
    return lambda shop: shop.materialize(minute)


def _rows_after(*steps: str) -> list[Any]:
    """The rows of a table of three small batches after some upkeep."""
    trial = Trial()
    for i in range(3):
        trial.push(pa.table({"id": [i], "at": moments(1), "v": [i / 2]}))
    with trial.store.writing("events"):
        for step in steps:
            if step == "compact":
                trial.store.compact("events")
            else:
                trial.store.retain("events", [], timedelta(0))
    return sorted(row["v"] for row in trial.rows())


def _replayed() -> list[Any]:
    """Rows held by a contract that was too strict are stored when it is not any more; the others stay, with their texts."""
    strict = Trial(types={"v": "BIGINT"}, contract=nr.Contract(between={"v": (0, 1)}))
    strict.write("a.csv", f"id,v,at\nr0,1,{Z}\nr1,5,{Z}\nr2,word,{Z}\nragged\n").ingest()
    table = nr.Table("events", strict.table.source, key="id", event_time="at")
    replay_quarantine(table, strict.store)
    return [sorted(row["v"] for row in strict.rows()), sorted(str(row["_raw"] or row["v"]) for row in strict.held())]


def _again() -> list[int]:
    """Files that are read again, as after a touch, are stored once."""
    trial = Trial().write("a.csv", f"id,v,at\nr0,1,{Z}\nr1,1,{Z}\nr1,1,{Z}\n")
    first = trial.ingest().balance.rows_out
    (trial.folder / "a.csv").rename(trial.folder / "b.csv")
    second = trial.ingest().balance.rows_out
    return [first["stored"], first["repeated"], second["stored"], second["repeated"]]


def _held_once() -> int:
    trial = Trial(types={"v": "BIGINT"}).write("a.csv", f"id,v,at\nr0,word,{Z}\nr1,1,{Z}\n")
    trial.ingest()
    (trial.folder / "a.csv").rename(trial.folder / "b.csv")
    trial.ingest()
    return len(trial.held())


def inputs() -> Iterator[Input]:
    compact = _Shop.compact
    for name, steps, right in (
        ("compacted before it is materialized", (_push(1), _push(2), compact), [2.0, 2.0]),
        ("materialized, more rows, compacted", (_push(1), _materialize(5), _push(6), compact), [2.0, 2.0]),
        ("compacted twice", (_push(1), _materialize(5), _push(6), compact, compact, _push(7), compact), [3.0, 3.0]),
        ("a late row after compaction", (_push(3), _materialize(5), compact, _push(1, 5.0, 4)), [2.0, 6.0]),
        ("a late row, compacted", (_push(3), _materialize(5), _push(1, 5.0, 4), compact), [2.0, 6.0]),
        ("a correction, compacted", (_push(3), _materialize(5), _push(3, 7.0, 4), compact), [1.0, 7.0]),
        (
            "a late correction to an old value, compacted",
            (_push(3), _push(3, 7.0, 4), _materialize(5), compact, _push(3, 1.0, 6), compact),
            [1.0, 1.0],
        ),
        (
            "compacted, and materialized to the same minute",
            (_push(1), _materialize(30), _push(2, 3.0, 3), compact, _materialize(30)),
            [2.0, 4.0],
        ),
    ):
        yield Input(KIND, name, lambda s=steps: _story(*s), (right, right), slow=len(steps) in (5, 6))
    for steps in (("compact",), ("retain",), ("compact", "retain"), ("compact", "retain", "compact", "retain")):
        yield Input(KIND, f"rows after {', '.join(steps)}", lambda s=steps: _rows_after(*s), [0.0, 0.5, 1.0])
    yield Input(KIND, "quarantine replayed", _replayed, [[1, 5], ["ragged", "word"]])
    yield Input(KIND, "a file read again", _again, [2, 1, 0, 3])
    yield Input(KIND, "a held row read again", _held_once, 1)
