"""The body of a request or an answer as rows: JSON in the forms that servers speak, or CSV.

Open Inference Protocol (`inputs`, `outputs` with name, shape, datatype and data), TensorFlow Serving's and KServe's first protocol
(`instances`, `predictions`), MLflow's (`dataframe_split`, `dataframe_records`), SageMaker's built-in algorithms, and plain lists.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from noria.data.inference_logs.rows import PREDICTION, Row, parsed

INPUT = "input"
MAX_COLUMNS = 64  # of one tensor; longer ones are a list
MAX_ROWS = 100_000  # of one request
SINGLE = ("score", "prediction", "predicted_value", "value", "probability")  # what an answer of one number is called


class NoRows(ValueError):
    """A body holds no rows; its text says why."""


def decoded(data: Any, encoding: Any, content_type: Any) -> Any:
    """A body as it was sent: JSON as Python values, anything else as text. encoding: CSV, JSON or BASE64. Raises `NoRows`."""
    how, kind = str(encoding or "").upper(), str(content_type or "").lower()
    if how == "BASE64":
        try:
            data = base64.b64decode(str(data), validate=False).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise NoRows("its body is binary") from error
    if how == "JSON" or "json" in kind:
        if not isinstance(data, str):
            return data
        whole = parsed(data)
        return whole if whole is not None else [parsed(line) for line in data.splitlines() if line.strip()]
    if isinstance(data, str) and "csv" not in kind and how != "CSV" and data.lstrip()[:1] in ("{", "["):
        whole = parsed(data)
        return data if whole is None else whole
    return data


def rows_of(body: Any, name: str) -> list[Row]:
    """The rows of a decoded body. name: of columns that have none, `input` or `prediction`. Raises `NoRows`."""
    if isinstance(body, str):
        found = _csv(body, name)
    elif isinstance(body, Mapping):
        found = _object(body, name)
    elif isinstance(body, Sequence) and not isinstance(body, bytes):
        found = _list(body, name)
    elif isinstance(body, int | float):
        found = [{name: body}]
    else:
        raise NoRows("it has no body that can be read")
    if not found or len(found) > MAX_ROWS:
        raise NoRows(f"it has {len(found):,} rows")
    return [_named(row, name) for row in found]


def _named(row: Row, name: str) -> Row:
    """An answer of one column is the prediction, whatever the server calls it."""
    if name != PREDICTION or PREDICTION in row:
        return row
    only = next(iter(row)) if len(row) == 1 else next((each for each in SINGLE if each in row), None)
    return {PREDICTION if key == only else key: value for key, value in row.items()}


def _csv(text: str, name: str) -> list[Row]:
    try:
        lines = [row for row in csv.reader(io.StringIO(text.strip())) if row]
    except csv.Error as error:
        raise NoRows(f"its CSV can't be read: {error}") from error
    return [_numbered([_value(cell) for cell in row], name) for row in lines]


def _value(cell: str) -> Any:
    """A cell of CSV as a number, where it is one; an empty one is unknown."""
    text = cell.strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _object(body: Mapping[str, Any], name: str) -> list[Row]:
    for key in ("inputs", "outputs"):
        tensors = body.get(key)
        if isinstance(tensors, Sequence) and not isinstance(tensors, str) and tensors and all(map(_is_tensor, tensors)):
            return _tensors(tensors, name)
        if isinstance(tensors, Mapping):
            return _columns(tensors, name)
        if isinstance(tensors, list):
            return _list(tensors, name)
    for key in ("instances", "predictions", "dataframe_records", "data"):
        if isinstance(body.get(key), list):
            return _list(body[key], name)
    split = body.get("dataframe_split")
    if isinstance(split, Mapping) and isinstance(split.get("columns"), list) and isinstance(split.get("data"), list):
        return [_pairs(split["columns"], row) for row in split["data"]]
    return [_flat(body, name)]


def _pairs(columns: Sequence[Any], row: Any) -> Row:
    if not isinstance(row, list) or len(row) != len(columns):
        raise NoRows("a row has another number of values than there are columns")
    return {str(column): value for column, value in zip(columns, row, strict=True)}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("name"), str) and isinstance(value.get("shape"), list) and "data" in value


def _tensors(tensors: Sequence[Mapping[str, Any]], name: str) -> list[Row]:
    """Rows of tensors, whose first dimension is that of the rows."""
    rows: list[Row] = []
    for tensor in tensors:
        shape, values = tensor["shape"], _flattened(tensor["data"])
        if not shape or not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
            raise NoRows(f"the shape of {tensor['name']!r} is none")
        count, width = shape[0], 1
        for size in shape[1:]:
            width *= size
        if count > MAX_ROWS or len(values) != count * width:
            raise NoRows(f"{tensor['name']!r} has {len(values):,} values, and its shape is {shape}")
        rows = rows or [{} for _ in range(count)]
        if len(rows) != count:
            raise NoRows("its tensors have different numbers of rows")
        own = PREDICTION if name == PREDICTION and len(tensors) == 1 else str(tensor["name"])
        for place, row in enumerate(rows):
            part = values[place * width : (place + 1) * width]
            row.update({own: part[0]} if width == 1 else _numbered(part, own))
    return rows


def _flattened(data: Any) -> list[Any]:
    """The values of a tensor, which may be nested by its shape."""
    if not isinstance(data, list):
        raise NoRows("a tensor has no list of values")
    found, waiting = list[Any](), [iter(data)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                waiting.append(iter(value))
                break
            found.append(value)
        else:
            waiting.pop()
    return found


def _columns(columns: Mapping[str, Any], name: str) -> list[Row]:
    """Rows of columns by name, each a list of as many values."""
    lists = {str(key): value if isinstance(value, list) else [value] for key, value in columns.items()}
    if len({len(values) for values in lists.values()}) != 1:
        raise NoRows("its columns have different lengths")
    count = len(next(iter(lists.values())))
    return [_flat({key: values[place] for key, values in lists.items()}, name) for place in range(count)]


def _list(values: Sequence[Any], name: str) -> list[Row]:
    """A row for each item; a list of numbers alone is one row of inputs, and a row for each answer."""
    if values and all(not isinstance(value, Mapping | list) for value in values):
        return [_numbered(list(values), name)] if name == INPUT and len(values) > 1 else [{name: value} for value in values]
    found = []
    for value in values:
        if isinstance(value, Mapping):
            found.append(_flat(value, name))
        elif isinstance(value, list):
            found.append(_numbered(value, name))
        else:
            found.append({name: value})
    return found


def _flat(row: Mapping[str, Any], name: str) -> Row:
    """An object as a row: `features`, as SageMaker calls them, are numbered, and lists of few numbers are columns."""
    found: Row = {}
    for key, value in row.items():
        if isinstance(value, list):
            own = name if key == "features" or (name == PREDICTION and len(row) == 1) else str(key)
            found.update({own: value[0]} if len(value) == 1 else _numbered(value, own))
        elif isinstance(value, Mapping):
            found.update({f"{key}.{inner}": each for inner, each in value.items()})
        else:
            found[str(key)] = value
    return found


def _numbered(values: Sequence[Any], name: str) -> Row:
    """Values without names: numbered columns, or one list where they are many."""
    if len(values) == 1 and name == PREDICTION:
        return {name: values[0]}
    if len(values) > MAX_COLUMNS:
        return {name: list(values)}
    return {f"{name}_{place}": value for place, value in enumerate(values)}
