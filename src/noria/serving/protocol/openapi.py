"""The server's OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the signatures of the models that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from noria.core.signature import FLOATS, Field, Signature, dense_type
from noria.data.rows import Fields
from noria.serving.protocol.arrow import STREAM
from noria.serving.protocol.clouds import CSV
from noria.serving.protocol.datatypes import BYTES, NUMBERS, outputs
from noria.serving.protocol.request import MAX_ROWS

JSON, EVENTS, TEXT = "application/json", "text/event-stream", "text/html"
BINARY = "application/octet-stream"
Json = dict[str, Any]

REFUSALS = {
    "400": "the request is not valid",
    "401": "an API key is required",
    "403": "the API key's role does not allow this",
    "404": "no such path, endpoint or version",
    "405": "the path does not allow this method",
    "408": "the request took too long to arrive",
    "409": "this endpoint can't look up features",
    "413": "the request is too large",
    "414": "the path is too long",
    "415": "the body is compressed",
    "417": "the Expect header is not supported",
    "421": "the Host or Origin header is not allowed",
    "429": "the API key exceeded its rate limit or quota",
    "431": "the headers are too large",
    "500": "the model failed",
    "503": "the server is not ready or overloaded",
    "504": "the deadline has passed",
}
WORDS: dict[str, Json] = {
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "timestamp": {"type": "string", "format": "date-time"},
}
KEYS = {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": MAX_ROWS, "description": "one key per row, to join outcomes"}
HEADERS = [
    {
        "name": "x-noria-priority",
        "in": "header",
        "schema": {"enum": ["low", "normal", "high"]},
        "description": "which requests are served first under overload",
    },
    {
        "name": "x-noria-timeout-ms",
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3_600_000},
        "description": "the deadline: after it, the request is answered with 504",
    },
]


def document(endpoints: Mapping[str, Signature], *, version: str, keys: bool, platform: Mapping[str, str]) -> Json:
    """The document for endpoints, by name. keys: whether keys are needed; platform: its own paths → what they are for."""
    paths: dict[str, Json] = {}
    for name, signature in endpoints.items():
        paths |= _paths_of(name, signature)
    paths |= {
        "/v2": {"get": _told("The server's name and version")},
        "/v2/health/live": {"get": _told("Liveness of the server")},
        "/v2/health/ready": {"get": _told("Readiness: whether the models reproduce their golden predictions")},
        "/status": {"get": _told("Counts, and whether every answered row is accounted for")},
        "/openapi.json": {"get": _told("This document")},
        "/docs": {"get": _told("This document as a page", kind=TEXT)},
    }
    if len(endpoints) == 1:
        ((_, signature),) = endpoints.items()
        paths |= _cloud_paths(signature, platform)
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Noria", "version": version, "description": "Predictions, each logged before it is sent."},
        "paths": paths,
        "components": {"schemas": {"Error": _error()}, **({"securitySchemes": schemes} if keys else {})},
        **({"security": [{"bearer": []}, {"key": []}]} if keys else {}),
    }


def _paths_of(name: str, signature: Signature) -> Iterator[tuple[str, Json]]:
    name = quote(name, safe="")
    model = f"/v2/models/{name}"
    plain = _object({"rows": _rows(signature.inputs), "keys": {"oneOf": [KEYS, {"type": "null"}]}}, ["rows"])
    arrow = {"type": "string", "format": "binary"}
    answers = {JSON: _plain_answer(signature), STREAM: arrow}
    entities = _object({"entities": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MAX_ROWS}, "keys": KEYS})
    tensors = {JSON: _v2_request(signature), BINARY: arrow}
    yield f"/predict/{name}", {"post": _asked("Predict rows of features", {JSON: plain, STREAM: arrow}, answers)}
    yield (
        f"/predict/{name}/stream",
        {"post": _asked("Predict rows, and stream the predictions as they are made", {JSON: plain}, {EVENTS: _event()})},
    )
    yield (
        f"/predict/{name}/entities",
        {"post": _asked("Predict entities; the server looks up their features", {JSON: entities}, {JSON: _plain_answer(signature)})},
    )
    yield f"{model}/infer", {"post": _asked("Open Inference Protocol v2", tensors, {JSON: _v2_answer(), BINARY: arrow})}
    yield f"{model}", {"get": _told(f"The model's inputs and outputs; {len(signature.inputs)} features")}
    yield f"{model}/ready", {"get": _told("Readiness of the model")}
    version = {"name": "bundle", "in": "path", "required": True, "schema": {"type": "string"}}
    same = "The same, for one version"
    of_version = {
        "/infer": {"post": _asked(same, tensors, {JSON: _v2_answer(), BINARY: arrow})},
        "": {"get": _told(same)},
        "/ready": {"get": _told(same)},
    }
    for path, item in of_version.items():
        yield f"{model}/versions/{{bundle}}{path}", {**item, "parameters": [version]}


def _cloud_paths(signature: Signature, platform: Mapping[str, str]) -> dict[str, Json]:
    fields = signature.inputs
    listed = {"type": "array", "prefixItems": [_value(field) for field in fields], "minItems": len(fields), "maxItems": len(fields)}
    instances = {"type": "array", "items": {"anyOf": [_row(fields), listed]}, "minItems": 1, "maxItems": MAX_ROWS}
    body = {JSON: _object({"instances": instances}, ["instances"], more=True), CSV: {"type": "string"}}
    ask = _asked("Predict, in a cloud platform's format", body, {JSON: _plain_answer(signature)})
    healthy = _told("Health check of a cloud platform")
    paths = {"/ping": {"get": healthy}, "/invocations": {"post": ask}, "/": {"get": healthy}, "/score": {"post": ask}}
    return paths | {path: {"get": healthy} if what == "health" else {"post": ask} for path, what in platform.items()}


def _asked(summary: str, bodies: Mapping[str, Json], answers: Mapping[str, Json]) -> Json:
    return {
        "summary": summary,
        "parameters": list(HEADERS),
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in bodies.items()}},
        "responses": {"200": _answer("the predictions, in the order of the rows", answers), **_refusals()},
    }


def _told(summary: str, kind: str = JSON) -> Json:
    schema = {"type": "object"} if kind == JSON else {"type": "string"}
    return {"summary": summary, "responses": {"200": _answer("the current state", {kind: schema}), **_refusals()}}


def _answer(words: str, kinds: Mapping[str, Json]) -> Json:
    return {"description": words, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}


def _refusals() -> Json:
    return {status: _answer(words, {JSON: {"$ref": "#/components/schemas/Error"}}) for status, words in REFUSALS.items()}


def _error() -> Json:
    words = {
        "error": "what happened, as one line",
        "code": "a stable error code",
        "what": "what happened",
        "where": "where",
        "fix": "how to fix it",
    }
    return _object({name: {"type": "string", "description": text} for name, text in words.items()}, list(words))


def _object(properties: Json, required: Sequence[str] = (), *, more: bool = False) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": more}


def _value(field: Field) -> Json:
    """What a request may hold of a field."""
    if not field.shape:
        return _single(field, nullable=field.nullable)
    found = _single(field, nullable=field.type in FLOATS)
    for size in reversed(field.shape):
        found = {"type": "array", "items": found, **({} if size is None else {"minItems": size, "maxItems": size})}
    return {"anyOf": [found, {"type": "null"}]} if field.nullable else found


def _single(field: Field, *, nullable: bool) -> Json:
    kind: Json = {"type": "integer"}
    if field.type in FLOATS:
        kind = {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38}
    elif field.type in WORDS:
        kind = dict(WORDS[field.type])
    return {**kind, "type": [kind["type"], "null"], "description": "null where it is unknown"} if nullable else kind


def _row(fields: Fields) -> Json:
    return _object({field.name: _value(field) for field in fields}, [field.name for field in fields])


def _rows(fields: Fields) -> Json:
    return {"type": "array", "items": _row(fields), "minItems": 1, "maxItems": MAX_ROWS}


def _plain_answer(signature: Signature) -> Json:
    told = {field.name: _value(field) for field in signature.outputs}
    one = next(iter(told.values())) if len(told) == 1 else _object(told, list(told))
    texts = {name: {"type": "string"} for name in ("model", "bundle", "fallback")}
    lists = {"predictions": {"type": "array", "items": one}, "ids": {"type": "array", "items": {"type": "string"}}}
    return _object({**texts, **lists}, ["model", "bundle", "predictions", "ids"])


def _v2_request(signature: Signature) -> Json:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    together = ["features"] if dense_type(signature.inputs) is not None else []
    tensor = {
        "name": {"enum": [*together, *signature.names]},
        "shape": shape,
        "datatype": {"enum": sorted([*NUMBERS, BYTES])},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    }
    output = _object({"name": {"enum": list(outputs(signature).fields)}, "parameters": {"type": "object"}}, ["name"], more=True)
    inputs = {"type": "array", "items": _object(tensor, ["name", "shape", "datatype"], more=True), "minItems": 1}
    properties = {
        "id": {"type": "string"},
        "inputs": inputs,
        "outputs": {"type": "array", "items": output},
        "parameters": {"type": "object"},
    }
    return _object(properties, ["inputs"], more=True)


def _v2_answer() -> Json:
    texts = {name: {"type": "string"} for name in ("model_name", "model_version", "id")}
    outputs = {"type": "array", "items": {"type": "object"}}
    return _object({**texts, "outputs": outputs, "parameters": {"type": "object"}}, ["model_name", "model_version", "outputs"])


def _event() -> Json:
    """One server-sent event, as its fields."""
    return _object({"event": {"enum": ["predictions", "error", "end"]}, "data": {"type": "string"}}, ["event", "data"])
