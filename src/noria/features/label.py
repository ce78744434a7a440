"""Labels: the truth that a model learns to predict, which becomes known later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, since_epoch
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.sql import connect
from noria.data.contract import UnknownColumn
from noria.data.table import SnapshotRows, Table, TableRows
from noria.features.keys import KeyColumn, KeysOfOtherLength, key_texts, require_comparable
from noria.features.part import part_of_keys
from noria.features.versions import Versions, versions_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class _One(int):
    """The 1 that stands where nobody has said which value is the positive one."""


SHOWN = 5  # values in a message


class LabelRules(Protocol):
    """What a task asks of labels, as training sets need it; tasks are made in `noria.evaluation`."""

    def require_label(self, label: Label, rows: pa.Table) -> None:
        """Raise for a column that holds no outcomes of the task; rows: of the label's table"""

    def require_outcomes(self, label: Label, outcomes: NDArray[np.float64], rows: pa.Table) -> None:
        """Raise for outcomes `(rows,)` from which no model can learn."""


@dataclass(frozen=True)
class Label:
    """A column of a table with the spine's key: 1 where it equals `positive`, else 0; null and NaN are outcomes not known yet.

    positive: of the column's type: a number, a text, or True or False (1 and 0 do as well); left out, the column holds 0 and 1, or booleans
    matures: how long after a prediction its outcome is certain to be known; a window is judged only then
    """

    table: Table
    column: str
    positive: bool | int | float | str = _One(1)
    matures: str = "0s"
    named: bool = field(init=False, compare=False, repr=False)  # whether somebody has said which value is the positive one

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", not isinstance(self.positive, _One))
        if not self.named:
            object.__setattr__(self, "positive", 1)

    @property
    def maturity(self) -> timedelta:
        return duration(self.matures)

    @property
    def in_words(self) -> str:
        """What counts as positive, such as `returned = 1`."""
        return f"{self.column} = {self.positive}"

    def keys_of(self, spine: Table) -> tuple[str, ...]:
        """The key columns of the label's table in the order of the spine's. Raises `KeysOfOtherLength`."""
        keys, asked = self.table.keys, spine.keys
        if len(keys) != len(asked):
            raise KeysOfOtherLength(spine.name, asked, self.table.name, keys)
        return asked if set(keys) == set(asked) else keys

    def check(self, schema: pa.Schema, spine: Table | None = None, spine_schema: pa.Schema | None = None) -> None:
        """Raise `UnknownColumn`, `BadLabel`, `KeysOfOtherLength` or `IncomparableKeys` for what no outcome could be read from."""
        self.require_columns(schema)
        _positive(self, schema.field(self.column).type)
        if spine is None or spine_schema is None:
            return
        for ours, theirs in zip(spine.keys, self.keys_of(spine), strict=True):
            left = KeyColumn(spine.name, ours, spine_schema.field(ours).type)
            require_comparable(left, KeyColumn(self.table.name, theirs, schema.field(theirs).type))

    def values(self, rows: pa.Table) -> pa.Array:
        """The different outcomes that are known in the table's rows, in the order of their first."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = rows.column(self.column)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        found = pc.unique(column).drop_null()
        return found.filter(pc.invert(pc.is_nan(found))) if pa.types.is_floating(found.type) else found

    def known(self, rows: pa.Table) -> int:
        """How many of the table's rows have an outcome."""
        import pyarrow.compute as pc

        column = rows.column(self.column)
        return int(len(column) - pc.sum(pc.is_null(column, nan_is_null=True)).as_py()) if len(column) else 0

    def require_columns(self, schema: pa.Schema) -> None:
        for column in (self.column, *self.table.keys):
            if column not in schema.names:
                raise UnknownColumn(column=column, named_by=f"the label on {self.table.name!r}", available=schema.names)


class BadLabel(UserMistake):
    """A label's `positive` can't be compared with the values of its column."""

    code = "NR-218"

    def __init__(self, label: Label, type_: pa.DataType, wanted: str) -> None:
        self.label, self.type = label, type_
        super().__init__(
            what=f"no value of {label.column!r} can equal positive={label.positive!r}: its type is {type_}",
            where=f"nr.Label({label.table.name}, {label.column!r}, …)",
            fix=f"give positive as {wanted}",
        )


def in_short(values: pa.Array) -> str:
    """Some of a column's values, for a message."""
    shown = [f"{value:g}" if isinstance(value, float) else repr(value) for value in values[:SHOWN].to_pylist()]
    return ", ".join(shown) + (", …" if len(values) > SHOWN else "")


class Outcomes:
    """The outcomes of a label, as they were known at any time. Raises as `Label.check` does.

    spine: the facts that are predicted, where they are at hand: then keys of other types than theirs are refused
    """

    def __init__(self, facts: TableRows, label: Label, spine: TableRows | None = None) -> None:
        schema = facts.schema
        label.check(schema, *(() if spine is None else (spine.table, spine.schema)))
        self._keys = label.table.keys if spine is None else label.keys_of(spine.table)
        self.facts, self.label = facts, label
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
        """The label of each key (in order, `(keys,)` in {0, 1}) as known at `moment`; NaN where nothing was known."""
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
            "label": _labels(self.label, versions),
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


def _labels(label: Label, versions: Versions) -> pa.ChunkedArray:
    """1 or 0 for every version, null where its outcome is null or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = versions.rows.column(label.column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_null(values.type):
        return pa.chunked_array([pa.nulls(len(values), pa.int8())])
    found = pc.equal(values, _positive(label, values.type)).cast(pa.int8())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.int8()), found) if pa.types.is_floating(values.type) else found


def _positive(label: Label, type_: pa.DataType) -> pa.Scalar:
    """`positive` as a value of the column's type. Raises `BadLabel` where it is none."""
    import pyarrow as pa

    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    if pa.types.is_null(type_):  # no outcome is there yet, and so no type
        return pa.scalar(None)
    wanted, value = _as_value(label.positive, type_)
    if value is not None:
        with suppress(pa.ArrowInvalid, OverflowError):
            return pa.scalar(value, type_)
    raise BadLabel(label, type_, wanted)


def _as_value(given: bool | float | str, type_: pa.DataType) -> tuple[str, Any]:
    """What a column of this type wants, in words; and the given value as such a one, None where it is none."""
    import pyarrow as pa

    is_ = pa.types
    number = None if isinstance(given, str) or not math.isfinite(given) else given + 0  # True is 1
    if is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_):
        return 'a string, such as positive="yes"', given if isinstance(given, str) else None
    if is_.is_boolean(type_):
        return "True or False", bool(number) if number in (0, 1) else None
    if is_.is_integer(type_):
        return "a whole number that the column can hold", int(number) if number is not None and number == int(number) else None
    if is_.is_floating(type_):
        return "a number that the column can hold", number
    if is_.is_decimal(type_):
        return "a number that the column can hold", None if number is None else Decimal(repr(number))
    return "a value of a numeric, boolean or text column: derive such a column in the table's source", None
