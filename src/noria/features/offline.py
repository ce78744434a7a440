"""Offline features: the rows of a feature set over any stretch of time, computed once per week of spine and kept.

A week's rows depend only on the definitions and on what the tables hold of the time before its end, so they are stored under
the hash of both: a late batch recomputes the weeks that it reaches, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import EPOCH, require_utc
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import digest
from noria.data.rows import Fields
from noria.data.table import Snapshot, TableRows
from noria.features.compile import AT
from noria.features.computed import computed, fields_of
from noria.features.feature_set import FeatureSet
from noria.features.fields import arrow_column, is_block
from noria.features.keys import ENCODING
from noria.features.part import engine_at, engine_between
from noria.features.point_in_time import PointInTime

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = timedelta(days=7)


class OfflineFeatures:
    """The rows of one feature set, from one version of each table; of tables that are not in memory, what is asked for is read."""

    def __init__(self, feature_set: FeatureSet, facts: Sequence[TableRows], cache: Path, files: Files) -> None:
        self.feature_set = feature_set
        self.snapshots: tuple[Snapshot, ...] = tuple(f.snapshot for f in facts)
        self.facts = tuple(facts)
        self._facts = {f.table.name: f for f in facts}
        self._cache, self._files = cache, files
        self._definition = feature_set.definition_hash()
        self._chunks: dict[datetime, pa.Table] = {}

    def rows(self, start: datetime, end: datetime) -> pa.Table:
        """Every spine row with a prediction time in [start, end), by prediction time and key.

        Columns: the spine's own, `_at` (prediction time, UTC), `_key` (the fact's key as one text), and the features in the types of
        `fields` (null where unknown). Where a feature is named as a column of the spine, the column of that name is the feature.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = []
        for chunk_start in _chunk_starts(start, min(end, self._last + EPOCH.resolution)):  # a week after the last fact would be empty
            chunk = self._chunk(chunk_start)
            at = chunk.column(AT)
            if chunk_start < start or chunk_start + CHUNK > end:
                chunk = chunk.filter(pc.and_(pc.greater_equal(at, _scalar(start, at)), pc.less(at, _scalar(end, at))))
            parts.append(chunk)
        return pa.concat_tables(parts).combine_chunks() if parts else self._chunk(_floor(start)).slice(0, 0)

    @cached_property
    def fields(self) -> Fields:
        """The features as fields, in the set's order, by the tables' schemas. Raises as `fields_of` does."""
        return fields_of(self.feature_set, {f.table.name: f.schema for f in self.facts})

    def first(self) -> datetime:
        """The earliest prediction time there can be: that of the spine's first fact."""
        spine = self.feature_set.spine
        earliest, _ = self._span
        if earliest is None:
            raise UserMistake(
                what=f"the spine {spine.name!r} has no rows yet",
                where="it was ingested, but nothing was stored",
                fix="check what its source returns and what is quarantined: `noria check`",
            )
        return earliest - self.feature_set.lead_time

    @cached_property
    def _last(self) -> datetime:
        """The latest prediction time there can be: that of the spine's last fact."""
        _, latest = self._span
        return self.first() if latest is None else latest - self.feature_set.lead_time

    @cached_property
    def _span(self) -> tuple[datetime | None, datetime | None]:
        """When the spine's first and last facts happened."""
        spine = self.feature_set.spine
        earliest, latest = self._facts[spine.name].extent(spine.event_time)
        return None if earliest is None else require_utc(earliest), None if latest is None else require_utc(latest)

    @cached_property
    def _whole(self) -> PointInTime:
        """The join over all rows of all tables of the set."""
        return PointInTime([self._facts[t.name].whole for t in self.feature_set.tables])

    @property
    def held(self) -> bool:
        """Whether the tables are read whole, and kept in memory."""
        return all(f.held for f in self.facts)

    def engine_at(self, keys: Sequence[str | None], at: NDArray[np.int64]) -> PointInTime:
        """The join for facts of the spine with these keys, at these times (microseconds UTC)."""
        return self._whole if self.held else engine_at(self.feature_set, self.facts, keys, at)

    def _engine_between(self, start: datetime, end: datetime) -> PointInTime:
        return self._whole if self.held else engine_between(self.feature_set, self.facts, start, end)

    def _chunk(self, start: datetime) -> pa.Table:
        if start not in self._chunks:
            found, features = self._load_or_compute(start), self.feature_set.features
            columns = [name for name in found.column_names if name not in features]
            self._chunks[start] = found.select([*columns, *features])  # features swapped within a view are kept under the same name
        return self._chunks[start]

    def _load_or_compute(self, start: datetime) -> pa.Table:
        import pyarrow as pa

        path = self._cache / f"{self._name(start)}.arrow"
        if self._files.exists(path):
            return pa.ipc.open_file(pa.py_buffer(self._files.read(path))).read_all()
        table = self._compute(start, start + CHUNK)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._files.make_folder(self._cache)
        self._files.write(path, sink.getvalue().to_pybytes())
        return table

    def _name(self, start: datetime) -> str:
        """The chunk's name: a hash of all that can change it. A batch that became known after it leaves it as it is."""
        known = {s.table: s.digest_before(start + CHUNK) for s in self.snapshots}
        typed = [] if is_block(self.fields) else [[field.described for field in self.fields]]
        return digest([ENCODING, self._definition, known, start, *typed])

    def _compute(self, start: datetime, end: datetime) -> pa.Table:
        import pyarrow as pa

        engine = self._engine_between(start, end)
        spine = engine.spine(self.feature_set.spine, self.feature_set.lead_time, start, end)
        columns = {name: spine.column(name) for name in spine.column_names}  # the joins and transforms read these, and no feature
        found = computed(self.feature_set, engine, spine)
        columns |= {field.name: arrow_column(field, found[field.name]) for field in self.fields}
        table = pa.table(columns).combine_chunks()
        Balance("features", spine.num_rows, {"rows": table.num_rows}).checked()
        return table


def _floor(moment: datetime) -> datetime:
    return EPOCH + (moment - EPOCH) // CHUNK * CHUNK


def _chunk_starts(start: datetime, end: datetime) -> Iterator[datetime]:
    at = _floor(start)
    while at < end:
        yield at
        at += CHUNK


def _scalar(moment: datetime, like: pa.ChunkedArray) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(moment, like.type)
