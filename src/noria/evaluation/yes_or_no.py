"""Labels of which one value counts as 1: what they may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.errors import UserMistake
from noria.features.label import Label, in_short

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CLASSES = 20  # with more values than these, a column of numbers holds counts or measurements, of which one value is no outcome


class NotYesOrNo(UserMistake):
    """A label's column holds counts, classes or measurements: there is no saying what 1 in it means."""

    code = "NR-227"

    def __init__(self, label: Label, values: pa.Array) -> None:
        self.label, self.values = label, len(values)
        few = "give `positive=…`, the class that counts as 1, or " if len(values) <= MAX_CLASSES else ""
        super().__init__(
            what=f"{label.column!r} is not a binary label: it holds {len(values):,} values, such as {in_short(values)}",
            where=f"nr.Label({label.table.name}, {label.column!r}, …)",
            fix=f"{few}derive a boolean column in the table's source, such as `x > 10`; a number is predicted with task=nr.Regression(), "
            "or by a task of your own with `coding = nr.AsNumbers()`",
        )


def require_yes_or_no(label: Label, rows: pa.Table) -> None:
    """Raise `NotYesOrNo` unless the column, in the table's rows, holds yes or no: 0 and 1, booleans, or a named one of a few values."""
    import pyarrow as pa

    found = label.values(rows)
    if not (pa.types.is_integer(found.type) or pa.types.is_floating(found.type) or pa.types.is_decimal(found.type)):
        return
    if len(found) > MAX_CLASSES or not (label.named or set(found.to_pylist()) <= {0, 1}):
        raise NotYesOrNo(label, found)
