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
        coding.require_type(label, schema.field(label.column).type)
        self.facts, self.label, self.coding = facts, label, coding
        self._held = False  # whether `outcomes` is there

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        return connect()

    def known_since(self, keys: Sequence[str | None]) -> NDArray[np.float64]:
        """When the outcome of each key (in order, `(keys,)`) first became known, in microseconds since 1970-01-01 UTC; infinite: never.

        A row without an outcome (null or NaN) says that it is not known yet.
        """
        import pyarrow as pa

        found = self._asked(
            keys,
            "SELECT w.place, min(o.known) AS known FROM wanted w LEFT JOIN outcomes o ON o.key = w.key AND o.label IS NOT NULL "
            "GROUP BY w.place ORDER BY w.place",
        )
        since: NDArray[np.float64] = found.column("known").cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.where(np.isnan(since), np.inf, since)

    def known_at(self, keys: Sequence[str | None], moment: datetime) -> NDArray[np.float64]:
        """The label of each key (in order, `(keys,)`) as a number, as known at `moment`; NaN where nothing was known."""
        import pyarrow as pa

        us = since_epoch(moment)
        found = self._asked(
            keys,
            f"SELECT w.place, o.label FROM wanted w LEFT JOIN outcomes o ON o.key = w.key "
            f"AND o.known <= {us} AND o.superseded > {us} ORDER BY w.place",
        )
        Balance("outcomes", len(keys), {"looked up": found.num_rows}).checked()
        labels: NDArray[np.float64] = found.column("label").cast(pa.float64()).to_numpy()
        return labels

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
            "label": self.coding.coded(self.label, versions.rows.column(self.label.column)),
            "known": pa.array(versions.known, pa.int64()),
            "superseded": pa.array(versions.superseded, pa.int64()),
        }
        self._con.register("versions", pa.table(found))
        self._con.execute("CREATE OR REPLACE TABLE outcomes AS SELECT * FROM versions WHERE known < superseded")
        self._con.unregister("versions")
        self._held = True


def _wanted(keys: Sequence[str | None]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"key": pa.array(keys, pa.string()), "place": pa.array(range(len(keys)), pa.int64())})
