"""Summaries: what a column's values look like, in one pass, small, and mergeable: the summary of a whole is the merged
summaries of its parts, whatever the parts.

Numbers: counts in frozen bins, nulls, moments (merged as Chan, Golub & LeVeque 1983), least and greatest. Texts: nulls, and the
most frequent values with guaranteed counts (Misra & Gries 1982; merged as Agarwal et al. 2012, "Mergeable summaries").
Contracts are suggested from them, training references are them, and monitoring compares windows by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OurBug

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS = 20
EDGE_ROWS = 20_000
MAX_VALUES = 200


@dataclass(frozen=True)
class NumberSummary:
    """A column of numbers. `edges` are the frozen inner borders of the bins, `counts` `(len(edges) + 1,)` how many lie in each.

    m2 is the sum of squared deviations from the mean; values that are not finite count as null.
    """

    edges: Floats
    counts: Counts
    nulls: int
    mean: float
    m2: float
    least: float | None
    greatest: float | None

    @property
    def rows(self) -> int:
        return self.there + self.nulls

    @property
    def there(self) -> int:
        """How many values there are that are not null."""
        return int(self.counts.sum())

    @property
    def sd(self) -> float:
        """The sample standard deviation; NaN below two values."""
        return float(np.sqrt(self.m2 / (self.there - 1))) if self.there > 1 else float("nan")

    def merge(self, other: NumberSummary) -> NumberSummary:
        if not np.array_equal(self.edges, other.edges):
            raise OurBug(what="two summaries have different bins", where="NumberSummary.merge", fix="summarize both by one reference")
        one, two = self.there, other.there
        total = max(one + two, 1)
        apart = other.mean - self.mean
        return NumberSummary(
            self.edges,
            self.counts + other.counts,
            self.nulls + other.nulls,
            self.mean + apart * two / total if two else self.mean,
            self.m2 + other.m2 + apart**2 * one * two / total,
            min((v for v in (self.least, other.least) if v is not None), default=None),
            max((v for v in (self.greatest, other.greatest) if v is not None), default=None),
        )


@dataclass(frozen=True)
class TextSummary:
    """A column of texts: its most frequent values. Each is counted too low by at most `lost`; with `lost` 0 all are exact."""

    values: Mapping[str, int]
    nulls: int
    rows: int
    lost: int = 0

    def merge(self, other: TextSummary) -> TextSummary:
        counts = Counter(self.values) + Counter(other.values)
        values, cut = _most_frequent(counts)
        return TextSummary(values, self.nulls + other.nulls, self.rows + other.rows, self.lost + other.lost + cut)


Summary = NumberSummary | TextSummary


def edges_of(values: Floats) -> Floats:
    """Borders that cut values `(rows,)` into about equal parts; they are estimated from at most 20,000 of them."""
    there = values[np.isfinite(values)]
    if len(there) == 0:
        return np.empty(0)
    sample = there[:: max(1, len(there) // EDGE_ROWS)]
    return np.unique(np.quantile(sample, np.linspace(0, 1, BINS + 1)[1:-1]))


def summarise_numbers(values: NDArray[Any], edges: Floats) -> NumberSummary:
    """The summary of values `(rows,)` by frozen bins; NaN is null."""
    there = values[np.isfinite(values)].astype(np.float64)
    counts = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
    mean = float(there.mean()) if len(there) else 0.0
    m2 = float(((there - mean) ** 2).sum())
    least, greatest = (float(there.min()), float(there.max())) if len(there) else (None, None)
    return NumberSummary(edges, counts, len(values) - len(there), mean, m2, least, greatest)


def summarise_texts(column: pa.ChunkedArray) -> TextSummary:
    """The summary of a column of texts."""
    found = {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
    nulls = found.pop(None, 0)
    values, cut = _most_frequent(Counter(found))
    return TextSummary(values, nulls, len(column), cut)


def summarise(rows: pa.Table, reference: Mapping[str, Summary] | None = None) -> dict[str, Summary]:
    """The summaries of a table's numbers and texts, by the bins of a reference where it has the column."""
    import pyarrow as pa

    found: dict[str, Summary] = {}
    for field in rows.schema:
        column = rows.column(field.name)
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_boolean(field.type):
            values = column.cast(pa.float64(), safe=False).to_numpy()
            before = (reference or {}).get(field.name)
            found[field.name] = summarise_numbers(values, before.edges if isinstance(before, NumberSummary) else edges_of(values))
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            found[field.name] = summarise_texts(column)
    return found


def _most_frequent(counts: Counter[str]) -> tuple[dict[str, int], int]:
    """At most `MAX_VALUES` values, and by how much each of them is counted too low."""
    if len(counts) <= MAX_VALUES:
        return dict(sorted(counts.items())), 0
    cut = sorted(counts.values(), reverse=True)[MAX_VALUES]
    return dict(sorted((value, count - cut) for value, count in counts.items() if count > cut)), cut
