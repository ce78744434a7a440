"""The OpenAPI document: complete, held against the server by schemathesis and by its own examples, and shown as a page."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from documented import check_document
from image_bundles import answers, network
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.bundle import Bundle, sample_of
from noria.serving.process.rest import ROUTES
from noria.serving.protocol.examples import Described
from noria.serving.protocol.page import VIEWER, page_files
from python_bundles import python_bundle
from servers import Standalone, make_bundle, seal

# without what belongs to other endpoints: of texts, and with features that are looked up; and without the page's files
OF_TEXTS = ("/generate", "/chat/", "/embeddings", "/rerank", "/search", "/feedback")
DOCUMENTED = [rule for rule in ROUTES if not any(part in rule.path for part in (*OF_TEXTS, "/entities", "/docs/"))]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("openapi")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path, durability="process", order={"default": [0.5]})
    yield running
    running.kill()


def test_the_server_answers_as_its_document_says(server: Standalone) -> None:
    api = schemathesis.openapi.from_dict(server.http("GET", "/openapi.json")[1])
    api.config.update(base_url=server.where["url"])
    tried = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            assert answer.status_code < 500 or answer.status_code == 504, answer.text  # who asks for a microsecond gets none

        conforms()
        tried += 1
    assert tried == len(DOCUMENTED)
    assert server.ask()[0] == 200


def test_every_route_is_in_the_document(server: Standalone) -> None:
    paths = server.http("GET", "/openapi.json")[1]["paths"]
    for rule in DOCUMENTED:
        path = rule.path.replace("<endpoint>", "small").replace("<bundle>", "{bundle}").replace("<model>", "{model}")
        assert rule.method.lower() in paths[path], path
    assert sum(method in ("get", "post") for item in paths.values() for method in item) == len(DOCUMENTED)


def test_every_example_is_answered_and_every_answer_is_as_its_schema_says(server: Standalone) -> None:
    asked = check_document(server.where["port"])
    assert {name for _, path, name in asked if path == "/predict/small"} == {"rows"}
    assert {name for _, path, name in asked if path == "/v2/models/small/infer"} == {"tensors", "features"}
    assert ("post", "/invocations", "example") in asked  # as CSV
    assert len({(method, path) for method, path, _ in asked}) == len(DOCUMENTED)


def test_examples_are_what_the_sample_knows_and_no_row_of_it(server: Standalone, tmp_path: Path) -> None:
    content = server.http("GET", "/openapi.json")[1]["paths"]["/predict/small"]["post"]["requestBody"]["content"]
    assert content["application/json"]["examples"]["rows"]["value"] == {"rows": [{"a": -3.5, "b": 0.25}]}
    bundle = make_bundle(tmp_path, rows=[(1.0, 30.0), (2.0, 10.0), (0.1, 20.0)])
    told = Described(bundle, b'{"rows": [{"a": 1, "b": 30}, {"a": 2, "b": 10}, {"a": 0.10000000149011612, "b": null}]}', answers_of(bundle))
    assert told.rows == [{"a": 1.0, "b": 10.0}]
    assert replace(told, hidden=("a",)).rows == [{"a": 0.5, "b": 10.0}]


def answers_of(bundle: Bundle) -> Rows:
    return Rows.of_values(bundle.signature.outputs, sample_of(bundle, LocalFiles())["outputs"])


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"])
def test_the_page_loads_its_files_from_the_server_packed_or_not(server: Standalone, name: str) -> None:
    [where] = re.findall(rf'"(/docs/{name}\?v=[0-9a-f]+)"', server.http("GET", "/docs")[1])
    connection = http.client.HTTPConnection("127.0.0.1", server.where["port"])
    found = {}
    for coding in ("gzip, deflate", "identity", "gzip;q=0"):
        connection.request("GET", where, headers={"accept-encoding": coding})
        response = connection.getresponse()
        found[coding] = response.headers, response.read()
    connection.close()
    headers, packed = found["gzip, deflate"]
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "accept-encoding")
    assert "immutable" in headers["cache-control"]
    for coding in ("identity", "gzip;q=0"):
        assert found[coding][0]["content-encoding"] is None
        assert found[coding][1] == gzip.decompress(packed)
    assert server.http("GET", "/docs/other.js")[0] == 404


def test_the_page_may_load_nothing_from_elsewhere_and_says_nothing_of_the_server(server: Standalone) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.where["port"])
    connection.request("GET", "/docs")
    response = connection.getresponse()
    policy, text = response.headers["content-security-policy"], response.read().decode()
    connection.close()
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "http" not in policy + text
    assert "small" not in text
    version = (VIEWER / "VERSION").read_text().strip()
    assert f'"{version}"'.encode() in page_files()["swagger-ui-bundle.js"].plain


# --- other kinds of endpoints, in one server ---

KINDS = Signature(
    (
        Field("at", "timestamp", nullable=False),
        Field("data", "bytes", nullable=False),
        Field("loyal", "bool", nullable=False),
        Field("tags", "string", (None,)),
        Field("secret", "string"),
        Field("unknown", "float64"),
    ),
    (Field("first", "string", nullable=False), Field("size", "int64", nullable=False)),
)
WIDE = Signature((Field("image", "float32", (3, 64, 64)),), (SCORE,))
OF_KINDS = """
import numpy as np
import pyarrow as pa


class Model:
    def predict(self, columns):
        return {"first": ["new"] * len(columns["at"]), "size": np.array([len(value) for value in columns["data"].to_pylist()])}


def load(folder):
    return Model()
"""
AT = "2026-05-01T12:00:00Z"


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("kinds")
    rows = [[AT, base64.b64encode(data).decode(), True, ["new", "blue"], "my own", None] for data in (b"\xff\xfe", b"\xff")]
    mixed = python_bundle(folder / "bundles", OF_KINDS, signature=KINDS, sample=(rows, [["new", 2], ["new", 1]]))
    ranked = make_bundle(folder / "bundles", rows=[(n, 2.0 * n) for n in range(9)], task={"name": "ranking", "group": "query"})
    image = np.random.default_rng(0).normal(size=(1, *WIDE.inputs[0].shape)).astype(np.float32)
    sample = [[image[0].tolist()]], [[float(score)] for score in answers(network(WIDE), image=image)]
    wide = seal(folder / "bundles", network(WIDE), WIDE, sample)
    order = {"endpoint": "mixed", "trust": True, "others": {"ranked": ranked.path, "wide": wide.path}}
    running = Standalone(folder / "server", mixed.path, order=order, redact="secret")
    yield running
    running.kill()


def test_every_example_of_times_bytes_lists_rankings_and_large_tensors_is_answered(kinds: Standalone) -> None:
    asked = check_document(kinds.where["port"])
    assert ("post", "/v2/models/wide/infer", "tensors") in asked
    paths = kinds.http("GET", "/openapi.json")[1]["paths"]
    shown = {
        name: paths[f"/predict/{name}"]["post"]["requestBody"]["content"]["application/json"]["examples"]
        for name in ("mixed", "ranked", "wide")
    }
    assert [row["a"] for row in shown["ranked"]["rows"]["value"]["rows"]] == [2.0, 4.0, 6.0]
    assert shown["wide"]["rows"]["externalValue"] == "/docs/examples/wide/rows.json"
    [row] = shown["mixed"]["rows"]["value"]["rows"]
    assert (row["tags"], row["secret"], row["unknown"]) == (["new", "blue"], "text", None)
