"""Answers of the inference service over gRPC as bytes: raw contents, or typed ones for who asked in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.protocol.answers import NotATensor, flat_values, raw_values, tensor_shape
from noria.serving.protocol.datatypes import BYTES, outputs
from noria.serving.protocol.messages import inference
from noria.serving.protocol.request import PredictRequest

# the typed contents of a tensor, by its datatype
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def raw_answer(name: str, bundle: Bundle, asked: PredictRequest, values: Mapping[str, list[Any]], fallback: str | None) -> bytes:
    """The answer's bytes: what is the same for all answers of so many rows is made once; the values follow as fields of their own."""
    shapes = tuple(tensor_shape(output, data) for output, data in values.items())
    kinds = [outputs(bundle.signature).datatypes[output] for output in values]
    parts = [_answer_head(name, bundle.id, tuple(zip(values, kinds, shapes, strict=True)), fallback)]
    if asked.request_id is not None:
        text = asked.request_id.encode()
        parts += (b"\x1a", _varint(len(text)), text)
    for kind, (output, data) in zip(kinds, values.items(), strict=True):
        raw = raw_values(kind, data, output)
        parts += (b"\x32", _varint(len(raw)), raw)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _answer_head(name: str, bundle: str, wanted: tuple[tuple[str, str, tuple[int, ...]], ...], fallback: str | None) -> bytes:
    """wanted: the name, datatype and shape of each output"""
    head = inference["ModelInferResponse"](model_name=name, model_version=bundle)
    if fallback:
        head.parameters["fallback"].string_param = fallback
    for output, kind, shape in wanted:
        head.outputs.add(name=output, datatype=kind, shape=shape)
    data: bytes = head.SerializeToString()
    return data


def typed_answer(name: str, bundle: Bundle, asked: PredictRequest, values: Mapping[str, list[Any]], fallback: str | None) -> bytes:
    """The answer with its values in typed contents."""
    message = inference["ModelInferResponse"](model_name=name, model_version=bundle.id, id=asked.request_id or "")
    if fallback:
        message.parameters["fallback"].string_param = fallback
    for output, data in values.items():
        kind, shape = outputs(bundle.signature).datatypes[output], tensor_shape(output, data)
        tensor = message.outputs.add(name=output, datatype=kind, shape=shape)
        getattr(tensor.contents, CONTENTS[kind]).extend(_typed(output, kind, data))
    encoded: bytes = message.SerializeToString()
    return encoded


def _typed(output: str, kind: str, data: list[Any]) -> list[Any]:
    """Values one after the other, as typed contents have them. Raises `NotATensor`."""
    flat: list[Any] = np.array(data, object).reshape(-1).tolist() if kind != BYTES else flat_values(data)
    if kind == BYTES:
        return [value if isinstance(value, bytes) else b"" if value is None else str(value).encode() for value in flat]
    if None not in flat:
        return flat
    if not kind.startswith("FP"):
        raise NotATensor(output, "it is unknown for a row")
    return [math.nan if value is None else value for value in flat]


def stream_answer(
    name: str,
    bundle: Bundle,
    asked: PredictRequest,
    values: Mapping[str, list[Any]],
    *,
    typed: bool,
    fallback: str | None = None,
    last: bool = False,
) -> bytes:
    """One message of an answer in parts."""
    made = (typed_answer if typed else raw_answer)(name, bundle, asked, values, fallback)
    return _field(_INFER_RESPONSE, made + _LAST if last else made)


def error_message(error: NoriaError, request_id: str | None) -> bytes:
    """The message that says why a request on a stream has no answer, or no more of it; with the request's id, if it has one."""
    text = f"{error.what} ({error.where}); {error.fix} [{error.code}]"
    named = inference["ModelInferResponse"](id=request_id or "")
    message = inference["ModelStreamInferResponse"](error_message=text, infer_response=named)
    encoded: bytes = message.SerializeToString()
    return encoded


def _field(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _last_parameter() -> bytes:
    head = inference["ModelInferResponse"]()
    head.parameters["triton_final_response"].bool_param = True
    data: bytes = head.SerializeToString()
    return data


_INFER_RESPONSE = b"\x12"  # field 2, with a length
_LAST = _last_parameter()  # fields may come in any order, and maps add up


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
