"""Synthetic events: a million rows of ten features for 50,000 entities over ninety days, and a spine of a million rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import noria as nr
from noria.data.table import Snapshot, SnapshotRows

ENTITIES = 50_000
FEATURES = tuple(f"v{i}" for i in range(10))
START = 1_700_000_000_000_000
SPAN = 90 * 86_400 * 1_000_000
HOUR = 3_600_000_000

TABLE = nr.Table("facts", nr.files("none.parquet"), key=("entity", "happened"), event_time="happened", known_at="known")
LATEST = nr.FeatureView("latest", TABLE, entity="entity", latest=list(FEATURES), ttl="7d")


def times(us: np.ndarray) -> pa.Array:
    return pa.array(us, pa.timestamp("us", tz="UTC"))


def events(rows: int, *, late: float = 0.0, corrected: float = 0.0, entities: int = ENTITIES) -> pa.Table:
    """Events in order of time, known a minute later; a share is late by an hour to three days, a share stands twice."""
    rng = np.random.default_rng(0)
    happened = np.sort(rng.integers(0, SPAN, rows)) + START
    known = happened + 60_000_000
    delay = rng.integers(HOUR, 72 * HOUR, rows)
    known = np.where(rng.random(rows) < late, happened + delay, known)
    columns = {"entity": rng.integers(0, entities, rows), "happened": times(happened), "known": times(known)}
    table = pa.table({**columns, **{name: rng.normal(size=rows) for name in FEATURES}})
    again = rng.choice(rows, int(rows * corrected), replace=False)
    corrections = table.take(pa.array(again)).set_column(2, "known", times(happened[again] + delay[again]))
    return pa.concat_tables([table.slice(0, rows - len(again)), corrections])


def spine(rows: int, *, entities: int = ENTITIES) -> pa.Table:
    rng = np.random.default_rng(1)
    return pa.table({"entity": rng.integers(0, entities, rows), "_at": times(rng.integers(0, SPAN, rows) + START)})


def facts(table: pa.Table) -> SnapshotRows:
    return SnapshotRows(TABLE, Snapshot("facts", 0, "", table.num_rows), table)
