"""The rows of an example in the forms in which an endpoint can be sent them. Pure functions; no sockets here."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from noria.core.signature import FLOATS, INTEGERS, Field, dense_type
from noria.data.rows import Fields
from noria.serving.protocol.answers import raw_values
from noria.serving.protocol.arrow import STREAM
from noria.serving.protocol.datatypes import datatype
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.examples import Described, Json, made_up
from noria.serving.protocol.generate import is_text
from noria.serving.protocol.request import NotHere, rows_of

BINARY = "application/octet-stream"


def bodies(told: Described) -> dict[str, Json]:
    """The bodies that an endpoint can be sent as JSON, by the names of their files."""
    tensors = _tensors(told.bundle.signature.inputs, told.rows)
    dense = _dense(told.bundle.signature.inputs, told.rows)
    return {
        "rows.json": {"rows": told.rows},
        **({} if tensors is None else {"tensors.json": {"inputs": tensors}}),
        **({} if dense is None else {"features.json": {"inputs": [dense]}}),
        "instances.json": {"instances": told.rows},
    }


def arrow_body(told: Described) -> bytes:
    """The example's rows as an Arrow stream."""
    import pyarrow as pa

    fields = told.bundle.signature.inputs
    asked = Decoder(told.bundle.signature).plain(msgspec.json.encode({"rows": told.rows}))
    table = pa.table(rows_of([asked], fields).columns())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def csv_body(told: Described) -> str | None:
    """The example's rows as lines without a head; None where a column can't be sent so."""
    if any(field.shape or field.type not in (*FLOATS, *INTEGERS, "string") for field in told.bundle.signature.inputs):
        return None
    return "".join(",".join(_cell(value) for value in row.values()) + "\n" for row in told.rows)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def binary_body(told: Described) -> tuple[int, bytes] | None:
    """The example's rows as binary tensors, after so many bytes of JSON; None where a value is unknown that bytes have no unknown for."""
    tensors, parts = list[Json](), list[bytes]()
    for field in told.bundle.signature.inputs:
        values = [_mapped(row[field.name], float("nan") if field.type in FLOATS else None, _raw(field)) for row in told.rows]
        if _has_unknown(values):
            return None
        parts.append(raw_values(datatype(field), values))
        about = {"name": field.name, "datatype": datatype(field), "shape": _shape(field, values)}
        tensors.append({**about, "parameters": {"binary_data_size": len(parts[-1])}})
    head = msgspec.json.encode({"inputs": tensors})
    return len(head), head + b"".join(parts)


def _raw(field: Field) -> Callable[[Any], Any]:
    return base64.b64decode if field.type == "bytes" else lambda value: value


def _has_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, list) and any(map(_has_unknown, value)))


def example_file(told: Described, name: str) -> tuple[bytes, str]:
    """An example as a file, and its type. Raises `NotHere`."""
    if name == "rows.arrow":
        return arrow_body(told), STREAM
    if name == "tensors.bin" and (binary := binary_body(told)) is not None:
        return binary[1], BINARY
    found = bodies(told)
    if name not in found:
        raise NotHere(what=f"there is no example {name!r}", where="the path", fix=f"examples: rows.arrow, {', '.join(found)}")
    return msgspec.json.encode(found[name]), "application/json"


def generate_body(told: Described) -> Json:
    """A text of the sample, and the model's other inputs."""
    text = next(field.name for field in told.bundle.signature.inputs if is_text(field))
    parameters = {name: value for name, value in told.rows[0].items() if name != text}
    return {"text_input": told.rows[0][text] or "", **({"parameters": parameters} if parameters else {})}


# --- tensors ---------------------------------------------------------------------------------------------------------------


def _tensors(fields: Fields, rows: Sequence[Json]) -> list[Json] | None:
    """A tensor for each input; None where one has bytes that JSON has no text for."""
    found = []
    for field in fields:
        values = [row[field.name] for row in rows]
        if field.type == "bytes":
            try:
                values = [_mapped(value, None, _decoded) for value in values]
            except UnicodeDecodeError:
                return None
        if field.shape:  # a tensor has a shape: what is unknown is made up
            values = [made_up(field) if value is None else value for value in values]
        found.append({"name": field.name, "datatype": datatype(field), "shape": _shape(field, values), "data": values})
    return found


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _mapped(value: Any, unknown: Any, of: Callable[[Any], Any]) -> Any:
    """A value, or each of a tensor's, as `of` makes it; what is unknown as `unknown`."""
    if isinstance(value, list):
        return [_mapped(each, unknown, of) for each in value]
    return unknown if value is None else of(value)


def _shape(field: Field, values: Sequence[Any]) -> list[int]:
    shape, part = [len(values)], values[0]
    for _ in field.shape:
        shape.append(len(part))
        part = part[0] if part else []
    return shape


def _dense(fields: Fields, rows: Sequence[Json]) -> Json | None:
    """All inputs as one tensor, where they are floats of one type."""
    kind = dense_type(fields)
    if kind is None:
        return None
    data = [list(row.values()) for row in rows]
    return {"name": "features", "datatype": datatype(Field("features", kind)), "shape": [len(rows), len(fields)], "data": data}
