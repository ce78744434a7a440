"""JSON schemas (https://json-schema.org/draft/2020-12) of what endpoints are sent and answer with, made from signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noria.core.signature import FLOATS, Field, Signature, dense_type
from noria.data.rows import Fields
from noria.serving.protocol.datatypes import BYTES, NUMBERS, outputs
from noria.serving.protocol.generate import is_text
from noria.serving.protocol.request import MAX_ROWS

Json = dict[str, Any]

WORDS: dict[str, Json] = {
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "timestamp": {"type": "string", "format": "date-time"},
}
KEYS = {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": MAX_ROWS, "description": "one key per row, to join outcomes"}
KEYS_OR_NONE = {"oneOf": [KEYS, {"type": "null"}]}
BYTES_OF_ANY = {"type": "string", "format": "binary"}
STREAM = {"stream": {"type": ["boolean", "null"], "description": "whether to answer in parts, as events"}}


def an_object(properties: Mapping[str, Any], required: Sequence[str] = (), *, more: bool = False) -> Json:
    """more: whether it may have other properties"""
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": more}


def error() -> Json:
    words = {
        "error": "what happened, as one line",
        "code": "a stable error code",
        "what": "what happened",
        "where": "where",
        "fix": "how to fix it",
    }
    return an_object({name: {"type": "string", "description": text} for name, text in words.items()}, list(words))


def event(*names: str) -> Json:
    """One server-sent event, as its fields."""
    return an_object({"event": {"enum": list(names)}, "data": {"type": "string"}}, ["event", "data"])


# --- plain JSON ------------------------------------------------------------------------------------------------------------


def plain_request(signature: Signature, *, streams: bool = False) -> Json:
    """streams: whether it may ask for an answer in parts"""
    rows = {"type": "array", "items": row(signature.inputs), "minItems": 1, "maxItems": MAX_ROWS}
    return an_object({"rows": rows, "keys": KEYS_OR_NONE, **(STREAM if streams else {})}, ["rows"])


def entities_request(columns: Sequence[str]) -> Json:
    """columns: that an entity has, each of which may be null"""
    entity = an_object({name: {} for name in columns}, list(columns))
    entities = {"type": "array", "items": entity, "minItems": 1, "maxItems": MAX_ROWS}
    return an_object({"entities": entities, "keys": KEYS_OR_NONE}, ["entities"])


def instances_request(signature: Signature) -> Json:
    """What platforms send: rows as objects, or as lists in the inputs' order."""
    fields = signature.inputs
    listed = {"type": "array", "prefixItems": [value(field) for field in fields], "minItems": len(fields), "maxItems": len(fields)}
    instances = {"type": "array", "items": {"anyOf": [row(fields), listed]}, "minItems": 1, "maxItems": MAX_ROWS}
    return an_object({"instances": instances}, ["instances"], more=True)


def plain_answer(signature: Signature) -> Json:
    told = {field.name: _told(field) for field in signature.outputs}
    one = next(iter(told.values())) if len(told) == 1 else an_object(told, list(told))
    texts = {name: {"type": "string"} for name in ("model", "bundle", "fallback")}
    lists = {"predictions": {"type": "array", "items": one}, "ids": {"type": "array", "items": {"type": "string"}}}
    return an_object({**texts, **lists}, ["model", "bundle", "predictions", "ids"])


def row(fields: Fields) -> Json:
    return an_object({field.name: value(field) for field in fields}, [field.name for field in fields])


def value(field: Field) -> Json:
    """What a request may hold of a field."""
    if not field.shape:
        return _single(field, nullable=field.nullable)
    found = _single(field, nullable=_may_hold_nulls(field))
    for size in reversed(field.shape):
        found = {"type": "array", "items": found, **({} if size is None else {"minItems": size, "maxItems": size})}
    return {"anyOf": [found, {"type": "null"}]} if field.nullable else found


def _may_hold_nulls(field: Field) -> bool:
    """Whether a tensor's single values may be unknown: floats, which have NaN, and those of a list."""
    return field.nullable and (field.type in FLOATS or len(field.shape) == 1)


def _single(field: Field, *, nullable: bool) -> Json:
    if field.type in FLOATS:
        kind: Json = {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38}
    elif field.type in WORDS:
        kind = dict(WORDS[field.type])
    else:
        bounds = np.iinfo(field.type)
        kind = {"type": "integer", "minimum": int(bounds.min), "maximum": int(bounds.max)}
    return {**kind, "type": [kind["type"], "null"], "description": "null where it is unknown"} if nullable else kind


def _told(field: Field) -> Json:
    """What an answer holds of an output."""
    if not field.labels:
        return value(field)
    found = an_object(dict.fromkeys(field.labels, _single(field, nullable=False)), field.labels)
    for size in reversed(field.shape[:-1]):
        found = {"type": "array", "items": found, "minItems": size, "maxItems": size}
    return found


# --- the Open Inference Protocol -------------------------------------------------------------------------------------------


def tensors_request(signature: Signature) -> Json:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    together = ["features"] if dense_type(signature.inputs) is not None else []
    tensor = {
        "name": {"enum": [*together, *signature.names]},
        "shape": shape,
        "datatype": {"enum": sorted([*NUMBERS, BYTES])},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    }
    output = an_object({"name": {"enum": list(outputs(signature).fields)}, "parameters": {"type": "object"}}, ["name"], more=True)
    inputs = {"type": "array", "items": an_object(tensor, ["name", "shape", "datatype"], more=True), "minItems": 1}
    properties = {
        "id": {"type": "string"},
        "inputs": inputs,
        "outputs": {"type": "array", "items": output},
        "parameters": {"type": "object"},
    }
    return an_object(properties, ["inputs"], more=True)


def tensors_answer() -> Json:
    texts = {name: {"type": "string"} for name in ("model_name", "model_version", "id")}
    outputs = {"type": "array", "items": {"type": "object"}}
    return an_object({**texts, "outputs": outputs, "parameters": {"type": "object"}}, ["model_name", "model_version", "outputs"])


def generate_request(signature: Signature) -> Json:
    parameters = {field.name: value(field) for field in signature.inputs if not is_text(field)}
    return an_object({"text_input": {"type": "string"}, "parameters": an_object(parameters)}, ["text_input"], more=True)


def generate_answer() -> Json:
    texts = {each: {"type": "string"} for each in ("text_output", "model_name", "model_version", "prediction_id", "fallback")}
    return an_object(texts, ["text_output", "model_name", "model_version"])
