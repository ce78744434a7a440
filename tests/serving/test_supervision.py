"""Workers that die, stand still or are told to serve something else, while requests come in."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from servers import FEATURES, Standalone, make_bundle, onnx_model, soon

PATIENCE = 60  # seconds: no test depends on how fast a machine is


@pytest.fixture
def bundles(tmp_path: Path) -> list[Any]:
    return [make_bundle(tmp_path / "bundles", plus) for plus in (0.0, 100.0)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    servers: list[Standalone] = []

    def begin(*arguments: Any, **settings: Any) -> Standalone:
        servers.append(Standalone(tmp_path / f"server{len(servers)}", *arguments, **settings))
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


class Asking(threading.Thread):
    """A client that keeps its connection and asks until told to stop; keeps every answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.answers, self.failures = port, list[tuple[float, Any]](), list[str]()
        self.value, self.going = 0.0, True

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            try:
                while self.going:
                    self.ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))

    def ask(self, connection: http.client.HTTPConnection) -> None:
        self.value += 1
        connection.request("POST", "/predict/small", json.dumps({"rows": [dict(zip(FEATURES, (self.value, 0.0), strict=True))]}))
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            self.failures.append(f"{response.status} {answer}")
        else:
            self.answers.append((self.value, answer))

    def stop(self) -> None:
        self.going = False
        self.join(10)


def test_a_killed_worker_is_back_and_the_others_did_not_notice(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path, workers=2)
    clients = [Asking(server.where["port"]) for _ in range(12)]
    for client in clients:
        client.start()
    soon(lambda: all(client.answers for client in clients))
    first, second = server.workers()
    os.kill(first, signal.SIGKILL)
    soon(lambda: server.admin("/v2/health/ready")[0] == 503, PATIENCE)
    soon(lambda: server.admin("/v2/health/ready")[0] == 200, PATIENCE)  # how soon is measured by the proof of reliability
    assert second in server.workers()
    for client in clients:
        client.stop()
    undisturbed = [client for client in clients if not client.failures]
    assert 0 < len(undisturbed) < len(clients)  # the kernel gave some connections to each
    assert all(len(client.answers) > 10 for client in undisturbed)
    ids = {i for client in clients for _, answer in client.answers for i in answer["ids"]}
    assert ids <= set(server.logged())


def test_a_worker_that_stands_still_is_told_of_and_replaced(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    assert server.admin("/v2/health/ready")[0] == 200
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    soon(lambda: server.admin("/v2/health/ready")[0] == 503, PATIENCE)
    soon(lambda: server.admin("/v2/health/ready")[0] == 200, PATIENCE)
    assert server.ask()[0] == 200
    assert server.workers() != [worker]


def test_a_worker_says_where_it_stands_before_it_is_replaced(bundles: list[Any], start: Any, capfd: pytest.CaptureFixture[str]) -> None:
    server = start(bundles[0].path, worker="tests.standing_worker")
    (worker,) = server.workers()
    with pytest.raises((OSError, http.client.HTTPException)):
        server.ask()
    soon(lambda: server.workers() not in ([], [worker]), PATIENCE)
    server.kill()
    told = capfd.readouterr().err
    assert "worker 0 has stalled" in told
    assert "standing_worker.py" in told.split("has stalled")[1]


def test_a_machine_that_was_paused_loses_no_worker(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    before = server.workers()
    paused = [*before, server.process.pid]
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)  # longer than a worker may be silent
    for pid in reversed(paused):  # the supervisor first, which has heard nobody
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    assert server.ask()[0] == 200
    assert server.workers() == before


def test_bundles_are_swapped_without_a_failed_or_mixed_answer(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    clients = [Asking(server.where["port"]) for _ in range(4)]
    for client in clients:
        client.start()
    for turn in range(4):
        wanted = bundles[(turn + 1) % 2]
        server.aim(wanted.path)
        soon(lambda wanted=wanted: server.http("GET", "/v2/models/small")[1]["versions"] == [wanted.id])
    for client in clients:
        client.stop()
    plus = {bundles[0].id: 0.0, bundles[1].id: 100.0}
    logged = server.logged()
    answers = [pair for client in clients for pair in client.answers]
    assert not [failure for client in clients for failure in client.failures]
    assert {answer["bundle"] for _, answer in answers} == set(plus)
    for value, answer in answers:
        assert answer["predictions"] == [value + plus[answer["bundle"]]]
        assert logged[answer["ids"][0]] == ("champion", answer["bundle"], value + plus[answer["bundle"]])
    (balance,) = server.stop()
    assert balance["holds"]
    assert balance["rows_in"] >= len(answers)


def test_a_shadow_scores_unseen(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path, bundles[1].path)
    status, answer = server.ask([(5.0, 0.0)])
    assert (status, answer["predictions"]) == (200, [5.0])
    soon(lambda: len(server.logged()) == 2)
    assert sorted(server.logged().values()) == [("challenger", bundles[1].id, 105.0), ("champion", bundles[0].id, 5.0)]


def damaged(bundle: Path) -> Path:
    model = bundle / "model" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    return bundle


def graph(*nodes: Any, **attributes: Any) -> bytes:
    return onnx_model(nodes=list(nodes), **attributes)


def huge() -> bytes:
    """A model that asks for 400 GB."""
    shape = helper.make_node("Constant", [], ["shape"], value=helper.make_tensor("s", TensorProto.INT64, [2], [100_000, 1_000_000]))
    return graph(
        shape, helper.make_node("ConstantOfShape", ["shape"], ["all"]), helper.make_node("ReduceSum", ["all"], ["scores"], keepdims=0)
    )


def endless() -> bytes:
    """A model whose loop takes years."""
    value = helper.make_tensor_value_info
    inside = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Sin", ["before"], ["after"])],
        "body",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("before", TensorProto.FLOAT, [None, 2])],
        [value("still", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, [None, 2])],
    )
    turns = helper.make_node("Constant", [], ["turns"], value=helper.make_tensor("t", TensorProto.INT64, [], [10**15]))
    on = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("b", TensorProto.BOOL, [], [True]))
    return graph(turns, on, helper.make_node("Loop", ["turns", "yes", "features"], ["scores"], body=inside))


def texts() -> bytes:
    return graph(helper.make_node("Cast", ["features"], ["scores"], to=TensorProto.STRING))


def one_answer_for_all() -> bytes:
    return graph(helper.make_node("ReduceMean", ["features"], ["scores"], axes=[0, 1], keepdims=1))


def without(root: Path, name: str) -> Path:
    path = make_bundle(root, 3.0).path
    (path / name).unlink()
    return path


def rewritten(root: Path, name: str, data: bytes) -> Path:
    path = make_bundle(root, 4.0).path
    (path / name).write_bytes(data)
    return path


WRONG = [0.0, 0.0]
BAD = {
    "a changed byte": lambda root: damaged(make_bundle(root, 1.0).path),
    "no such folder": lambda root: root / ("0" * 64),
    "not a model": lambda root: make_bundle(root, model=b"garbage", predictions=WRONG).path,
    "an empty model": lambda root: make_bundle(root, model=b"", predictions=WRONG).path,
    "half a model": lambda root: make_bundle(root, model=onnx_model()[:60], predictions=WRONG).path,
    "another input's width": lambda root: make_bundle(root, model=onnx_model(width=3), predictions=WRONG).path,
    "other answers than sealed": lambda root: make_bundle(root, 2.0, predictions=WRONG).path,
    "answers that are no numbers": lambda root: make_bundle(root, float("nan"), predictions=WRONG).path,
    "answers that are texts": lambda root: make_bundle(root, model=texts(), predictions=WRONG).path,
    "one answer for all": lambda root: make_bundle(root, model=one_answer_for_all(), predictions=WRONG).path,
    "too few sealed answers": lambda root: make_bundle(root, 5.0, predictions=[6.0]).path,
    "sealed answers that are no numbers": lambda root: make_bundle(root, 6.0, predictions=["x", None]).path,  # type: ignore[list-item]
    "no manifest": lambda root: without(root, "bundle.json"),
    "no model": lambda root: without(root, "model/model.onnx"),
    "no sample": lambda root: without(root, "sample/requests.json"),
    "a manifest that is no JSON": lambda root: rewritten(root, "bundle.json", b"{"),
    "another sample": lambda root: rewritten(root, "sample/requests.json", b"{}"),
    "more memory than there is": lambda root: make_bundle(root, model=huge(), predictions=WRONG).path,
    "a model that never ends": lambda root: make_bundle(root, model=endless(), predictions=WRONG).path,
}


def test_a_bundle_that_cannot_be_served_leaves_the_one_before_and_is_told(bundles: list[Any], start: Any, tmp_path: Path) -> None:
    server = start(bundles[0].path)
    workers = server.workers()
    for number, (kind, make) in enumerate(BAD.items()):
        server.aim(make(tmp_path / f"bad{number}"))
        soon(lambda: server.admin("/v2/health/ready")[1]["degraded"], 8 if "never ends" in kind else 5)
        status, answer = server.ask([(3.0, 0.0)])
        assert (status, answer["bundle"], answer["predictions"]) == (200, bundles[0].id, [3.0]), kind
        assert server.workers() == workers, kind
        server.aim(bundles[0].path)
        soon(lambda: not server.admin("/v2/health/ready")[1]["degraded"])


def test_without_its_catalog_it_goes_on_and_says_so(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    (server.folder / "targets.json").unlink()
    soon(lambda: "FileNotFoundError" in str(server.admin("/v2/health/ready")[1]["degraded"]))
    assert server.ask()[0] == 200
    server.aim(bundles[1].path)
    soon(lambda: server.ask([(1.0, 0.0)])[1]["predictions"] == [101.0])
    assert server.admin("/v2/health/ready")[1]["degraded"] == []


def test_a_full_disk_is_told_within_two_seconds(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    assert server.ask()[0] == 200
    (folder,) = (server.folder / "log").glob("w*")
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # root writes anywhere: a folder in the probe's place stops it as well
        (folder / ".probe").unlink()
        (folder / ".probe").mkdir()
        (folder / ".probe" / "x").touch()
    try:
        soon(lambda: server.admin("/v2/health/ready")[0] == 503, PATIENCE)
        assert server.http("GET", "/v2/health/ready")[0] == 503
    finally:
        folder.chmod(0o700)


def test_what_the_supervisor_leaves_behind_ends(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path, workers=2)
    workers = server.workers()
    server.process.kill()
    server.process.communicate()
    soon(
        lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers)
    )


def test_prometheus_reads_what_was_done(bundles: list[Any], start: Any) -> None:
    server = start(bundles[0].path)
    for _ in range(5):
        server.ask([(1.0, 1.0), (2.0, 2.0)])
    time.sleep(0.6)
    status, text = server.admin("/metrics")
    assert status == 200
    assert 'noria_answered_total{endpoint="small",worker="0"} 10.0' in text
    assert 'noria_answer_seconds_count{endpoint="small",worker="0"} 10.0' in text
    assert 'noria_ready{worker="0"} 1.0' in text
