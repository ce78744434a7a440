"""Versioned tables on Delta Lake: each append is one atomic version, with its facts in the same commit.

`deltalake` is taken because it writes an open format that Spark and DuckDB read, without a JVM or a server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.ids import digest
from noria.core.sql import connect

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_FACTS = "noria"


class DeltaTables:
    """All tables of a project, one Delta table per folder below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        return sorted(p.parent.name for p in self.root.glob("*/_delta_log"))

    def latest(self, name: str) -> int | None:
        """The newest version's number, or None if the table was never written."""
        table = self._open(name)
        return None if table is None else int(table.version())

    def append(self, name: str, rows: pa.Table, facts: Mapping[str, Any]) -> int:
        """Add rows as the next version, with `facts` (JSON) in the same commit. Returns the version's number."""
        from deltalake import CommitProperties, write_deltalake

        self.root.mkdir(parents=True, exist_ok=True)
        commit = CommitProperties(custom_metadata={_FACTS: json.dumps(facts, sort_keys=True)})
        write_deltalake(str(self.root / name), rows, mode="append", commit_properties=commit)
        version = self.latest(name)
        assert version is not None
        return version

    def read(self, name: str, version: int) -> pa.Table:
        """All rows of a version, in a fixed order."""
        import pyarrow as pa
        from deltalake import DeltaTable

        table = DeltaTable(str(self.root / name), version=version)
        rows = pa.table(table.to_pyarrow_table())
        with connect() as con:
            con.register("rows", rows)
            return con.sql("SELECT * FROM rows ORDER BY ALL").to_arrow_table()

    def read_or_none(self, name: str) -> pa.Table | None:
        version = self.latest(name)
        return None if version is None else self.read(name, version)

    def details(self, name: str) -> dict[str, Any]:
        """The facts stored with the newest append."""
        table = self._open(name)
        for commit in table.history() if table is not None else []:
            if _FACTS in commit:
                found: dict[str, Any] = json.loads(commit[_FACTS])
                return found
        return {}

    def history(self, name: str) -> list[dict[str, Any]]:
        """The facts of every append, newest first."""
        table = self._open(name)
        return [json.loads(c[_FACTS]) for c in (table.history() if table is not None else []) if _FACTS in c]

    def count(self, name: str) -> int:
        """Rows in the newest version, from the log alone."""
        table = self._open(name)
        return 0 if table is None else sum(table.get_add_actions(flatten=True)["num_records"].to_pylist())

    def _open(self, name: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        return DeltaTable(str(self.root / name)) if (self.root / name / "_delta_log").is_dir() else None


def content_digest(rows: pa.Table) -> str:
    """SHA-256 of a table's values and schema, whatever its chunks."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    whole = rows.combine_chunks().replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return digest(memoryview(sink.getvalue()))
