"""A prediction log as a table: a row for each answer that was sent, for tools that read tables.

The columns are `at`, `id`, `model` (its bundle), the inputs by their names, and the answers by theirs. A list of at most 64 numbers is a
column each, `features_0`, …; classes with a probability each are a struct. An input that is called like another column has `(input)` after
its name. Tensors, such as images, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.files import Files
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.models.registry import CANDIDATE, CHAMPION
from noria.serving.log.predictions import FALLBACK, Predictions, Values
from noria.serving.log.segments import SEGMENTS, read_segment

if TYPE_CHECKING:
    import pyarrow as pa

SENT = (CHAMPION, CANDIDATE, FALLBACK)
ID_SHOWN = 12  # letters of a bundle's id
MAX_APART = 64  # numbers of a list that are columns of their own


def is_log(folder: Path) -> bool:
    """Whether a folder is an endpoint's prediction log."""
    return folder.is_dir() and next(folder.glob(SEGMENTS), None) is not None


def log_as_table(folder: Path, files: Files) -> pa.Table:
    """Every answer of a log that was sent. Raises `DamagedLog`."""
    import pyarrow as pa

    parts = [part for path in files.list(folder, SEGMENTS) for rows in read_segment(path, files) for part in _tables(rows)]
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({"at": pa.array([], pa.timestamp("us", tz="UTC"))})


def _tables(rows: Predictions) -> Iterator[pa.Table]:
    """A table for each bundle, since bundles differ in their columns."""
    import pyarrow as pa

    rows = rows.where(np.array([variant in SENT for variant in rows.variant], bool))
    for bundle in rows.values:
        own = rows.of(bundle)
        columns = {
            "at": pa.array(own.received_us).cast(pa.timestamp("us", tz="UTC")),
            "id": pa.array(own.ids),
            "model": pa.array([bundle[:ID_SHOWN]] * len(own)),
        }
        yield pa.table(_named(columns, own.values[bundle]))


def _named(columns: dict[str, pa.Array], values: Values) -> dict[str, pa.Array]:
    answers = _columns(values.outputs)
    inputs = {f"{name} (input)" if name in {*columns, *answers} else name: column for name, column in _columns(values.inputs).items()}
    return {**columns, **inputs, **answers}


def _columns(rows: Rows) -> dict[str, pa.Array]:
    return {name: column for field in rows.fields if len(field.shape) <= 1 for name, column in _of_field(rows, field)}


def _of_field(rows: Rows, field: Field) -> Iterator[tuple[str, pa.Array]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column, wide = rows.column(field.name), field.shape[0] if field.shape else None
    if wide is None or (not field.labels and wide > MAX_APART) or field.type in ("string", "bytes"):
        yield field.name, column
        return
    names = field.labels or [f"{field.name}_{place}" for place in range(wide)]
    parts = [pc.list_element(column, place) for place in range(wide)]
    yield from [(field.name, pa.StructArray.from_arrays(parts, list(names)))] if field.labels else zip(names, parts, strict=True)
