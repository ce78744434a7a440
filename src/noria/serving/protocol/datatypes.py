"""Datatypes of the Open Inference Protocol (https://github.com/kserve/open-inference-protocol), and the types of signatures in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from noria.core.signature import Field, Signature

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
BYTES = "BYTES"
ID = "prediction_id"  # an output of every answer, after the model's own


def datatype(field: Field) -> str:
    """The datatype of a field: texts, bytes and times (RFC 3339) are BYTES."""
    if field.type == "bool":
        return "BOOL"
    kind, size = field.type.rstrip("0123456789"), field.type.lstrip("abcdefghijklmnopqrstuvwxyz")
    return {"float": "FP", "int": "INT", "uint": "UINT"}.get(kind, "") + size if size else BYTES


def tensors(fields: Iterable[Field]) -> list[dict[str, object]]:
    """Fields as the protocol's metadata has them: -1 for the rows, and for free dimensions."""
    return [
        {"name": field.name, "datatype": datatype(field), "shape": [-1, *(-1 if size is None else size for size in field.shape)]}
        for field in fields
    ]


class Outputs(NamedTuple):
    """What an answer consists of, by name: the model's outputs, and the ids of the predictions."""

    fields: Mapping[str, Field]
    datatypes: Mapping[str, str]


_known: dict[int, tuple[Signature, Outputs]] = {}  # by identity: hashing a signature for every answer would cost more than the answer
MAX_KNOWN = 256


def outputs(signature: Signature) -> Outputs:
    """The outputs of a model of this signature."""
    found = _known.get(id(signature))
    if found is None or found[0] is not signature:
        fields = {field.name: field for field in (*signature.outputs, Field(ID, "string", nullable=False))}
        found = signature, Outputs(fields, {name: datatype(field) for name, field in fields.items()})
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[id(signature)] = found
    return found[1]
