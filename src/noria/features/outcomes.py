"""Outcomes: what is known of a label at a moment, key by key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import since_epoch
from noria.core.conservation import Balance
from noria.core.sql import connect
from noria.data.table import SnapshotRows, TableRows
from noria.features.coding import EqualToPositive
from noria.features.horizons import keys_ahead, time_of
from noria.features.keys import key_texts
from noria.features.label import Coding, Label
from noria.features.part import part_of_keys
from noria.features.versions import versions_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

YES_OR_NO = EqualToPositive()


class Outcomes:
    """The outcomes of a label, as they were known at any time. Raises as `Label.check` and the coding do.

    spine: the facts that are predicted, where they are at hand: then keys of other types than theirs are refused
    coding: how values become numbers
    """

    def __init__(self, facts: TableRows, label: Label, spine: TableRows | None = None, coding: Coding = YES_OR_NO) -> None:
        schema = facts.schema
        label.check(schema, *(() if spine is None else (spine.table, spine.schema)))
        self._keys = label.table.keys if spine is None else label.keys_of(spine.table)
        coding.require_type(label, label.type_of(schema))
        coding.require_keys(label, schema)
        self._time = time_of(label.table, self._keys, schema) if coding.horizons else None
        self.facts, self.label, self.coding = facts, label, coding
        self._held = False  # whether `outcomes` is there

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        return connect()

    def known_since(self, keys: Sequence[str | None]) -> NDArray[np.float64]:
        """When the outcome of each key (in order, `(keys,)`, of several horizons `(keys, horizons)`) first became known, in microseconds
        since 1970-01-01 UTC; infinite: never.

        A row without an outcome (null or NaN) says that it is not known yet.
        """
        import pyarrow as pa

        found = self._asked(
            self._facts_of(keys),
            "SELECT w.place, min(o.known) AS known FROM wanted w LEFT JOIN outcomes o ON o.key = w.key AND o.label IS NOT NULL "
            "GROUP BY w.place ORDER BY w.place",
        )
        since: NDArray[np.float64] = found.column("known").cast(pa.float64()).to_numpy(zero_copy_only=False)
        return self._by_key(np.where(np.isnan(since), np.inf, since))

    def known_at(self, keys: Sequence[str | None], moment: datetime) -> NDArray[np.float64]:
        """The label of each key (in order) as a number `(keys,)`, or as several `(keys, width)`, as known at `moment`; NaN where nothing
        was known."""
        us, asked = since_epoch(moment), self._facts_of(keys)
        found = self._asked(
            asked,
            f"SELECT w.place, o.label FROM wanted w LEFT JOIN outcomes o ON o.key = w.key "
            f"AND o.known <= {us} AND o.superseded > {us} ORDER BY w.place",
        )
        Balance("outcomes", len(asked), {"looked up": found.num_rows}).checked()
        return self._by_key(numbers_of(found.column("label"), 1 if self._time else self.coding.width))

    def _facts_of(self, keys: Sequence[str | None]) -> Sequence[str | None]:
        """The keys of the facts that tell the outcomes of keys: the same, or, of a series, those at each horizon."""
        return keys if self._time is None else keys_ahead(keys, self._time, self.coding.horizons)

    def _by_key(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was found of these facts, by the keys that were asked for."""
        if len(self.coding.horizons) < 2:
            return found
        return np.ascontiguousarray(found.reshape(len(self.coding.horizons), -1).T)

    def _asked(self, keys: Sequence[str | None], query: str) -> pa.Table:
        """What a query finds in `wanted`, the keys in their order, and `outcomes`, all versions of theirs at least."""
        if not (self.facts.held and self._held):
            self._hold(part_of_keys(self.facts, keys, self._keys))
        self._con.register("wanted", _wanted(keys))
        found = self._con.sql(query).to_arrow_table()
        self._con.unregister("wanted")
        return found

    def _hold(self, facts: SnapshotRows) -> None:
        """Have these versions in `outcomes`."""
        import pyarrow as pa

        versions = versions_of(facts, self._con)
        found = {
            "key": key_texts(versions.rows, self._keys, self.label.table.name),
            "label": self.coding.coded(self.label, self.label.read(versions.rows)),
            "known": pa.array(versions.known, pa.int64()),
            "superseded": pa.array(versions.superseded, pa.int64()),
        }
        self._con.register("versions", pa.table(found))
        self._con.execute("CREATE OR REPLACE TABLE outcomes AS SELECT * FROM versions WHERE known < superseded")
        self._con.unregister("versions")
        self._held = True


def known_rows(outcomes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The rows whose outcome `(rows,)`, or some of it `(rows, outcomes)`, is known."""
    known = ~np.isnan(outcomes)
    return np.asarray(known if known.ndim == 1 else known.any(axis=1))


def numbers_of(column: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    """Coded outcomes as an array `(rows,)`, or `(rows, width)`; NaN where they are null."""
    import pyarrow as pa

    if width == 1:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    found = np.full((len(column), width), np.nan)
    known = column.combine_chunks()
    there = np.asarray(known.is_valid())
    found[there] = np.asarray(known.drop_null().flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, width)
    return found


def _wanted(keys: Sequence[str | None]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"key": pa.array(keys, pa.string()), "place": pa.array(range(len(keys)), pa.int64())})
