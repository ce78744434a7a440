"""The part of a table that a question needs: few rows of it, from which the answer is the same as from all of them.

Versions of a fact supersede each other, so a part has every version of a fact that any of its rows is of, as far as that was known by the
time of the question: then each counts for as long as it does among all rows. What became known later changes no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, from_epoch, microseconds, since_epoch
from noria.data.stored import StoredRows
from noria.data.table import SnapshotRows, Table, TableRows, microseconds_of
from noria.features.feature_set import FeatureSet
from noria.features.keys import key_texts
from noria.features.point_in_time import PointInTime
from noria.features.view import UNLIMITED, FeatureView

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

Span = tuple[int | None, int]  # microseconds since 1970-01-01 UTC, both ends included; None: since ever


@dataclass
class Need:
    """What is asked of a table. known: by when, in microseconds; spans: when facts happened; keys: which facts, as texts"""

    known: int
    spans: list[Span] = field(default_factory=list)
    keys: pa.Array | None = None


def part(rows: TableRows, need: Need) -> SnapshotRows:
    """The rows of a table that are needed, in their order; all of them where they are in memory."""
    if rows.held or not isinstance(rows, StoredRows):
        return rows.whole
    keys, since = (need.keys, None) if not need.spans else _facts_within(rows, need)
    where, near = _known_within(rows.table, since, need.known), _near(rows, rows.table.keys, keys)
    return rows.chosen(lambda batch: _are_of(batch, rows.table, keys), where if near is None else where & near)


def part_of_keys(rows: TableRows, keys: Sequence[str | None], names: Sequence[str]) -> SnapshotRows:
    """The rows with these keys, which are the texts of the columns `names`; all rows where they are in memory."""
    import pyarrow as pa

    if rows.held or not isinstance(rows, StoredRows):
        return rows.whole
    wanted = pa.array(keys, pa.string()).drop_null().unique()
    return rows.chosen(lambda batch: _among(batch, names, wanted), _near(rows, names, wanted))


def engine_at(features: FeatureSet, tables: Sequence[TableRows], keys: Sequence[str | None], at: NDArray[np.int64]) -> PointInTime:
    """The join for facts of the spine with these keys, at these times (microseconds UTC)."""
    import pyarrow as pa

    first, last = (int(at.min()), int(at.max())) if len(at) else (0, 0)
    needs = _needs_of_views(features, first, last)
    _need_of(needs, features.spine, last).keys = pa.array(keys, pa.string()).drop_null().unique()
    return _engine(tables, needs)


def engine_between(features: FeatureSet, tables: Sequence[TableRows], start: datetime, end: datetime) -> PointInTime:
    """The join for the facts of the spine that are predicted in [start, end)."""
    needs = _needs_of_views(features, since_epoch(start), since_epoch(end))
    happened = since_epoch(start + features.lead_time), since_epoch(end + features.lead_time)
    _need_of(needs, features.spine, since_epoch(end)).spans.append(happened)
    return _engine(tables, needs)


def _engine(tables: Sequence[TableRows], needs: dict[str, Need]) -> PointInTime:
    return PointInTime([part(rows, needs[rows.table.name]) for rows in tables])


def _needs_of_views(features: FeatureSet, first: int, last: int) -> dict[str, Need]:
    """What the views read for queries at times in [first, last]."""
    needs: dict[str, Need] = {}
    for view in features.views:
        _need_of(needs, view.table, last).spans.append((_since(view, first), last))
    return needs


def _need_of(needs: dict[str, Need], table: Table, known: int) -> Need:
    return needs.setdefault(table.name, Need(known))


def _since(view: FeatureView, first: int) -> int | None:
    """From when on facts can count in a view at a time."""
    if view.lookback >= UNLIMITED:
        return None
    step = 0 if view.freshness is None else microseconds(duration(view.freshness))
    return first - step - microseconds(view.lookback)


def _facts_within(rows: StoredRows, need: Need) -> tuple[pa.Array, int | None]:
    """The keys of the facts that are needed, and since when their versions were known that can matter: what supersedes a version was known
    no earlier than it."""
    import pyarrow as pa

    table, found = rows.table, [pa.array([], pa.string()) if need.keys is None else need.keys]
    since = None
    happened = reduce(or_, [_happened_within(table, span) for span in need.spans])
    for batch in rows.scan([*table.keys, table.known], happened & _known_within(table, None, need.known)):
        if batch.num_rows:
            some = pa.Table.from_batches([batch])
            found.append(key_texts(some, table.keys, table.name).combine_chunks().unique())
            known = int(microseconds_of(some.column(table.known)).min())
            since = known if since is None else min(since, known)
    keys = pa.concat_arrays(found).unique()
    return keys, since if need.keys is None else None


def _happened_within(table: Table, span: Span) -> ds.Expression:
    return _within(table.event_time, *span)


def _known_within(table: Table, since: int | None, until: int) -> ds.Expression:
    return _within(table.known, since, until)


def _within(column: str, since: int | None, until: int) -> ds.Expression:
    import pyarrow.dataset as ds

    last = ds.field(column) <= from_epoch(until)
    return last if since is None else (ds.field(column) >= from_epoch(since)) & last


def _near(rows: StoredRows, names: Sequence[str], keys: pa.Array | None) -> ds.Expression | None:
    """What holds of rows with these keys, or with none, by which row groups are skipped: a number or a text lies between the least and the
    greatest of them. None where nothing is said so simply."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if len(names) != 1 or keys is None:
        return None
    [name], type_ = names, rows.schema.field(names[0]).type
    if pa.types.is_integer(type_):
        keys = keys.filter(pc.match_substring_regex(keys, r"^-?[0-9]{1,18}$")).cast(pa.int64())
    elif not pa.types.is_string(type_):
        return None
    found, column = pc.min_max(keys), ds.field(name)
    if not found["min"].is_valid:
        return column.is_null()
    return ((column >= found["min"]) & (column <= found["max"])) | column.is_null()


def _are_of(batch: pa.RecordBatch, table: Table, keys: pa.Array | None) -> pa.Array:
    """Which rows are of facts with these keys. What has no key is taken in, since it may supersede what has none either."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = key_texts(pa.Table.from_batches([batch]), table.keys, table.name).combine_chunks()
    return pc.or_(pc.is_null(texts), pc.is_in(texts, value_set=keys))


def _among(batch: pa.RecordBatch, names: Sequence[str], keys: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(key_texts(pa.Table.from_batches([batch]), names).combine_chunks(), value_set=keys)
