"""The OpenAPI document: complete, shown as a page, and held against the server by schemathesis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from noria.serving.process.rest import ROUTES
from servers import Standalone, make_bundle

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("openapi")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path, durability="process", order={"default": 0.5})
    yield running
    running.kill()


def test_the_server_answers_as_its_document_says(server: Standalone) -> None:
    api = schemathesis.openapi.from_dict(server.http("GET", "/openapi.json")[1])
    api.config.update(base_url=server.where["url"])
    tried = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            assert answer.status_code < 500 or answer.status_code == 504, answer.text  # who asks for a microsecond gets none

        conforms()
        tried += 1
    assert tried == len(ROUTES)
    assert server.ask()[0] == 200


def test_every_route_is_in_the_document(server: Standalone) -> None:
    paths = server.http("GET", "/openapi.json")[1]["paths"]
    for rule in ROUTES:
        path = rule.path.replace("<endpoint>", "small").replace("<bundle>", "{bundle}")
        assert rule.method.lower() in paths[path], path
    assert sum(method in ("get", "post") for item in paths.values() for method in item) == len(ROUTES)


def test_the_page_needs_nothing_from_elsewhere_and_its_examples_work(server: Standalone) -> None:
    status, text = server.http("GET", "/docs")
    assert status == 200
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!/openapi.json)', text)
    examples = re.findall(r"curl (\S+) -d &#x27;(.+?)&#x27;", text)
    assert len(examples) >= 6
    for url, body in examples:
        path = url.removeprefix(server.where["url"]).replace("{bundle}", server.where["endpoints"]["small"])
        status, _ = server.http("POST", path, body.replace("&quot;", '"').encode())
        assert status == 200 or "entities" in path or "/infer" in path, (path, body)


def test_the_document_itself_is_valid(server: Standalone, tmp_path: Path) -> None:  # noqa: ARG001
    import jsonschema_rs

    document = server.http("GET", "/openapi.json")[1]
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values() if isinstance(operation, dict) else ():
                jsonschema_rs.validator_for({**content["schema"], "components": document["components"]})
