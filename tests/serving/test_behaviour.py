"""What a server does beyond answering: fallbacks, caches, budgets, deadlines, events, sampling, redaction, platforms."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from noria.core.clock import SystemClock
from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.serving.batching.cache import AnswerCache
from noria.serving.log.log_filter import LogFilter, UnknownField
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_segment
from noria.serving.observe.failures import FAILURES_FILE, failed_between
from noria.serving.protocol.arrow import STREAM
from servers import FEATURES, Standalone, make_bundle, onnx_model, soon

BODY = json.dumps({"rows": [{"a": 1.0, "b": 2.0}]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("behaviour")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path, order={"cached_rows": 50})
    yield running
    running.kill()


def log_of(folder: Path) -> list[Predictions]:
    return [rows for path in sorted((folder / "log").glob("*/*.seg")) for rows in read_segment(path, LocalFiles())]


# --- bodies and answers of other kinds ---------------------------------------------------------------------------------------


def test_many_rows_as_an_arrow_stream(server: Standalone) -> None:
    table = pa.table({"b": np.zeros(5_000), "a": np.arange(5_000, dtype=np.float32), "_key": [f"k{i}" for i in range(5_000)]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with closing(http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=10)) as connection:
        connection.request("POST", "/predict/small", bytes(sink.getvalue()), {"Content-Type": STREAM})
        response = connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, STREAM)
        answer = response.read()
    with pa.ipc.open_stream(answer) as reader:
        found = reader.read_all()
    assert found.column("prediction").to_pylist() == [i + 10.0 for i in range(5_000)]
    assert found.schema.metadata[b"bundle"].decode() == server.where["endpoints"]["small"]
    assert set(found.column("id").to_pylist()) <= set(server.logged())
    assert server.http("POST", "/predict/small", b"nothing", {"Content-Type": STREAM})[0] == 400


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_answers_as_events(server: Standalone, version: str) -> None:
    """In parts, in order, on a connection that goes on afterwards; to HTTP/1.0, ended by closing."""
    body = json.dumps({"rows": [{"a": float(i), "b": None} for i in range(150)]}).encode()
    request = f"POST /predict/small/stream HTTP/{version}\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    after = b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.where["port"]), timeout=10) as sock:
        sock.sendall(request + (after if version == "1.1" else b""))
        data = b""
        while (b'"name":"noria"' not in data) if version == "1.1" else (part := sock.recv(1 << 16)):
            data += sock.recv(1 << 16) if version == "1.1" else part
    assert data.startswith(b"HTTP/1.1 200")
    assert (b"transfer-encoding: chunked" in data) == (version == "1.1")
    events = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
    predictions = [value for event in events[:-1] for value in json.loads(event)["predictions"]]
    assert predictions == [i + 10.0 for i in range(150)]
    assert len(events) == 4
    assert events[-1].strip() == b"{}"
    assert server.http("POST", "/predict/small/stream", b"{}")[0] == 400


def test_the_candidates_of_a_ranking_are_one_event_and_one_request_in_the_log(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles", 10.0, task={"name": "ranking", "group": "query_id"})
    running = Standalone(tmp_path / "server", bundle.path, log_share=0.5)
    try:
        for _ in range(40):
            body = json.dumps({"rows": [{"a": float(i), "b": None} for i in range(150)]}).encode()
            with closing(http.client.HTTPConnection("127.0.0.1", running.where["port"], timeout=10)) as connection:
                connection.request("POST", "/predict/small/stream", body)
                lines = connection.getresponse().read().split(b"\n")
            events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
            assert [len(event.get("predictions", ())) for event in events] == [150, 0]
    finally:
        running.stop()
    logged = [len(rows) for rows in log_of(tmp_path / "server")]
    assert sum(logged) in range(150 * 8, 150 * 33, 150)


@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("GET", "/"), ("POST", "/invocations"), ("POST", "/score")])
def test_the_paths_of_the_clouds(server: Standalone, method: str, path: str) -> None:
    status, _ = server.http(method, path, b'{"instances": [[1, 2], {"b": 0, "a": null}]}' if method == "POST" else None)
    if method == "GET":
        assert status == 200
    else:
        assert status == 500  # this model answers NaN with NaN
        assert server.http(method, path, b'{"instances": [[1, 2]]}')[1]["predictions"] == [11.0]
        assert server.http(method, path, b"3,4\n5,6\n", {"Content-Type": "text/csv"})[1]["predictions"] == [13.0, 15.0]
        assert server.http(method, path, b'{"instances": [[1]]}')[0] == 400


def test_vertex_names_its_own_port_and_paths(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {"AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": "/healthy", "AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict"}
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, environ=environ, platform="auto")
    try:
        assert (server.where["host"], server.where["port"]) == ("0.0.0.0", port)
        assert server.http("GET", "/healthy", headers={"Host": "some.cloud"})[0] == 200
        assert server.http("POST", "/v1/endpoints/7:predict", b'{"instances": [{"a": 2, "b": 3}]}')[1]["predictions"] == [2.0]
        assert server.where["admin_url"].startswith("http://127.0.0.1:")
        assert "/v1/endpoints/7:predict" in server.http("GET", "/openapi.json")[1]["paths"]
    finally:
        server.kill()


# --- when the champion can't answer ------------------------------------------------------------------------------------------


def failing_model() -> bytes:
    """Answers NaN to what is negative."""
    nodes = [
        helper.make_node("Gather", ["features", "first"], ["column"], axis=1),
        helper.make_node("Sqrt", ["column"], ["scores"]),
    ]
    return onnx_model(nodes=nodes)


def test_the_version_before_answers_what_the_champion_cannot_and_the_default_what_neither_can(tmp_path: Path) -> None:
    good = make_bundle(tmp_path / "bundles", 100.0)
    champion = make_bundle(tmp_path / "bundles", model=failing_model(), predictions=[1.0, 1.0], rows=[[1.0, 2.0], [1.0, 0.25]])
    server = Standalone(tmp_path / "server", champion.path, order={"previous": str(good.path), "default": [0.25]})
    try:
        status, answer = server.ask([(4.0, 0.0)])
        assert (answer["predictions"], "fallback" in answer) == ([2.0], False)
        status, answer = server.ask([(-4.0, 0.0)])
        assert (status, answer["predictions"], answer["fallback"], answer["bundle"]) == (200, [96.0], "previous", good.id)
        nothing = json.dumps({"rows": [{"a": None, "b": None}]}).encode()
        status, answer = server.http("POST", "/predict/small", nothing)
        assert (answer["predictions"], answer["fallback"]) == ([0.25], "default")
        v2 = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [-4.0, 0.0]}]}
        assert server.http("POST", "/v2/models/small/infer", json.dumps(v2).encode())[1]["parameters"] == {"fallback": "previous"}
        [balance] = server.stop()
    finally:
        server.kill()
    assert (balance["rows_in"], balance["holds"]) == (4, True)
    logged = sorted((row[0], row[1], row[2]) for row in server.logged().values())
    assert logged == sorted(
        [("champion", champion.id, 2.0), ("fallback", good.id, 96.0), ("fallback", good.id, 96.0), ("fallback", champion.id, 0.25)]
    )


def test_without_a_fallback_the_request_fails_and_the_loop_can_read_when(tmp_path: Path) -> None:
    champion = make_bundle(tmp_path / "bundles", model=failing_model(), predictions=[1.0, 1.0], rows=[[1.0, 2.0], [1.0, 0.25]])
    server = Standalone(tmp_path / "server", champion.path)
    before = SystemClock().now()
    try:
        assert server.ask([(-4.0, 0.0), (-5.0, 0.0)])[0] == 500
        assert server.http("POST", "/predict/small", b'{"rows": [{"a": 1e39, "b": 0}]}')[0] == 400  # the client's own mistake
        assert server.http("GET", "/status")[1]["errors"] == {"NR-304": 1, "NR-510": 1}
        soon(lambda: list(tmp_path.rglob(FAILURES_FILE)))  # while it serves, not only at its end
        server.stop()
    finally:
        server.kill()
    [written] = tmp_path.rglob(FAILURES_FILE)
    log, minute = written.parent.parent, timedelta(minutes=1)
    assert failed_between(log, before - minute, SystemClock().now()) == 2
    assert failed_between(log, before - 10 * minute, before - 2 * minute) == 0


# --- cache, memory ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5), max_size=20), st.integers(1, 5))
def test_a_cache_never_answers_otherwise_than_the_model(batches: list[list[int]], most: int) -> None:
    scored: list[int] = []

    fields = Signature.of_numbers(["a", "b"])

    def score(rows: Rows) -> Rows:
        scored.extend(rows.block[:, 0].astype(int).tolist())
        return Rows.dense(fields.outputs, rows.block[:, :1] * 2.0)

    cache = AnswerCache(most)
    for batch in batches:
        found = cache.answer(Rows.of_values(fields.inputs, [(value, 0.0) for value in batch]), score)
        assert found.listed() == [2.0 * value for value in batch]
    assert cache.hits + len(scored) == sum(map(len, batches))


def test_a_repeated_row_is_answered_from_the_cache_and_logged_all_the_same(server: Standalone) -> None:
    before = server.http("GET", "/status")[1]["endpoints"][0]["cache_hits"]
    ids = {server.ask([(7.5, 0.5)])[1]["ids"][0] for _ in range(4)}
    assert len(ids) == 4
    assert ids <= set(server.logged())
    assert server.http("GET", "/status")[1]["endpoints"][0]["cache_hits"] - before == 3


def test_models_beyond_the_budget_are_opened_when_they_are_asked_for(tmp_path: Path) -> None:
    others = {f"m{i}": make_bundle(tmp_path / "bundles", float(i)).path for i in range(4)}
    megabytes = (others["m0"] / "model" / "model.onnx").stat().st_size / 1e6
    champion = make_bundle(tmp_path / "bundles", 50.0).path
    server = Standalone(tmp_path / "server", champion, order={"others": others}, models_mb=2.5 * megabytes)
    try:
        assert len(server.http("GET", "/status")[1]["unloaded"]) == 3
        asked = 0
        for _ in range(3):
            for i in range(4):
                status, answer = server.http("POST", f"/predict/m{i}", BODY)
                assert (status, answer["predictions"]) == (200, [1.0 + i])
                asked += 1
        state = server.http("GET", "/status")[1]
        assert len(state["endpoints"]) == 2
        assert len(state["unloaded"]) == 3
        assert server.http("POST", "/predict/m9", BODY)[0] == 404
        server.stop()
    finally:
        server.kill()
    logged = [
        rows for i in range(4) for path in (tmp_path / "server" / f"log-m{i}").glob("*/*.seg") for rows in read_segment(path, LocalFiles())
    ]
    assert sum(map(len, logged)) == asked


# --- deadlines ----------------------------------------------------------------------------------------------------------------


def test_an_answer_that_would_come_too_late_is_not_made(tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundles", model=spinning_model(), predictions=[float(np.sin(1.0)), float(np.sin(-3.5))])
    server = Standalone(tmp_path / "server", slow.path, max_batch=1, budget_ms=60_000)
    try:
        for _ in range(20):
            server.ask()
        with socket.create_connection(("127.0.0.1", server.where["port"]), timeout=20) as sock:
            head = b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % len(BODY)
            sock.sendall((head + b"\r\n" + BODY) * 100 + head + b"x-noria-timeout-ms: 5\r\n\r\n" + BODY)
            data = b""
            while data.count(b"HTTP/1.1 ") < 101 or not data.endswith(b"}"):
                data += sock.recv(1 << 16)
        assert data.count(b"HTTP/1.1 200") == 100
        assert data.count(b"HTTP/1.1 504") == 1
        assert server.http("GET", "/status")[1]["endpoints"][0]["counts"]["late"] == 1
        for bad in ("soon", "-1", "0", "nan", "1e99"):
            assert server.http("POST", "/predict/small", BODY, {"X-Noria-Timeout-Ms": bad})[0] == 400
        assert server.http("POST", "/predict/small", BODY, {"X-Noria-Timeout-Ms": "9000", "X-Noria-Priority": "low"})[0] == 200
    finally:
        server.kill()


def test_a_client_that_leaves_in_the_middle_of_its_events_stops_them(tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundles", model=spinning_model(), predictions=[float(np.sin(1.0)), float(np.sin(-3.5))])
    server = Standalone(tmp_path / "server", slow.path)
    body = json.dumps({"rows": [{"a": float(i), "b": None} for i in range(9_000)]}).encode()
    try:
        with socket.create_connection(("127.0.0.1", server.where["port"]), timeout=10) as sock:
            sock.sendall(b"POST /predict/small/stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            assert sock.recv(10)
        soon(lambda: server.http("GET", "/status")[1]["endpoints"][0]["waiting"] == 0)
        time.sleep(1)
        counts = server.http("GET", "/status")[1]["endpoints"][0]["counts"]
        assert 0 < counts["answered"] < 9_000
        assert counts["asked"] == counts["answered"] + counts["failed"]
    finally:
        server.kill()


def spinning_model() -> bytes:
    """A model that takes some milliseconds, and answers the sine of its first feature."""
    value = helper.make_tensor_value_info
    turn = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["before"], ["after"])],
        "turn",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("before", TensorProto.FLOAT, [None, None])],
        [value("still", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, [None, None])],
    )
    return onnx_model(
        nodes=[
            helper.make_node("Constant", [], ["turns"], value=helper.make_tensor("t", TensorProto.INT64, [], [3000])),
            helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("b", TensorProto.BOOL, [], [True])),
            helper.make_node("Gather", ["features", "first"], ["column"], axis=1),
            helper.make_node("Loop", ["turns", "yes", "column"], ["same"], body=turn),
            helper.make_node("Sin", ["same"], ["scores"]),
        ]
    )


# --- what the log keeps -------------------------------------------------------------------------------------------------------


def test_sampling_leaves_rows_out_and_counts_them_and_redaction_reaches_no_disk(tmp_path: Path) -> None:
    champion, shadow = (make_bundle(tmp_path / "bundles", plus).path for plus in (0.0, 1.0))
    server = Standalone(tmp_path / "server", champion, shadow, log_share=0.25, redact="b,key")
    try:
        for _ in range(10):
            server.ask([(float(i), 77.5) for i in range(200)], [f"person{i}" for i in range(200)])
        [balance] = server.stop()
    finally:
        server.kill()
    assert balance["holds"]
    assert balance["rows_in"] == 2000
    assert 380 < balance["rows_out"]["logged"] < 620
    logged = log_of(server.folder)
    champions = [value for rows in logged for value, v in zip(rows.numbers[:, 0].tolist(), rows.variant, strict=True) if v == "champion"]
    shadows = [value for rows in logged for value, v in zip(rows.numbers[:, 0].tolist(), rows.variant, strict=True) if v == "challenger"]
    assert champions == shadows  # of the same requests, so that they can be compared in pairs
    assert len(champions) == balance["rows_out"]["logged"]
    assert all(np.isnan(rows.numbers[:, 1]).all() for rows in logged)
    assert all(key is None for rows in logged for key in rows.keys)
    raw = b"".join(path.read_bytes() for path in (server.folder / "log").rglob("*") if path.is_file())
    assert b"person" not in raw
    assert np.float32(77.5).tobytes() not in raw


def test_what_is_not_a_field_cannot_be_redacted() -> None:
    with pytest.raises(UnknownField, match="did you mean 'b'"):
        LogFilter(redact=["bb"]).require(FEATURES)
    LogFilter(redact=["b", "key"]).require(FEATURES)


def test_a_server_refuses_to_begin_where_a_field_to_be_redacted_is_misspelt(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no field 'bb' to redact"):
        Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, redact="bb")


def test_redaction_follows_the_features_of_each_model() -> None:
    one = np.zeros(1, np.int64)
    values = one.astype(np.int32), np.array([[1.0, 2.0]], np.float32), np.zeros(1)
    kept = LogFilter(redact=["b"])
    for features, expected in ((("a", "b"), (1.0, None)), (("b", "a"), (None, 2.0)), (("c", "d"), (1.0, 2.0))):
        found = kept(Predictions.of_block(["i"], ["k"], ["champion"], ["b"], one, *values, features))
        assert found is not None
        assert found.values["b"].inputs.values() == [expected]


@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 2**60))
def test_sampling_takes_the_share_it_says(rows: int, share: float, received: int) -> None:
    one = np.full(rows, received, np.int64)
    made = Predictions.of_block(
        ["i"] * rows,
        [None] * rows,
        ["champion"] * rows,
        ["b"] * rows,
        one,
        one.astype(np.int32),
        np.zeros((rows, 2), np.float32),
        np.zeros(rows),
    )
    kept = LogFilter(share=share)(made)
    assert abs((0 if kept is None else len(kept)) - share * rows) < 6 * np.sqrt(rows) / 2 + 1
