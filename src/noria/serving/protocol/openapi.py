"""The server's OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the signatures of the models that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from noria.serving.protocol.arrow import STREAM
from noria.serving.protocol.clouds import CSV
from noria.serving.protocol.signature import MAX_ROWS, NUMBERS, OUTPUTS

JSON, EVENTS, TEXT = "application/json", "text/event-stream", "text/html"
BINARY = "application/octet-stream"
Json = dict[str, Any]

REFUSALS = {
    "400": "the request can't be answered as it is",
    "401": "a key is needed",
    "403": "the key is for something else",
    "404": "there is nothing of that name",
    "405": "the path is asked in another way",
    "408": "the request took too long to arrive",
    "409": "features can't be looked up here",
    "413": "the request is too large",
    "414": "the path is too long",
    "415": "the body is compressed",
    "417": "what the request expects is not done here",
    "421": "the request is not for this server",
    "429": "the key asks too often",
    "431": "the headers are too large",
    "500": "the model gave no answer",
    "503": "not ready, or more to do than can be done in time",
    "504": "the deadline has passed",
}
KEYS = {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": MAX_ROWS, "description": "a key per row, to join outcomes by"}
HEADERS = [
    {
        "name": "x-noria-priority",
        "in": "header",
        "schema": {"enum": ["low", "normal", "high"]},
        "description": "who is let in and goes first when not all can be answered",
    },
    {
        "name": "x-noria-timeout-ms",
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3_600_000},
        "description": "when the answer is no longer of use",
    },
]


def document(endpoints: Mapping[str, Sequence[str]], *, version: str, keys: bool, platform: Mapping[str, str]) -> Json:
    """The document for endpoints (name → features). keys: whether keys are needed; platform: its own paths → what they are for."""
    paths: dict[str, Json] = {}
    for name, features in endpoints.items():
        paths |= _paths_of(name, features)
    paths |= {
        "/v2": {"get": _told("The server's name and version")},
        "/v2/health/live": {"get": _told("Whether the server lives")},
        "/v2/health/ready": {"get": _told("Whether golden rows are answered rightly")},
        "/status": {"get": _told("Counts, and whether answered = logged")},
        "/openapi.json": {"get": _told("This document")},
        "/docs": {"get": _told("This document as a page", kind=TEXT)},
    }
    if len(endpoints) == 1:
        ((_, features),) = endpoints.items()
        paths |= _cloud_paths(features, platform)
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Noria", "version": version, "description": "Predictions, each written down before it is sent."},
        "paths": paths,
        "components": {"schemas": {"Error": _error()}, **({"securitySchemes": schemes} if keys else {})},
        **({"security": [{"bearer": []}, {"key": []}]} if keys else {}),
    }


def _paths_of(name: str, features: Sequence[str]) -> Iterator[tuple[str, Json]]:
    name = quote(name, safe="")
    model = f"/v2/models/{name}"
    plain = _object({"rows": _rows(features), "keys": {"oneOf": [KEYS, {"type": "null"}]}}, ["rows"])
    arrow = {"type": "string", "format": "binary"}
    answers = {JSON: _plain_answer(), STREAM: arrow}
    entities = _object({"entities": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MAX_ROWS}, "keys": KEYS})
    tensors = {JSON: _v2_request(features), BINARY: arrow}
    yield f"/predict/{name}", {"post": _asked("Predict rows of features", {JSON: plain, STREAM: arrow}, answers)}
    yield (
        f"/predict/{name}/stream",
        {"post": _asked("Predict, and get answers as they are made", {JSON: plain}, {EVENTS: _event()})},
    )
    yield (
        f"/predict/{name}/entities",
        {"post": _asked("Predict entities, their features looked up", {JSON: entities}, {JSON: _plain_answer()})},
    )
    yield f"{model}/infer", {"post": _asked("Open Inference Protocol v2", tensors, {JSON: _v2_answer(), BINARY: arrow})}
    yield f"{model}", {"get": _told(f"The model's inputs and outputs; {len(features)} features")}
    yield f"{model}/ready", {"get": _told("Whether its golden rows are answered rightly")}
    version = {"name": "bundle", "in": "path", "required": True, "schema": {"type": "string"}}
    same = "The same, of one version"
    of_version = {
        "/infer": {"post": _asked(same, tensors, {JSON: _v2_answer(), BINARY: arrow})},
        "": {"get": _told(same)},
        "/ready": {"get": _told(same)},
    }
    for path, item in of_version.items():
        yield f"{model}/versions/{{bundle}}{path}", {**item, "parameters": [version]}


def _cloud_paths(features: Sequence[str], platform: Mapping[str, str]) -> dict[str, Json]:
    value = _number()
    listed = {"type": "array", "items": value, "minItems": len(features), "maxItems": len(features)}
    instances = {"type": "array", "items": {"anyOf": [_row(features), listed]}, "minItems": 1, "maxItems": MAX_ROWS}
    body = {JSON: _object({"instances": instances}, ["instances"], more=True), CSV: {"type": "string"}}
    ask = _asked("Predict, as a cloud's platform asks", body, {JSON: _plain_answer()})
    healthy = _told("Health, as a cloud's platform asks")
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
    return {"summary": summary, "responses": {"200": _answer("as it is now", {kind: schema}), **_refusals()}}


def _answer(words: str, kinds: Mapping[str, Json]) -> Json:
    return {"description": words, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}


def _refusals() -> Json:
    return {status: _answer(words, {JSON: {"$ref": "#/components/schemas/Error"}}) for status, words in REFUSALS.items()}


def _error() -> Json:
    words = {"error": "what happened, in short", "code": "a stable code", "what": "what happened", "where": "where", "fix": "what to do"}
    return _object({name: {"type": "string", "description": text} for name, text in words.items()}, list(words))


def _object(properties: Json, required: Sequence[str] = (), *, more: bool = False) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": more}


def _number() -> Json:
    return {"type": ["number", "null"], "minimum": -3.4e38, "maximum": 3.4e38, "description": "null where it is unknown"}


def _row(features: Sequence[str]) -> Json:
    return _object({name: _number() for name in features}, features)


def _rows(features: Sequence[str]) -> Json:
    return {"type": "array", "items": _row(features), "minItems": 1, "maxItems": MAX_ROWS}


def _plain_answer() -> Json:
    texts = {name: {"type": "string"} for name in ("model", "bundle", "fallback")}
    lists = {"predictions": {"type": "array", "items": {"type": "number"}}, "ids": {"type": "array", "items": {"type": "string"}}}
    return _object({**texts, **lists}, ["model", "bundle", "predictions", "ids"])


def _v2_request(features: Sequence[str]) -> Json:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    tensor = {
        "name": {"enum": ["features", *features]},
        "shape": shape,
        "datatype": {"enum": sorted(NUMBERS)},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    }
    output = _object({"name": {"enum": list(OUTPUTS)}, "parameters": {"type": "object"}}, ["name"], more=True)
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
