"""Answers as bytes: plain JSON, and the Open Inference Protocol's, as JSON or with binary tensors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from noria.core.errors import NoriaError
from noria.core.signature import Signature
from noria.models.bundle import Bundle
from noria.serving.protocol.datatypes import BYTES, ID, NUMBERS, outputs, tensors
from noria.serving.protocol.request import BadRequest, PredictRequest


class NotATensor(BadRequest):
    """An answer can't be told as the protocol's tensors: lists of several lengths, or unknown numbers that bytes have no value for."""

    code = "NR-865"

    def __init__(self, output: str, reason: str) -> None:
        super().__init__(
            what=f"output {output!r} is no tensor: {reason}",
            where="the answer",
            fix="ask for one row at a time, name the outputs that you want, or use /predict/<endpoint>, whose answers are plain JSON",
        )


class _PlainAnswer(msgspec.Struct, gc=False, omit_defaults=True):
    model: str
    bundle: str
    predictions: list[Any]
    ids: list[str]
    fallback: str | None = None
    usage: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode


def plain_answer(
    bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None = None, usage: dict[str, Any] | None = None
) -> bytes:
    """The plain answer: predictions and prediction ids in the order of the rows; who stood in for the champion, if someone did.

    usage: what an answer took that was sent in parts
    """
    return _encode(_PlainAnswer(bundle.manifest.name, bundle.id, predictions, ids, fallback, usage))


def v2_answer(
    bundle: Bundle, predictions: list[Any], ids: list[str], asked: PredictRequest, fallback: str | None = None
) -> tuple[bytes, int | None]:
    """The protocol's answer, the prediction ids as its last output; and the length of its JSON where bytes follow it."""
    fields, datatypes = outputs(bundle.signature)
    told, binary = [], []
    for name, as_bytes in (asked.wanted or dict.fromkeys(fields, False)).items():
        data = values_of(bundle.signature, name, predictions, ids)
        output: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": tensor_shape(name, data)}
        if as_bytes:
            binary.append(raw_values(output["datatype"], data, name))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = data
        told.append(output)
    answer: dict[str, Any] = {"model_name": bundle.manifest.name, "model_version": bundle.id, "outputs": told}
    if asked.request_id is not None:
        answer["id"] = asked.request_id
    if fallback is not None:
        answer["parameters"] = {"fallback": fallback}
    head = msgspec.json.encode(answer)
    return (head, None) if not binary else (b"".join([head, *binary]), len(head))


def values_of(signature: Signature, output: str, predictions: list[Any], ids: list[str]) -> list[Any]:
    """One output of every row."""
    if output == ID:
        return ids
    if len(signature.outputs) == 1:
        (field,), values = signature.outputs, predictions
    else:
        field, values = outputs(signature).fields[output], [each[output] for each in predictions]
    return values if not field.labels else [list(each.values()) for each in values]


def tensor_shape(name: str, data: Sequence[Any]) -> tuple[int, ...]:
    """The shape of one output of all rows. Raises `NotATensor`."""
    if not data or not (isinstance(data[0], list) or (data[0] is None and any(isinstance(each, list) for each in data))):
        return (len(data),)
    shapes = {None if each is None else np.shape(each) for each in data}
    if len(shapes) > 1 or None in shapes:
        raise NotATensor(name, "its lists differ in length" if None not in shapes else "it is unknown for a row")
    return (len(data), *shapes.pop())  # type: ignore[misc]


def raw_values(kind: str, data: Sequence[Any], name: str = "") -> bytes:
    """Values as the protocol's bytes: numbers little-endian, NaN where unknown; texts with their length before them, none where unknown.

    Raises `NotATensor` for a whole number or a truth that is unknown.
    """
    if kind == BYTES:
        texts = [value if isinstance(value, bytes) else b"" if value is None else str(value).encode() for value in flat_values(data)]
        return b"".join([len(text).to_bytes(4, "little") + text for text in texts])
    try:
        return struct.pack(f"<{len(data)}d", *data) if kind == "FP64" and not _nested(data) else np.array(data, NUMBERS[kind]).tobytes()
    except (struct.error, TypeError, ValueError) as error:
        if kind.startswith("FP"):
            return np.array(data, NUMBERS[kind]).tobytes()  # None becomes NaN
        raise NotATensor(name, "it is unknown for a row") from error


def _nested(data: Sequence[Any]) -> bool:
    return bool(data) and isinstance(data[0], list)


def flat_values(data: Sequence[Any]) -> list[Any]:
    """Nested values, one after the other."""
    return [value for part in data for value in flat_values(part)] if _nested(data) else list(data)


def v2_metadata(bundle: Bundle, name: str) -> bytes:
    """The protocol's model metadata."""
    inputs, told = tensors(bundle.signature.inputs), tensors(outputs(bundle.signature).fields.values())
    return msgspec.json.encode(
        {"name": name, "versions": [bundle.id], "platform": bundle.manifest.runtime, "inputs": inputs, "outputs": told}
    )


def error_answer(error: NoriaError, prediction_id: str | None = None) -> bytes:
    """An error's body: the protocol's `error` text, and the facts. Made once for an error that is said to many.

    prediction_id: of the beginning of an answer, which was sent before it failed
    """
    if prediction_id is not None:
        return msgspec.json.encode({"error": error.what, **error.to_dict(), "prediction_id": prediction_id})
    found: bytes | None = getattr(error, "_answer", None)
    if found is None:
        found = msgspec.json.encode({"error": error.what, **error.to_dict()})
        error._answer = found  # type: ignore[attr-defined]
    return found
