"""What is ingested twice, read, joined, materialized and looked up is what plain Python says of it, for random tables.

The oracle below shares nothing with Noria but the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import same
from benchmarks.edges.random_tables import UTC_US, Drawn, Kind, Row, arrow, draw, minute_of
from benchmarks.edges.trial import Trial, scratch
from noria.data.ingest import facts
from noria.features.compile import AT
from noria.features.fields import as_float32
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore

WINDOW, TTL = 40, 25  # minutes


# --- the oracle ---------------------------------------------------------------------------------------------------------


def storable(row: Row) -> bool:
    return row.id is not None and not (isinstance(row.id, float) and math.isnan(row.id)) and row.event is not None


def _stored(kind: Kind, value: Any) -> Any:
    return None if value is None else kind.stored(value)


def stored_rows(drawn: Drawn) -> list[Row]:
    """The rows that a table holds: each once, as it last stood in the batch that first had it."""
    found: dict[str, Row] = {}
    for batch in drawn.batches:
        of_batch = {_identity(row): row for row in batch if storable(row)}
        found |= {name: row for name, row in of_batch.items() if name not in found}
    return list(found.values())


def _identity(row: Row) -> str:
    return repr((row.id, row.event, row.known, row.gone, row.values))


def as_dict(drawn: Drawn, row: Row) -> dict[str, Any]:
    """What is stored of a row."""
    own = {"id": _stored(drawn.id, row.id), "at": minute_of(row.event), "known": minute_of(row.known), "gone": row.gone}
    return own | {n: _stored(k, v) for (n, k), v in zip(drawn.columns.items(), row.values, strict=True)}


def counting(rows: Sequence[Row], minute: int) -> list[Row]:
    """The version of each fact that counts at a minute, where one does, in order of time."""
    newest: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: (row.known, row.order)):
        if row.known is not None and row.known <= minute:
            newest[row.id] = row
    there = [row for row in newest.values() if not row.gone and row.event is not None and row.event <= minute]
    return sorted(there, key=lambda row: (row.event, row.known, row.id, row.order))


def values(drawn: Drawn, rows: Sequence[Row], entity: Any, minute: int) -> dict[str, float]:
    """What the features of `view` are for an entity at a minute."""
    if entity is None or (isinstance(entity, float) and math.isnan(entity)):
        return {"n": 0.0, "there": 0.0, "kinds": 0.0, **dict.fromkeys(("sum", "mean", "min", "max", "first", "last", "latest"), math.nan)}
    place, number = drawn.entity, len(drawn.columns) - 1
    of_entity = [row for row in counting(rows, minute) if _equal(row.values[place], entity)]
    inside = [row for row in of_entity if row.event is not None and row.event > minute - WINDOW]
    column = [row.values[number] for row in inside if row.values[number] is not None]
    known = [Fraction(float(v)) if isinstance(v, np.floating) else Fraction(v) for v in column if math.isfinite(v)]
    known = [v for v in known if abs(v) < 2**128 - 2**103]
    latest = of_entity[-1] if of_entity else None
    fresh = latest is not None and latest.event is not None and latest.event > minute - TTL
    return {
        "n": float(len(inside)),
        "there": float(len(column)),
        "kinds": float(len({"NaN" if math.isnan(v) else v for v in column})),
        "sum": _number(sum(known) if known else None),
        "mean": _number(sum(known) / len(known) if known else None),
        "min": _number(min(known, default=None)),
        "max": _number(max(known, default=None)),
        "first": _number(known[0] if known else None),
        "last": _number(known[-1] if known else None),
        "latest": _number(latest.values[number] if fresh and latest is not None else None),
    }


def _equal(one: Any, other: Any) -> bool:
    return one is not None and not (isinstance(one, float) and math.isnan(one)) and bool(one == other)


def _number(value: Any) -> float:
    """A number as float32, NaN for none that it can hold."""
    if value is None or not math.isfinite(value):
        return math.nan
    with np.errstate(over="ignore"):
        found = float(np.float32(float(value)))
    return found if math.isfinite(found) else math.nan


# --- Noria --------------------------------------------------------------------------------------------------------------


def view(trial: Trial, drawn: Drawn) -> nr.FeatureView:
    names = list(drawn.columns)
    number = '"' + names[-1].replace('"', '""') + '"'
    window = f"{WINDOW}m"
    return nr.FeatureView(
        "v",
        trial.table,
        entity=names[drawn.entity],
        aggregate={
            "n": nr.count(window=window),
            "there": nr.count(number, window=window),
            "kinds": nr.distinct(number, window=window),
            "sum": nr.total(number, window=window),
            "mean": nr.mean(number, window=window),
            "min": nr.minimum(number, window=window),
            "max": nr.maximum(number, window=window),
            "first": nr.first(number, window=window),
            "last": nr.last(number, window=window),
        },
        latest={"latest": number},
        ttl=f"{TTL}m",
    )


def check(seed: int) -> list[str]:
    """What is wrong with a random table, in words; nothing if it is right."""
    drawn = draw(seed)
    trial = Trial(known_at="known", deleted="gone")
    wrong: list[str] = []
    wrong += _ingested(trial, drawn, from_files=seed % 2 == 0)
    wrong += _read(trial, drawn)
    if not wrong:
        wrong += _joined(trial, drawn)
    return wrong


def _ingested(trial: Trial, drawn: Drawn, *, from_files: bool) -> list[str]:
    """Ingest the batches, then all of them once more."""
    wrong, stored = list[str](), 0
    for i, batch in enumerate([*drawn.batches, drawn.rows]):
        rows = arrow(drawn, batch)
        rows_out = (trial.write(f"f{i}.parquet", rows).ingest() if from_files else trial.push(rows)).balance.rows_out
        bad = sum(not storable(row) for row in batch)
        if rows_out["quarantined"] != bad or sum(rows_out.values()) != len(batch):
            wrong.append(f"batch {i}: {rows_out} of {len(batch)} rows, {bad} of them bad")
        stored += rows_out["stored"]
    if stored != len(stored_rows(drawn)):
        wrong.append(f"{stored} rows stored, {len(stored_rows(drawn))} expected")
    bad_rows = [row for row in drawn.rows if not storable(row)]
    texts = [row for row in trial.held() if row["id"] is None or row["at"] is None or row["id"].lower() == "nan"]
    if not len({_identity(row) for row in bad_rows}) <= len(texts) <= len(bad_rows):  # equal rows of one batch may be held apart
        wrong.append(f"{len(texts)} rows held, of {len(bad_rows)} bad ones")
    return wrong


def _read(trial: Trial, drawn: Drawn) -> list[str]:
    found = sorted(trial.rows(), key=_in_order)
    wanted = sorted((as_dict(drawn, row) for row in stored_rows(drawn)), key=_in_order)
    if len(found) != len(wanted):
        return [f"{len(found)} rows read, {len(wanted)} expected"]
    return [f"read {got!r}, expected {want!r}" for got, want in zip(found, wanted, strict=True) if not _alike(got, want)]


def _in_order(row: dict[str, Any]) -> str:
    return repr({name: _plain(value) for name, value in sorted(row.items()) if value is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.timestamp()
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def _alike(got: dict[str, Any], want: dict[str, Any]) -> bool:
    """Whether a row that was read is the one that was stored; a column of nulls alone may be absent."""
    return all(same(got.get(name), value) for name, value in want.items())


def _joined(trial: Trial, drawn: Drawn) -> list[str]:
    """The features of every entity at several minutes, in training, and in serving at the last of them."""
    names, kind = list(drawn.columns), list(drawn.columns.values())[drawn.entity]
    of_view, stored = view(trial, drawn), stored_rows(drawn)
    if not stored or any(name not in trial.rows()[0] for name in (names[drawn.entity], names[-1])):
        return []  # a column that has never had a value is not there yet
    entities = list({repr(e): e for e in (row.values[drawn.entity] for row in drawn.rows)}.values())
    minutes = [10, 35, 60, 95]
    asked = [(entity, minute) for minute in minutes for entity in entities]
    spine = pa.table(
        {names[drawn.entity]: pa.array([e for e, _ in asked], kind.type), AT: pa.array([minute_of(m) for _, m in asked], UTC_US)}
    )
    table = PointInTime([facts(trial.table, trial.store)]).join(spine, [of_view])
    trained = {name: as_float32(table.column(name)).tolist() for name in of_view.features}
    wrong = []
    for i, (entity, minute) in enumerate(asked):
        wrong += _differing(
            "training", values(drawn, stored, entity, minute), {n: v[i] for n, v in trained.items()}, f"{entity!r} at {minute}"
        )
    with closing(LmdbStore(scratch())) as online:
        for minute in minutes:
            moment = minute_of(minute)
            assert moment is not None
            Materializer(online, trial.store).run(of_view, moment)
            served = OnlineFeatures(online, [of_view]).lookup(pa.table({names[drawn.entity]: pa.array(entities, kind.type)}), moment)
            for i, entity in enumerate(entities):
                wrong += _differing(
                    "serving", values(drawn, stored, entity, minute), {n: float(v[i]) for n, v in served.items()}, f"{entity!r} at {minute}"
                )
    return wrong


def _differing(where: str, want: dict[str, float], got: dict[str, float], what: str) -> list[str]:
    return [f"{where}: {name} of {what} is {got[name]}, not {value}" for name, value in want.items() if not _close(got[name], value)]


def _close(got: float, want: float) -> bool:
    """Whether two float32 are equal, or neighbours: an exact sum is rounded to a double first."""
    if math.isnan(got) or math.isnan(want):
        return math.isnan(got) and math.isnan(want)
    return abs(got - want) <= float(np.spacing(np.float32(abs(want))))
