"""How a label's values become outcomes: 1 where they equal the positive one, or the numbers that they are."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from noria.core.errors import UserMistake
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa


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


class NotNumbers(UserMistake):
    """A label's column holds no numbers, and its task predicts one."""

    code = "NR-229"

    def __init__(self, label: Label, type_: pa.DataType) -> None:
        self.label, self.type = label, type_
        super().__init__(
            what=f"{label.column!r} holds no numbers: its type is {type_}",
            where=f"nr.Label({label.table.name}, {label.column!r}, …)",
            fix="a regression predicts a number: name a numeric column, or derive one in the table's source",
        )


@dataclass(frozen=True)
class EqualToPositive(Coding):
    """1 where a value equals the label's `positive`, else 0."""

    width: ClassVar[int] = 1

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `BadLabel` for a type of which `positive` is no value."""
        _positive(label, type_)

    def positive(self, label: Label) -> Any:
        return label.positive

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        values = plain(values)
        if pa.types.is_null(values.type):
            return pa.chunked_array([pa.nulls(len(values), pa.int8())])
        found = pc.equal(values, _positive(label, values.type)).cast(pa.int8())
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.int8()), found) if pa.types.is_floating(values.type) else found


@dataclass(frozen=True)
class AsNumbers(Coding):
    """The numbers that the column holds, as float64."""

    width: ClassVar[int] = 1

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NotNumbers` for a column of another type, and for a label that says which value is the positive one."""
        import pyarrow as pa

        is_ = pa.types
        numeric = is_.is_integer(type_) or is_.is_floating(type_) or is_.is_decimal(type_) or is_.is_boolean(type_) or is_.is_null(type_)
        if not numeric:
            raise NotNumbers(label, type_)
        if label.named:
            raise UserMistake(
                what=f"positive={label.positive!r} means nothing where a number is predicted",
                where=f"nr.Label({label.table.name}, {label.column!r}, …)",
                fix="leave `positive` out, or give the model task=nr.Binary()",
            )

    def positive(self, label: Label) -> None:  # noqa: ARG002 - of numbers none is
        return None

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:  # noqa: ARG002 - all labels are coded alike
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        found = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(found), pa.scalar(None, pa.float64()), found)


def plain(values: Any) -> Any:
    """A column, chunked or not, that says its values themselves and not their places in a dictionary."""
    import pyarrow as pa

    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


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
