"""Projections: any column of a table as a few columns of numbers, so that texts and embeddings are profiled and watched like the rest.

They are frozen when they are fitted. A number is itself, unless it only tells one row from another (`data.identifiers`): then only
whether there is one is watched; a time is how long before the row's own time it lies; a text of few values, or of values that repeat, is a
category; a text of words is how long it is, what it is written in, how surprising its words are and what it is about; an embedding is its
length, where it lies along the directions in which the past differs most, and what is left over.

What words are about follows from counts of words in hashed places, whose principal directions are those of an embedding; how surprising
they are, from how often each was used in the past. Cheap, without a model, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from noria.profiles.identifiers import IDENTIFIER, recognised, recognised_text
from noria.profiles.sketch import MAX_VALUES

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]

ROWS_OF_EACH_VALUE = 20  # on average, below which the values of a text are not all categories
REPEATING = 0.5  # of the rows, above which distinct values are names of single things
FREE_TEXT = 0.5  # of the values that have a space, from which a text is one of words
UNSEEN = 1_000_003  # codes of values that were never seen lie above those that were
PLACES, BUCKETS = 256, 1 << 18  # of hashed words: what a text is about, and how often each word was used
DIRECTIONS = 6  # of an embedding, or of what texts are about
MAX_FITTED = 20_000  # rows
CHUNK = 8192
SECONDS_AN_HOUR = 3600.0


class Projection(Protocol):
    """One column as numbers: `names` of the columns that it becomes, and `of` their values `(rows, names)`; NaN is null."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:
        """The numbers of a column; times: of its rows, seconds since 1970-01-01 UTC `(rows,)`."""


@dataclass(frozen=True)
class Number:
    """A number, or a truth value, as it is."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        import pyarrow as pa

        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)[:, None]


@dataclass(frozen=True)
class Presence:
    """A column whose values only tell rows apart, or when they came: 0 where there is one. looks_like: what it is taken for, in words"""

    name: str
    looks_like: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        return np.where(np.asarray(column.is_null(nan_is_null=True)), np.nan, 0.0)[:, None]


@dataclass(frozen=True)
class Lag:
    """A time, as hours before the row's own time: a feed that is late shows, and that time goes on does not."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.name} (hours before)",)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:
        return ((np.nan if times is None else times) - seconds_of(column))[:, None] / SECONDS_AN_HOUR


@dataclass(frozen=True)
class ListLength:
    """A list of any length: how many values it has."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.name} (values)",)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        import pyarrow.compute as pc

        return _numbers(pc.list_value_length(column))[:, None]


@dataclass(frozen=True)
class Category:
    """A text of few values, the most frequent first. Where there are `others` in the past, they are one code, and a column of its own says
    whether a value was ever seen."""

    name: str
    values: tuple[str, ...]
    others: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} (new)") if self.others else (self.name,)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        code_of = {value: float(i) for i, value in enumerate(self.values)}

        def one(value: str) -> float:
            if value in code_of:
                return code_of[value]
            return float(len(self.values)) if self.others else float(UNSEEN + crc32(value.encode()) % UNSEEN)

        codes = _each(column, one)
        if not self.others:
            return codes[:, None]
        return np.column_stack([codes, _each(column, lambda v: float(v not in code_of and v not in self.others))])


@dataclass(frozen=True)
class TextShape:
    """What a text looks like: its length and the shares of its characters of each kind. A code that changes its form shows here."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name} ({what})" for what in ("characters", "letters", "digits", "capitals", "foreign"))

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        import pyarrow.compute as pc

        length = _numbers(pc.utf8_length(column))
        shares = [_numbers(pc.count_substring_regex(column, kind)) for kind in (r"\pL", r"\pN", r"\p{Lu}", r"[^\x00-\x7F]")]
        return np.column_stack([np.log1p(length), *(share / np.maximum(length, 1) for share in shares)])


@dataclass(frozen=True)
class TextContent:
    """What a text says: how many words, how surprising they are on average (nats), and what they are about.

    used: how often words of each hashed place were used in the past `(buckets,)`; about: the directions of their counts
    """

    name: str
    used: NDArray[np.int64]
    about: EmbeddingProjection

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.name} (words)", f"{self.name} (surprise)", *self.about.names)

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        rows, words = _words(column)
        count = np.bincount(rows, minlength=len(column)).astype(np.float64)
        rare = np.log(self.used.sum() + len(self.used)) - np.log(self.used[words % BUCKETS] + 1.0)
        surprise = np.bincount(rows, rare, minlength=len(column)) / np.where(count > 0, count, np.nan)
        about = np.concatenate([self.about.project(), *(self.about.project(bag) for bag in _bags(rows, words, len(column)))])
        found = np.column_stack([np.log1p(count), surprise, about])
        found[np.asarray(column.is_null().to_numpy(), bool)] = np.nan
        return found


@dataclass(frozen=True)
class EmbeddingProjection:
    """An embedding: its length, its part along each direction in which the past differed most, and the size of the rest.

    middle: of the past, scaled to length one `(dimensions,)`; directions: `(dimensions, 6)` at most, orthogonal, of length one
    measured: whether the length is told, which says nothing of counts that are scaled anyhow
    """

    name: str
    middle: Floats
    directions: Floats
    measured: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        along = (f"{self.name} (direction {i + 1})" for i in range(self.directions.shape[1]))
        return (*((f"{self.name} (length)",) if self.measured else ()), *along, f"{self.name} (rest)")

    def of(self, column: pa.ChunkedArray, times: Floats | None) -> Floats:  # noqa: ARG002
        return self.project(_vectors(column, len(self.middle)))

    def project(self, vectors: NDArray[np.float32] | None = None) -> Floats:
        """The figures of vectors `(rows, dimensions)`; one with a value that is none is null as a whole."""
        vectors = np.empty((0, len(self.middle)), np.float32) if vectors is None else vectors
        length, unit = _scaled(vectors)
        apart = unit - self.middle
        along = apart @ self.directions
        rest = np.sqrt(np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0.0))
        return np.column_stack([*([length] if self.measured else []), along, rest])


def fit_projections(
    rows: pa.Table, leave_out: Sequence[str] = (), times: Floats | None = None, measured: Sequence[str] = ()
) -> tuple[dict[str, list[Projection]], list[str]]:
    """How each column becomes numbers, by column, fitted on rows of the past in the order of time; and the columns that can't:
    structures and binaries. times: of the rows, seconds since 1970-01-01 UTC `(rows,)`, by which parts of a date are recognised;
    measured: columns whose numbers are never taken for identifiers or counters"""
    found = {name: _fit(name, rows.column(name), times, name in measured) for name in rows.column_names if name not in leave_out}
    return {name: fitted for name, fitted in found.items() if fitted}, [name for name, fitted in found.items() if not fitted]


def unjudged(projections: dict[str, list[Projection]]) -> dict[str, str]:
    """The columns whose values are not judged, and why, in words."""
    found = {}
    for name, each in projections.items():
        if isinstance(each[0], Presence):
            found[name] = f"looks like {each[0].looks_like}: only its nulls are watched"
        elif all(isinstance(p, TextShape) for p in each):
            found[name] = f"looks like {IDENTIFIER}: only its nulls and its format are watched"
    return found


def learnt(projections: dict[str, list[Projection]]) -> bool:
    """Whether any of them was learnt from rows so closely that those rows are no fair sample of how others will look."""
    return any(
        isinstance(p, TextContent | EmbeddingProjection) or (isinstance(p, Category) and bool(p.others))
        for each in projections.values()
        for p in each
    )


def seconds_of(column: pa.ChunkedArray) -> Floats:
    """A column of dates or times, in UTC where they have no zone, as seconds since 1970-01-01 UTC; NaN where null."""
    import pyarrow as pa

    whole = column.cast(pa.timestamp("us"), safe=False) if pa.types.is_date(column.type) else column
    return _numbers(whole.cast(pa.timestamp("us", tz=getattr(whole.type, "tz", None)), safe=False).cast(pa.int64())) / 1e6


def _fit(name: str, column: pa.ChunkedArray, times: Floats | None, measured: bool = False) -> list[Projection]:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        looks_like = None if measured else recognised(name, _numbers(column), times)
        return [Number(name) if looks_like is None else Presence(name, looks_like)]
    if pa.types.is_boolean(kind):
        return [Number(name)]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [Lag(name)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return fit_text(name, column)
    if pa.types.is_null(kind):
        return [Number(name)]
    if _is_vector(kind):
        fitted = fit_vectors(name, column)
        return [] if fitted is None else [fitted]
    return []


def fit_text(name: str, column: pa.ChunkedArray) -> list[Projection]:
    """How a text becomes numbers: by few values a category, else by what it looks like, and says where it has words."""
    import pyarrow as pa
    import pyarrow.compute as pc

    looks_like = recognised_text(column)
    if looks_like is not None:
        return [Presence(name, looks_like)]
    counted = column.cast(pa.string()).drop_null().value_counts()
    order = np.argsort(-np.asarray(counted.field("counts")), kind="stable")
    values, there = counted.field("values").take(pa.array(order)), len(column) - column.null_count
    if len(values) <= MAX_VALUES and there >= ROWS_OF_EACH_VALUE * len(values):
        return [Category(name, tuple(values.to_pylist()))]
    spaced = pc.mean(pc.match_substring(values, " ").cast(pa.float64())).as_py() or 0.0
    if spaced >= FREE_TEXT:
        words = _fit_words(name, column)
        return [TextShape(name)] if words is None else [TextShape(name), words]
    if len(values) > REPEATING * there:
        return [TextShape(name)]
    told = values.to_pylist()
    return [Category(name, tuple(told[: MAX_VALUES - 1]), frozenset(told[MAX_VALUES - 1 :])), TextShape(name)]


def fit_vectors(name: str, column: pa.ChunkedArray) -> EmbeddingProjection | None:
    """How lists of numbers become an embedding's; None where there is none of the usual length."""
    return _fit_vectors(name, _vectors(_sample(column), None))


def _fit_words(name: str, column: pa.ChunkedArray) -> TextContent | None:
    _, words = _words(column)
    used = np.bincount(words % BUCKETS, minlength=BUCKETS)
    sample = _sample(column)
    bags = np.concatenate(_bags(*_words(sample), len(sample)))
    about = _fit_vectors(f"{name}: about", bags, measured=False)
    return None if about is None else TextContent(name, used, about)


def _sample(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """So many rows, evenly spread, as directions are fitted on."""
    return column.take(np.arange(0, len(column), max(1, len(column) // MAX_FITTED)))


def _fit_vectors(name: str, vectors: NDArray[np.float32], *, measured: bool = True) -> EmbeddingProjection | None:
    """By the eigenvectors of the covariance of vectors scaled to length one; each points to where its largest part is positive."""
    _, unit = _scaled(vectors)
    unit = unit[np.isfinite(unit).all(axis=1)]
    if not len(unit) or not unit.shape[1]:
        return None
    middle = unit.mean(axis=0)
    apart = unit - middle
    _, directions = np.linalg.eigh(apart.T @ apart)
    directions = directions[:, ::-1][:, : min(DIRECTIONS, directions.shape[1])]
    largest = np.abs(directions).argmax(axis=0)
    return EmbeddingProjection(name, middle, directions * np.sign(directions[largest, np.arange(directions.shape[1])]), measured)


def _scaled(vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """The lengths of vectors `(rows,)`, and the vectors scaled to length one; one of length zero stays as it is."""
    whole = vectors.astype(np.float64)
    length = np.sqrt((whole**2).sum(axis=1))
    return length, whole / np.where(length > 0, length, 1.0)[:, None]


def _is_vector(kind: pa.DataType) -> bool:
    import pyarrow as pa

    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed) and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _vectors(column: pa.ChunkedArray, dimensions: int | None) -> NDArray[np.float32]:
    """The lists of a column as rows `(rows, dimensions)`; NaN where one is null or of another length. Without dimensions: the usual."""
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = column.cast(pa.list_(pa.float32()), safe=False)
    lengths = _numbers(pc.list_value_length(listed))
    if dimensions is None:
        there = lengths[np.isfinite(lengths)].astype(np.int64)
        dimensions = int(np.bincount(there).argmax()) if len(there) else 0
    found = np.full((len(column), dimensions), np.nan, np.float32)
    fits = lengths == dimensions
    if dimensions and fits.any():
        values = pc.list_flatten(listed.filter(pa.array(fits)))
        found[fits] = np.asarray(values.to_numpy(), np.float32).reshape(-1, dimensions)
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def _words(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The words of texts, hashed: the row of each, and its hash."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.split_pattern_regex(pc.utf8_lower(column.cast(pa.string())), r"[^\pL\pN]+").combine_chunks()
    rows = np.asarray(pc.list_parent_indices(split), np.int64)
    encoded = pc.list_flatten(split).dictionary_encode()
    known = np.array([crc32(word.encode()) if word else -1 for word in encoded.dictionary.to_pylist()], np.int64)
    words = known[np.asarray(encoded.indices)] if len(known) else np.empty(0, np.int64)
    return rows[words >= 0], words[words >= 0]


def _bags(rows: NDArray[np.int64], words: NDArray[np.int64], count: int) -> list[NDArray[np.float32]]:
    """How often words of each hashed place stand in each text, as square roots, which tame frequent ones; `(at most 8192, 256)` each."""
    found = []
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        own = slice(*rows.searchsorted([start, start + size]))
        cells = (rows[own] - start) * PLACES + (words[own] >> 8) % PLACES
        found.append(np.sqrt(np.bincount(cells, minlength=size * PLACES)).astype(np.float32).reshape(size, PLACES))
    return found


def _each(column: pa.ChunkedArray, number: Callable[[str], float]) -> Floats:
    """A number for each text, worked out once for each value; NaN where null."""
    import pyarrow as pa

    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    numbers = np.array([*(number(value) for value in encoded.dictionary.to_pylist()), np.nan])
    return np.asarray(numbers[np.asarray(encoded.indices.fill_null(len(numbers) - 1))], np.float64)


def _numbers(values: pa.ChunkedArray) -> Floats:
    import pyarrow as pa

    values = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)
