"""Served models that Python runs: a pipeline that ONNX can't say, through every protocol; and bad ones, beside an endpoint that is well."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.models.export import Wanted, export
from python_bundles import BAD, python_bundle, seal_exported
from servers import Standalone, asked, make_bundle, soon

MIXED = Signature((Field("nights", "int64"), Field("city", "string"), Field("price", "float64")), (SCORE,))
CITIES = ("Köln", "Ulm", "Wien")


def per_night(values: Any) -> Any:
    """What no converter knows: a function of this module."""
    table = np.asarray(values, float)
    return np.column_stack([table, np.log1p(table[:, 1]) / np.maximum(table[:, 0], 1)])


def stays(count: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    price = np.where(rng.random(count) < 0.1, np.nan, rng.uniform(20, 400, count))
    return pd.DataFrame({"nights": rng.integers(1, 15, count), "city": rng.choice(CITIES, count), "price": price})


def mixed_pipeline() -> Any:
    table = stays()
    numbers = make_pipeline(SimpleImputer(), FunctionTransformer(per_night))
    columns = ColumnTransformer([("numbers", numbers, ["nights", "price"]), ("city", OneHotEncoder(handle_unknown="ignore"), ["city"])])
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(table, (table.nights * table.price.fillna(90) > 800) * 1)


def expected(fitted: Any, rows: list[dict[str, Any]]) -> list[float]:
    table = pd.DataFrame(rows)
    table["price"] = table["price"].astype(float)
    found: list[float] = fitted.predict_proba(table)[:, 1].tolist()
    return found


ASKED = [
    {"nights": 3, "city": "Köln", "price": 120.0},
    {"nights": 14, "city": "Wien", "price": 399.5},
    {"nights": 1, "city": "Atlantis", "price": None},
]


@pytest.fixture(scope="module")
def fitted() -> Any:
    return mixed_pipeline()


@pytest.fixture(scope="module")
def mixed_bundle(fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    table = stays(50).astype({"price": object})
    table["price"] = table["price"].where(table["price"].notna(), None)
    listed = [tuple(row) for row in table.itertuples(index=False)]
    rows = Rows.of_values(MIXED.inputs, listed)
    exported = export(fitted, Wanted(MIXED, rows, (0.0, 1.0), trust=True))
    assert exported.runtime == "python"
    answers = expected(fitted, [dict(zip(MIXED.names, row, strict=True)) for row in listed[:8]])
    sample = [list(row) for row in listed[:8]], [[answer] for answer in answers]
    return seal_exported(tmp_path_factory.mktemp("mixed"), exported, MIXED, sample)


@pytest.fixture(scope="module")
def server(mixed_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    running = Standalone(tmp_path_factory.mktemp("server"), mixed_bundle.path, order={"trust": True}, grpc_port=0)
    yield running
    running.kill()


def test_a_pipeline_of_mixed_types_in_plain_json(server: Standalone, fitted: Any) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": ASKED}).encode())
    assert status == 200, found
    assert np.allclose(found["predictions"], expected(fitted, ASKED), atol=1e-9)
    assert set(found["ids"]) <= set(server.logged())


def test_a_pipeline_of_mixed_types_in_the_open_inference_protocol(server: Standalone, fitted: Any) -> None:
    kinds = {"nights": "INT64", "city": "BYTES", "price": "FP64"}
    inputs = [{"name": name, "datatype": kind, "shape": [2], "data": [row[name] for row in ASKED[:2]]} for name, kind in kinds.items()]
    status, found = server.http("POST", "/v2/models/small/infer", json.dumps({"inputs": inputs}).encode())
    assert status == 200, found
    [told] = [output for output in found["outputs"] if output["name"] == "prediction"]
    assert np.allclose(told["data"], expected(fitted, ASKED[:2]), atol=1e-9)
    assert server.http("GET", "/v2/models/small")[1]["platform"] == "python"


def test_a_pipeline_of_mixed_types_over_grpc(server: Standalone, fitted: Any) -> None:
    kinds = {"nights": ("INT64", np.int64), "city": ("BYTES", np.object_), "price": ("FP64", np.float64)}
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        inputs = []
        for name, (kind, dtype) in kinds.items():
            inputs.append(triton.InferInput(name, [2], kind))
            inputs[-1].set_data_from_numpy(np.array([row[name] for row in ASKED[:2]], dtype))
        result = client.infer("small", inputs)
    assert np.allclose(result.as_numpy("prediction"), expected(fitted, ASKED[:2]), atol=1e-9)


def test_requests_of_many_clients_are_batched_and_each_gets_its_own_answer(server: Standalone, fitted: Any) -> None:
    rows = [{"nights": i % 14 + 1, "city": CITIES[i % 3], "price": 20.0 + i} for i in range(200)]

    def one(row: dict[str, Any]) -> float:
        status, found = server.http("POST", "/predict/small", json.dumps({"rows": [row]}).encode())
        while status == 503 and found["code"] == "NR-520":  # on a busy machine it refuses early, and is asked again
            time.sleep(0.1)
            status, found = server.http("POST", "/predict/small", json.dumps({"rows": [row]}).encode())
        assert status == 200, found
        return float(found["predictions"][0])

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, rows))
    assert np.allclose(found, expected(fitted, rows), atol=1e-9)


# --- bad models ---


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """An endpoint of a model that does what its rows say, and one of a model that is well, in one worker."""
    folder = tmp_path_factory.mktemp("bad")
    champion, fine = python_bundle(folder / "bundles"), make_bundle(folder / "bundles", 10.0)
    order = {"trust": True, "deadline_seconds": 1.5, "others": {"fine": fine.path}}
    running = Standalone(folder / "server", champion.path, order=order, model_memory_gb=3, grpc_port=0)
    yield running
    running.kill()


@contextmanager
def undisturbed(server: Standalone, longest: float = 1.2) -> Iterator[None]:
    """Ask the endpoint beside, again and again: each time it must answer, and soon. (Long enough for a busy machine of two cores.)"""
    stop, slowest, wrong = threading.Event(), [0.0], []

    def ask() -> None:
        while not stop.wait(0.01):
            start = time.monotonic()
            status, found = asked(server.where["port"], "POST", "/predict/fine", b'{"rows": [{"a": 1, "b": 2}]}')
            slowest[0] = max(slowest[0], time.monotonic() - start)
            if status != 200 or found["predictions"] != [11.0]:
                wrong.append(found)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert slowest[0] < longest


def works(server: Standalone) -> bool:
    status, found = server.ask([(5.0, 0.0)])
    return status == 200 and found["predictions"] == [5.0]


ALIVE = {
    "raises": (101, "ValueError: this row is bad (mine.py, line 13)"),
    "returns too few": (106, "it returned 0 values of prediction for 1 rows"),
    "returns NaN": (107, "it returned values that are not finite"),
    "returns texts": (108, "that are not numbers"),
    "returns nothing": (111, "it returned None for prediction"),
    "returns another name": (112, "it returned score, and not prediction"),
}
LOST = {
    "hangs": (102, "it took longer than 1.5 s, and its process was stopped"),
    "exits": (103, "its process exited with code 3"),
    "crashes": (104, "its process was killed by SIGSEGV"),
    "leaks": (109, "MemoryError"),
}


@pytest.mark.parametrize("kind", ALIVE)
def test_a_bad_answer_fails_its_request_with_the_reason_and_nothing_else(bad: Standalone, kind: str) -> None:
    what, words = ALIVE[kind]
    with undisturbed(bad):
        status, found = bad.ask([(5.0, what)])
        assert (status, found["code"]) == (500, "NR-304")
        assert words in found["where"]
        assert works(bad)


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_process_fails_its_request_with_the_reason_and_is_replaced(bad: Standalone, kind: str) -> None:
    what, words = LOST[kind]
    with undisturbed(bad):
        status, found = bad.ask([(5.0, what)])
        assert (status, found["code"]) == (500, "NR-304")
        assert words in found["where"]
        status, found = bad.ask([(5.0, 0.0)])
        assert (status, found["code"]) == (503, "NR-331")
        soon(lambda: works(bad), 15)


def test_what_a_model_prints_disturbs_no_answer(bad: Standalone) -> None:
    with undisturbed(bad):
        status, found = bad.ask([(5.0, 105.0)])
        assert (status, found["predictions"]) == (200, [5.0])


def test_a_bad_row_fails_alone_in_its_batch(bad: Standalone) -> None:
    """While the first computes for half a second, the others gather: one of them is bad."""
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(bad.ask, [(0.0, 110.0)])
        time.sleep(0.2)
        others = [pool.submit(bad.ask, [(float(i), 101.0 if i == 4 else 0.0)]) for i in range(10)]
        assert first.result()[0] == 200
        found = [each.result() for each in others]
    assert [status for status, _ in found] == [500 if i == 4 else 200 for i in range(10)]
    assert [body["predictions"] for status, body in found if status == 200] == [[float(i)] for i in range(10) if i != 4]


def test_grpc_clients_hear_of_a_bad_model_too(bad: Standalone) -> None:
    values = np.array([[5.0, 101.0]], np.float32)
    tensor = triton.InferInput("features", [1, 2], "FP32")
    tensor.set_data_from_numpy(values)
    with (
        triton.InferenceServerClient(f"127.0.0.1:{bad.where['grpc_port']}") as client,
        pytest.raises(triton.InferenceServerException, match="this row is bad"),
    ):
        client.infer("small", [tensor])


def test_no_worker_was_restarted_for_a_bad_model(bad: Standalone) -> None:
    """After all of the above, if it runs last: a model that hangs does not look like a worker that does."""
    bad.ask([(5.0, 102.0)])
    soon(lambda: works(bad), 15)
    _, status = bad.admin("/status")
    assert status["restarts"] == 0
    soon(lambda: 'noria_model_restarts_total{endpoint="small",worker="0"} 0' not in bad.admin("/metrics")[1])
    assert 'noria_model_restarts_total{endpoint="fine",worker="0"} 0' in bad.admin("/metrics")[1]


def test_the_endpoint_is_not_ready_while_its_model_is_lost(bad: Standalone) -> None:
    soon(lambda: bad.admin("/v2/health/ready")[0] == 200)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(bad.ask, [(5.0, 103.0)])
        hanging.result()
    soon(lambda: works(bad), 15)
    soon(lambda: bad.admin("/v2/health/ready")[0] == 200)


def test_a_fallback_answers_what_a_lost_model_cannot(tmp_path: Path) -> None:
    champion, previous = python_bundle(tmp_path / "bundles"), make_bundle(tmp_path / "bundles", 10.0)
    order = {"trust": True, "previous": str(previous.path), "default": [0.5]}
    server = Standalone(tmp_path / "server", champion.path, order=order)
    try:
        for what in (101.0, 103.0):
            status, found = server.ask([(5.0, what)])
            assert (status, found["predictions"], found["fallback"]) == (200, [15.0], "previous")
        status, found = server.ask([(5.0, 0.0)])  # its process is gone for a moment
        assert (status, found["predictions"], found["fallback"]) == (200, [15.0], "previous")
        soon(lambda: works(server), 15)
        [balance] = server.stop()
        assert balance["holds"]
    finally:
        server.kill()


def test_a_python_model_as_fallback_and_the_default_behind_it(tmp_path: Path) -> None:
    champion = python_bundle(tmp_path / "bundles", BAD, run="first")
    steady = BAD.replace("return first\n", "return first + 10\n").replace("if 103 in what", "if 999 in what")
    previous = python_bundle(tmp_path / "bundles", steady, run="second", sample=([[1.0, 2.0]], [[11.0]]))
    server = Standalone(tmp_path / "server", champion.path, order={"trust": True, "previous": str(previous.path), "default": [0.5]})
    try:
        for what, answer, fallback in ((0.0, 5.0, None), (103.0, 15.0, "previous"), (0.0, 15.0, "previous"), (101.0, 0.5, "default")):
            status, found = server.ask([(5.0, what)])
            assert (status, found["predictions"], found.get("fallback")) == (200, [answer], fallback)
        soon(lambda: works(server), 15)
    finally:
        server.kill()


def test_a_bundle_that_nobody_trusts_is_not_served(tmp_path: Path) -> None:
    bundle = python_bundle(tmp_path / "bundles")
    with pytest.raises(AssertionError, match=r"NR-333|does not trust it"):
        Standalone(tmp_path / "server", bundle.path)


def test_a_python_shadow_scores_what_the_champion_is_asked(tmp_path: Path) -> None:
    champion, shadow = make_bundle(tmp_path / "bundles", 10.0), python_bundle(tmp_path / "bundles")
    server = Standalone(tmp_path / "server", champion.path, shadow.path, order={"trust": True})
    try:
        for i in range(5):
            assert server.ask([(float(i), 0.0)])[1]["predictions"] == [i + 10.0]
        soon(lambda: len(server.logged()) == 10)
        found = sorted(value for variant, bundle, value in server.logged().values() if (variant, bundle) == ("challenger", shadow.id))
        assert found == [0.0, 1.0, 2.0, 3.0, 4.0]
    finally:
        server.kill()


def test_answers_are_remembered_where_that_is_asked_for(tmp_path: Path) -> None:
    bundle = python_bundle(tmp_path / "bundles")
    server = Standalone(tmp_path / "server", bundle.path, order={"trust": True, "cached_rows": 100})
    try:
        for _ in range(3):
            status, found = server.ask([(5.0, 110.0), (6.0, 0.0), (5.0, 110.0)])
            assert (status, found["predictions"]) == (200, [5.0, 6.0, 5.0])
        soon(lambda: '"cache_hits": 7' in json.dumps(server.admin("/status")[1]))
    finally:
        server.kill()


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def test_a_new_champion_takes_over_in_flight_and_the_old_process_ends(tmp_path: Path) -> None:
    first = python_bundle(tmp_path / "bundles")
    second = make_bundle(tmp_path / "bundles", 10.0)
    server = Standalone(tmp_path / "server", first.path, order={"trust": True})
    try:
        [worker] = server.workers()
        [process] = children_of(worker)
        failed, answers = [], set()

        def ask(i: int) -> None:
            status, found = server.ask([(float(i), 110.0 if i % 10 == 0 else 0.0)])
            failed.append(found) if status != 200 else answers.add(found["predictions"][0] - i)

        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(ask, i) for i in range(40)]
            server.aim(second.path, trust=True)
            for call in calls:
                call.result()
            soon(lambda: server.ask([(0.0, 0.0)])[1]["predictions"] == [10.0])
        assert not failed
        assert answers <= {0.0, 10.0}
        soon(lambda: children_of(worker) == [])
        soon(lambda: not Path(f"/proc/{process}").exists())
        [balance] = server.stop()
        assert balance["holds"]
    finally:
        server.kill()


def test_no_process_of_a_model_outlives_its_server(tmp_path: Path) -> None:
    for way in ("stop", "kill"):
        bundle = python_bundle(tmp_path / "bundles", run=way)
        server = Standalone(tmp_path / way, bundle.path, order={"trust": True})
        [process] = children_of(server.workers()[0])
        server.stop() if way == "stop" else server.kill()
        soon(lambda p=process: not Path(f"/proc/{p}").exists())


def test_a_worker_with_a_python_model_still_loads_nothing_of_it(server: Standalone) -> None:
    [worker] = server.workers()
    if not Path(f"/proc/{worker}/maps").exists():
        pytest.skip("the system does not say what a process has mapped")
    server.http("POST", "/predict/small", json.dumps({"rows": ASKED}).encode())
    mapped = Path(f"/proc/{worker}/maps").read_text()
    assert "/sklearn/" not in mapped
    assert "/sklearn/" in Path(f"/proc/{children_of(worker)[0]}/maps").read_text()
    assert os.getpid() != worker
