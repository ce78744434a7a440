"""A feed for tests: files in a folder, and a table that is brought up to date with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import noria as nr
from noria.data.ingest import Ingested, facts, ingest, replay_quarantine
from noria.features.point_in_time import PointInTime
from noria.stores.tables import DeltaTables

Z = "2024-01-01T00:00:00Z"
START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=10)


def times(count: int, start: int = 0, step: timedelta = timedelta(minutes=1)) -> pa.Array:
    """A time for each of some rows."""
    return pa.array([START + (start + i) * step for i in range(count)], pa.timestamp("us", tz="UTC"))


def dated(start: int = 0, **columns: Any) -> pa.Table:
    """Columns with an id and a time for each of their rows."""
    count = len(next(iter(columns.values())))
    ids = pa.array([f"e{start + i}" for i in range(count)], pa.string())
    return pa.table({"id": ids, "at": times(count, start), **columns})


@dataclass
class Feed:
    """A table `events` of the files in a folder."""

    folder: Path
    table: nr.Table

    @property
    def store(self) -> DeltaTables:
        return DeltaTables(self.folder / "tables")

    def put(self, name: str, content: str | bytes | pa.Table, encoding: str = "utf-8") -> Feed:
        """Write a file of the folder `in`."""
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return self

    def ingest(self) -> Ingested:
        return ingest(self.table, self.store, self.folder / "in")

    def replay(self) -> Ingested:
        return replay_quarantine(self.table, self.store)

    def took(self, name: str, content: str | bytes | pa.Table) -> dict[str, int]:
        """Where the rows of a file go."""
        return dict(self.put(name, content).ingest().balance.rows_out)

    def declare(self, **changed: Any) -> None:
        """Declare the table anew, with something else in it."""
        from dataclasses import replace

        self.table = replace(self.table, **changed)

    def rows(self, version: int | None = None) -> list[dict[str, Any]]:
        """What is stored, by id."""
        latest = self.store.latest("events")
        found = None if latest is None else self.store.read("events", latest if version is None else version)
        return [] if found is None else sorted(found.to_pylist(), key=lambda r: str(r["id"]))

    def column(self, name: str) -> list[Any]:
        return [r[name] for r in self.rows()]

    def held(self) -> list[dict[str, Any]]:
        """What is in quarantine, by place."""
        found = self.store.read_or_none("events__quarantine")
        return [] if found is None else sorted(found.to_pylist(), key=lambda r: str(r["_place"]))

    def types(self) -> dict[str, str]:
        schema = self.store.schema("events")
        assert schema is not None
        return {f.name: str(f.type) for f in schema}

    def features(self, ids: Sequence[Any], **view: Any) -> dict[str, list[Any]]:
        """The features of one view, as of long after."""
        joined = PointInTime([facts(self.table, self.store)]).join(
            pa.table({"id": ids, "_at": pa.array([LATER] * len(ids), pa.timestamp("us", tz="UTC"))}),
            [nr.FeatureView("v", self.table, entity="id", **view)],
        )
        return {name: joined.column(name).to_pylist() for name in joined.column_names}


def feed(folder: Path, pattern: str = "*", *, source: Any = None, **table: Any) -> Feed:
    """A feed whose table has `id` and `at`, unless something else is given."""
    (folder / "in").mkdir(exist_ok=True)
    declared = {"key": "id", "event_time": "at", **table}
    options = {k: declared.pop(k) for k in ("types", "delimiter", "decimal", "encoding") if k in declared}
    return Feed(folder, nr.Table("events", source or nr.files(pattern, **options), **declared))
