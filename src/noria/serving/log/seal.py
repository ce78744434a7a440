"""Sealing: the prediction log's past days become a table, for people and for SQL; segments may then be removed.

A segment whose day is over gets no more rows. Its rows are appended to a Delta table in one commit that names the segment and
its digest, so that a kill at any point seals each segment once (a segment is at most 64 MB, so memory stays bounded). Only segments
that a commit names, unchanged since, are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.conservation import Balance
from noria.core.files import Files
from noria.core.ids import digest
from noria.data.table import microseconds_of
from noria.serving.log.segments import Predictions, read_segment
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

FeaturesOf = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Sealed:
    """What sealing did to one endpoint's log."""

    table: str
    balance: Balance
    segments: int
    removed: int

    def to_dict(self) -> dict[str, Any]:
        return {"table": self.table, "balance": self.balance.to_dict(), "segments": self.segments, "removed": self.removed}


def table_of(endpoint: str) -> str:
    """The table that an endpoint's log is sealed into."""
    return f"{endpoint}__predictions"


def seal(
    endpoint: str, folder: Path, tables: DeltaTables, features_of: FeaturesOf, files: Files, now: datetime, keep: timedelta | None
) -> Sealed:
    """Seal every segment of the days before `now`'s, and remove those sealed ones that are older than `keep` (None: none).

    features_of: the names of a bundle's features. Raises `DamagedLog` at the first segment that is damaged; those before it are sealed.
    """
    name = table_of(endpoint)
    read = written = fresh = removed = 0
    with tables.writing(name):
        done: dict[str, dict[str, Any]] = tables.details(name).get("segments", {})
        for path in files.list(folder, "*/*.seg"):
            key = f"{path.parent.name}/{path.name}"
            if path.name[:10] >= f"{now:%Y-%m-%d}":
                continue
            if key not in done:
                parts = list(read_segment(path, files))
                read += sum(map(len, parts))
                done = {**done, key: {"rows": sum(map(len, parts)), "digest": digest(files.read(path))}}
                written += _append(tables, name, parts, features_of, done)
                fresh += 1
            if keep is not None and path.name[:10] < f"{now - keep:%Y-%m-%d}" and done[key]["digest"] == digest(files.read(path)):
                files.remove(path)
                removed += 1
    return Sealed(name, Balance(f"seal {endpoint}", read, {"sealed": written}).checked(), fresh, removed)


def _append(tables: DeltaTables, name: str, parts: Sequence[Predictions], features_of: FeaturesOf, done: Mapping[str, Any]) -> int:
    """Append a segment's rows, in the commit that names it as sealed."""
    import pyarrow as pa

    by_bundle: dict[str, list[pa.Table]] = {}
    for rows in parts:
        for bundle in dict.fromkeys(rows.bundle):
            by_bundle.setdefault(bundle, []).append(as_table(rows.of(bundle), features_of(bundle)))
    found = [pa.concat_tables(those) for those in by_bundle.values()]
    whole = pa.concat_tables(found, promote_options="default") if found else None
    if whole is None:
        return 0
    tables.append(name, whole, {"segments": dict(done)})
    return int(whole.num_rows)


def as_table(rows: Predictions, features: Sequence[str]) -> pa.Table:
    """Predictions of one bundle as columns: what the log knows of each (with an underscore before its name), and its features by name."""
    import pyarrow as pa

    columns = {
        "_id": pa.array(rows.ids, pa.string()),
        "_key": pa.array(rows.keys, pa.string()),
        "_variant": pa.array(rows.variant, pa.string()),
        "_bundle": pa.array(rows.bundle, pa.string()),
        "_received_at": pa.array(rows.received_us, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "_latency_us": pa.array(rows.latency_us, pa.int32()),
        "_prediction": pa.array(rows.prediction, pa.float64()),
    }
    values = np.ascontiguousarray(rows.features.T)
    return pa.table(columns | {name: pa.array(values[place], pa.float32(), from_pandas=True) for place, name in enumerate(features)})


def read_sealed(
    endpoint: str, tables: DeltaTables, features_of: FeaturesOf, start: datetime, end: datetime, prediction_id: str
) -> Predictions | None:
    """A sealed prediction that was received in [start, end]; None if it was not sealed."""
    import pyarrow.compute as pc

    name = table_of(endpoint)
    version = tables.latest(name)
    if version is None:
        return None
    rows = tables.read(name, version, within=("_received_at", start, end))
    rows = rows.filter(pc.equal(rows.column("_id"), prediction_id))
    if rows.num_rows == 0:
        return None
    features = features_of(rows.column("_bundle")[0].as_py())
    values = [rows.column(feature).to_numpy() for feature in features]
    return Predictions(
        rows.column("_id").to_pylist(),
        rows.column("_key").to_pylist(),
        rows.column("_variant").to_pylist(),
        rows.column("_bundle").to_pylist(),
        microseconds_of(rows.column("_received_at")),
        rows.column("_latency_us").to_numpy(),
        np.column_stack(values).astype(np.float32),
        rows.column("_prediction").to_numpy(),
    )
