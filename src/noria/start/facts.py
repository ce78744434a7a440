"""What the columns of a sample are: their kind, how many values they have, and whether they measure something."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.profiles.identifiers import COUNTER, NAMES, recognised, recognised_text

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["number", "bool", "text", "time", "bytes", "nested", "nothing"]

LISTED = 50  # values of a column that are kept
MIN_WORDS = 4.0  # of a text that is prose, on average
PROSE_DISTINCT = 0.3  # of its values
FEW = 20  # whole numbers that may be classes
PIXELS = 16  # numbered columns of one range, from which on they are taken for an image
NUMBERED = re.compile(r"^(.*?)[_\-. ]?\d+([_\-.x ]\d+)?$")


@dataclass(frozen=True)
class Facts:
    """A column of the sample. words: per value, of a text; values: the most frequent first, where there are at most `LISTED`"""

    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    whole: bool = False
    low: Any = None
    high: Any = None
    words: float = 0.0
    values: tuple[Any, ...] = ()
    counts: tuple[int, ...] = ()
    identifies: str | None = None
    dated: bool = False  # a date without a time of day
    zoned: bool = False

    @property
    def known(self) -> int:
        return self.rows - self.nulls

    @property
    def unique(self) -> bool:
        return self.nulls == 0 and self.distinct == self.rows > 1

    @property
    def constant(self) -> bool:
        return self.distinct <= 1

    @property
    def prose(self) -> bool:
        """Whether it is free text."""
        return self.kind == "text" and self.words >= MIN_WORDS and self.distinct > PROSE_DISTINCT * self.known

    @property
    def classes(self) -> bool:
        """Whether its values can be classes of a label."""
        if not 2 <= self.distinct <= LISTED or self.kind not in ("number", "bool", "text"):
            return False
        if self.kind == "number":
            return self.distinct == 2 or (self.whole and self.distinct <= FEW and self.known >= 5 * self.distinct)
        return self.known >= 4 * self.distinct

    @property
    def category(self) -> bool:
        """Whether it is a text that can be coded: few values, or many of which each is often."""
        often = 3 if self.distinct <= LISTED else 20
        return self.kind == "text" and self.distinct >= 2 and self.known >= often * self.distinct


def facts_of(rows: pa.Table) -> dict[str, Facts]:
    """The facts of every column, by name."""
    return {name: _facts(name, rows.column(name)) for name in rows.column_names}


def numbers_of(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers, booleans or times (microseconds) `(rows,)`, NaN where there is none."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).cast(pa.int64())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def pixels_of(facts: dict[str, Facts]) -> list[str]:
    """Columns that are an image together: numbered alike, of whole numbers from 0 on, with one upper bound."""
    groups: dict[str, list[str]] = {}
    for fact in facts.values():
        found = NUMBERED.match(fact.name)
        if found and fact.kind == "number" and fact.low is not None and fact.low >= 0 and fact.high <= 255:
            groups.setdefault(found[1], []).append(fact.name)
    largest = max(groups.values(), key=len, default=[])
    side = round(len(largest) ** 0.5)
    return largest if len(largest) >= PIXELS and (side * side == len(largest) or "pix" in largest[0].lower()) else []


def _facts(name: str, column: pa.ChunkedArray) -> Facts:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = _kind(column.type)
    nulls = column.null_count + (int(pc.sum(pc.is_nan(column)).as_py() or 0) if pa.types.is_floating(column.type) else 0)
    if kind in ("nested", "bytes", "nothing"):
        return Facts(name, kind, len(column), nulls, 0 if kind == "nothing" else len(column))
    there = column.drop_null()
    found = pc.value_counts(there)
    counts = np.asarray(found.field("counts"))
    distinct = len(counts)
    values, often = _listed(found, counts) if distinct <= LISTED else ((), ())
    low, high = _extent(there) if kind in ("number", "time") else (None, None)
    return Facts(
        name,
        kind,
        len(column),
        nulls,
        distinct,
        kind == "number" and _is_whole(column),
        low,
        high,
        _words(there) if kind == "text" else 0.0,
        values,
        often,
        _identifies(name, kind, column, distinct),
        kind == "time" and _is_dated(there),
        pa.types.is_timestamp(column.type) and column.type.tz is not None,
    )


def _kind(type: pa.DataType) -> Kind:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_boolean(type):
        return "bool"
    if is_.is_integer(type) or is_.is_floating(type) or is_.is_decimal(type):
        return "number"
    if is_.is_timestamp(type) or is_.is_date(type):
        return "time"
    if is_.is_string(type) or is_.is_large_string(type) or is_.is_dictionary(type):
        return "text"
    if is_.is_binary(type) or is_.is_large_binary(type):
        return "bytes"
    return "nothing" if is_.is_null(type) else "nested"


def _listed(found: pa.StructArray, counts: NDArray[np.int64]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    order = np.argsort(-counts, kind="stable")
    values = found.field("values").to_pylist()
    return tuple(values[i] for i in order), tuple(int(counts[i]) for i in order)


def _extent(there: pa.ChunkedArray) -> tuple[Any, Any]:
    import pyarrow.compute as pc

    found = pc.min_max(there).as_py()
    return found["min"], found["max"]


def _is_whole(column: pa.ChunkedArray) -> bool:
    values = numbers_of(column)
    values = values[np.isfinite(values)]
    return bool(len(values) and (values == np.floor(values)).all())


def _words(there: pa.ChunkedArray) -> float:
    import pyarrow.compute as pc

    return float(pc.mean(pc.count_substring_regex(there.slice(0, 5_000), r"\S+")).as_py() or 0.0)


def _is_dated(there: pa.ChunkedArray) -> bool:
    return bool((numbers_of(there) % 86_400_000_000 == 0).all()) if len(there) else False


def _identifies(name: str, kind: Kind, column: pa.ChunkedArray, distinct: int) -> str | None:
    """What a column is taken for that tells rows apart and measures nothing; None for others."""
    if kind == "number" and distinct > FEW:
        found = recognised(name, numbers_of(column), None)
        return found if found != COUNTER or NAMES.search(name) or _steps_of_one(column) else None
    if kind == "text" and distinct > LISTED:
        return recognised_text(column)
    return None


def _steps_of_one(column: pa.ChunkedArray) -> bool:
    """Whether numbers count rows: a counter by its shape alone may be a quantity that grows."""
    values = numbers_of(column)
    steps = np.diff(values[np.isfinite(values)])
    return bool(len(steps) and (np.abs(steps) == 1).mean() > 0.95)
