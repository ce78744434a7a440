"""A stored version of a table, of which only that is read which is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noria.core.sql import reserved
from noria.data.table import Snapshot, SnapshotRows, Table
from noria.stores.tables import ORDER, DeltaTables, in_order

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds


@dataclass
class StoredRows:
    """One version of a table in its store. held: whether all of it is held in memory, once something is asked of it"""

    table: Table
    snapshot: Snapshot
    store: DeltaTables
    held: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([field for field in self._stored_schema if not reserved(field.name)])

    @cached_property
    def whole(self) -> SnapshotRows:
        return self._snapshot_rows(self.scan())

    @cached_property
    def files(self) -> list[str]:
        """The data files that it consists of."""
        return self.store.data_files(self.table.name, self.snapshot.version)

    def columns(self, names: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        if self.held:
            return self.whole.columns(names)
        return pa.Table.from_batches(self.scan(names), pa.schema([self._stored_schema.field(name) for name in names]))

    def extent(self, column: str) -> tuple[Any, Any]:
        import pyarrow.compute as pc

        if self.held:
            return self.whole.extent(column)
        found = [pc.min_max(batch.column(0)).as_py() for batch in self.scan([column])]
        least, greatest = ([each[end] for each in found if each[end] is not None] for end in ("min", "max"))
        return min(least, default=None), max(greatest, default=None)

    def scan(self, columns: Sequence[str] | None = None, where: ds.Expression | None = None) -> Iterator[pa.RecordBatch]:
        """The rows for which `where` holds, in no order and a batch at a time. Raises `DamagedTable`."""
        names = None if columns is None else list(dict.fromkeys(columns))
        with self.store.reading(self.table.name):
            yield from self.store.scan(self.table.name, self.snapshot.version, columns=names, where=where)

    def scan_file(self, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of one of its data files, a batch at a time. Raises `DamagedTable`."""
        return self.store.scan_file(self.table.name, self.snapshot.version, path, list(dict.fromkeys(columns)))

    def chosen(self, keep: Callable[[pa.RecordBatch], pa.Array], where: ds.Expression | None = None) -> SnapshotRows:
        """The rows that `keep` (of a batch, `(rows,)` booleans) chooses from those for which `where` holds, in the order of the version."""
        return self._snapshot_rows(batch.filter(keep(batch)) for batch in self.scan(where=where))

    def of(self, table: Table) -> StoredRows | SnapshotRows:
        """The same rows for another declaration of the table."""
        if table is self.table:
            return self
        return replace(self.whole, table=table) if self.held else replace(self, table=table)

    @cached_property
    def _stored_schema(self) -> pa.Schema:
        return self.store.stored_schema(self.table.name, self.snapshot.version)

    def _snapshot_rows(self, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]) -> SnapshotRows:
        import pyarrow as pa

        rows = in_order(pa.Table.from_batches(batches, self._stored_schema), ordered=True)
        if ORDER not in rows.column_names:
            return SnapshotRows(self.table, self.snapshot, rows)
        return SnapshotRows(self.table, self.snapshot, rows.drop_columns([ORDER]), rows.column(ORDER).fill_null(0).to_numpy())
