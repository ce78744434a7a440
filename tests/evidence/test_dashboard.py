"""What Prometheus is told by the watcher and by a server, and that the Grafana dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from projects import SETTINGS, edited, write_project
from servers import Standalone, make_bundle
from typed_commands import done

NAME = re.compile(r"\bnoria_[a-z_]+")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of a few days, one of whose monitors is not well: nothing has come since."""
    folder = write_project(tmp_path_factory.mktemp("board") / "shop", settings=edited(SETTINGS, {"2024-03-28": "2024-02-16"}))
    for words in (["ingest"], ["train"], ["loop"]):
        done(folder, *words, "--json")
    return folder


@contextmanager
def watched(shop: Path) -> Iterator[str]:
    """The page of a watcher's metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "noria", "watch", "--every", "500ms", "--metrics-port", port], cwd=shop)
    try:
        yield page(f"http://127.0.0.1:{port}/metrics")
    finally:
        process.kill()
        process.wait()


def page(url: str, seconds: float = 60) -> str:
    """What is served there, once there is something of ours."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
            if NAME.search(text):
                return text
        except (urllib.error.URLError, ConnectionError):
            pass
        assert time.monotonic() < end, "nothing is served"
        time.sleep(0.2)


def test_the_watcher_tells_states_findings_and_ages_and_the_dashboard_asks_for_what_is_told(shop: Path, tmp_path: Path) -> None:
    with watched(shop) as told:
        known = set(NAME.findall(told))
        states = dict(re.findall(r'noria_monitor_state\{endpoint="returns",monitor="([^"]+)"\} (\S+)', told))
        assert {"drift", "predictions", "performance: log_loss"} <= set(states)
        assert set(states.values()) <= {"1.0", "0.0", "-1.0"}
        kinds = {f["kind"] for f in json.loads(done(shop, "findings", "list", "--json"))["findings"]}
        assert kinds == set(re.findall(r'noria_findings_open\{endpoint="returns",kind="([^"]+)"', told))
        assert kinds
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path)
    try:
        assert server.ask()[0] == 200
        known |= set(NAME.findall(server.admin("/metrics")[1]))
    finally:
        server.stop()
    board = tmp_path / "board.json"
    done(shop, "monitor", "dashboard", "--out", str(board))
    queries = [target["expr"] for panel in json.loads(board.read_text())["panels"] for target in panel.get("targets", [])]
    assert len(queries) >= 6
    assert {name for query in queries for name in NAME.findall(query)} <= known
