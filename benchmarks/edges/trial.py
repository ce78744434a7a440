"""A table to try inputs on, in a folder of its own: files go in, and every row has to come out somewhere."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import noria as nr
from benchmarks.edges.inputs import Held, LostRows
from noria.data.ingest import Ingested, ingest, push, quarantine_of
from noria.stores.tables import DeltaTables

Z = "2024-01-01T00:00:00Z"


@cache
def _root() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="noria-edges-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def scratch() -> Path:
    """An empty folder, removed when the process ends."""
    return Path(tempfile.mkdtemp(dir=_root()))


class Trial:
    """One table of rows with an `id` and a time `at`, from files in a folder or from another source."""

    def __init__(self, pattern: str = "*", source: Any = None, folder: Path | None = None, **declared: Any) -> None:
        self.folder = folder or scratch()
        of_files = {name: declared.pop(name) for name in ("types", "delimiter", "decimal", "encoding") if name in declared}
        self.store = DeltaTables(scratch())
        self.table = nr.Table("events", source or nr.files(pattern, **of_files), **{"key": "id", "event_time": "at"} | declared)

    def write(self, name: str, content: str | bytes | pa.Table) -> Trial:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        elif isinstance(content, str):
            path.write_bytes(content.encode())
        else:
            path.write_bytes(content)
        return self

    def ingest(self) -> Ingested:
        return ingest(self.table, self.store, self.folder)

    def push(self, rows: pa.Table) -> Ingested:
        return push(self.table, self.store, rows)

    def rows(self) -> list[dict[str, Any]]:
        found = self.store.read_or_none("events")
        return [] if found is None else found.to_pylist()

    def held(self) -> list[dict[str, str | None]]:
        """What is in quarantine."""
        found = self.store.read_or_none(quarantine_of(self.table))
        return [] if found is None else found.to_pylist()

    def columns(self, names: Iterable[str], ids: Sequence[Any]) -> dict[str, list[Any]]:
        """What became of the rows of `ids`: each column's values in that order, `Held` where the row is in quarantine.

        Raises `LostRows` for one that is neither stored nor held.
        """
        stored = {row["id"]: row for row in self.rows()}
        held = {row.get("id"): row for row in self.held()}
        raw = [row["_raw"] for row in self.held() if row["_raw"] is not None]

        def found(one: Any, column: str) -> Any:
            if one in stored:
                return stored[one].get(column)
            if str(one) in held:
                return Held(held[str(one)].get(column))
            text = next((text for text in raw if str(one) in text), None)
            if text is None:
                raise LostRows(f"row {one!r} is nowhere")
            return Held(text)

        return {name: [found(one, name) for one in ids] for name in names}

    def values(self, ids: Sequence[Any], column: str = "v") -> list[Any]:
        return self.columns([column], ids)[column]


def moments(count: int) -> pa.Array:
    """Times with a zone, a minute apart."""
    start = 1_704_067_200_000_000  # 2024-01-01
    return pa.array([start + 60_000_000 * i for i in range(count)], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
