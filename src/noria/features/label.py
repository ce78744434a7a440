"""Labels: the truth that a model learns to predict, which becomes known later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.arguments import require
from noria.core.clock import duration
from noria.data.contract import UnknownColumn
from noria.data.table import Table
from noria.features.keys import KeyColumn, KeysOfOtherLength, require_comparable

if TYPE_CHECKING:
    import pyarrow as pa


class _One(int):
    """The 1 that stands where nobody has said which value is the positive one."""


SHOWN = 5  # values in a message


class Coding(Protocol):
    """How a label's values become outcomes: see `noria.features.coding`.

    width: of how many numbers an outcome is; horizons: how long after its occasion the fact of each of these numbers is, where the label
    is a series (`noria.features.horizons`); otherwise none
    """

    @property
    def width(self) -> int: ...

    @property
    def horizons(self) -> tuple[timedelta, ...]:
        return ()

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise for a column of this type, from which no outcome could be read."""

    def require_keys(self, label: Label, schema: pa.Schema) -> None:  # noqa: ARG002
        """Raise for keys, of a label's table of this schema, by which no outcome could be found."""
        return

    def positive(self, label: Label) -> Any:
        """The value that counts as 1; None where none does."""

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """The outcomes as numbers, or as lists of `width` numbers, null where a value is null or NaN, and so not known yet; of a series one
        number each."""


class LabelRules(Protocol):
    """What a task asks of labels, as training sets need it; tasks are made in `noria.evaluation`."""

    @property
    def coding(self) -> Coding: ...

    @property
    def learns(self) -> bool:
        """Whether models learn from outcomes; where not, rows without one are part of a training set."""

    def require_label(self, label: Label, rows: pa.Table) -> None:
        """Raise for a column that holds no outcomes of the task; rows: of the label's table"""

    def require_outcomes(self, label: Label, outcomes: NDArray[np.float64], rows: pa.Table) -> None:
        """Raise for outcomes `(rows,)` or `(rows, outcomes)` from which no model can learn."""

    def groups_of(self, keys: Sequence[str | None], columns: Sequence[str]) -> NDArray[np.int64] | None:
        """The number of each row's group `(rows,)`, by the rows' keys and the spine's key columns; None where there are no groups."""

    def require_groups(self, label: Label, outcomes: NDArray[np.float64], groups: NDArray[np.int64]) -> None:
        """Raise for outcomes `(rows,)` in groups `(rows,)` from which no model can learn."""


@dataclass(frozen=True)
class Label:
    """A column of a table with the spine's key; null and NaN are outcomes not known yet.

    table: keyed as the spine is; a row says what came about, and when that was known
    column: its name, or the names of several, one for each output of a model that has several
    positive: for yes or no, the value that counts as 1, of the column's type: a number, a text, or True or False (1 and 0 do as well); left
        out, the column holds 0 and 1, or booleans
    matures: how long after a prediction its outcome is certain to be known; a window is judged only then
    """

    table: Table
    column: str | Sequence[str]
    positive: bool | int | float | str = _One(1)
    matures: str = "0s"
    named: bool = field(init=False, compare=False, repr=False)  # whether somebody has said which value is the positive one
    columns: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        require("nr.Label", "table", self.table, Table, 'nr.Label(returns, "returned"): the table that nr.Table(…) gave, not its name')
        duration(self.matures)
        object.__setattr__(self, "columns", (self.column,) if isinstance(self.column, str) else tuple(self.column))
        object.__setattr__(self, "named", not isinstance(self.positive, _One))
        if not self.named:
            object.__setattr__(self, "positive", 1)

    @property
    def target(self) -> str:
        """What is predicted: the name of its column, or of several."""
        return ", ".join(self.columns)

    @property
    def maturity(self) -> timedelta:
        return duration(self.matures)

    def keys_of(self, spine: Table) -> tuple[str, ...]:
        """The key columns of the label's table in the order of the spine's. Raises `KeysOfOtherLength`."""
        keys, asked = self.table.keys, spine.keys
        if len(keys) != len(asked):
            raise KeysOfOtherLength(spine.name, asked, self.table.name, keys)
        return asked if set(keys) == set(asked) else keys

    def check(self, schema: pa.Schema, spine: Table | None = None, spine_schema: pa.Schema | None = None) -> None:
        """Raise `UnknownColumn`, `KeysOfOtherLength` or `IncomparableKeys` for what no outcome could be read from."""
        self.require_columns(schema)
        if spine is None or spine_schema is None:
            return
        for ours, theirs in zip(spine.keys, self.keys_of(spine), strict=True):
            left = KeyColumn(spine.name, ours, spine_schema.field(ours).type)
            require_comparable(left, KeyColumn(self.table.name, theirs, schema.field(theirs).type))

    def values(self, rows: pa.Table) -> pa.Array:
        """The different outcomes that are known in the table's rows, in the order of their first."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.read(rows)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        found = pc.unique(column).drop_null()
        return found.filter(pc.invert(pc.is_nan(found))) if pa.types.is_floating(found.type) else found

    def known(self, rows: pa.Table) -> int:
        """How many of the table's rows have an outcome."""
        import pyarrow.compute as pc

        unknown = [pc.is_null(rows.column(column), nan_is_null=True).combine_chunks() for column in self.columns]
        return int(len(rows) - pc.sum(reduce(pc.and_, unknown)).as_py()) if len(rows) else 0

    def read(self, rows: pa.Table) -> pa.ChunkedArray:
        """Its values in the rows of its table; of several columns, as structs."""
        import pyarrow as pa

        if len(self.columns) == 1:
            return rows.column(self.columns[0])
        parts = [rows.column(column).combine_chunks() for column in self.columns]
        return pa.chunked_array([pa.StructArray.from_arrays(parts, list(self.columns))])

    def type_of(self, schema: pa.Schema) -> pa.DataType:
        """The type of what `read` gives."""
        import pyarrow as pa

        if len(self.columns) == 1:
            return schema.field(self.columns[0]).type
        return pa.struct([schema.field(column) for column in self.columns])

    def require_columns(self, schema: pa.Schema) -> None:
        for column in (*self.columns, *self.table.keys):
            if column not in schema.names:
                raise UnknownColumn(column=column, named_by=f"the label on {self.table.name!r}", available=schema.names)


def in_short(values: pa.Array) -> str:
    """Some of a column's values, for a message."""
    shown = [f"{value:g}" if isinstance(value, float) else repr(value) for value in values[:SHOWN].to_pylist()]
    return ", ".join(shown) + (", …" if len(values) > SHOWN else "")
