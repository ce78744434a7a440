"""The commands around a server that runs: load, top, client, replay-request, and the log that is sealed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from noria.serving.load import BadLoad, NobodyThere, send_load
from projects import write_project


class Shop:
    """A project with a champion, and its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for command in ("ingest", "train"):
            self.noria(command)
        environ = {**os.environ, "NORIA_SERVING_CAPTURE_SHARE": "1"}
        command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
        self.server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environ)
        assert self.server.stdout is not None
        self.where = json.loads(self.server.stdout.readline())

    def noria(self, *arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "noria", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    found = Shop(write_project(tmp_path_factory.mktemp("commands") / "shop"))
    yield found
    found.server.send_signal(signal.SIGTERM)
    found.server.communicate(timeout=20)
    assert "no server is running" in found.noria("top", code=3)


@pytest.fixture(scope="module")
def client(served: Shop) -> ModuleType:
    path = served.folder / "returns_client.py"
    served.noria("client", "--out", str(path), "--url", served.where["url"])
    spec = importlib.util.spec_from_file_location("returns_client", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


ROW = {"visits_6h": 3.0, "seconds_6h": 40.5, "seconds": None, "price": 12.0, "twice": 24.0}


def test_a_load_is_sent_as_it_was_asked_for(served: Shop) -> None:
    found = served.noria("load", "--rate", "400", "--seconds", "2", "--connections", "8", "--json")
    assert found["statuses"] == {"200": 800}
    assert (found["asked"], found["unanswered"]) == (800, 0)
    assert 300 < found["rate"] < 500
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"]
    assert "400 of 400 requests answered" in served.noria("load", "--rate", "400", "--seconds", "1")


def test_a_stalled_server_is_seen_by_an_open_loop(served: Shop) -> None:
    """While the worker stands still, requests go on being due: their latency counts from then, not from when they could be sent."""
    [worker] = subprocess.run(["pgrep", "-P", str(served.server.pid)], capture_output=True, text=True, check=True).stdout.split()
    body = json.dumps({"rows": [ROW]}).encode()
    url = f"{served.where['url']}/predict/returns"
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(send_load, url, [body], rate=200.0, seconds=3.0, connections=4)
        time.sleep(1.0)
        os.kill(int(worker), signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(int(worker), signal.SIGCONT)
        found = loading.result()
    assert found.statuses == {"200": 600}
    assert found.latency_ms["p99"] > 300
    assert found.latency_ms["p50"] < 100


@pytest.mark.parametrize(
    ("url", "rate", "words"),
    [
        ("http://192.0.2.1:8080/x", 1.0, "another machine"),
        ("ftp://127.0.0.1/x", 1.0, "is not a URL"),
        ("http://127.0.0.1:1/x", 0.0, "exceeds the limits"),
        ("http://127.0.0.1:1/x", 1e9, "exceeds the limits"),
    ],
)
def test_a_load_has_bounds(url: str, rate: float, words: str) -> None:
    with pytest.raises(BadLoad, match=words):
        send_load(url, [b"{}"], rate=rate, seconds=1.0)


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(NobodyThere):
        send_load("http://127.0.0.1:1/x", [b"{}"], rate=1.0, seconds=1.0)


def test_top_tells_rates_latencies_and_health(served: Shop) -> None:
    load = subprocess.Popen(
        [sys.executable, "-m", "noria", "load", "--rate", "300", "--seconds", "120", "--json"], cwd=served.folder, stdout=subprocess.DEVNULL
    )
    try:
        while not (found := served.noria("top", "--json"))["endpoints"][0]["requests_a_second"]:
            assert load.poll() is None
    finally:
        load.kill()
        load.wait()
    [endpoint] = found["endpoints"]
    assert (found["health"], found["workers"], endpoint["endpoint"]) == ("healthy", 1, "returns")
    assert 0 < endpoint["p50_ms"] <= endpoint["p99_ms"]
    assert endpoint["batch_rows"] >= 1


def interrupted(served: Shop, *arguments: str) -> tuple[int, str, str]:
    """A command that gets Ctrl-C after some seconds: its exit status and what it wrote. (Shells have commands in the background ignore
    Ctrl-C, and so would everything that is started by these tests there.)"""
    command = [sys.executable, "-m", "noria", *arguments]
    running = subprocess.Popen(
        command,
        cwd=served.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        running.wait(8)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
    try:
        out, err = running.communicate(timeout=20)
    finally:
        running.kill()
    return running.returncode, out, err


def test_top_is_a_picture_for_people(served: Shop) -> None:
    status, out, err = interrupted(served, "top")
    assert status == 130, err
    assert "Traceback" not in err
    assert "returns" in out
    assert "p99 ms" in out


def test_the_client_that_is_written_asks_and_is_refused_in_words(served: Shop, client: ModuleType) -> None:
    asking = client.ReturnsClient()
    assert asking.ready()
    [first, second] = asking.predict([ROW, {**ROW, "price": 90.0}], keys=["k1", None])
    assert 0 < first.value < 1
    assert first.value != second.value
    assert first.fallback is None
    assert tuple(ROW) == client.FEATURES
    with pytest.raises(client.Refused, match="'visits_6h' is missing") as refusal:
        asking.predict([{"price": 1.0}])
    assert (refusal.value.status, refusal.value.code) == (400, "NR-510")
    with pytest.raises(client.Refused, match="can't be reached"):
        client.ReturnsClient("http://127.0.0.1:1").predict([ROW])
    assert not client.ReturnsClient("http://127.0.0.1:1").ready()
    typed = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", str(served.folder / "returns_client.py")]
    done = subprocess.run(typed, cwd=served.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_prediction_and_captured_requests_are_asked_again(served: Shop, client: ModuleType) -> None:
    for _ in range(5):
        [made] = client.ReturnsClient().predict([ROW])
    found = served.noria("replay-request", made.id, "--json")
    assert (found["same"], found["before"]["prediction"], found["features"]["seconds"]) == (True, made.value, None)
    assert "the same answer" in served.noria("replay-request", made.id)
    assert "NR-601" in served.noria("replay-request", "0" * 12 + "-w-0", code=2)
    [captured] = (served.folder / ".noria" / "log" / "returns" / "captured").glob("*.jsonl")
    assert "authorization" not in captured.read_text().lower()
    copy = served.folder / "captured.jsonl"
    lines = captured.read_text().splitlines(keepends=True)[-5:]
    copy.write_text("".join(lines) + lines[0][:40])  # torn by a kill
    assert served.noria("replay-request", str(copy), "--json") == {"requests": 5, "same": 5, "different": []}
    other = json.loads(lines[0])
    answer = json.loads(other["answer"])
    if "predictions" in answer:
        answer["predictions"][0] += 0.25
    copy.write_text(json.dumps({**other, "answer": json.dumps(answer)}) + "\n")
    assert "0 of 1" in served.noria("replay-request", str(copy))
    copy.write_text("nothing\n")
    assert "NR-538" in served.noria("replay-request", str(copy), code=2)


def test_the_log_of_past_days_is_sealed_and_still_explained(served: Shop, client: ModuleType) -> None:
    [made] = client.ReturnsClient().predict([ROW])
    assert served.noria("compact", "--json")["logs"][0]["segments"] == 0  # today is not over
    assert served.noria("explain", made.id, "--json")["prediction"]["value"] == made.value


def test_ctrl_c_ends_a_command_with_its_own_exit_status(served: Shop) -> None:
    status, _, err = interrupted(served, "load", "--rate", "10", "--seconds", "60")
    assert status == 130, err
    assert "run the same command again" in err
