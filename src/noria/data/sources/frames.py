"""A data frame as a source: pandas, polars, Arrow, or anything else that hands its columns over by the Arrow C stream interface."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.ids import digest
from noria.data.sources.arrow import piece_of
from noria.data.sources.port import BadSource, Batch, Watermark

CONVERSION = re.compile(r"column (.+?) with type")

if TYPE_CHECKING:
    import pyarrow as pa


class IndexColumn(BadSource):
    """A column that is named is the index of a data frame, which is no column."""

    code = "NR-552"

    def __init__(self, column: str, source: str) -> None:
        super().__init__(source=source, problem=f"{column!r} is the index of the data frame, not a column", fix="give frame.reset_index()")


@dataclass(frozen=True)
class FrameSource:
    """Rows that are in memory where the project is declared. They are read whole when their content has changed.

    index: the names of a pandas index, which is left out
    """

    frame: Any = field(repr=False, compare=False)
    content: str  # its hash, so that equal frames are equal sources
    declared: Mapping[str, str] = field(default_factory=dict)
    index: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def types(self) -> Mapping[str, str]:
        return self.declared

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:  # noqa: ARG002
        if since is not None and since.get("content") == self.content:
            return None
        rows = arrow_of(self.frame)
        return Batch(iter([piece_of("the data frame", rows)]), lambda _: {"content": self.content})

    def describe(self) -> str:
        rows = arrow_of(self.frame)
        return f"a data frame of {rows.num_rows:,} rows and {rows.num_columns} columns"


def frame(data: Any, types: Mapping[str, str] | None = None) -> FrameSource:
    """A data frame as a source: `nr.Table("orders", nr.frame(orders), key="order_id", event_time="placed_at")`.

    data: pandas, polars, Arrow, or anything with `__arrow_c_stream__`; of pandas, the index is left out
    types: name → SQL type, for columns that are to be stored as another type. Raises `BadSource` for what is no data frame
    """
    return FrameSource(data, _content(arrow_of(data)), dict(types or {}), index_of(data))


def is_frame(data: Any) -> bool:
    """Whether something hands over columns as a data frame does."""
    return hasattr(data, "__arrow_c_stream__") or (hasattr(data, "columns") and hasattr(data, "iloc"))


def index_of(data: Any) -> tuple[str, ...]:
    """The names of a pandas index; none of other frames."""
    return tuple(str(name) for name in getattr(getattr(data, "index", None), "names", ()) if name is not None)


def arrow_of(data: Any) -> pa.Table:
    """A data frame as an Arrow table. Raises `BadSource`."""
    import pyarrow as pa

    try:
        if hasattr(data, "iloc") and not hasattr(data, "columns"):
            raise BadSource(source="a series", problem="it is one column, not a data frame", fix="give series.to_frame(), or df[[…]]")
        if hasattr(data, "iloc"):
            return pa.Table.from_pandas(data, preserve_index=False)
        if isinstance(data, pa.Table):
            return data
        if is_frame(data):
            return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _unreadable(error) from error
    raise BadSource(
        source=f"a {type(data).__name__}",
        problem="it is no data frame",
        fix="give a data frame of pandas or polars, or an Arrow table; for files write nr.files(…), for a database nr.sql(…)",
    )


def _unreadable(error: Exception) -> BadSource:
    """What is wrong with a column whose values are of several types, by Arrow's words."""
    words = ": ".join(str(part).splitlines()[0] for part in error.args)
    found = CONVERSION.search(words)
    if found is None:
        return BadSource(source="a data frame", problem=f"its columns can't be read: {words}", fix="give each column values of one type")
    name = found[1]
    return BadSource(
        source="a data frame",
        problem=f"column {name!r} has values of several types: {error.args[0]}",
        fix=f'make them one: df["{name}"] = df["{name}"].astype(str), or pd.to_numeric(df["{name}"], errors="coerce")',
    )


def _content(rows: pa.Table) -> str:
    """The hash of rows, whatever chunks they lie in."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema.remove_metadata()) as writer:
        for batch in rows.replace_schema_metadata(None).combine_chunks().to_batches():
            writer.write_batch(batch)
    return digest(sink.getvalue().to_pybytes())
