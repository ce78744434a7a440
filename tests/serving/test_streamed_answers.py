"""Answers that are sent while they are made: a model that generates texts, over HTTP and gRPC, into the log; and what goes wrong midway."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton

from documented import check_document
from noria.core.files import LocalFiles
from noria.loop.project import load_project
from noria.serving.log.segments import read_log
from noria.stores.workspace import Workspace
from projects import write_project
from python_bundles import python_bundle
from servers import Standalone, soon
from serving.test_traces import Collector
from texts import FOREVER, TALKER, TEXTS, Events, counts, logged, rows, streamed, talker, text_server, texts, undisturbed, works

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    running = text_server(tmp_path_factory.mktemp("texts"))
    yield running
    running.kill()


# --- over HTTP ---


def test_parts_leave_as_they_are_made_and_the_answer_follows_once_it_is_logged(server: Standalone) -> None:
    found = streamed(server, "slowly 0.1 one two three four")
    assert texts(found) == ["one ", "two ", "three ", "four "]
    times = [seconds for name, _, seconds in found if name == "part"]
    assert times[0] < 0.35
    assert times[-1] - times[0] > 0.25  # they did not come all at once
    name, answer, _ = found[-1]
    assert name == "answer"
    assert answer["predictions"] == ["one two three four "]
    assert answer["usage"]["parts"] == 4
    assert 90 < answer["usage"]["first_part_ms"] < answer["usage"]["total_ms"]
    assert logged(server)[answer["ids"][0]] == ("champion", "slowly 0.1 one two three four", "one two three four ")


def test_the_accept_header_asks_for_parts_as_well_and_the_body_decides(server: Standalone) -> None:
    for body, accept, parts in (
        (rows("say a b"), "text/event-stream", True),
        (rows("say a b"), "application/json, text/event-stream", False),
        (rows("say a b", stream=False), "text/event-stream", False),
        (rows("say a b", stream=True), "application/json", True),
    ):
        events = Events(server, body, headers={"accept": accept})
        kind = events.response.headers.get_content_type()
        assert kind == ("text/event-stream" if parts else "application/json")
        events.response.read()
        events.close()


def test_keys_are_logged_with_a_streamed_answer(server: Standalone) -> None:
    [identifier] = streamed(server, "say a", keys=["customer 7"])[-1][1]["ids"]
    found = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert found is not None
    assert found.keys[found.ids.index(identifier)] == "customer 7"


def test_line_ends_and_empty_parts_do_not_break_events(server: Standalone) -> None:
    found = streamed(server, "lines")
    assert texts(found) == ["one\n\ntwo: ", "\r\nWörter"]
    assert found[-1][1]["predictions"] == ["one\n\ntwo: \r\nWörter"]


def test_without_streaming_the_same_model_answers_with_the_whole_text(server: Standalone) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": [{"prompt": "say a b"}, {"prompt": "say c"}]}).encode())
    assert (status, found["predictions"]) == (200, ["a b ", "c "])
    assert {logged(server)[i][2] for i in found["ids"]} == {"a b ", "c "}


def test_a_long_text_holds_up_neither_other_texts_nor_other_endpoints(server: Standalone) -> None:
    with ThreadPoolExecutor(2) as pool, undisturbed(server):
        long = pool.submit(streamed, server, "slowly 0.05 " + " ".join("abcdefghij" * 5))
        whole = pool.submit(server.http, "POST", "/predict/small", json.dumps(rows("slowly 0.05 " + " ".join("abcdefghij" * 3))).encode())
        time.sleep(0.3)
        start = time.monotonic()
        assert works(server)
        assert texts(streamed(server, "say quick")) == ["quick "]
        assert time.monotonic() - start < 1.5
        assert not long.done()
        assert not whole.done()
        assert len(texts(long.result())) == 50
        assert whole.result()[0] == 200


def test_a_connection_is_kept_after_a_streamed_answer(server: Standalone) -> None:
    events = Events(server, rows("say a b", stream=True))
    local = events.connection.sock.getsockname()
    assert [name for name, _, _ in events] == ["part", "part", "answer"]
    for _ in range(2):
        events.connection.request("POST", "/predict/small", json.dumps(rows("say c", stream=True)).encode())
        assert b'"predictions":["c "]' in events.connection.getresponse().read()
    assert events.connection.sock.getsockname() == local
    events.close()


def test_the_framing_is_chunked_to_http_1_1_and_by_closing_to_1_0(server: Standalone) -> None:
    body = json.dumps(rows("say a", stream=True)).encode()
    for version, chunked in ((b"1.1", True), (b"1.0", False)):
        with socket.create_connection(("127.0.0.1", server.where["port"]), 10) as sock:
            close = b"connection: close\r\n"
            sock.sendall(
                b"POST /predict/small HTTP/%b\r\nhost: localhost\r\n%bcontent-length: %d\r\n\r\n%b" % (version, close, len(body), body)
            )
            data = b""
            while more := sock.recv(65_536):
                data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        assert (b"transfer-encoding: chunked" in head) == chunked
        assert rest.endswith(b"0\r\n\r\n" if chunked else b"\n\n")


def test_pipelined_requests_get_their_answers_in_order(server: Standalone) -> None:
    first, second = (json.dumps(rows(p, stream=True)).encode() for p in ("slowly 0.05 a b c", "say d"))
    head = b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
    with socket.create_connection(("127.0.0.1", server.where["port"]), 10) as sock:
        sock.sendall(head % (len(first), first) + head % (len(second), second))
        data = b""
        while data.count(b"0\r\n\r\n") < 2:
            data += sock.recv(65_536)
    assert data.index(b'"a b c "') < data.index(b'"text":"d "')


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/predict/fine", {"rows": [{"a": 1, "b": 2}], "stream": True}, "NR-510"),
        ("/predict/small", {"rows": [{"prompt": "say a"}, {"prompt": "say b"}], "stream": True}, "NR-510"),
        ("/predict/small", {"rows": [{"prompt": 5}], "stream": True}, "NR-510"),
        ("/predict/small", {"rows": [{"prompt": None}], "stream": True}, "NR-510"),
        ("/predict/small", {"rows": [{"prompt": "say a"}], "stream": "yes"}, "NR-510"),
        ("/v2/models/fine/generate", {"text_input": "say a"}, "NR-563"),
        ("/v2/models/fine/generate_stream", {"text_input": "say a"}, "NR-563"),
        ("/v2/models/small/generate", {"text": "say a"}, "NR-510"),
        ("/v2/models/small/generate", {"text_input": "say a", "parameters": {"temperature": 0.5}}, "NR-510"),
    ],
)
def test_what_can_not_be_streamed_is_refused_before_anything_is_sent(server: Standalone, path: str, body: Any, code: str) -> None:
    status, found = server.http("POST", path, json.dumps(body).encode())
    assert (status, found["code"]) == (400, code), found


def test_a_model_that_does_not_stream_says_so(server: Standalone) -> None:
    status, found = server.http("POST", "/predict/fine", b'{"rows": [{"a": 1, "b": 2}]}', {"accept": "text/event-stream"})
    assert (status, found["code"]) == (400, "NR-560")


# --- the generate extension of the Open Inference Protocol ---


def test_generate(server: Standalone) -> None:
    version = server.http("GET", "/v2/models/small")[1]["versions"][0]
    for path in ("/v2/models/small/generate", f"/v2/models/small/versions/{version}/generate"):
        status, found = server.http("POST", path, b'{"text_input": "say a b", "parameters": {"stream": false}}')
        assert status == 200, found
        assert (found["text_output"], found["model_name"], found["model_version"]) == ("a b ", "small", version)
        assert logged(server)[found["prediction_id"]][2] == "a b "


def test_generate_stream(server: Standalone) -> None:
    events = Events(server, {"text_input": "say a b"}, "/v2/models/small/generate_stream")
    found = [(name, data) for name, data, _ in events]
    events.close()
    assert all(name is None for name, _ in found)
    assert [(data["text_output"], data["done"]) for _, data in found] == [("a ", False), ("b ", False), ("", True)]
    assert logged(server)[found[-1][1]["prediction_id"]] == ("champion", "say a b", "a b ")


def test_generate_stream_says_errors_as_the_protocol_does(server: Standalone) -> None:
    events = Events(server, {"text_input": "fails a"}, "/v2/models/small/generate_stream")
    found = [data for _, data, _ in events]
    events.close()
    assert found[0]["text_output"] == "a "
    assert (found[1]["error"], found[1]["code"]) == ("the model returned no result", "NR-304")


def test_every_example_of_texts_is_answered(server: Standalone) -> None:
    asked = check_document(server.where["port"])
    assert {name for _, path, name in asked if path == "/predict/small"} == {"rows", "parts"}
    assert {"/v2/models/small/generate", "/v2/models/small/generate_stream"} <= {path for _, path, _ in asked}


def test_the_document_describes_streams_where_there_are_any(server: Standalone) -> None:
    paths = server.http("GET", "/openapi.json")[1]["paths"]
    plain = paths["/predict/small"]["post"]
    assert "stream" in plain["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert "text/event-stream" in plain["responses"]["200"]["content"]
    assert "stream" not in paths["/predict/fine"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    generate = [path for path in paths if "/generate" in path]
    assert [path.replace("/v2/models/small", "") for path in generate] == [
        "/generate",
        "/generate_stream",
        "/versions/{bundle}/generate",
        "/versions/{bundle}/generate_stream",
    ]
    assert "generate" in server.http("GET", "/v2")[1]["extensions"]
    assert server.http("GET", "/docs")[0] == 200


# --- what goes wrong midway ---

ALIVE = {
    "raises": ("fails a b", "NR-304", "ValueError: no more words (mine.py"),
    "is endless": ("endless", "NR-562", "more than 2,000 parts"),
    "gives no text": ("counted a b", "NR-304", "a part that is a int, where a text is expected"),
    "gives what is not Unicode": ("broken a b", "NR-304", "UnicodeEncodeError"),
}
LOST = {
    "exits": ("exits a b", "its process exited with code 3"),
    "hangs": ("hangs a b", "it took longer than 1.5 s, and its process was stopped"),
}


@pytest.mark.parametrize("kind", ALIVE)
def test_a_failure_midway_is_an_event_and_what_was_sent_is_logged(server: Standalone, kind: str) -> None:
    prompt, code, words = ALIVE[kind]
    with undisturbed(server):
        found = streamed(server, prompt)
        name, error, _ = found[-1]
        assert (name, error["code"]) == ("error", code)
        assert words in error["where"]
        sent = "".join(texts(found))
        assert sent.startswith("a b ") or kind == "is endless"
        assert logged(server)[error["prediction_id"]] == ("cut", prompt, sent)
        assert works(server)


@pytest.mark.parametrize("kind", LOST)
def test_a_process_that_is_lost_midway_fails_its_streams_and_is_replaced(server: Standalone, kind: str) -> None:
    prompt, words = LOST[kind]
    with undisturbed(server), ThreadPoolExecutor(1) as pool:
        other = pool.submit(streamed, server, "slowly 0.2 " + " ".join("abcdefghijklmnopqrst"))
        time.sleep(0.4)
        found = streamed(server, prompt)
        name, error, _ = found[-1]
        assert (name, error["code"]) == ("error", "NR-304")
        assert words in error["where"]
        assert texts(found) == ["a ", "b "]
        assert other.result()[-1][0] == "error"  # its process was the same
        soon(lambda: works(server), 15)


@pytest.mark.parametrize("prompt", ["fails", "exits", "hangs", "counted", "misspelt"])
def test_a_failure_before_the_first_part_has_the_status_of_an_error(server: Standalone, prompt: str) -> None:
    events = Events(server, rows(prompt, stream=True))
    found = json.loads(events.response.read())
    events.close()
    assert (events.response.status, found["code"]) == (500, "NR-304")
    soon(lambda: works(server), 15)


def test_a_deadline_ends_a_stream_and_the_model_stops(server: Standalone, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    events = Events(server, rows(f"witnessed {witness}", stream=True), headers={"x-noria-timeout-ms": "400"})
    found = list(events)
    events.close()
    assert (found[-1][0], found[-1][1]["code"]) == ("error", "NR-525")
    assert 0.3 < found[-1][2] < 1.2
    soon(lambda: witness.exists() and witness.read_text() == "closed")
    whole = Events(server, rows("slowly 0.1 " + " ".join("abcdefghij")), headers={"x-noria-timeout-ms": "300"})
    assert (whole.response.status, json.loads(whole.response.read())["code"]) == (504, "NR-525")
    assert time.monotonic() - whole.begun < 0.8
    whole.close()


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_leaves_has_the_model_stop_and_what_it_was_sent_is_logged(server: Standalone, tmp_path: Path, way: str) -> None:
    witness = tmp_path / "witness"
    before = counts(server)["counts"]
    events = Events(server, rows(f"witnessed {witness}", stream=True))
    assert next(iter(events))[0] == "part"
    if way == "reset":
        events.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    events.response.close()
    events.close()
    soon(lambda: witness.exists() and witness.read_text() == "closed")
    soon(lambda: counts(server)["open_streams"] == 0)
    after = counts(server)["counts"]
    assert (after["gone"] - before["gone"], after["cut"] - before["cut"]) == (1, 1)
    assert next(each for each in logged(server).values() if each[0] == "cut" and str(witness) in each[1])[2].startswith("on ")


def test_a_slow_client_has_the_model_wait_and_gets_all_in_the_end(server: Standalone, tmp_path: Path) -> None:
    made = tmp_path / "made"
    body = json.dumps(rows(f"big {made} 700", stream=True)).encode()
    with socket.socket() as sock, undisturbed(server):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", server.where["port"]))
        head = b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
        sock.sendall(head % (len(body), body))
        soon(lambda: made.exists() and made.stat().st_size > 10)
        time.sleep(0.5)
        waiting = made.stat().st_size
        time.sleep(0.5)
        assert made.stat().st_size == waiting < 690  # nothing is made that nobody reads
        assert works(server)
        data = bytearray()
        while more := sock.recv(1 << 20):
            data += more
    assert data.count(b"event: part") == 700
    assert data.count(b"event: answer") == 1


def test_a_client_that_does_not_read_at_all_is_given_up(server: Standalone, tmp_path: Path) -> None:
    made = tmp_path / "made"
    body = json.dumps(rows(f"big {made} 700", stream=True)).encode()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect(("127.0.0.1", server.where["port"]))
        sock.sendall(b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        soon(lambda: counts(server)["open_streams"] == 1)
        soon(lambda: counts(server)["open_streams"] == 0, 10)  # request_seconds
    assert works(server)


# --- metrics, and the end ---


def test_metrics_count_streams_parts_and_what_was_cut(server: Standalone) -> None:
    assert works(server)
    streamed(server, "say a b")
    streamed(server, "fails a")

    def metrics() -> str:
        text: str = server.admin("/metrics")[1]
        return text

    labels = 'endpoint="small",worker="0"'
    for name in ("streams", "parts", "cut"):
        soon(lambda n=name: f"noria_{n}_total{{{labels}}}" in metrics() and f"noria_{n}_total{{{labels}}} 0.0" not in metrics())
    soon(lambda: f"noria_open_streams{{{labels}}} 0.0" in metrics())
    first = re.search(rf"noria_first_part_seconds_count{{{labels}}} (\S+)", metrics())
    assert first is not None
    assert float(first[1]) >= 2


def test_only_so_many_streams_are_open_and_the_rest_wait_or_are_refused(tmp_path: Path) -> None:
    server = Standalone(tmp_path / "server", talker(tmp_path / "bundles").path, order={"trust": True}, model_streams=2)
    try:
        prompt = "slowly 0.02 " + " ".join("abcdefghij")

        def ask(_: int) -> tuple[int, Any]:
            events = Events(server, rows(prompt, stream=True))
            status = events.response.status
            found = list(events) if status == 200 else json.loads(events.response.read())
            events.close()
            return status, found

        with ThreadPoolExecutor(22) as pool:
            found = list(pool.map(ask, range(22)))
        refused = [body["code"] for status, body in found if status == 503]
        assert refused == ["NR-561"] * (22 - 2 - 16)
        answered = [body for status, body in found if status == 200]
        assert all(texts(each) == [letter + " " for letter in "abcdefghij"] for each in answered)
        firsts = sorted(each[0][2] for each in answered)
        assert firsts[1] < 0.5 < firsts[-1]  # two began at once, the last had to wait
        assert works(server)
    finally:
        server.kill()


def test_a_fallback_answers_as_a_whole_what_fails_before_its_first_part(tmp_path: Path) -> None:
    champion = talker(tmp_path / "bundles")
    steady = TALKER.replace("raise ValueError", "yield 'better '; return; raise ValueError")
    previous = talker(tmp_path / "bundles", steady, "other")
    server = Standalone(tmp_path / "server", champion.path, order={"trust": True, "previous": str(previous.path)})
    try:
        [(name, answer, _)] = streamed(server, "fails")
        assert (name, answer["predictions"], answer["fallback"]) == ("answer", ["better "], "previous")
        events = Events(server, {"text_input": "fails"}, "/v2/models/small/generate_stream")
        assert [(data["text_output"], data["done"], data["fallback"]) for _, data, _ in events] == [("better ", True, "previous")]
        events.close()
    finally:
        server.kill()


def test_a_trace_has_the_stages_of_a_streamed_answer(tmp_path: Path) -> None:
    collector = Collector()
    server = Standalone(
        tmp_path / "server", talker(tmp_path / "bundles").path, order={"trust": True}, trace_endpoint=collector.url, trace_share=1.0
    )
    try:
        streamed(server, "slowly 0.05 a b")
        streamed(server, "fails a")
        soon(lambda: len(collector.spans) >= 5)
    finally:
        server.kill()
        collector.close()
    assert sorted(span.name for span in collector.spans) == ["commit", "first part", "parts", "predict small", "predict small"]
    assert [a.value.string_value for s in collector.spans for a in s.attributes if a.key == "error.type"] == ["NR-304"]
    [first] = [span for span in collector.spans if span.name == "first part"]
    assert first.end_time_unix_nano - first.start_time_unix_nano > 4e7


def test_a_default_that_is_a_number_is_no_answer_to_a_text(tmp_path: Path) -> None:
    server = Standalone(tmp_path / "server", talker(tmp_path / "bundles").path, order={"trust": True, "default": [0.5]})
    try:
        status, found = server.http("POST", "/predict/small", json.dumps(rows("fails")).encode())
        assert (status, found["code"]) == (500, "NR-304")
    finally:
        server.kill()


def test_a_server_that_stops_lets_short_streams_finish_and_cuts_long_ones(tmp_path: Path) -> None:
    server = Standalone(tmp_path / "server", talker(tmp_path / "bundles").path, order={"trust": True}, grpc_port=0)
    try:
        with ThreadPoolExecutor(3) as pool:
            short = pool.submit(streamed, server, "slowly 0.1 " + " ".join("abcdefghij"))
            long = pool.submit(streamed, server, "slowly 0.1 " + " ".join("abcdefghij" * 30))
            idle = triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}")
            idle.start_stream(lambda **_: None)
            time.sleep(0.5)
            [balance] = server.stop()
            assert balance["holds"]
            assert short.result()[-1][0] == "answer"
            name, error, _ = long.result()[-1]
            assert (name, error["code"]) == ("error", "NR-564")
            assert logged(server)[error["prediction_id"]][0] == "cut"
            idle.close()
    finally:
        if server.process.poll() is None:
            server.kill()


def test_a_new_champion_takes_over_while_the_old_one_finishes_its_texts(tmp_path: Path) -> None:
    first = talker(tmp_path / "bundles")
    louder = TALKER.replace("yield word + ", "yield word.upper() + ")
    second = python_bundle(tmp_path / "bundles", louder, signature=TEXTS, sample=([["say golden"]], [["GOLDEN "]]), run="second")
    server = Standalone(tmp_path / "server", first.path, order={"trust": True})
    try:
        [worker] = server.workers()
        [process] = children_of(worker)
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(streamed, server, "slowly 0.1 " + " ".join("abcdefghij" * 6))
            server.aim(second.path, trust=True)
            soon(lambda: texts(streamed(server, "say word")) == ["WORD "], 15)
            assert not long.done()
            found = long.result()
        assert texts(found) == [letter + " " for letter in "abcdefghij" * 6]
        assert found[-1][1]["bundle"] == first.id
        soon(lambda: process not in children_of(worker))
        assert server.stop()[0]["holds"]
    finally:
        if server.process.poll() is None:
            server.kill()


def test_a_shadow_is_asked_the_prompts_of_streams_and_logs_its_whole_text(tmp_path: Path) -> None:
    champion = talker(tmp_path / "bundles")
    shadow = talker(tmp_path / "bundles", TALKER + "\n# another\n", "other")
    server = Standalone(tmp_path / "server", champion.path, shadow.path, order={"trust": True})
    try:
        streamed(server, "say a b")
        assert server.http("POST", "/predict/small", json.dumps({"rows": [{"prompt": "say c"}, {"prompt": "say d"}]}).encode())[0] == 200

        def variants() -> list[str]:
            found = read_log(server.folder / "log", *FOREVER, LocalFiles())
            return [] if found is None else sorted(found.variant)

        soon(lambda: variants() == ["challenger"] * 3 + ["champion"] * 3)
    finally:
        server.kill()


def test_explain_shows_the_prompt_and_the_answer_whole_or_cut(tmp_path: Path) -> None:
    shop = write_project(tmp_path / "shop")
    assert noria(shop, "ingest").returncode == 0
    workspace = Workspace.of(shop, load_project(shop).settings)
    champion = talker(workspace.bundles)
    order = {"trust": True, "endpoint": "returns", "log": str(workspace.log("returns"))}
    server = Standalone(tmp_path / "server", champion.path, order=order)
    try:
        for prompt, variant, text in (("say [bold]a b", "champion", "[bold]a b "), ("fails a", "cut", "a ")):
            events = Events(server, rows(prompt, stream=True), "/predict/returns")
            _, last, _ = list(events)[-1]
            events.close()
            identifier = last["ids"][0] if variant == "champion" else last["prediction_id"]
            found = json.loads(noria(shop, "explain", identifier, "--json").stdout)
            told = found["prediction"]
            assert (told["value"], told["variant"], found["features"][0]["value"]) == (text, variant, prompt)
            shown = noria(shop, "explain", identifier)
            assert f'"{text}"' in shown.stdout, shown.stderr
            assert prompt in shown.stdout
    finally:
        server.kill()


def test_the_examples_of_the_page_on_serving_work(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    [section] = re.findall(r"^## Streamed answers\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    server = Standalone(tmp_path / "server", talker(tmp_path / "bundles").path, order={"trust": True, "endpoint": "chat"})
    try:
        blocks = re.findall(r"^```(sh|python)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        assert [kind for kind, _ in blocks] == ["sh", "python", "sh"]
        said = []
        for kind, code in blocks:
            code = code.replace("127.0.0.1:8080", f"127.0.0.1:{server.where['port']}")
            command = ["bash", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    finally:
        server.kill()
    shown = re.sub(r"…|\d+\.\d+", "~", re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0])
    actual = re.sub(r'(?<="bundle":")\w+|(?<="ids":\[")[^"]+|\d+\.\d+', "~", said[0]).replace('"model":"small"', '"model":"chat"')
    assert actual.strip() == shown.strip()
    assert said[1] == "good morning "
    assert '"text_output":"good "' in said[2]


def test_the_model_that_the_page_on_models_shows_streams(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    [source] = re.findall(r"^```python\n(class Chat:.*?)^```", page, re.MULTILINE | re.DOTALL)
    server = Standalone(
        tmp_path / "server", talker(tmp_path / "bundles", source + "\ndef load(folder): return Chat()\n").path, order={"trust": True}
    )
    try:
        assert texts(streamed(server, "say good morning")) == ["good ", "morning "]
    finally:
        server.kill()


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def noria(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "noria", *command], cwd=folder, capture_output=True, text=True, check=False)
