"""The server's OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from what its models read and answer.

Every operation has an example that the server answers with 200. One that is too large for a page to hold lies in a file of its own, as do
those in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from noria.serving.protocol import example_bodies, examples, schemas
from noria.serving.protocol.answers import error_answer, v2_metadata
from noria.serving.protocol.arrow import STREAM
from noria.serving.protocol.clouds import CSV
from noria.serving.protocol.example_bodies import BINARY
from noria.serving.protocol.examples import Described
from noria.serving.protocol.generate import texts_for_texts
from noria.serving.protocol.request import BadRequest
from noria.serving.protocol.v1 import documented
from noria.serving.protocol.v1.errors import openai_error

JSON, EVENTS, TEXT = "application/json", "text/event-stream", "text/html"
LARGE = 16_384  # bytes of an example
EXAMPLES = "/docs/examples"  # the path under which examples in files of their own lie
SERVER, CLOUDS, CLIENTS = "The server", "Cloud platforms", "Clients of OpenAI and others"
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
HEADERS = [
    {
        "name": "x-noria-priority",
        "in": "header",
        "schema": {"type": "string", "enum": ["low", "normal", "high"]},
        "description": "which requests are served first under overload",
    },
    {
        "name": "x-noria-timeout-ms",
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3_600_000},
        "description": "the deadline: after it, the request is answered with 504",
    },
]
LENGTH: Json = {
    "name": "inference-header-content-length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "where binary tensors follow: how many bytes of the body are JSON",
}
REFUSED = BadRequest(what="feature 'age' is missing", where="$.rows[0]", fix="send every feature; null where a value is unknown")


def document(endpoints: Mapping[str, Described], *, version: str, keys: bool, platform: Mapping[str, str]) -> Json:
    """The document for endpoints, by name. keys: whether keys are needed; platform: its own paths → what they are for"""
    paths: dict[str, Json] = {}
    for name, told in endpoints.items():
        for path, item in _paths_of(quote(name, safe=""), name, told):
            paths[path] = _tagged(item, name)
    paths |= {path: _tagged(item, SERVER) for path, item in _server_paths(endpoints, version).items()}
    paths |= {path: _tagged(item, CLIENTS) for path, item in _v1_paths(endpoints).items()}
    if len(endpoints) == 1:
        ((name, told),) = endpoints.items()
        paths |= {path: _tagged(item, CLOUDS) for path, item in _cloud_paths(quote(name, safe=""), told, platform).items()}
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Noria", "version": version, "description": _description()},
        "tags": [{"name": name, "description": _described(told)} for name, told in endpoints.items()]
        + [{"name": SERVER}, {"name": CLIENTS}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _error(), "OpenAIError": _openai_error()},
            "responses": _refused("Refused", "Error") | _refused("RefusedAsOpenAI", "OpenAIError"),
            **({"securitySchemes": schemes} if keys else {}),
        },
        **({"security": [{"bearer": []}, {"key": []}]} if keys else {}),
    }


def _description() -> str:
    rows = "\n".join(f"| {status} | {words} |" for status, words in REFUSALS.items())
    return (
        "Predictions, each logged before it is sent.\n\n<details><summary>Errors</summary>\n\n"
        "The body of an error says what happened, where, and how to fix it, and has a stable code.\n\n"
        f"| status | what it means |\n| --- | --- |\n{rows}\n\n</details>"
    )


def _described(told: Described) -> str:
    signature = told.bundle.signature
    inputs, outputs = (
        f"{len(fields)} {what}{'s' * (len(fields) != 1)}" for fields, what in ((signature.inputs, "input"), (signature.outputs, "output"))
    )
    return f"{inputs}, {outputs}"


def _tagged(item: Json, tag: str) -> Json:
    return {key: {"tags": [tag], **operation} if key in ("get", "post") else operation for key, operation in item.items()}


# --- the paths of an endpoint ----------------------------------------------------------------------------------------------


def _paths_of(quoted: str, name: str, told: Described) -> Iterator[tuple[str, Json]]:
    """The paths of an endpoint. quoted: its name, as paths have it"""
    yield from _predict_paths(quoted, told)
    yield from _model_paths(f"/v2/models/{quoted}", _tensor_operations(quoted, name, told), told)
    if texts_for_texts(told.bundle.signature):
        yield from _model_paths(f"/v2/models/{quoted}", _generate_operations(told), told)


def _predict_paths(quoted: str, told: Described) -> Iterator[tuple[str, Json]]:
    events = [*(("part", "answer") if told.streams else ()), "predictions", "error", "end"]
    bodies = {JSON: _plain_body(quoted, told, streams=told.streams), STREAM: _arrow_body(quoted)}
    answers = {
        JSON: _answer_of(told),
        STREAM: {"schema": schemas.BYTES_OF_ANY},
        **({EVENTS: _events(told, "part", "answer", "error")} if told.streams else {}),
    }
    yield f"/predict/{quoted}", {"post": _asked("Predict rows of features", bodies, answers)}
    streamed = _asked(
        "Predict rows, and stream the predictions as they are made",
        {JSON: _plain_body(quoted, told, streams=False)},
        {EVENTS: _events(told, *events)},
    )
    yield f"/predict/{quoted}/stream", {"post": streamed}
    if told.entity is not None:
        schema = schemas.entities_request(list(told.entity))
        body = {JSON: {"schema": schema, "example": {"entities": [told.entity]}}}
        summary = "Predict entities; the server looks up their features"
        yield f"/predict/{quoted}/entities", {"post": _asked(summary, body, {JSON: _answer_of(told)})}


def _tensor_operations(quoted: str, name: str, told: Described) -> Iterator[tuple[str, str, Json]]:
    """The operations on a model: where beneath its path, by which method, and what they are."""
    shown = {
        name: _shown(quoted, f"{name}.json", summary, body)
        for name, summary in (("tensors", "a tensor for each input"), ("features", "all inputs as one tensor"))
        if (body := example_bodies.bodies(told).get(f"{name}.json")) is not None
    }
    bodies = {JSON: {"schema": schemas.tensors_request(told.bundle.signature), **_several(shown)}, BINARY: _binary_body(quoted, told)}
    answers = {
        JSON: {"schema": schemas.tensors_answer(), **_small(examples.answered_in_tensors(told))},
        BINARY: {"schema": schemas.BYTES_OF_ANY},
    }
    yield "/infer", "post", _asked("Open Inference Protocol v2", bodies, answers, LENGTH)
    metadata = json.loads(v2_metadata(told.bundle, name))
    yield "", "get", _state(f"The model's inputs and outputs; {len(told.bundle.signature.inputs)} features", metadata)
    yield "/ready", "get", _state("Readiness of the model", {"ready": True})


def _generate_operations(told: Described) -> Iterator[tuple[str, str, Json]]:
    body = {JSON: {"schema": schemas.generate_request(told.bundle.signature), "example": example_bodies.generate_body(told)}}
    answer = examples.answered_text(told)
    yield "/generate", "post", _asked("Generate a text", body, {JSON: {"schema": schemas.generate_answer(), **_small(answer)}})
    if told.streams:
        schema = schemas.an_object({"data": {"type": "string"}}, ["data"])
        last = {"data": json.dumps({**answer, "text_output": "", "done": True})}
        yield (
            "/generate_stream",
            "post",
            _asked("Generate a text, and stream its parts", body, {EVENTS: {"schema": schema, "example": last}}),
        )


def _model_paths(model: str, operations: Iterator[tuple[str, str, Json]], told: Described) -> Iterator[tuple[str, Json]]:
    """The paths of operations on a model, and of the same on one version."""
    found = list(operations)
    version = {"name": "bundle", "in": "path", "required": True, "schema": {"type": "string"}, "example": told.bundle.id}
    for path, method, operation in found:
        yield f"{model}{path}", {method: operation}
    for path, method, operation in found:
        of_version = {**operation, "summary": f"{operation['summary']}, by one version"}
        yield f"{model}/versions/{{bundle}}{path}", {method: of_version, "parameters": [version]}


# --- bodies and answers ----------------------------------------------------------------------------------------------------


def _plain_body(quoted: str, told: Described, *, streams: bool) -> Json:
    body = example_bodies.bodies(told)["rows.json"]
    shown = {"rows": _shown(quoted, "rows.json", "rows by input", body)}
    if streams:
        shown["parts"] = {"summary": "an answer in parts", "value": {**body, "stream": True}}
    return {"schema": schemas.plain_request(told.bundle.signature, streams=streams), **_several(shown)}


def _arrow_body(quoted: str) -> Json:
    shown = {"rows": {"summary": "an Arrow stream, as a file", "externalValue": f"{EXAMPLES}/{quoted}/rows.arrow"}}
    return {"schema": schemas.BYTES_OF_ANY, "examples": shown}


def _binary_body(quoted: str, told: Described) -> Json:
    binary = example_bodies.binary_body(told)
    shown = {
        "summary": "JSON and binary tensors, as a file",
        "externalValue": f"{EXAMPLES}/{quoted}/tensors.bin",
        "x-headers": {LENGTH["name"]: str(0 if binary is None else binary[0])},
    }
    return {"schema": schemas.BYTES_OF_ANY, **({} if binary is None else {"examples": {"tensors": shown}})}


def _shown(quoted: str, file: str, summary: str, body: Json) -> Json:
    """An example, in a file of its own where it is large."""
    if len(msgspec.json.encode(body)) > LARGE:
        return {"summary": f"{summary}, as a file", "externalValue": f"{EXAMPLES}/{quoted}/{file}"}
    return {"summary": summary, "value": body}


def _several(shown: Mapping[str, Json]) -> Json:
    return {"examples": dict(shown)} if shown else {}


def _small(body: Json) -> Json:
    """An answer as an example, unless it is large or there is none."""
    return {"example": body} if body and len(msgspec.json.encode(body)) <= LARGE else {}


def _answer_of(told: Described) -> Json:
    return {"schema": schemas.plain_answer(told.bundle.signature), **_small(examples.answered(told))}


def _events(told: Described, *names: str) -> Json:
    """Events by name; the example is one of the first."""
    data = {"text": "…"} if names[0] == "part" else examples.answered(told)
    return {"schema": schemas.event(*names), **_small({"event": names[0], "data": json.dumps(data, ensure_ascii=False)})}


def _asked(summary: str, bodies: Mapping[str, Json], answers: Mapping[str, Json], *headers: Json) -> Json:
    return {
        "summary": summary,
        "parameters": [*HEADERS, *headers],
        "requestBody": {"required": True, "content": dict(bodies)},
        "responses": {"200": _answer("the predictions, in the order of the rows", answers), **_refusals()},
    }


def _state(summary: str, example: Any, kind: str = JSON) -> Json:
    schema = {"type": "object"} if kind == JSON else {"type": "string"}
    return {
        "summary": summary,
        "responses": {"200": _answer("the current state", {kind: {"schema": schema, "example": example}}), **_refusals()},
    }


def _answer(words: str, kinds: Mapping[str, Json]) -> Json:
    return {"description": words, "content": dict(kinds)}


def _refusals(form: str = "Refused") -> Json:
    return {status: {"$ref": f"#/components/responses/{form}{status}"} for status in REFUSALS}


def _refused(form: str, schema: str) -> Json:
    error = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {f"{form}{status}": _answer(words, error) for status, words in REFUSALS.items()}


def _error() -> Json:
    return {**schemas.error(), "examples": [json.loads(error_answer(REFUSED))]}


def _openai_error() -> Json:
    return {**documented.error(), "examples": [json.loads(openai_error(REFUSED))]}


# --- the paths that name an endpoint in the body -----------------------------------------------------------------------------


def _v1_paths(endpoints: Mapping[str, Described]) -> dict[str, Json]:
    found = {path: {"post": _asked_of_v1(path, *told)} for path, told in documented.paths(endpoints).items()}
    told = _state("The endpoints, as models", documented.models_example(endpoints))
    one = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}, "example": next(iter(endpoints), "")}
    list_of: dict[str, Json] = {"/v1/models": {"get": _in_openais_form(told)}}
    if endpoints:
        shown = _state("One endpoint, as a model", documented.models_example(endpoints)["data"][0])
        list_of["/v1/models/{model}"] = {"get": _in_openais_form(shown), "parameters": [one]}
    return {**found, **list_of}


def _asked_of_v1(path: str, summary: str, schema: Json, bodies: Mapping[str, Json], answer: Json, example: bytes) -> Json:
    answers = {JSON: {"schema": answer, **_small(json.loads(example))}}
    if path == "/v1/chat/completions":
        event = schemas.an_object({"data": {"type": "string"}}, ["data"])
        answers[EVENTS] = {"schema": event, "example": {"data": "[DONE]"}}
    asked = _asked(summary, {JSON: {"schema": schema, "examples": dict(bodies)}}, answers)
    return asked if not path.startswith("/v1/") else _in_openais_form(asked)


def _in_openais_form(operation: Json) -> Json:
    return {**operation, "responses": {"200": operation["responses"]["200"], **_refusals("RefusedAsOpenAI")}}


# --- the paths of the server -----------------------------------------------------------------------------------------------


def _server_paths(endpoints: Mapping[str, Described], version: str) -> dict[str, Json]:
    served = [{"endpoint": name, "bundle": told.bundle.id, "health": "healthy"} for name, told in endpoints.items()]
    about = {"name": "noria", "version": version, "extensions": ["binary_tensor_data", "generate"]}
    return {
        "/v2": {"get": _state("The server's name and version", about)},
        "/v2/health/live": {"get": _state("Liveness of the server", {"live": True})},
        "/v2/health/ready": {"get": _state("Readiness: whether the models reproduce their golden predictions", {"ready": True})},
        "/status": {"get": _state("Counts, and whether every answered row is accounted for", {"health": "healthy", "endpoints": served})},
        "/openapi.json": {"get": _state("This document", {"openapi": "3.1.0"})},
        "/docs": {"get": _state("This document as a page", "<!doctype html>…", kind=TEXT)},
    }


def _cloud_paths(quoted: str, told: Described, platform: Mapping[str, str]) -> dict[str, Json]:
    shown = {"instances": _shown(quoted, "instances.json", "instances by input", example_bodies.bodies(told)["instances.json"])}
    body = {JSON: {"schema": schemas.instances_request(told.bundle.signature), **_several(shown)}}
    if (lines := example_bodies.csv_body(told)) is not None:
        body[CSV] = {"schema": {"type": "string"}, "example": lines}
    ask = _asked("Predict, in a cloud platform's format", body, {JSON: _answer_of(told)})
    healthy = _state("Health check of a cloud platform", {"ready": True})
    paths = {"/ping": {"get": healthy}, "/invocations": {"post": ask}, "/": {"get": healthy}, "/score": {"post": ask}}
    return paths | {path: {"get": healthy} if what == "health" else {"post": ask} for path, what in platform.items()}
