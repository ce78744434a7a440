"""Signatures: the names, types and shapes of what a model reads and of what it answers.

They cross every room: a bundle is sealed with one, requests are decoded by it, the log's columns follow it, and values of one model
become values of another by it, column for column by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from noria.core.errors import OurBug, UserMistake, nearest

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TYPES = (*FLOATS, *INTEGERS, "bool", "string", "bytes", "timestamp")
PREDICTION = "prediction"
_WRITTEN = re.compile(r"(?P<type>\w+)(?:\[(?P<sizes>(?:\d+|any)(?:, *(?:\d+|any))*)\])?")


class UnknownType(UserMistake):
    """A column is declared with a type that there is not."""

    code = "NR-118"

    def __init__(self, column: str, name: str) -> None:
        self.column, self.type = column, name
        super().__init__(
            what=f"column {column!r} has type {name!r}{nearest(name, TYPES)}",
            where="a signature",
            fix="use one of " + ", ".join(TYPES),
        )


class SignatureMismatch(UserMistake):
    """Rows lack columns that their reader needs: none of the name and the definition, or one of another type."""

    code = "NR-405"

    def __init__(self, *, reader: str, missing: Sequence[str], available: Sequence[str], fix: str = "") -> None:
        self.reader, self.missing, self.available = reader, list(missing), list(available)
        super().__init__(
            what=f"{reader} reads {', '.join(missing)}, which the rows do not have under that name and definition",
            where=f"there are {', '.join(available) or 'no columns'}",
            fix=fix or "score it on rows of its own features; rows of other features would give wrong answers",
        )


class Field(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One column. type: of `TYPES`, a timestamp in microseconds UTC; nullable: whether a value may be unknown

    shape: of one row's value: `()` a single value, `(None,)` a list of any length, `(28, 28)` a tensor; None is a free dimension
    labels: what the values along its last dimension are of, such as classes; empty where they have no names
    """

    name: str
    type: str = "float32"
    shape: tuple[int | None, ...] = ()
    nullable: bool = True
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise UnknownType(self.name, self.type)
        if self.labels and self.shape[-1:] != (len(self.labels),):
            raise OurBug(what=f"{self.described} has {len(self.labels)} labels", where="Field", fix="please report this")

    @staticmethod
    def written(name: str, text: str) -> Field:
        """A field of a type as `written_type` has it: `int64`, `float32[28, 28]`, `string[any]`. Raises `UnknownType`."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise UnknownType(name, text)
        sizes = found["sizes"].split(",") if found["sizes"] else []
        return Field(name, found["type"], tuple(None if size.strip() == "any" else int(size) for size in sizes))

    @property
    def described(self) -> str:
        """The field as a person reads it: `age: int64`, `image: float32[28, 28]`, `words: string[any]`."""
        return f"{self.name}: {self.written_type}"

    @property
    def written_type(self) -> str:
        """Its type and shape alone: `int64`, `float32[28, 28]`, `string[any]`."""
        dimensions = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.type}[{dimensions}]" if self.shape else self.type


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns that a model reads and those that it answers with, each in its order."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    @staticmethod
    def of_numbers(names: Iterable[str]) -> Signature:
        """Of a model that reads numbers and answers with one: float32 (NaN where unknown) in, float64 out."""
        return Signature(tuple(Field(name) for name in names), (SCORE,))

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names."""
        return tuple(field.name for field in self.inputs)


SCORE = Field(PREDICTION, "float64", nullable=False)


def dense_type(fields: Sequence[Field]) -> str | None:
    """The one type of floats that every field is a single value of; None where they are not all alike, or there are none."""
    kinds = {field.type for field in fields} if all(not field.shape for field in fields) else set()
    return kinds.pop() if len(kinds) == 1 and kinds <= set(FLOATS) else None


def all_floats(fields: Sequence[Field]) -> bool:
    """Whether all values are floats, always as many: what can be read as scores."""
    return all(field.type in FLOATS and None not in field.shape for field in fields)


def unlike(wanted: Sequence[Field], had: Sequence[Field]) -> list[str]:
    """The names of fields that are not among others: of another name, or of another type or shape."""
    known = {field.name: (field.type, field.shape) for field in had}
    return [field.name for field in wanted if known.get(field.name) != (field.type, field.shape)]
