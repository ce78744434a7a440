"""Requests into rows of a model's inputs, by its signature. Pure functions; no sockets here.

Two protocols reach the same rows:

- Open Inference Protocol v2 (https://github.com/kserve/open-inference-protocol): one tensor per feature, shape `[n]`, or
  one tensor named `features`, shape `[n, features]`; `null` where a value is unknown. Tensors may be binary, by the protocol's
  binary tensor data extension: after the JSON, in the order of the inputs; NaN where a value is unknown
- plain JSON: `{"rows": [{feature: value or null, …}, …], "keys": ["…", …]}`
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec.structs import astuple

from noria.core.errors import nearest
from noria.core.signature import FLOATS, Field, Signature, dense_type
from noria.data.rows import Block, Rows
from noria.serving.protocol.datatypes import outputs
from noria.serving.protocol.request import ALL, LARGE, WEIGHED, BadRequest, PredictRequest, check_rows, in_columns
from noria.serving.protocol.tensors import Tensor, bad_shape, check_datatype, check_shape, column_of, flat_data, raw_numbers

SHOWN = 3  # features in a message
LOOKED_AT = 4_096  # bytes of a body that is no JSON, to say why
NAMES = {"array": "a list", "object": "an object", "str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


class Decoder:
    """Requests into the rows of a bundle's signature: made once, used for every request.

    added: inputs that the server adds, so that no request has to send them
    """

    def __init__(self, signature: Signature, added: Collection[str] = ()) -> None:
        self._added = frozenset(added)
        self.signature, self.fields, self.features = signature, signature.inputs, signature.names
        self.outputs = outputs(signature).fields
        self._dense = dense_type(self.fields)
        self._place = {name: i for i, name in enumerate(self.features)}
        fields: list[Any] = [
            (f"f{i}", _python_type(field) | None, None) if field.name in self._added else (f"f{i}", _python_type(field))
            for i, field in enumerate(self.fields)
        ]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"f{i}": n for i, n in enumerate(self.features)},
            forbid_unknown_fields=True,
            array_like=False,
            kw_only=bool(self._added),
        )
        fields_of_body: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("rows", list.__class_getitem__(row)),
            ("keys", list[str | None] | None, None),
        ]
        body = msgspec.defstruct("Rows", fields_of_body, forbid_unknown_fields=True)
        self._plain: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._parts = [*fields_of_body, ("stream", bool | None, None)]
        self._v2 = msgspec.json.Decoder(_InferRequest)

    def plain(self, body: bytes | memoryview) -> PredictRequest:
        """A plain JSON request. Raises `BadRequest`."""
        try:
            asked = self._plain.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._undecoded(error, body) from error
        if len(asked.rows) == 1 and asked.keys is None and len(body) <= WEIGHED:
            return PredictRequest([astuple(asked.rows[0])])
        return self._request(asked, len(body))

    def plain_or_parts(self, body: bytes | memoryview) -> tuple[PredictRequest, bool | None]:
        """A plain JSON request to a model that streams, and whether it says that its answer is to come in parts. Raises `BadRequest`."""
        try:
            asked = self._with_stream.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._undecoded(error, body) from error
        return self._request(asked, len(body)), asked.stream

    @cached_property
    def _with_stream(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(msgspec.defstruct("Rows", self._parts, forbid_unknown_fields=True))

    def _undecoded(self, error: Exception, body: bytes | memoryview) -> BadRequest:
        return self._explained(str(error)) if isinstance(error, msgspec.ValidationError) else _malformed(error, body, self._example)

    def _request(self, asked: Any, size: int) -> PredictRequest:
        rows, keys = asked.rows, asked.keys
        check_rows(len(rows))
        if keys is not None and len(keys) != len(rows):
            raise BadRequest(what=f"{len(keys)} keys for {len(rows)} rows", where="keys", fix="send one key per row, or none at all")
        found = PredictRequest([astuple(row) for row in rows], keys)
        return in_columns(found, self.fields) if size > LARGE else found if self._dense else found.measured(size, self.fields)

    def v2(self, body: bytes | memoryview, json_length: int | None = None) -> PredictRequest:
        """An Open Inference Protocol v2 request; binary tensors follow after `json_length` bytes. Raises `BadRequest`."""
        try:
            asked = self._v2.decode(body if json_length is None else body[:json_length])
        except msgspec.ValidationError as error:
            raise BadRequest(
                what="the request does not follow the protocol", where=str(error), fix="see the Open Inference Protocol, version 2"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from error
        for tensor in asked.inputs:
            tensor.raw = None  # never from JSON
        if json_length is not None:
            _cut_binary(asked.inputs, memoryview(body)[json_length:])
        wanted = ALL if asked.outputs is None and not asked.parameters else _wanted(asked, self.outputs)
        return self.tensors(asked.inputs, (asked.parameters or {}).get("keys"), asked.id, wanted)

    def tensors(self, inputs: list[Tensor], keys: Any, request_id: str | None, wanted: Mapping[str, bool] = ALL) -> PredictRequest:
        """What a request's tensors and keys ask for. Raises `BadRequest`."""
        rows = self._rows(inputs)
        listed = keys is None or (isinstance(keys, list) and len(keys) == len(rows))
        if not listed or not all(k is None or isinstance(k, str) for k in keys or ()):
            raise BadRequest(what="keys must be one string per row", where="parameters.keys", fix="send one key per row, or none at all")
        asked = PredictRequest(rows, keys).measured(rows.nbytes, self.fields)
        asked.request_id, asked.wanted = request_id, wanted
        return asked

    def _rows(self, inputs: list[Tensor]) -> Rows:
        if self._dense is not None and len(inputs) == 1 and inputs[0].name == "features":
            tensor = inputs[0]
            if len(tensor.shape) != 2 or tensor.shape[1] != len(self.features):
                raise bad_shape(tensor, f"[n, {len(self.features)}]")
            return Rows.dense(self.fields, _values(tensor, self._dense).reshape(tensor.shape))
        columns: dict[str, Any] = {}
        for tensor in inputs:
            if tensor.name not in self._place:
                raise self._unknown(tensor.name)
            if tensor.name in columns:
                raise BadRequest(what=f"input {tensor.name!r} is given twice", where="inputs", fix="send it once")
            columns[tensor.name] = self._column(tensor, self.fields[self._place[tensor.name]])
        for name in self.features:
            if name not in columns and name in self._added and columns:
                columns[name] = _unknown_values(self.fields[self._place[name]], len(next(iter(columns.values()))))
            elif name not in columns:
                raise self._missing(name)
        lengths = {len(c) for c in columns.values()}
        if len(lengths) != 1:
            raise BadRequest(
                what="the inputs have different numbers of rows",
                where=f"inputs: {sorted(lengths)}",
                fix="send equally long inputs",
            )
        found = [columns[name] for name in self.features]
        return Rows.dense(self.fields, np.column_stack(found)) if self._dense is not None else Rows.of(self.fields, found)

    def _column(self, tensor: Tensor, field: Field) -> Any:
        """A tensor as a column: numbers of the dense type, or an Arrow array. Raises `BadRequest`."""
        if not field.shape and not (len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)):
            raise bad_shape(tensor, "[n]")
        return _values(tensor, self._dense) if self._dense is not None else column_of(tensor, field)

    def _explained(self, text: str) -> BadRequest:
        """The decoder's complaint in the user's words."""
        if found := re.search(r"missing required field `(.+?)`(?: - at `(.+?)`)?", text):
            return self._missing(found[1], found[2]) if found[1] in self._place else self._shape_of_plain(text)
        if found := re.search(r"unknown field `(.+?)`(?: - at `(.+?)`)?", text):
            return self._unknown(found[1], found[2]) if found[2] else self._shape_of_plain(text)
        if found := re.search(r"Expected `object`, got `(.+?)` - at `(\$\.rows\[\d+\])`", text):
            what = f"a row must be an object of features by name, not {NAMES.get(found[1], found[1])}"
            return BadRequest(what=what, where=found[2], fix=f"send {self._example}")
        if found := re.search(r"got `(.+?)` - at `(\$\.keys.*?)`", text):
            what = f"keys must be a list of texts, and {found[2]} is {NAMES.get(found[1], found[1])}"
            return BadRequest(what=what, where=found[2], fix='send "keys": ["1"], one text for each row')
        if found := re.search(r"Expected `(.+?)`, got `(.+?)` - at `(\$\.rows\[.+?)`", text):
            wanted = found[1].replace("float", "a number").replace(" | null", " or null")
            return BadRequest(
                what=f"a feature must be {wanted}, not {found[2]}",
                where=found[3],
                fix=f"send {wanted.replace(' or null', ', or null where it is unknown')}",
            )
        return self._shape_of_plain(text)

    @property
    def _example(self) -> str:
        """A body as it has to be, for messages."""
        shown = [f'"{field.name}": {"1.0" if field.type in FLOATS and not field.shape else "…"}' for field in self.fields[:SHOWN]]
        return f'{{"rows": [{{{", ".join([*shown, *(["…"] if len(self.fields) > SHOWN else [])])}}}]}}'

    def _shape_of_plain(self, text: str) -> BadRequest:
        return BadRequest(
            what="the body is not a valid plain JSON request", where=text, fix=f'send {self._example}; with "keys": ["…"] or without'
        )

    def _missing(self, name: str, where: str | None = None) -> BadRequest:
        return BadRequest(
            what=f"feature {name!r} is missing",
            where=where or "inputs",
            fix="send every feature; null where a value is unknown",
        )

    def _unknown(self, name: str, where: str | None = None) -> BadRequest:
        return BadRequest(
            what=f"there is no feature {name!r}{nearest(name, self.features)}",
            where=where or "inputs",
            fix=f"the model's features are {', '.join(self.features)}; columns from which features are looked up go to "
            "/predict/<endpoint>/entities",
        )


def _unknown_values(field: Field, rows: int) -> Any:
    return Rows.unknown((field,), rows).column(field.name)


def _malformed(error: Exception, body: bytes | memoryview = b"", example: str = "") -> BadRequest:
    start = bytes(body[:LOOKED_AT])
    fix = f"send UTF-8 encoded JSON: {example}" if example else "send UTF-8 encoded JSON"
    if re.search(rb"[:\[,]\s*(NaN|-?Infinity|None)\b", start):
        fix = "send null where a value is unknown: JSON has no NaN, Infinity or None"
    elif re.match(rb"\s*\{\s*'", start):
        fix = "write names and texts in double quotes: Python's json.dumps does"
    return BadRequest(what="the body is not valid JSON", where=str(error), fix=fix)


def _values(tensor: Tensor, kind: str) -> Block:
    """A tensor's data, flat, as floats of a kind. Raises `BadRequest` when it is not numbers of the stated shape."""
    check_datatype(tensor)
    check_shape(tensor)
    if tensor.raw is not None:
        return _from_bytes(tensor, kind)
    flat = flat_data(tensor)
    for value in flat:
        if not (value is None or isinstance(value, int | float)):
            raise BadRequest(
                what=f"input {tensor.name!r} holds {type(value).__name__} {value!r}"[:200],
                where="inputs",
                fix="send numbers, or null where unknown",
            )
    try:
        return np.array(flat, dtype=np.float64).astype(kind)
    except OverflowError as error:
        raise BadRequest(what=f"input {tensor.name!r} holds a number too large", where="inputs", fix=f"send {kind} values") from error


def _from_bytes(tensor: Tensor, kind: str) -> Block:
    values = raw_numbers(tensor)
    if values.dtype == kind:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(kind)


def _cut_binary(inputs: Sequence[Tensor], binary: memoryview) -> None:
    """Give each input that announces `binary_data_size` its bytes."""
    at = 0
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary) - at:
            raise BadRequest(
                what=f"input {tensor.name!r} declares {size!r} bytes",
                where=f"{len(binary) - at} bytes are left after the JSON",
                fix="make binary_data_size match the body",
            )
        tensor.raw = binary[at : at + size]
        at += size
    if at != len(binary):
        what = f"{len(binary) - at} bytes belong to no input"
        raise BadRequest(what=what, where="the body", fix="set binary_data_size for every binary tensor")


def _wanted(asked: _InferRequest, known: Mapping[str, Field]) -> Mapping[str, bool]:
    """The outputs that a request asks for, and whether as bytes."""
    binary = bool((asked.parameters or {}).get("binary_data_output", False))
    if not asked.outputs:
        return dict.fromkeys(known, binary)
    for output in asked.outputs:
        if output.name not in known:
            raise BadRequest(
                what=f"there is no output {output.name!r}{nearest(output.name, known)}",
                where="outputs",
                fix="outputs: " + ", ".join(known),
            )
    return {output.name: bool((output.parameters or {}).get("binary_data", binary)) for output in asked.outputs}


def _python_type(field: Field) -> Any:
    """What JSON holds of a field; a byte string as base64, a time as RFC 3339."""
    kinds = {"bool": bool, "string": str, "bytes": bytes, "timestamp": Annotated[datetime, msgspec.Meta(tz=True)]}
    kind: Any = kinds.get(field.type, float if field.type in FLOATS else int)
    if (
        field.shape and field.nullable and (field.type in FLOATS or len(field.shape) == 1)
    ):  # a table's list may hold nulls; a tensor only NaN
        kind = kind | None
    for _ in field.shape:
        kind = list.__class_getitem__(kind)
    return kind | None if field.nullable else kind
