"""The API's document of a running server, held against that server: every example is sent, and every answer compared with its schema."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema_rs
from openapi_spec_validator import validate

Json = dict[str, Any]


def check_document(port: int) -> list[tuple[str, str, str]]:
    """What was asked by its document's examples, as (method, path, type of the body or name of its example): all of it answered 200.

    The document is valid, every operation has examples, and they and the answers are as their schemas say.
    """
    document = json.loads(_asked(port, "GET", "/openapi.json")[1])
    validate(document)
    asked = []
    for path, item in document["paths"].items():
        operations = {method: operation for method, operation in item.items() if method in ("get", "post")}
        for method, operation in operations.items():
            where = _filled(path, item.get("parameters", []))
            for headers, name, body in _bodies(port, document, operation):
                _check_answer(port, document, operation, method.upper(), where, headers, body)
                asked.append((method, path, name))
            _check_example_answers(document, operation)
    return asked


def _filled(path: str, parameters: list[Json]) -> str:
    for parameter in parameters:
        path = path.replace(f"{{{parameter['name']}}}", quote(parameter["example"], safe=""))
    return path


def _bodies(port: int, document: Json, operation: Json) -> Iterator[tuple[dict[str, str], str, bytes | None]]:
    """Each example of a body: the headers that it is sent with, its name, and its bytes; one without, where none is sent."""
    if "requestBody" not in operation:
        yield {}, "", None
        return
    found = 0
    for kind, content in operation["requestBody"]["content"].items():
        for name, example in _examples(content).items():
            value = example.get("value")
            if "externalValue" in example:
                status, data, _ = _asked(port, "GET", example["externalValue"])
                assert status == 200, example
                value = json.loads(data) if kind == "application/json" else data
            if not isinstance(value, bytes):
                _check(document, content["schema"], value)
            body = value if isinstance(value, bytes) else value.encode() if kind == "text/csv" else json.dumps(value).encode()
            yield {"content-type": kind, **example.get("x-headers", {})}, name, body
            found += 1
    assert found, operation["summary"]


def _examples(content: Json) -> dict[str, Json]:
    return {"example": {"value": content["example"]}} if "example" in content else content.get("examples", {})


def _check_answer(port: int, document: Json, operation: Json, method: str, path: str, headers: dict[str, str], body: bytes | None) -> None:
    status, data, answered = _asked(port, method, path, body, headers)
    assert status == 200, (path, headers, body and body[:300], data[:600])
    content = operation["responses"]["200"]["content"]
    assert answered in content, (path, answered)
    if answered == "application/json":
        _check(document, content[answered]["schema"], json.loads(data))
    elif answered == "text/event-stream":
        events = data.decode().strip().split("\n\n")
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.splitlines())
            _check(document, content[answered]["schema"], fields)
            assert fields["data"] == "[DONE]" or "error" not in (fields.get("event"), *json.loads(fields["data"])), event


def _check_example_answers(document: Json, operation: Json) -> None:
    for kind, content in operation["responses"]["200"]["content"].items():
        for example in _examples(content).values():
            _check(document, content["schema"], example["value"])
        large_or_bytes = content["schema"].get("format") == "binary" or operation["summary"].startswith("Open Inference")
        assert _examples(content) or large_or_bytes or "array" in json.dumps(content["schema"]), (operation["summary"], kind)


def _check(document: Json, schema: Json, value: Any) -> None:
    jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True).validate(value)


def _asked(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(), response.headers.get_content_type()
    finally:
        connection.close()
