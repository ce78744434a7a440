"""Traces, as a collector gets them: a real one's protocol on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from servers import Standalone, make_bundle, soon

BODY = json.dumps({"rows": [{"a": 1.0, "b": 2.0}]}).encode()
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Pages(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                sent = ExportTraceServiceRequest.FromString(body)
                collector.spans += [span for r in sent.resource_spans for s in r.scope_spans for span in s.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_a_request_is_a_span_with_its_stages_below_it(tmp_path: Path, collector: Collector) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    server = Standalone(tmp_path / "server", bundle.path, trace_endpoint=collector.url, trace_share=0.0)
    try:
        for flags in ("01", "00"):
            assert server.http("POST", "/predict/small", BODY, {"traceparent": f"00-{TRACE}-{CALLER}-{flags}"})[0] == 200
        assert server.http("POST", "/predict/small", BODY, {"traceparent": "nonsense"})[0] == 200
        assert (
            server.http("POST", "/predict/small", b'{"rows": [{"a": 1e300, "b": 0}]}', {"traceparent": f"00-{TRACE}-{CALLER}-01"})[0] == 400
        )
        sent = {"begun": 2, "spans_sent": 5, "spans_lost": 0}
        soon(lambda: server.http("GET", "/status")[1]["traces"] == sent)  # counted once the collector has answered
    finally:
        server.kill()
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    [answered] = [s for s in collector.spans if s.name == "predict small" and s.status.code == 0]
    [failed] = [s for s in collector.spans if s.name == "predict small" and s.status.code != 0]
    assert answered.parent_span_id.hex() == CALLER
    assert {a.key: a.value.string_value for a in failed.attributes}["error.type"] == "NR-510"
    about = {a.key: a.value.string_value or a.value.int_value for a in answered.attributes}
    assert about == {"noria.bundle": bundle.id[:12], "noria.batch_rows": 1}
    stages = sorted((s for s in collector.spans if s.parent_span_id == answered.span_id), key=lambda s: s.start_time_unix_nano)
    assert [s.name for s in stages] == ["wait", "score", "commit"]
    assert all(a.end_time_unix_nano <= b.start_time_unix_nano for a, b in pairwise(stages))
    assert answered.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= answered.end_time_unix_nano


def test_a_share_of_requests_is_traced_and_what_nobody_takes_is_counted(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/v1/traces"
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, trace_endpoint=nobody, trace_share=0.5)
    try:
        assert all(server.ask()[0] == 200 for _ in range(200))
        begun = server.http("GET", "/status")[1]["traces"]["begun"]
        assert 60 < begun < 140
        [balance] = server.stop()  # though nobody takes its last traces
        assert balance["holds"]
    finally:
        server.kill()
