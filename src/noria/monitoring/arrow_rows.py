"""Rows of any data frame as an Arrow table in Arrow's usual types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.monitoring.windowed_table import NotJudged

if TYPE_CHECKING:
    import pyarrow as pa


def as_arrow(rows: pa.Table | Any, name: str) -> pa.Table:
    """Rows as an Arrow table whose columns have names of their own. Raises `NotJudged`."""
    import pyarrow as pa

    try:
        rows = rows if isinstance(rows, pa.Table) else pa.table(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise NotJudged(
            what=f"a {type(rows).__name__} can't be read as a table: {str(error).splitlines()[0]}",
            where=name,
            fix="give an Arrow table, or a data frame",
        ) from error
    require_unique(rows.column_names, name)
    for place, column in enumerate(rows.columns):
        if _is_view(column.type):
            rows = rows.set_column(place, rows.column_names[place], _without_views(column))
    return rows


def _is_view(kind: pa.DataType) -> bool:
    """Whether a column holds texts as views, as polars has them: few of Arrow's functions take those."""
    import pyarrow as pa

    return bool(pa.types.is_string_view(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _without_views(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts, or a dictionary of texts, in Arrow's usual form."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    parts = [pa.DictionaryArray.from_arrays(part.indices, part.dictionary.cast(pa.string())) for part in column.chunks]
    return pa.chunked_array(parts, pa.dictionary(column.type.index_type, pa.string()))


def require_unique(names: Sequence[str], name: str) -> None:
    """Raise `NotJudged` for a name that several columns have."""
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        raise NotJudged(what=f"several columns are named {twice[0]!r}", where=name, fix="give each column a unique name")
