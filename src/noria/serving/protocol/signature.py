"""The words on the wire: requests into feature rows, predictions into answers. Pure functions; no sockets here.

Two protocols reach the same rows:

- Open Inference Protocol v2 (https://github.com/kserve/open-inference-protocol): one tensor per feature, shape `[n]`, or
  one tensor named `features`, shape `[n, features]`; `null` where a value is unknown. Tensors may be binary, by the protocol's
  binary tensor data extension: after the JSON, in the order of the inputs; NaN where a value is unknown
- plain JSON: `{"rows": [{feature: number or null, …}, …], "keys": ["…", …]}`
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError, UserMistake, nearest
from noria.models.bundle import Bundle

MAX_ROWS = 10_000
NUMBERS = {
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "BOOL": "?",
}
OUTPUTS = ("prediction", "prediction_id")


class BadRequest(UserMistake):
    """A request that can't be answered as it is."""

    code = "NR-510"
    http_status = 400


class NotHere(BadRequest):
    """A path or an endpoint that does not exist."""

    code = "NR-514"
    http_status = 404


Row = tuple[float | None, ...]
ALL_OUTPUTS = dict.fromkeys(OUTPUTS, False)


Stamp = tuple[int, Stopwatch]  # when a turn of the loop began to read requests (microseconds UTC), and a watch since then


class Responder(Protocol):
    """Who asked: gets the answer, or why there is none."""

    def answered(self, bundle: Bundle, predictions: list[float], ids: list[str], fallback: str | None) -> None:
        """A prediction and an id for each row; `fallback` is `previous` or `default` where the champion did not answer."""

    def fail(self, error: NoriaError) -> None: ...
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""


class PredictRequest:
    """What a request asks for: `count` rows of features (None or NaN where unknown), and a key per row or None (None: no keys at all).

    Rows stay as they were decoded until a batch is made: one conversion for many requests. What most requests don't have is the
    class's, so that making one costs little.

    wanted: the outputs that are asked for, and whether each as bytes; entities: what the rows are yet to be looked up by
    client, stamp, deadline: who gets the answer, since when it waits, and until when it is of use; set by the batcher, as is its trace
    """

    request_id: str | None = None
    wanted: Mapping[str, bool] = ALL_OUTPUTS
    entities: list[tuple[Any, ...]] | None = None
    deadline: float | None = None
    trace: Any = None
    client: Responder
    stamp: Stamp

    def __init__(self, rows: list[Row] | NDArray[np.float32], keys: list[str | None] | None = None) -> None:
        self.rows, self.keys, self.count = rows, keys, len(rows)

    @staticmethod
    def by_entities(entities: list[tuple[Any, ...]], keys: list[str | None]) -> PredictRequest:
        asked = PredictRequest([], keys)
        asked.entities, asked.count = entities, len(entities)
        return asked

    def __len__(self) -> int:
        return self.count


def feature_matrix(asked: Sequence[PredictRequest]) -> NDArray[np.float32]:
    """The rows of requests, `(rows, features)`; a number beyond float32 is infinite."""
    parts = [a.rows for a in asked]
    if set(map(type, parts)) == {list}:
        return _of_rows([row for part in parts for row in part])
    with np.errstate(over="ignore"):
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _of_rows(rows: Sequence[Row]) -> NDArray[np.float32]:
    width = len(rows[0])
    try:  # half again as quick as numpy, and takes neither None nor what is beyond float32
        return np.frombuffer(struct.pack(f"{len(rows) * width}f", *chain.from_iterable(rows)), np.float32).reshape(-1, width)
    except (struct.error, OverflowError):
        with np.errstate(over="ignore"):
            return np.array(rows, dtype=np.float32)


def keys_of(asked: Sequence[PredictRequest]) -> list[str | None]:
    """The keys of the rows of requests."""
    if not any([a.keys for a in asked]):  # noqa: C419 - a list is quicker here
        return [None] * sum([a.count for a in asked])
    return [key for a in asked for key in (a.keys or [None] * a.count)]


class Tensor(msgspec.Struct):
    """An input: its values in `data`, or in `raw` as little-endian bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None
    raw: bytes | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


class Signature:
    """A bundle's inputs, as decoders: made once, used for every request."""

    def __init__(self, features: Sequence[str]) -> None:
        self.features = tuple(features)
        self._place = {name: i for i, name in enumerate(self.features)}
        fields = [(f"f{i}", float | None) for i in range(len(self.features))]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"f{i}": n for i, n in enumerate(self.features)},
            forbid_unknown_fields=True,
            array_like=False,
        )
        fields_of_body: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("rows", list.__class_getitem__(row)),
            ("keys", list[str | None] | None, None),
        ]
        body = msgspec.defstruct("Rows", fields_of_body, forbid_unknown_fields=True)
        self._plain: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._v2 = msgspec.json.Decoder(_InferRequest)

    def plain(self, body: bytes) -> PredictRequest:
        """A plain JSON request. Raises `BadRequest`."""
        try:
            asked = self._plain.decode(body)
        except msgspec.ValidationError as error:
            raise self._explained(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from error
        rows, keys = asked.rows, asked.keys
        if len(rows) == 1 and keys is None:
            return PredictRequest([astuple(rows[0])])
        check_rows(len(rows))
        if keys is not None and len(keys) != len(rows):
            raise BadRequest(what=f"{len(keys)} keys for {len(rows)} rows", where="keys", fix="send one key per row, or none at all")
        return PredictRequest([astuple(row) for row in rows], keys)

    def v2(self, body: bytes, json_length: int | None = None) -> PredictRequest:
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
            _cut_binary(asked.inputs, body[json_length:])
        wanted = ALL_OUTPUTS if asked.outputs is None and not asked.parameters else _wanted(asked)
        return self.tensors(asked.inputs, (asked.parameters or {}).get("keys"), asked.id, wanted)

    def tensors(self, inputs: list[Tensor], keys: Any, request_id: str | None, wanted: Mapping[str, bool] = ALL_OUTPUTS) -> PredictRequest:
        """What a request's tensors and keys ask for. Raises `BadRequest`."""
        features = self._tensors(inputs)
        listed = keys is None or (isinstance(keys, list) and len(keys) == len(features))
        if not listed or not all(k is None or isinstance(k, str) for k in keys or ()):
            raise BadRequest(what="keys must be one string per row", where="parameters.keys", fix="send one key per row, or none at all")
        asked = PredictRequest(features, keys)
        asked.request_id, asked.wanted = request_id, wanted
        return asked

    def _tensors(self, inputs: list[Tensor]) -> NDArray[np.float32]:
        if len(inputs) == 1 and inputs[0].name == "features":
            tensor = inputs[0]
            if len(tensor.shape) != 2 or tensor.shape[1] != len(self.features):
                raise _bad_shape(tensor, f"[n, {len(self.features)}]")
            return _values(tensor).reshape(tensor.shape)
        columns: dict[str, NDArray[np.float32]] = {}
        for tensor in inputs:
            if tensor.name not in self._place:
                raise self._unknown(tensor.name)
            if tensor.name in columns:
                raise BadRequest(what=f"input {tensor.name!r} is given twice", where="inputs", fix="send it once")
            if not (len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)):
                raise _bad_shape(tensor, "[n]")
            columns[tensor.name] = _values(tensor)
        for name in self.features:
            if name not in columns:
                raise self._missing(name)
        lengths = {len(c) for c in columns.values()}
        if len(lengths) != 1:
            raise BadRequest(
                what="the inputs have different numbers of rows",
                where=f"inputs: {sorted(lengths)}",
                fix="send equally long inputs",
            )
        return np.column_stack([columns[name] for name in self.features])

    def _explained(self, text: str) -> BadRequest:
        """The decoder's complaint in the user's words."""
        if found := re.search(r"missing required field `(.+?)`(?: - at `(.+?)`)?", text):
            return self._missing(found[1], found[2]) if found[1] in self._place else _shape_of_plain(text)
        if found := re.search(r"unknown field `(.+?)`(?: - at `(.+?)`)?", text):
            return self._unknown(found[1], found[2]) if found[2] else _shape_of_plain(text)
        if found := re.search(r"Expected `float \| null`, got `(.+?)` - at `(.+?)`", text):
            return BadRequest(
                what=f"a feature must be a number or null, not {found[1]}",
                where=found[2],
                fix="send a number, or null where it is unknown",
            )
        return _shape_of_plain(text)

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
            fix="the model's features are " + ", ".join(self.features),
        )


def _shape_of_plain(text: str) -> BadRequest:
    return BadRequest(
        what="the body is not a valid plain JSON request", where=text, fix='send {"rows": [{feature: number or null, …}], "keys": ["…"]}'
    )


def _malformed(error: Exception) -> BadRequest:
    return BadRequest(what="the body is not valid JSON", where=str(error), fix="send UTF-8 encoded JSON")


def _bad_shape(tensor: Tensor, expected: str) -> BadRequest:
    return BadRequest(what=f"input {tensor.name!r} has shape {tensor.shape}", where="inputs", fix=f"send shape {expected}")


def check_rows(rows: int) -> None:
    """Raise `BadRequest` where there are no rows, or more than one request may have."""
    if rows == 0:
        raise BadRequest(what="there are no rows to predict", where="the body", fix="send at least one row")
    if rows > MAX_ROWS:
        raise BadRequest(
            what=f"{rows:,} rows are too many for one request",
            where="the body",
            fix=f"send at most {MAX_ROWS:,} rows at a time",
        )


def _values(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor's data, flat. Raises `BadRequest` when it is not numbers of the stated shape."""
    if tensor.datatype not in NUMBERS:
        raise BadRequest(
            what=f"input {tensor.name!r} has datatype {tensor.datatype!r}{nearest(tensor.datatype, NUMBERS)}",
            where="inputs",
            fix="send FP32 or FP64",
        )
    rows = tensor.shape[0] if tensor.shape else 0
    check_rows(rows)
    if min(tensor.shape) < 0:
        raise _bad_shape(tensor, "sizes of 0 or more")
    if tensor.raw is not None:
        return _from_bytes(tensor)
    if tensor.data is None:
        raise BadRequest(
            what=f"input {tensor.name!r} has no data", where="inputs", fix="send `data` for each row; [null] where a value is unknown"
        )
    flat = _flat(tensor.data)
    if len(flat) != math.prod(tensor.shape):
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(flat)} values for shape {tensor.shape}",
            where="inputs",
            fix="make the number of values match the shape",
        )
    for value in flat:
        if not (value is None or isinstance(value, int | float)):
            raise BadRequest(
                what=f"input {tensor.name!r} holds {type(value).__name__} {value!r}"[:200],
                where="inputs",
                fix="send numbers, or null where unknown",
            )
    try:
        return np.array(flat, dtype=np.float64).astype(np.float32)
    except OverflowError as error:
        raise BadRequest(what=f"input {tensor.name!r} holds a number too large", where="inputs", fix="send float32 values") from error


def _from_bytes(tensor: Tensor) -> NDArray[np.float32]:
    assert tensor.raw is not None
    kind = np.dtype(NUMBERS[tensor.datatype])
    if len(tensor.raw) != math.prod(tensor.shape) * kind.itemsize:
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(tensor.raw)} bytes for shape {tensor.shape} of {tensor.datatype}",
            where="inputs",
            fix="make the data match the shape and datatype",
        )
    values = np.frombuffer(tensor.raw, kind)
    if kind == np.float32:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def _cut_binary(inputs: Sequence[Tensor], binary: bytes) -> None:
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


def _wanted(asked: _InferRequest) -> Mapping[str, bool]:
    """The outputs that a request asks for, and whether as bytes."""
    binary = bool((asked.parameters or {}).get("binary_data_output", False))
    if not asked.outputs:
        return dict.fromkeys(OUTPUTS, binary)
    for output in asked.outputs:
        if output.name not in OUTPUTS:
            raise BadRequest(
                what=f"there is no output {output.name!r}{nearest(output.name, OUTPUTS)}",
                where="outputs",
                fix="outputs: " + ", ".join(OUTPUTS),
            )
    return {output.name: bool((output.parameters or {}).get("binary_data", binary)) for output in asked.outputs}


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    if data and isinstance(data[0], list):
        return [value for part in data for value in (part if isinstance(part, list) else [part])]
    return data


class _PlainAnswer(msgspec.Struct, gc=False, omit_defaults=True):
    model: str
    bundle: str
    predictions: list[float]
    ids: list[str]
    fallback: str | None = None


_encode = msgspec.json.Encoder().encode


def plain_answer(bundle: Bundle, predictions: list[float], ids: list[str], fallback: str | None = None) -> bytes:
    """The plain answer: predictions and prediction ids in the order of the rows; who stood in for the champion, if someone did."""
    return _encode(_PlainAnswer(bundle.manifest.name, bundle.id, predictions, ids, fallback))


def v2_answer(
    bundle: Bundle, predictions: list[float], ids: list[str], asked: PredictRequest, fallback: str | None = None
) -> tuple[bytes, int | None]:
    """The protocol's answer, the prediction ids as a second output; and the length of its JSON where bytes follow it."""
    values: dict[str, tuple[str, list[Any]]] = {"prediction": ("FP64", predictions), "prediction_id": ("BYTES", ids)}
    outputs, binary = [], []
    for name, as_bytes in asked.wanted.items():
        datatype, data = values[name]
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(ids)]}
        if as_bytes:
            binary.append(raw_values(datatype, data))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = data
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": bundle.manifest.name, "model_version": bundle.id, "outputs": outputs}
    if asked.request_id is not None:
        answer["id"] = asked.request_id
    if fallback is not None:
        answer["parameters"] = {"fallback": fallback}
    head = msgspec.json.encode(answer)
    return (head, None) if not binary else (b"".join([head, *binary]), len(head))


def raw_values(datatype: str, data: Sequence[Any]) -> bytes:
    """Values as the protocol's bytes: numbers little-endian, texts with their length before them."""
    if datatype == "BYTES":
        return b"".join([len(text).to_bytes(4, "little") + text for text in [value.encode() for value in data]])
    return struct.pack(f"<{len(data)}d", *data) if datatype == "FP64" else np.array(data, NUMBERS[datatype]).tobytes()


def v2_metadata(bundle: Bundle, name: str) -> bytes:
    """The protocol's model metadata."""
    return msgspec.json.encode(
        {
            "name": name,
            "versions": [bundle.id],
            "platform": "onnx",
            "inputs": [{"name": f, "datatype": "FP32", "shape": [-1]} for f in bundle.features],
            "outputs": [
                {"name": "prediction", "datatype": "FP64", "shape": [-1]},
                {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    )


def error_answer(error: NoriaError) -> bytes:
    """An error's body: the protocol's `error` text, and the facts. Made once for an error that is said to many."""
    found: bytes | None = getattr(error, "_answer", None)
    if found is None:
        found = msgspec.json.encode({"error": error.what, **error.to_dict()})
        error._answer = found  # type: ignore[attr-defined]
    return found
