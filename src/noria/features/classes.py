"""Labels that are one of several declared classes, or a set of them, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from noria.core.errors import UserMistake, nearest
from noria.features.coding import plain
from noria.features.label import Coding, Label, in_short

if TYPE_CHECKING:
    import pyarrow as pa

Class = str | int | bool
Classes = Sequence[Class]
UNDECLARED = -1  # the place of a class that was not declared
SHOWN = 5  # in a message


class BadClasses(UserMistake):
    """The declared classes can't be told apart, or are too few."""

    code = "NR-234"

    def __init__(self, why: str, where: str) -> None:
        super().__init__(
            what=f"these classes {why}", where=where, fix='give two or more, each once and all of one type: classes=("cat", "dog")'
        )


class UnknownClass(UserMistake):
    """A label's column holds classes that were not declared."""

    code = "NR-235"

    def __init__(self, label: Label, unknown: pa.Array, classes: Classes, *, rows: int) -> None:
        self.label, self.unknown, self.rows = label, unknown.to_pylist(), rows
        first, more = self.unknown[0], ", …" * (len(classes) > SHOWN)
        super().__init__(
            what=f"{label.column!r} holds classes that are not declared: {in_short(unknown)}{nearest(str(first), map(str, classes))}",
            where=f"{rows:,} rows of {label.table.name!r}; declared are {', '.join(map(repr, classes[:SHOWN]))}{more}",
            fix="declare them in the task's `classes`, or refuse such rows in the table's contract",
        )


class NotOfClasses(UserMistake):
    """No value of a label's column can be one of the declared classes."""

    code = "NR-237"

    def __init__(self, label: Label, type_: pa.DataType, wanted: str, classes: Classes) -> None:
        self.label, self.type = label, type_
        super().__init__(
            what=f"no value of {label.column!r} can be one of {', '.join(map(repr, classes[:SHOWN]))}: its type is {type_}",
            where=f"nr.Label({label.table.name}, {label.column!r})",
            fix=f"{wanted}: declare the classes as the column has them, or derive such a column in the table's source",
        )


def require_declared(classes: Any, where: str) -> tuple[Class, ...]:
    """The classes as they are kept. Raises `BadClasses`."""
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise BadClasses("are no sequence", where)
    found = tuple(classes)
    if len(found) < 2:
        raise BadClasses(f"are {len(found)}", where)
    kinds = {type(each) for each in found}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise BadClasses(f"are of the types {', '.join(sorted(kind.__name__ for kind in kinds))}", where)
    twice = [each for each in found if found.count(each) > 1]
    if twice or not all(str(each).strip() for each in found):
        raise BadClasses(f"contain {twice[0]!r} twice" if twice else "contain an empty text", where)
    return found


@dataclass(frozen=True)
class AsClasses(Coding):
    """The place of a value among the declared classes, −1 for one that is not among them."""

    classes: Classes

    width: ClassVar[int] = 1

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NotOfClasses` for a column whose values are no such classes, and for a label that says which value is the positive one."""
        refuse_positive(label)
        _values(label, self.classes, type_)

    def positive(self, label: Label) -> None:  # noqa: ARG002 - of classes none is
        return None

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        values = plain(values)
        if pa.types.is_null(values.type):
            return pa.chunked_array([pa.nulls(len(values), pa.int32())])
        found = pc.fill_null(pc.index_in(values, _values(label, self.classes, values.type), skip_nulls=True), UNDECLARED)
        return pc.if_else(pc.is_null(values, nan_is_null=True), pa.scalar(None, pa.int32()), found)

    def require_known(self, label: Label, rows: pa.Table, count: int) -> None:
        """Raise `UnknownClass` where so many outcomes of the label's table are none of the classes, and there are some."""
        import pyarrow.compute as pc

        if count:
            values = label.values(rows)
            raise UnknownClass(
                label, values.filter(pc.invert(pc.is_in(values, _values(label, self.classes, values.type)))), self.classes, rows=count
            )


def refuse_positive(label: Label) -> None:
    """Raise for a label that says which value is the positive one, where none is."""
    if label.named:
        raise UserMistake(
            what=f"positive={label.positive!r} means nothing here",
            where=f"nr.Label({label.table.name}, {label.column!r}, …)",
            fix="leave `positive` out, or give the model task=nr.Binary()",
        )


def _values(label: Label, classes: Classes, type_: pa.DataType) -> pa.Array:
    """The classes as values of a column's type. Raises `NotOfClasses`."""
    import pyarrow as pa

    is_ = pa.types
    type_ = type_.value_type if is_.is_dictionary(type_) else type_
    kind, wanted = type(classes[0]), "the column holds other values"
    text = is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_)
    number = is_.is_integer(type_) or is_.is_floating(type_) or is_.is_decimal(type_)
    if is_.is_null(type_):
        return pa.nulls(0)
    if (kind is str and text) or (kind is int and number) or (kind is bool and is_.is_boolean(type_)):
        try:
            return pa.array(classes).cast(type_)
        except pa.ArrowInvalid as error:
            wanted = str(error).splitlines()[0]
    elif text:
        wanted = "the column holds texts"
    elif number:
        wanted = "the column holds numbers"
    elif is_.is_boolean(type_):
        wanted = "the column holds True and False"
    raise NotOfClasses(label, type_, wanted, classes)


@dataclass(frozen=True)
class AsClassSets(Coding):
    """Of each declared class, whether a list of classes has it: 1 or 0."""

    classes: Classes

    @property
    def width(self) -> int:
        return len(self.classes)

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NotOfClasses` for a column that holds no lists of such classes, and for a label that says which value is positive."""
        import pyarrow as pa

        refuse_positive(label)
        if pa.types.is_null(type_):
            return
        if not is_list(type_):
            raise NotOfClasses(label, type_, "the column holds no lists", self.classes)
        _values(label, self.classes, type_.value_type)

    def positive(self, label: Label) -> None:  # noqa: ARG002 - of classes none is
        return None

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        import numpy as np
        import pyarrow as pa

        kind = pa.list_(pa.float64(), self.width)
        if pa.types.is_null(values.type):
            return pa.chunked_array([pa.nulls(len(values), kind)])
        lists = values.combine_chunks()
        rows, places = self._places(label, lists)
        found = np.zeros((len(lists), self.width))
        found[rows, places] = 1.0
        unknown = pa.array(np.asarray(lists.is_null()))
        return pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), self.width, mask=unknown)])

    def _places(self, label: Label, lists: pa.Array) -> tuple[Any, Any]:
        """Of every entry that is a declared class, its row and the class's place."""
        import pyarrow.compute as pc

        entries, rows = pc.list_flatten(lists), pc.list_parent_indices(lists)
        places = pc.index_in(plain(entries), _values(label, self.classes, lists.type.value_type), skip_nulls=True)
        known = places.is_valid()
        return rows.filter(known).to_numpy(zero_copy_only=False), places.filter(known).to_numpy(zero_copy_only=False)

    def require_known(self, label: Label, rows: pa.Table) -> None:
        """Raise `UnknownClass` where a list of the label's table has a class that is not declared."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = label.read(rows).combine_chunks()
        if pa.types.is_null(column.type):
            return
        entries = plain(pc.list_flatten(column).drop_null())
        others = entries.filter(pc.invert(pc.is_in(entries, _values(label, self.classes, column.type.value_type))))
        if len(others):
            raise UnknownClass(label, pc.unique(others), self.classes, rows=len(others))


def is_list(type_: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    import pyarrow as pa

    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))
